"""Archives of weights (.zip, .tar and its kin), opened without trusting them."""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from infra.errors import WeightsError

ZIP = (".zip",)
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
COPY = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether ``path`` is named as an archive. Its content says nothing: ``torch.save`` writes zip files, too."""
    return path.name.lower().endswith((*ZIP, *TAR))


def members(archive: Path) -> Iterator[Path]:
    """Each file of ``archive``, one at a time, as a temporary file of its name that is gone when the next is asked for.

    Nothing is made where the archive says: folders in its names are dropped, links and devices are passed over.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="daguerre-") as folder:
            for name, stream in _streams(archive):
                with _copied(stream, Path(folder) / name) as path:
                    yield path
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"'{archive}' cannot be unpacked: {error}") from error


def _streams(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    return _zipped(archive) if archive.name.lower().endswith(ZIP) else _tarred(archive)


def _zipped(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for item in opened.infolist():
            if not item.is_dir() and (name := _last(item.filename)):
                with opened.open(item) as stream:
                    yield name, stream


def _tarred(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as opened:
        for item in opened:
            stream = opened.extractfile(item) if item.isreg() else None
            if stream is not None and (name := _last(item.name)):
                yield name, stream


def _last(name: str) -> str:
    """The last segment of a member's name, or nothing if that is no file name."""
    last = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name
    return "" if last in ("", ".", "..") else last


@contextmanager
def _copied(stream: IO[bytes], path: Path) -> Generator[Path, None, None]:
    with path.open("xb") as file:
        shutil.copyfileobj(stream, file, COPY)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
