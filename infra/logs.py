"""Logs on stderr: plain lines or JSON, never with a credential in them."""

import json
import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import SecretStr

from infra.uris import HIDDEN, without_secrets

OURS = ("pipeline", "stages", "models", "infra")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "_ray_timestamp_ns"}
SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SHORTEST = 6  # a shorter "secret" is a stand-in, and would blot out half of every line


def setup(json_logs: bool, verbose: bool, secrets: Iterable[str] = ()) -> None:
    """Send all logs to stderr: warnings of every library, ours from ``info`` on, or from ``debug`` if ``verbose``."""
    hidden = Redactor([*secrets, *(os.environ.get(name, "") for name in SECRET_VARIABLES)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(hidden) if json_logs else PlainLines(hidden))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def hide(*secrets: SecretStr | None) -> None:
    """Take secrets that only the config knows out of all that is logged from now on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, PlainLines | JsonLines):
            handler.formatter.redact.add(secret.get_secret_value() for secret in secrets if secret)


class Redactor:
    """Takes known secrets, signatures of signed URLs and passwords in URLs out of a text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets: list[str] = []
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets."""
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= SHORTEST)}
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return without_secrets(text)


class PlainLines(logging.Formatter):
    """``12:03:44 info  message key=value``, the keys being the record's ``extra``. One line, but for tracebacks."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        pairs = (f"{key}={value}" for key, value in extra(record).items())
        line = " ".join([f"{time} {record.levelname.lower():<7}", record.getMessage(), *pairs])
        shown = line.replace("\r", "\\r").replace("\n", "\\n")
        return self.redact("\n".join([shown, *traceback(self, record)]))


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the record's ``extra``, and the traceback if any."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extra(record),
        }
        if trace := traceback(self, record):
            line["traceback"] = trace[0]
        return self.redact(json.dumps(line, default=str))


def extra(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in STANDARD}


def traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The record's traceback as text, or nothing."""
    return [formatter.formatException(record.exc_info)] if record.exc_info else []
