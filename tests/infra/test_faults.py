"""Which errors are tried again, how often, and after which pauses."""

import errno
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from aiohttp import ClientPayloadError
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from fsspec.exceptions import FSTimeoutError

from infra import download, faults
from infra.errors import WeightsError
from infra.faults import Changed, CutShort, StorageFault, attempt

OFTEN = 5


def answer(code: str, status: int, headers: dict[str, str] | None = None) -> OSError:
    """An S3 answer as s3fs raises it."""
    facts: Any = {
        "Error": {"Code": code, "Message": "said so"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
    }
    error = OSError(errno.EIO, "said so")
    error.__cause__ = ClientError(facts, "GetObject")
    return error


RETRIED: list[Exception] = [
    answer("SlowDown", 503),
    answer("InternalError", 500),
    answer("TooManyRequests", 429),
    answer("RequestTimeout", 400),
    answer("BadDigest", 400),
    CutShort("3 of 5 bytes came"),
    http.client.IncompleteRead(b""),
    ClientPayloadError("cut"),
    EndpointConnectionError(endpoint_url="http://store"),
    ReadTimeoutError(endpoint_url="http://store"),
    FSTimeoutError(),
    TimeoutError(),
    ConnectionResetError(),
    OSError(errno.EIO, "a bad sector"),
]
FINAL: list[tuple[Exception, str]] = [
    (answer("NoSuchBucket", 404), "storage"),
    (answer("InvalidRequest", 400), "storage"),
    (answer("KeyTooLongError", 400), "storage"),
    (FileNotFoundError(), "not_found"),
    (PermissionError(), "denied"),
    (NoCredentialsError(), "denied"),
    (ParamValidationError(report="no"), "storage"),
    (OSError(errno.ENOSPC, "full"), "storage"),
    (OSError(errno.ENAMETOOLONG, "long"), "storage"),
]


class Failing:
    """Raises ``error`` so many times, then gives its name back."""

    def __init__(self, error: BaseException, times: int = 1_000) -> None:
        self.error = error
        self.times = times
        self.calls: list[float] = []

    def __call__(self) -> str:
        self.calls.append(time.monotonic())
        if len(self.calls) <= self.times:
            raise self.error
        return "done"


def name(case: object) -> str:
    return repr(case[0] if isinstance(case, tuple) else case)[:40]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", RETRIED, ids=name)
def test_what_may_pass_is_tried_to_the_last_attempt(error: Exception) -> None:
    work = Failing(error)
    with pytest.raises(StorageFault) as caught:
        attempt(work, OFTEN)
    assert (caught.value.kind, caught.value.attempts, len(work.calls)) == ("storage", OFTEN, OFTEN)
    assert attempt(Failing(error, OFTEN - 1), OFTEN) == "done"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("error", "kind"), FINAL, ids=name)
def test_what_will_not_pass_is_asked_once(error: Exception, kind: str) -> None:
    work = Failing(error)
    with pytest.raises(StorageFault) as caught:
        attempt(work, OFTEN)
    assert (caught.value.kind, caught.value.attempts, len(work.calls)) == (kind, 1, 1)


@pytest.mark.usefixtures("quick")
def test_an_object_of_another_size_is_read_twice() -> None:
    work = Failing(Changed("another size"))
    with pytest.raises(StorageFault) as caught:
        attempt(work, OFTEN)
    assert (caught.value.attempts, len(work.calls)) == (2, 2)


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), MemoryError()], ids=name)
def test_what_no_store_raises_passes_through_at_once(error: BaseException) -> None:
    work = Failing(error)
    with pytest.raises(type(error)):
        attempt(work, OFTEN)
    assert len(work.calls) == 1


def test_pauses_grow_to_a_limit_and_differ_from_client_to_client(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    for _ in range(200):
        with pytest.raises(StorageFault):
            attempt(Failing(answer("SlowDown", 503)), 8)
    rounds = [pauses[index::7] for index in range(7)]
    assert len(pauses) == 200 * 7
    for number, waited in enumerate(rounds):
        longest = min(faults.LONGEST_PAUSE, faults.FIRST_PAUSE * 2**number)
        assert 0 <= min(waited) < 0.2 * longest
        assert 0.8 * longest < max(waited) <= longest


@pytest.mark.parametrize(("header", "least"), [("2", 2.0), ("3600", faults.LONGEST_ASKED), ("tomorrow", 0.0)])
def test_a_store_that_names_a_time_is_given_it(header: str, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    assert attempt(Failing(answer("SlowDown", 503, {"retry-after": header}), 1), OFTEN) == "done"
    assert least <= pauses[0] <= least + faults.FIRST_PAUSE


def test_so_is_a_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, pauses = Message(), list[float]()
    headers["Retry-After"] = "7"

    def busy(*_: object, timeout: float) -> None:
        raise HTTPError("http://host/a.pth", 503, "busy", headers, None)

    monkeypatch.setattr(download, "urlopen", busy)
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    with pytest.raises(WeightsError, match="the server answered 503 busy"):
        download.download("http://host/a.pth", tmp_path / "a.pth")
    assert len(pauses) == download.ATTEMPTS - 1
    assert all(pause >= 7 for pause in pauses)


@pytest.mark.usefixtures("quick")
def test_threads_count_their_own_attempts() -> None:
    together = threading.Barrier(8)

    def count(times: int) -> int:
        work = Failing(CutShort("cut"), times)
        together.wait()
        assert attempt(work, 50) == "done"
        return len(work.calls)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, range(8))) == list(range(1, 9))
