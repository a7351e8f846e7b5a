"""Object stores of ``shared/tools`` as processes: one that fails on demand, and a real one."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

TOOLS = Path(__file__).resolve().parents[3] / "shared" / "tools"
START_SECONDS = 90.0


class FaultyStore:
    """``faulty_s3.py``: shares of answers that are 503, of bodies that are cut, and seconds that each answer takes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def misbehave(self, p503: float = 0.0, ptrunc: float = 0.0, delay: float = 0.0) -> None:
        body = json.dumps({"p503": p503, "ptrunc": ptrunc, "delay": delay}).encode()
        urlopen(Request(f"{self.url}/__ctl", body), timeout=10).close()

    def counts(self) -> dict[str, int]:
        """Requests and faults since the last call, by kind."""
        with urlopen(f"{self.url}/__ctl?reset", timeout=10) as answer:
            facts: dict[str, Any] = json.load(answer)
        return facts["n"]


@contextmanager
def faulty_store() -> Generator[FaultyStore]:
    script = tool("faulty_s3.py")
    port = free_ports(1)
    with process([sys.executable, str(script), str(port)], port, {}):
        yield FaultyStore(port)


@contextmanager
def swift(folder: Path, user: str, secret: str) -> Generator[str]:
    """OpenStack Swift with its S3 API; its URL. ``SWIFT_PYTHON`` names a Python that has the package swift."""
    script = tool("swift_s3.py")
    python = sys.executable if find_spec("swift") else os.environ.get("SWIFT_PYTHON") or shutil.which("swift-python")
    if python is None:
        pytest.skip("no swift here: pip install swift into some Python, and name that in SWIFT_PYTHON")
    port = free_ports(5)
    quiet = {"PYTHONWARNINGS": "ignore", "EVENTLET_NO_GREENDNS": "yes"}
    with process([python, str(script), str(folder), str(port), user, secret], port, quiet):
        yield f"http://127.0.0.1:{port}"


def tool(name: str) -> Path:
    if not (TOOLS / name).is_file():
        pytest.skip(f"no shared/tools/{name} beside the repository")
    return TOOLS / name


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody uses."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, count):
        if all(is_free(port + offset) for offset in range(count)):
            return port
    raise RuntimeError("no port is free")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def process(command: list[str], port: int, extra: Mapping[str, str]) -> Generator[None]:
    """A server, from when it answers until the end of the block."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **extra}
    ) as server:
        try:
            wait_for(server, port)
            yield
        finally:
            server.kill()


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            said = server.stderr.read().decode() if server.stderr else ""
            raise RuntimeError(f"the server ended: {said[-1000:]}")
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except URLError as error:
            if getattr(error, "code", None) is not None:
                return  # it answers, if only to say no
            time.sleep(0.2)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the server does not answer")
