"""Where photos come from and results go: folders, S3 and what else fsspec reaches, behind one small class.

    Storage ── LocalStore   file:// and plain paths      infra/local.py
            ├─ S3Store      s3://                        infra/buckets.py
            └─ OtherStore   gs://, az:// (extras)        infra/others.py

What goes wrong with one object is a ``StorageFault``, after all retries; what the operator must put right is a
``StorageError``.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from infra.buckets import S3Store, for_the_operator
from infra.errors import StorageError
from infra.faults import StorageFault
from infra.local import LocalStore
from infra.others import other_store
from infra.store import Entry, StorageOptions, Store
from infra.uris import SCHEME, absolute, is_within, join, scheme_of

__all__ = ["Entry", "Storage", "StorageFault", "StorageOptions", "absolute", "first_request", "is_within", "join"]


class Storage:
    """Reads and writes whole objects by URI. Threads, forks and pickling are fine: each process connects by itself."""

    def __init__(self, options: StorageOptions | None = None) -> None:
        self.options = options or StorageOptions()
        self._stores: dict[tuple[int, str], Store] = {}

    def __reduce__(self) -> tuple[type["Storage"], tuple[StorageOptions]]:
        return type(self), (self.options,)

    def read(self, uri: str, size: int | None = None) -> bytes:
        """The whole object, in one request; never a body of another length than the store promised or ``size``."""
        return self._store(uri).read(uri, size)

    def write(self, uri: str, data: bytes | memoryview) -> None:
        """Publish ``data`` under ``uri``, whole or not at all: one PUT, or a file that is renamed into place.

        A link of that name is replaced, not followed. A URI that climbs out of a folder is never written to.
        """
        check_stays(uri)
        self._store(uri).write(uri, data if isinstance(data, bytes) else bytes(data))

    def delete(self, uri: str) -> None:
        """Remove the object; it is no fault if it is not there. A local URI may not climb out of a folder."""
        if scheme_of(uri) == "file":
            check_stays(uri)
        self._store(uri).delete(uri)

    def exists(self, uri: str) -> bool:
        """Whether there is such an object (a folder is none)."""
        return self.info(uri) is not None

    def info(self, uri: str) -> Entry | None:
        """The object's facts, its ``path`` being its name; None if there is no such object."""
        return self._store(uri).info(uri)

    def list(self, root: str) -> Iterator[Entry]:
        """Every object below ``root``, sorted by path, as a stream; nothing is left out and nothing is cached.

        A local name that is not valid UTF-8 comes with its bytes escaped (``infra.uris``), and ``read`` takes it so.
        """
        return self._store(root).list(root)

    def is_folder(self, uri: str) -> bool:
        """Whether ``uri`` is a folder, a bucket, or a prefix with something below it."""
        return self._store(uri).is_folder(uri)

    def check_source(self, uri: str) -> None:
        """Raise a ``StorageError`` if ``uri`` cannot be read from, or nothing is there."""
        self._store(uri).check_source(uri)

    def check_sink(self, uri: str) -> None:
        """Raise a ``StorageError`` if ``uri`` cannot be a sink. Writes nothing."""
        self._store(uri).check_sink(uri)

    def sweep(self, root: str) -> int:
        """Remove the unfinished files that dead processes of this host left below a local ``root``; how many."""
        store = self._store(root)
        return store.sweep(root) if isinstance(store, LocalStore) else 0

    def _store(self, uri: str) -> Store:
        """This process's store for the URI's scheme. Threads that come first at once may build several; one is kept."""
        scheme = scheme_of(uri)
        key = os.getpid(), scheme
        if key not in self._stores:
            self._stores.setdefault(key, self._open(uri, scheme))
        return self._stores[key]

    def _open(self, uri: str, scheme: str) -> Store:
        if scheme == "s3":
            return S3Store(self.options)
        if scheme != "file":
            return other_store(scheme, self.options)
        if not uri.startswith("file:///"):
            raise StorageError(f"'{uri}' is no absolute URI", "infra.storage.absolute makes one of a path")
        return LocalStore(self.options.attempts)


@contextmanager
def first_request(uri: str) -> Generator[None]:
    """A job's first requests to a bucket: what they find wrong is the operator's error. No request is spent on that."""
    if scheme_of(uri) == "s3":
        with for_the_operator(uri):
            yield
    else:
        yield


def check_stays(uri: str) -> None:
    """Refuse a URI whose path has a segment that leads elsewhere: names made here have none, those of others may."""
    path = SCHEME.sub("", uri, count=1)
    if "\0" in path or not {".", ".."}.isdisjoint(path.split("/")):
        raise StorageFault("denied", f"the name leads out of its folder: {uri!r}")
