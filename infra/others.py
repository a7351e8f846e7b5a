"""Every other store that fsspec has a file system for: Google Cloud Storage and Azure come as extras."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import fsspec

from infra.buckets import entry, for_the_operator, split, whole
from infra.errors import StorageError
from infra.faults import Result, StorageFault, attempt
from infra.store import Entry, StorageOptions
from infra.uris import ALIASES, join, name_of, scheme_of

EXTRAS = ("az", "gs")


class OtherStore:
    """Any scheme that fsspec has a file system for, with what all of them can do."""

    def __init__(self, fs: Any, attempts: int) -> None:
        self._fs = fs
        self._attempts = attempts

    def read(self, uri: str, size: int | None) -> bytes:
        return self._try(lambda: whole(self._fs.cat_file(uri), None, size))

    def write(self, uri: str, data: bytes) -> None:
        self._try(lambda: self._fs.pipe_file(uri, data))

    def delete(self, uri: str) -> None:
        if self.info(uri) is not None:
            self._try(lambda: self._fs.rm_file(uri))

    def info(self, uri: str) -> Entry | None:
        facts = self._facts(uri)
        return described(uri, name_of(uri), facts) if facts and facts["type"] == "file" else None

    def list(self, root: str) -> Iterator[Entry]:
        start = self._fs._strip_protocol(root).rstrip("/")
        found: dict[str, dict[str, Any]] = self._try(lambda: self._fs.find(root, detail=True))
        for name in sorted(found):
            path = name.removeprefix(start).lstrip("/")
            yield described(join(root, path), path, found[name])

    def is_folder(self, uri: str) -> bool:
        facts = self._facts(uri)
        return facts is not None and facts["type"] == "directory"

    def check_source(self, uri: str) -> None:
        with for_the_operator(uri):
            if self._facts(uri) is None:
                raise StorageError(f"there is nothing at '{uri}'")

    def check_sink(self, uri: str) -> None:
        self.check_source(f"{scheme_of(uri)}://{split(uri)[0]}")

    def _facts(self, uri: str) -> dict[str, Any] | None:
        try:
            return self._try(lambda: self._fs.info(uri))
        except StorageFault as fault:
            if fault.kind == "not_found":
                return None
            raise

    def _try(self, work: Callable[[], Result]) -> Result:
        return attempt(work, self._attempts)


def other_store(scheme: str, options: StorageOptions) -> OtherStore:
    """The store of ``scheme``, or the operator's error if its package is missing or nobody knows it."""
    if scheme not in EXTRAS:
        known = ", ".join(sorted({"file", "s3", *EXTRAS, *ALIASES}))
        raise StorageError(f"unknown scheme '{scheme}://'", f"known are {known}")
    try:
        fs = fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        raise StorageError(
            f"'{scheme}://' needs a package that is not here", f"pip install 'daguerre[{scheme}]'"
        ) from error
    return OtherStore(fs, options.attempts)


def described(uri: str, path: str, facts: dict[str, Any]) -> Entry:
    """An entry from what fsspec says, whose file systems disagree about names."""
    mtime = next((facts[name] for name in ("mtime", "last_modified", "updated", "created") if name in facts), None)
    if isinstance(mtime, str):
        mtime = datetime.fromisoformat(mtime)
    return entry(uri, path, facts.get("size"), facts.get("etag") or facts.get("ETag"), mtime)
