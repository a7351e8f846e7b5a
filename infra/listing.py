"""What a run is asked to work on: a source turned into entries, as a stream.

A source is a folder or prefix, one file, a Parquet or CSV list with a ``uri`` column, or an S3 Inventory report
(``infra.inventory``). Every file of a source is yielded, wanted or not, so that a photo that is passed over today is
not taken for one that vanished.
"""

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from infra.errors import StorageError
from infra.inventory import names_an_inventory, read_inventory
from infra.patterns import matches
from infra.sources import Allowed
from infra.storage import Entry, Storage, StorageFault, absolute, first_request, join
from infra.urilist import read_list
from infra.uris import name_of, scheme_of

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif"),
        *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".btf"),
        *(".mpo", ".hif", ".pbm", ".pgm", ".ppm", ".pnm"),
    }
)
LIST_SUFFIXES = frozenset({".parquet", ".csv"})
DEFAULT_EXCLUDE = (
    ".*",
    "**/.*/**",
    "**/@eaDir/**",
    "**/__MACOSX/**",
    "Thumbs.db",
    "desktop.ini",
)
Kind = Literal["folder", "file", "list"]
LOOKUPS = 16
CHUNK = 1000
UNSAFE = re.compile(r"%(?:25)*(?:2E|2E%2E|2F)")
ESCAPES = {"": "%2F", ".": "%2E", "..": "%2E%2E"}


class Listed(NamedTuple):
    """A file of the source, and whether the patterns let it through. Files that are no images are wanted, too."""

    entry: Entry
    wanted: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of ``source``, an absolute URI or a path, in a stable order.

    ``include`` and ``exclude`` are patterns (``infra.patterns``) on the paths: a file is wanted if it matches one of
    ``include`` (or there are none) and none of ``exclude``. In folders ``DEFAULT_EXCLUDE`` counts as well; a list's
    items were chosen by somebody and are not judged by it, and a single file is always wanted.
    ``root`` is the folder to which a list's paths are relative; items elsewhere are named ``scheme/bucket/key``.
    ``allowed`` says where a list's items may lie.
    """

    storage: Storage
    source: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    root: str | None = None
    allowed: Allowed = field(default_factory=Allowed)

    @property
    def kind(self) -> Kind:
        """What the source is; asks the store. A local folder that is missing counts as one all the same."""
        return self.opened()[0]

    def __iter__(self) -> Iterator[Listed]:
        return self.opened()[1]

    def opened(self) -> tuple[Kind, Iterator[Listed]]:
        """What the source is, and its files. A prefix with something below it costs its listing and no request more;
        one with nothing below it is a ``StorageError``.
        """
        source = absolute(self.source)
        with first_request(source):
            if scheme_of(source) == "s3" and not names_a_list(source):
                entries = self.storage.list(source)
                first = next(entries, None)
                if first is not None:
                    return "folder", self._folder(chain([first], entries))
                if "/" in source.removeprefix("s3://").rstrip("/") and self.storage.info(source) is None:
                    raise StorageError(f"there is nothing at '{source}'")
        if names_an_inventory(source) and self.storage.info(source) is not None:
            return "list", self._inventory(source)
        if self.storage.info(source) is None:
            return "folder", self._folder(self.storage.list(source))
        if not names_a_list(source):
            return "file", self._file(source)
        return "list", self._list(source)

    def _folder(self, entries: Iterable[Entry]) -> Iterator[Listed]:
        exclude = (*DEFAULT_EXCLUDE, *self.exclude)
        for entry in entries:
            safe = replace(entry, path=safe_path(entry.path))
            yield Listed(safe, self._wanted(safe.path, exclude))

    def _file(self, source: str) -> Iterator[Listed]:
        entry = self.storage.info(source)
        if entry is not None:
            yield Listed(replace(entry, path=safe_path(entry.path)), True)

    def _inventory(self, source: str) -> Iterator[Listed]:
        """Named as in a listing of ``root``, or of the whole bucket; what lies elsewhere is not listed."""
        bucket, entries = read_inventory(self.storage, source)
        root = join(absolute(self.root) if self.root else bucket, "")
        below = (entry for entry in entries if entry.uri.startswith(root))
        return self._folder(replace(entry, path=entry.uri[len(root) :]) for entry in below)

    def _list(self, source: str) -> Iterator[Listed]:
        root = absolute(self.root) if self.root else None
        items = iter(distinct(self.allowed.items(read_list(self.storage, source), source)))
        with ThreadPoolExecutor(LOOKUPS) as pool:
            while chunk := list(islice(items, CHUNK)):
                for entry in pool.map(partial(completed, self.storage), chunk):
                    path = path_of(entry.uri, root)
                    yield Listed(replace(entry, path=path), self._wanted(path, self.exclude))

    def _wanted(self, path: str, exclude: Sequence[str]) -> bool:
        return (not self.include or matches(path, self.include)) and not matches(path, exclude)


def names_a_list(source: str) -> bool:
    return PurePosixPath(name_of(source).lower()).suffix in LIST_SUFFIXES or names_an_inventory(source)


def is_image(path: str) -> bool:
    """Whether the name's ending is one of an image."""
    return PurePosixPath(path.lower()).suffix in IMAGE_SUFFIXES


def sample(entries: Iterable[Entry], count: int) -> list[Entry]:
    """``count`` of ``entries``, spread over all of them and the same each time, in the order of their URIs."""
    return sorted(heapq.nsmallest(count, entries, key=_lot), key=lambda entry: entry.uri)


def _lot(entry: Entry) -> bytes:
    return hashlib.sha256(entry.uri.encode()).digest()


def distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries`` without later ones of the same URI. Remembers 16 bytes a URI, not the URI."""
    seen: set[bytes] = set()
    for entry in entries:
        digest = hashlib.blake2b(entry.uri.encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield entry


def completed(storage: Storage, entry: Entry) -> Entry:
    """``entry`` with what its list did not say. What cannot be looked up stays as it is: reading it will say why."""
    if entry.size is not None and entry.etag is not None:
        return entry
    try:
        return storage.info(entry.uri) or entry
    except StorageFault:
        return entry


def path_of(uri: str, root: str | None) -> str:
    """The path of a list's item: below ``root``, else all of its URI (``s3/bucket/key``, ``file/folder/name``)."""
    if root is not None and uri.startswith(join(root, "")):
        return safe_path(uri[len(join(root, "")) :])
    return safe_path(f"{scheme_of(uri)}/{uri.partition('://')[2].removeprefix('/')}")


def safe_path(path: str) -> str:
    """``path`` with those segments escaped that lead elsewhere in a file system: it stays below any folder."""
    return "/".join(_safe_segment(segment) for segment in path.replace("\0", "%00").split("/"))


def _safe_segment(segment: str) -> str:
    if UNSAFE.fullmatch(segment):
        return f"%25{segment[1:]}"
    return ESCAPES.get(segment, segment)
