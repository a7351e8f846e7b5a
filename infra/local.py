"""Folders of this machine as a store."""

import errno
import os
import re
import socket
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from infra.errors import StorageError
from infra.faults import Changed, Result, attempt
from infra.store import Entry
from infra.uris import FILE, escape, escape_wholly, join, local_path, name_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNFINISHED = re.compile(r"\.daguerre-(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{32}\.tmp")


class LocalStore:
    """``file://`` URIs. Files appear under their names whole or not at all."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def read(self, uri: str, size: int | None) -> bytes:
        return self._try(lambda: _read(local_path(uri), size))

    def write(self, uri: str, data: bytes) -> None:
        self._try(lambda: publish(Path(uri.removeprefix(FILE)), data))

    def delete(self, uri: str) -> None:
        self._try(lambda: local_path(uri).unlink(missing_ok=True))

    def info(self, uri: str) -> Entry | None:
        return self._try(lambda: _info(uri))

    def list(self, root: str) -> Iterator[Entry]:
        """Every file below ``root``. Links to folders are followed unless they lead back up; drafts are passed."""
        folder = local_path(root)
        if not folder.is_dir():
            raise StorageError(f"there is no folder '{root}'")
        return _walk(str(folder), root, "", frozenset({_identity(folder.stat())}))

    def is_folder(self, uri: str) -> bool:
        return local_path(uri).is_dir()

    def sweep(self, root: str) -> int:
        """Remove what dead processes of this host left unfinished below ``root``; how many files that were."""
        found = [
            Path(folder, name)
            for folder, _, names in os.walk(local_path(root))
            for name in names
            if _abandoned(UNFINISHED.fullmatch(name))
        ]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def check_source(self, uri: str) -> None:
        """Raise a ``StorageError`` if there is nothing at ``uri``."""
        path = local_path(uri)
        if not path.exists():
            raise StorageError(f"there is no file or folder '{uri}'")
        if not os.access(path, os.R_OK | os.X_OK * path.is_dir()):
            raise StorageError(f"'{uri}' may not be read", "check the permissions of the folder")

    def check_sink(self, uri: str) -> None:
        """Raise a ``StorageError`` if no files can be made below ``uri``."""
        path = local_path(uri)
        nearest = next(folder for folder in (path, *path.parents) if folder.exists())
        if not nearest.is_dir():
            raise StorageError(f"'{uri}' cannot be a folder: '{nearest}' is a file")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StorageError(f"'{nearest}' may not be written to", "check the permissions of the folder")

    def _try(self, work: Callable[[], Result]) -> Result:
        return attempt(work, self._attempts)


def publish(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` beside ``path``, down to the disk, then give it its name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = unfinished(path)
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def unfinished(path: Path) -> Path:
    """A name beside ``path`` that is this process's own; ``sweep`` removes such a file once its process is dead."""
    return path.parent / f".daguerre-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}.tmp"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _abandoned(match: re.Match[str] | None) -> bool:
    return match is not None and match["host"] == socket.gethostname() and not psutil.pid_exists(int(match["pid"]))


def _read(path: Path, size: int | None) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileNotFoundError(errno.ENOENT, "this is no file")
    data = path.read_bytes()
    if size is not None and len(data) != size:
        raise Changed(f"{len(data)} bytes read where the listing says {size}")
    return data


def _info(uri: str) -> Entry | None:
    try:
        facts = local_path(uri).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _entry(uri, name_of(uri), facts) if stat.S_ISREG(facts.st_mode) else None


def _entry(uri: str, path: str, facts: os.stat_result | None) -> Entry:
    return Entry(uri, path) if facts is None else Entry(uri, path, facts.st_size, None, _time(facts.st_mtime_ns))


def _time(nanoseconds: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _walk(folder: str, root: str, below: str, above: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    """The files of ``folder``, which is ``below`` ``root``; ``above`` are the folders on the way to it, and itself."""
    for name, item in _items(folder):
        path = below + name
        facts = _facts(item)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            if _identity(facts) not in above:
                yield from _walk(item.path, root, f"{path}/", above | {_identity(facts)})
        elif not UNFINISHED.fullmatch(item.name) and (facts is None or stat.S_ISREG(facts.st_mode)):
            yield _entry(join(root, path), path, facts)


def _items(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """What ``folder`` holds, by name, in the order in which whole paths sort ("a.jpg" before "a/b.jpg")."""
    try:
        with os.scandir(folder) as items:
            named = _named(list(items))
        return sorted(named, key=lambda pair: pair[0] + "/" * pair[1].is_dir())
    except OSError as error:
        raise StorageError(
            f"the folder '{escape(folder)}' cannot be listed: {error.strerror}",
            "make it readable, or name the folders below it one by one",
        ) from error


def _named(items: list[os.DirEntry[str]]) -> list[tuple[str, os.DirEntry[str]]]:
    """Each item with a name that can be written down and that no other item has."""
    taken = {item.name for item in items}
    names = [(escape(item.name), item) for item in items]
    return [(escape_wholly(item.name) if name != item.name and name in taken else name, item) for name, item in names]


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _facts(item: os.DirEntry[str]) -> os.stat_result | None:
    """None for a link to nowhere, and for a file that goes away while it is listed."""
    try:
        return item.stat()
    except OSError:
        return None
