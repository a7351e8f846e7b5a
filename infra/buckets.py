"""S3 and what speaks like it.

The store is asked request by request through s3fs' client, not through its file system methods, which look before
they read and keep listings: a read is one GET, a write one PUT, a listing one LIST for 1,000 keys; nothing is kept.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, cast

from fsspec.asyn import sync

from infra.errors import StorageError
from infra.faults import Changed, CutShort, StorageFault, attempt
from infra.store import Entry, StorageOptions
from infra.uris import SCHEME, join, name_of

CHECKS = 3
CONNECT_TIMEOUT = 10.0
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Body(Protocol):
    """What is still to come of an answer."""

    async def read(self) -> bytes: ...

    def close(self) -> None: ...


class S3Store:
    """``s3://bucket/key`` URIs."""

    def __init__(self, options: StorageOptions) -> None:
        self._attempts = options.attempts
        self._fs: Any = s3_file_system(options)

    def read(self, uri: str, size: int | None) -> bytes:
        return attempt(partial(self._read, uri, size), self._attempts)

    def write(self, uri: str, data: bytes) -> None:
        self._call("put_object", uri, {"Body": data})

    def delete(self, uri: str) -> None:
        self._call("delete_object", uri)

    def info(self, uri: str) -> Entry | None:
        if not split(uri)[1]:
            return None
        try:
            facts = self._call("head_object", uri)
        except StorageFault as fault:
            if fault.kind == "not_found":
                return None
            raise
        return entry(uri, name_of(uri), facts["ContentLength"], facts.get("ETag"), facts.get("LastModified"))

    def list(self, root: str) -> Iterator[Entry]:
        """Every object below ``root`` in the store's own order, which is that of the keys' bytes; no folder markers."""
        bucket, prefix = split(join(root, ""))
        more: dict[str, str] = {}
        while True:
            page = self._page(bucket, prefix, more, self._attempts)
            for item in page.get("Contents", []):
                path = str(item["Key"])[len(prefix) :]
                if path and not path.endswith("/"):
                    yield entry(join(root, path), path, item["Size"], item.get("ETag"), item.get("LastModified"))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def is_folder(self, uri: str) -> bool:
        return self._is_folder(uri, self._attempts)

    def check_source(self, uri: str) -> None:
        with for_the_operator(uri):
            if not self._is_folder(uri, CHECKS) and self.info(uri) is None:
                raise StorageError(f"there is nothing at '{uri}'")

    def check_sink(self, uri: str) -> None:
        with for_the_operator(uri):
            self._is_folder(uri, CHECKS)

    def _is_folder(self, uri: str, attempts: int) -> bool:
        bucket, prefix = split(join(uri, ""))
        page = self._page(bucket, prefix, {"MaxKeys": 1}, attempts)
        return not prefix or bool(page.get("Contents"))

    def _read(self, uri: str, size: int | None) -> bytes:
        """One GET, not tried again: the answer's body comes while it is read, and so is part of the attempt."""
        bucket, key = split(uri)
        answer = self._fs.call_s3("get_object", Bucket=bucket, Key=key)
        data = cast("bytes", sync(self._fs.loop, _drain, answer["Body"]))
        return whole(data, answer["ContentLength"], size)

    def _call(self, operation: str, uri: str, parameters: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        bucket, key = split(uri)
        request = partial(self._fs.call_s3, operation, Bucket=bucket, Key=key, **parameters)
        return attempt(request, self._attempts)

    def _page(self, bucket: str, prefix: str, more: Mapping[str, Any], attempts: int) -> dict[str, Any]:
        request: Callable[[], dict[str, Any]] = partial(
            self._fs.call_s3, "list_objects_v2", Bucket=bucket, Prefix=prefix, **more
        )
        return attempt(request, min(attempts, self._attempts))


def s3_file_system(options: StorageOptions) -> Any:
    """s3fs as a plain client: no retries of its own (``attempt`` counts them), no caches, shared with nobody."""
    import s3fs

    fs = s3fs.S3FileSystem(
        anon=options.anonymous,
        endpoint_url=options.endpoint_url,
        key=options.key,
        secret=options.secret.get_secret_value() if options.secret else None,
        token=options.token.get_secret_value() if options.token else None,
        client_kwargs={"region_name": options.region} if options.region else {},
        config_kwargs={
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "read_timeout": options.timeout,
            "connect_timeout": min(options.timeout, CONNECT_TIMEOUT),
            "max_pool_connections": options.connections,
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    fs.retries = 1
    return fs


def split(uri: str) -> tuple[str, str]:
    """The bucket and the key of a URI, the key as it stands."""
    bucket, _, key = SCHEME.sub("", uri, count=1).partition("/")
    if not bucket:
        raise StorageError(f"'{uri}' names no bucket")
    return bucket, key


def whole(data: bytes, promised: int | None, size: int | None) -> bytes:
    """``data``, if it is as long as the store's answer promised and as the listing said."""
    if promised is not None and len(data) != promised:
        raise CutShort(f"{len(data)} of {promised} bytes came")
    if size is not None and len(data) != size:
        raise Changed(f"{len(data)} bytes read where the listing says {size}")
    return data


def entry(uri: str, path: str, size: int | None, etag: Any, mtime: Any) -> Entry:
    """An entry from what S3 says, quotes and zones put right."""
    time = mtime.astimezone(UTC) if isinstance(mtime, datetime) else None
    return Entry(uri, path, size, str(etag).strip('"') if etag else None, time)


@contextmanager
def for_the_operator(uri: str) -> Generator[None, None, None]:
    """Turn a fault into the error of the operator: at the start it is the place that is at fault, not one object."""
    try:
        yield
    except StorageFault as fault:
        raise unusable(uri, fault) from fault


def unusable(uri: str, fault: StorageFault) -> StorageError:
    """What the operator reads if not even the first request to a bucket succeeds."""
    if fault.kind == "not_found":
        return StorageError(
            f"there is no bucket '{split(uri)[0]}'", f"asked for '{uri}'; is the endpoint the right one?"
        )
    if fault.kind == "denied":
        return StorageError(
            f"access to '{uri}' is denied: {fault.message}",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or [storage] anonymous = true",
        )
    return StorageError(
        f"the store of '{uri}' cannot be reached: {fault.message}", "check AWS_ENDPOINT_URL and the network"
    )


async def _drain(body: Body) -> bytes:
    try:
        return await body.read()
    finally:
        body.close()
