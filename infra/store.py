"""What a store is: its options, one entry of its listing, and what it can do."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing.

    ``path`` is relative to the listed root, "/"-separated; ``etag`` is None where the store has none (folders);
    ``mtime`` is aware UTC with microseconds.
    """

    uri: str
    path: str
    size: int | None = None
    etag: str | None = None
    mtime: datetime | None = None


class StorageOptions(BaseModel):
    """How to reach the object store: the ``[storage]`` table of the config.

    What is not set here comes from the usual places: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``,
    ``AWS_DEFAULT_REGION``, ``~/.aws``, or the machine's own role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = Field(default=None, description="URL of an S3 service other than AWS")
    region: str | None = Field(default=None, description="region of the buckets")
    key: str | None = Field(default=None, description="access key id")
    secret: SecretStr | None = Field(default=None, description="secret access key")
    token: SecretStr | None = Field(default=None, description="session token of temporary credentials")
    anonymous: bool = Field(default=False, description="send unsigned requests, for public buckets")
    retries: int = Field(default=10, ge=0, le=100, description="how often a failed request is sent again")
    timeout: float = Field(default=60.0, gt=0, description="seconds to wait for an answer or for the next bytes of one")
    connections: int = Field(default=32, ge=1, description="connections a process keeps open to the store")

    @property
    def attempts(self) -> int:
        """How often a request is sent at most: ``retries`` and one, or ``AWS_MAX_ATTEMPTS`` where ``retries`` is not
        set.
        """
        usual = os.environ.get("AWS_MAX_ATTEMPTS", "")
        if "retries" not in self.model_fields_set and usual.isdigit():
            return max(1, int(usual))
        return self.retries + 1


class Store(Protocol):
    """The objects of one scheme. Every method raises ``StorageFault`` for what the store cannot do."""

    def read(self, uri: str, size: int | None) -> bytes:
        """The whole object, in one request; of ``size`` bytes if that is given."""
        ...

    def write(self, uri: str, data: bytes) -> None:
        """Publish ``data`` under ``uri`` at once: readers see the old object or the new one, whole."""
        ...

    def delete(self, uri: str) -> None:
        """Remove the object. It is no fault if it is not there."""
        ...

    def info(self, uri: str) -> Entry | None:
        """The object's facts, or None if there is no such object (folders are none)."""
        ...

    def list(self, root: str) -> Iterator[Entry]:
        """Every object below ``root``, sorted by path, as a stream."""
        ...

    def is_folder(self, uri: str) -> bool:
        """Whether ``uri`` is a folder, a bucket, or a prefix with something below it."""
        ...

    def check_source(self, uri: str) -> None:
        """Raise a ``StorageError`` if ``uri`` cannot be read from or nothing is there."""
        ...

    def check_sink(self, uri: str) -> None:
        """Raise a ``StorageError`` if ``uri`` cannot be written below. Writes nothing."""
        ...
