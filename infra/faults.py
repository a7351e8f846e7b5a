"""What a store's errors mean for one object, and which of them are worth another attempt.

Tenacity repeats the requests. The libraries below (botocore, s3fs) are told not to, so that an attempt counted here is
a request sent: botocore's own retries do not cover bodies that are cut short, and do not say how often they tried.
Tenacity and not stamina, which is built on it: that one logs every error through hooks that are the same for the whole
process, and waits without jitter once the pause has reached its limit.
"""

import errno
import http.client
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeVar, cast

from aiohttp import ClientError as AiohttpError
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from infra.uris import without_secrets

log = logging.getLogger(__name__)

Kind = Literal["not_found", "denied", "storage"]
Result = TypeVar("Result")

ONCE, TWICE, OFTEN = 1, 2, 1_000_000
FIRST_PAUSE, LONGEST_PAUSE = 0.4, 10.0  # seconds; each pause is a random share of these
LONGEST_ASKED = 60.0  # seconds that a store may ask for by Retry-After


class StorageFault(Exception):  # noqa: N818 - a photo's fault, not the operator's error
    """One object could not be read, written or listed: the class, one line for people, and how often it was tried."""

    def __init__(self, kind: Kind, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.attempts = attempts

    def __reduce__(self) -> tuple[type["StorageFault"], tuple[Kind, str, int]]:
        return type(self), (self.kind, self.message, self.attempts)


class CutShort(OSError):  # noqa: N818
    """Fewer or more bytes came than the store itself had promised."""


class Busy(OSError):  # noqa: N818
    """A server asked to come back later: ``pause`` is the Retry-After of its answer."""

    def __init__(self, message: str, pause: str | None) -> None:
        super().__init__(message)
        self.pause = pause


class Changed(OSError):  # noqa: N818
    """The object is whole, but not of the size that the listing gave."""


# What is raised, the class it gives a photo, and how often it is tried at most. The first row that fits holds.
MEANINGS: tuple[tuple[tuple[type[Exception], ...], Kind, int], ...] = (
    ((FileNotFoundError, NotADirectoryError, IsADirectoryError), "not_found", ONCE),
    ((PermissionError,), "denied", ONCE),
    ((NoCredentialsError, PartialCredentialsError, ProfileNotFound), "denied", ONCE),
    ((Changed,), "storage", TWICE),
    ((CutShort, IncompleteReadError, http.client.HTTPException, AiohttpError), "storage", OFTEN),
    ((HTTPClientError, BotoConnectionError, CredentialRetrievalError), "storage", OFTEN),
    ((TimeoutError, FSTimeoutError, ResponseParserError), "storage", OFTEN),
    ((OSError,), "storage", OFTEN),
    ((BotoCoreError,), "storage", ONCE),
)
LASTING_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
    errno.EINVAL,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSYS,
}
PASSING_STATUS = {408, 429}
PASSING_CODES = {"RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "SlowDown"}


def attempt(work: Callable[[], Result], attempts: int) -> Result:
    """What ``work`` returns, called up to ``attempts`` times with growing, jittered pauses; else a ``StorageFault``.

    An error that no store raises is a bug of ours and passes through. Pauses are those of the calling thread.
    """

    def spent(state: RetryCallState) -> bool:
        meaning = judge(raised(state))
        return meaning is None or state.attempt_number >= min(attempts, meaning[1])

    retrying = Retrying(
        retry=retry_if_exception(lambda error: judge(error) is not None),
        stop=spent,
        wait=pause,
        before_sleep=tell,
        retry_error_callback=give_up,
    )
    return retrying(work)


def give_up(state: RetryCallState) -> NoReturn:
    """The fault of a call that failed for the last time."""
    error = raised(state)
    kind, _ = judge(error) or ("storage", ONCE)
    raise StorageFault(kind, one_line(error), state.attempt_number) from error


def tell(state: RetryCallState) -> None:
    log.debug("attempt %d failed, again in %.1f s: %s", state.attempt_number, pause_of(state), one_line(raised(state)))


def pause_of(state: RetryCallState) -> float:
    return state.next_action.sleep if state.next_action else 0.0


def raised(state: RetryCallState) -> BaseException:
    """What the last call raised."""
    error = state.outcome.exception() if state.outcome else None
    if error is None:
        raise RuntimeError("a call that did not fail is not tried again")
    return error


def judge(error: BaseException) -> tuple[Kind, int] | None:
    """The class of ``error`` and how often its request may be sent; None if it is no error of a store."""
    row = next((row for row in MEANINGS if isinstance(error, row[0])), None)
    if row is None:
        return None
    _, kind, most = row
    return kind, ONCE if lasting(error) else most


def lasting(error: BaseException) -> bool:
    """Whether the store, or the local system, said that the same request will never do."""
    answer = answer_of(error)
    if answer is None:
        return isinstance(error, OSError) and error.errno in LASTING_ERRNOS
    code, status = answer
    return status < 500 and status not in PASSING_STATUS and code not in PASSING_CODES


def answer_of(error: BaseException) -> tuple[str, int] | None:
    """The code and HTTP status of an S3 answer ("SlowDown", 503)."""
    response = response_of(error)
    if response is None:
        return None
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(response["Error"].get("Code", "")), int(status)


def response_of(error: BaseException) -> Mapping[str, Any] | None:
    """What botocore parsed of an S3 answer; s3fs keeps it in the cause of the error that it raises."""
    for source in (error, error.__cause__):
        response = getattr(source, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return cast("Mapping[str, Any]", response)
    return None


def one_line(error: BaseException) -> str:
    """The error as one line without secrets: the store's code and message if it gave one, else the exception's."""
    answer = answer_of(error)
    name = answer[0] if answer and answer[0] else type(error).__name__
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_secrets(" ".join(f"{name}: {text}".split()))[:300]


def pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: a random share of a time that doubles, so that clients spread out (full jitter,
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), and no less than the store asked for.
    """
    spread = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)(state)
    return max(spread, asked(raised(state)))


def asked(error: BaseException) -> float:
    """The seconds that a Retry-After names; 0 without one, or where it names a date."""
    headers = (response_of(error) or {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(error.pause if isinstance(error, Busy) else headers.get("retry-after", ""))
    return min(LONGEST_ASKED, float(text)) if text.isdecimal() and text.isascii() else 0.0
