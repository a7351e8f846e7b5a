"""A real object store on loopback that counts its requests and fails on demand."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import get_canned_acl, s3_backends
from werkzeug.serving import make_server

Environ = dict[str, Any]
Start = Callable[..., Any]
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class ObjectStore:
    """moto's S3 behind a WSGI layer: ``counts`` are requests by kind, ``busy`` and ``cut`` shares of them that fail."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=MotoRequestHandler)
        self._lock = threading.Lock()
        self._names = 0
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.reset()

    def reset(self) -> None:
        """No faults, nothing counted."""
        self.counts: Counter[str] = Counter()
        self.busy = self.cut = self.delay = 0.0
        self._dice = random.Random(20)

    def run(self) -> None:
        """Serve until ``stop``."""
        self._server.serve_forever()

    def stop(self) -> None:
        """End ``run``."""
        self._server.shutdown()
        self._server.server_close()

    def bucket(self, objects: dict[str, bytes] | None = None) -> str:
        """The URI of a new bucket that holds ``objects``, put there without a request; anybody may read them."""
        self._names += 1
        name = f"archive-{self._names}"
        backend = s3_backends["123456789012"]["aws"]
        backend.create_bucket(name, "us-east-1")
        for key, data in (objects or {}).items():
            backend.put_object(name, key, data).set_acl(get_canned_acl("public-read"))
        return f"s3://{name}"

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        kind = "LIST" if "list-type" in environ["QUERY_STRING"] else environ["REQUEST_METHOD"]
        with self._lock:
            self.counts[kind] += 1
            busy, cut = self._dice.random() < self.busy, self._dice.random() < self.cut
        time.sleep(self.delay)
        if busy:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
            return [SLOW_DOWN]
        body = b"".join(self._moto(environ, start))
        return [body[: len(body) // 2] if cut and kind == "GET" else body]


@pytest.fixture(scope="session")
def object_server() -> Generator[ObjectStore, None, None]:
    """The running server, one a session."""
    store = ObjectStore()
    thread = threading.Thread(target=store.run, daemon=True)
    thread.start()
    yield store
    store.stop()
    thread.join()


@pytest.fixture
def object_store(object_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The object store without faults, and an environment in which the usual variables lead to it."""
    object_server.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return object_server
