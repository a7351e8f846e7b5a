"""Weights as files: found, fetched, checked. Nothing here opens them; the facts about them come from whoever uses them.

A file that comes with the package is taken from there. Any other is looked for in ``DAGUERRE_WEIGHTS`` (a folder, used
in place, or a bucket, from which each node fetches once), then in the cache. Its sha256 is checked before its path is
handed out. Where nobody published one, it is pinned at the first fetch or ``add`` and checked ever after.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, Protocol

from infra.download import download
from infra.errors import WeightsError
from infra.local import unfinished
from infra.pins import Pins, locked
from infra.storage import Storage, StorageFault, absolute, join
from infra.uris import local_path, scheme_of

State = Literal["ok", "pinned", "unknown", "wrong", "missing"]


class PublishedFile(Protocol):
    """The facts of one published file; ``models.checkpoint.Checkpoint`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def licence(self) -> str: ...
    @property
    def steps(self) -> str: ...
    @property
    def place(self) -> Path | None: ...


@dataclass(frozen=True, slots=True)
class WeightStore:
    """The weights of a node. ``source`` is the absolute URI of ``DAGUERRE_WEIGHTS``, if set. Travels to workers."""

    cache: Path
    source: str | None = None
    storage: Storage = field(default_factory=Storage)

    @classmethod
    def from_environment(cls, storage: Storage | None = None, source: str | None = None) -> "WeightStore":
        """As ``DAGUERRE_WEIGHTS`` and ``DAGUERRE_CACHE`` say; ``source``, from the config, goes before the first."""
        place = source or os.environ.get("DAGUERRE_WEIGHTS")
        return cls(cache_folder(), absolute(place) if place else None, storage or Storage())

    def find(self, file: PublishedFile) -> Path | None:
        """Where ``file`` lies, checked; None if it is nowhere. If the source is a bucket, fetches it from there."""
        path = self._present(file) or self._from_bucket(file)
        if path is not None:
            self._check(file, path)
        return path

    def require(self, files: Iterable[PublishedFile]) -> dict[str, Path]:
        """The path of each file by its name; if any is missing, one error that names them all and says what to do."""
        wanted = list(files)
        found = {file.name: path for file in wanted if (path := self.find(file)) is not None}
        missing = [file for file in wanted if file.name not in found]
        if missing:
            raise WeightsError(f"weights are missing: {', '.join(file.name for file in missing)}", advice(missing))
        return found

    def fetch(self, file: PublishedFile) -> Path:
        """``file`` from where it is kept, else from its URL. Processes that ask at the same time download it once."""
        if (found := self.find(file)) is not None:
            return found
        if file.url is None:
            raise WeightsError(f"{file.name} cannot be fetched by itself", advice([file]))
        return self._once(file, partial(download, file.url))

    def add(self, path: Path, file: PublishedFile) -> Path:
        """Copy the file at ``path`` into the cache under its published name, if it is what was published."""
        with locked(self.cache, file.name):
            return self._take(file, partial(shutil.copyfile, path))

    def verify(self, files: Iterable[PublishedFile]) -> list[tuple[str, State]]:
        """The state of each: as published, as pinned, nothing to compare it to, not what it should be, not here."""
        return [(file.name, self._state(file)) for file in files]

    def _present(self, file: PublishedFile) -> Path | None:
        if file.place is not None:
            return file.place
        folders = [self.cache]
        if self.source and scheme_of(self.source) == "file":
            folders.insert(0, existing(local_path(self.source)))
        return next((folder / file.name for folder in folders if (folder / file.name).is_file()), None)

    def _from_bucket(self, file: PublishedFile) -> Path | None:
        if not self.source or scheme_of(self.source) == "file":
            return None
        uri = join(self.source, file.name)
        try:
            return self._once(file, lambda draft: draft.write_bytes(self.storage.read(uri, file.size)))
        except StorageFault as fault:
            if fault.kind == "not_found":
                return None
            raise WeightsError(f"'{uri}' cannot be read: {fault.message}", "see DAGUERRE_WEIGHTS") from fault

    def _once(self, file: PublishedFile, fill: Callable[[Path], object]) -> Path:
        """The cached file, filled by the first process that comes; the others wait for it."""
        with locked(self.cache, file.name):
            path = self.cache / file.name
            return path if path.is_file() else self._take(file, fill)

    def _take(self, file: PublishedFile, fill: Callable[[Path], object]) -> Path:
        """Fill a draft, check it, pin it if need be, and give it its name: no other process ever sees half a file."""
        path = self.cache / file.name
        draft = unfinished(path)
        try:
            fill(draft)
            self._check(file, draft)
            if file.sha256 is None:
                Pins(self.cache).put(file.name, sha256(draft))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def _check(self, file: PublishedFile, path: Path) -> None:
        expected, by = self._expected(file)
        size = path.stat().st_size
        if expected is None and file.size not in (None, size):
            raise WeightsError(f"'{path}' has {size} bytes, but {file.size} were published for {file.name}")
        if expected is not None and (actual := sha256(path)) != expected:
            hint = (
                "if it was changed on purpose, take its line out of pins.json" if by == "pinned" else "fetch it again"
            )
            raise WeightsError(f"'{path}' has the sha256 {actual}, but {expected} was {by} for {file.name}", hint)

    def _expected(self, file: PublishedFile) -> tuple[str | None, str]:
        return (file.sha256, "published") if file.sha256 else (Pins(self.cache).get(file.name), "pinned")

    def _state(self, file: PublishedFile) -> State:
        path = self._present(file)
        if path is None:
            return "missing"
        try:
            self._check(file, path)
        except WeightsError:
            return "wrong"
        expected, by = self._expected(file)
        return "unknown" if expected is None else "ok" if by == "published" else "pinned"


def advice(files: Iterable[PublishedFile]) -> str:
    """What to do about missing files: a command for those that have a URL, the steps for the others."""
    wanted = list(files)
    urls = " ".join(file.name for file in wanted if file.url is not None)
    steps = [f"{file.name}: {file.steps or 'no source is known'}" for file in wanted if file.url is None]
    fetch = [f"daguerre weights fetch {urls}"] if urls else []
    return "; ".join([*fetch, *steps, "or set DAGUERRE_WEIGHTS to a folder or bucket that has them"])


def cache_folder() -> Path:
    """Where fetched weights are kept: ``$DAGUERRE_CACHE/weights``, or below the user's cache folder."""
    if own := os.environ.get("DAGUERRE_CACHE"):
        return Path(own).absolute() / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "daguerre" / "weights"


def existing(folder: Path) -> Path:
    """``folder``, if there is one."""
    if not folder.is_dir():
        raise WeightsError(f"there is no weights folder '{folder}'", "see DAGUERRE_WEIGHTS, or weights in the config")
    return folder


def sha256(path: Path) -> str:
    """The file's sha256 in hex; a file that did not change is read once a process."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
