"""A file from the web, streamed to disk and tried again where that helps."""

from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from infra.errors import WeightsError
from infra.faults import Busy, CutShort, StorageFault, attempt
from infra.uris import without_secrets

ATTEMPTS = 4
TIMEOUT = 60.0
CHUNK = 1 << 20


def download(url: str, path: Path) -> None:
    """Write what ``url`` gives to ``path``, all of it, or raise a ``WeightsError``."""
    try:
        attempt(partial(_stream, url, path), ATTEMPTS)
    except StorageFault as fault:
        raise WeightsError(
            f"'{without_secrets(url)}' cannot be downloaded: {fault.message}",
            f"without a network: bring the file from elsewhere, then daguerre weights add {path_name(url)}",
        ) from fault


def path_name(url: str) -> str:
    """The file name that a URL ends in."""
    return url.partition("?")[0].rpartition("/")[2] or "FILE"


def _stream(url: str, path: Path) -> None:
    request = Request(url, headers={"User-Agent": "daguerre"})
    try:
        with urlopen(request, timeout=TIMEOUT) as answer, path.open("wb") as file:
            promised = answer.headers.get("Content-Length")
            while chunk := answer.read(CHUNK):
                file.write(chunk)
            if promised is not None and file.tell() != int(promised):
                raise CutShort(f"{file.tell()} of {promised} bytes came")
    except HTTPError as error:
        raise _meant(error) from error


def _meant(error: HTTPError) -> OSError:
    """An answer that will not change as an error that is not tried again."""
    text = f"the server answered {error.code} {error.reason}"
    if error.code in (401, 403):
        return PermissionError(text)
    if error.code in (404, 410):
        return FileNotFoundError(text)
    return Busy(text, error.headers.get("Retry-After"))
