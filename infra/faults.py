"""What a store's errors mean for one object, and the one loop that tries again.

The libraries below (botocore, s3fs) are told not to retry, so that an attempt counted here is a request sent.
"""

import errno
import http.client
import random
import time
from collections.abc import Callable
from typing import Literal, TypeVar

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

Kind = Literal["not_found", "denied", "storage"]
Result = TypeVar("Result")

ONCE, TWICE, OFTEN = 1, 2, 1_000_000
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


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

    An error that no store raises is a bug of ours and passes through.
    """
    number = 1
    while True:
        try:
            return work()
        except Exception as error:
            meaning = judge(error)
            if meaning is None:
                raise
            kind, most = meaning
            if number >= min(attempts, most):
                raise StorageFault(kind, one_line(error), number) from error
        pause(number)
        number += 1


def judge(error: Exception) -> tuple[Kind, int] | None:
    """The class of ``error`` and how often its request may be sent; None if it is no error of a store."""
    row = next((row for row in MEANINGS if isinstance(error, row[0])), None)
    if row is None:
        return None
    _, kind, most = row
    return kind, ONCE if lasting(error) else most


def lasting(error: Exception) -> bool:
    """Whether the store, or the local system, said that the same request will never do."""
    answer = answer_of(error)
    if answer is None:
        return isinstance(error, OSError) and error.errno in LASTING_ERRNOS
    code, status = answer
    return status < 500 and status not in PASSING_STATUS and code not in PASSING_CODES


def answer_of(error: Exception) -> tuple[str, int] | None:
    """The code and HTTP status of an S3 answer ("SlowDown", 503); s3fs keeps it as the cause of the error it raises."""
    for source in (error, error.__cause__):
        response = getattr(source, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response["Error"].get("Code", "")), int(status)
    return None


def one_line(error: Exception) -> str:
    """The error as one line: the store's code and message where it gave one, else the exception's class and text."""
    answer = answer_of(error)
    name = answer[0] if answer and answer[0] else type(error).__name__
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(f"{name}: {text}".split())[:300]


def pause(number: int) -> None:
    """Wait before the attempt after ``number``: a random share of a time that doubles, so that clients spread out."""
    time.sleep(random.uniform(0.25, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1)))
