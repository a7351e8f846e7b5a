"""A child process with stages in it, and what became of it when it dies or takes too long."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from infra.errors import OperatorError
from pipeline.isolation.faults import OurFault
from pipeline.isolation.messages import At, Broke, Build, Done, Exhausted, Limits, Ready, arrays
from pipeline.isolation.wire import Wire
from stages.photo import FaultClass, Photo

BUILD_SECONDS = 1800.0  # weights may have to be fetched
ENDING_SECONDS = 5.0
STDERR = 2
NOWHERE = "worker"  # the stage of a death outside of any


class Death(Exception):  # noqa: N818 - an event, not an error: the supervisor goes on from it
    """A child died or had to be killed: in which stage, of what."""

    def __init__(self, stage: str, kind: FaultClass, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.kind = kind
        self.message = message


@dataclass(slots=True)
class Child:
    """A running child and our end of its socket."""

    process: subprocess.Popen[bytes]
    wire: Wire
    ready: bool = False

    def kill(self) -> None:
        """End it with all that it started."""
        self.wire.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ending(self) -> int:
        """How it ended by itself, as ``Popen.returncode``. Its socket ends a little before it does."""
        try:
            return self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


class Sandbox:
    """Stages in a child. ``build`` must pickle: a function of a module, or a ``partial`` of one.

    Children are started by a thread of the sandbox's own, because the kernel ends a child with the thread that started
    it, and Ray calls its actors in threads that come and go.
    """

    def __init__(self, build: Build | bytes, limits: Limits) -> None:
        self.build = build if isinstance(build, bytes) else pickle.dumps(build)
        self.limits = limits
        self.starter = ThreadPoolExecutor(1)
        self.child: Child | None = None
        self.stage = NOWHERE
        self.until = 0.0

    def start(self) -> Child:
        """A child that builds its stages, the present one if there is one. Does not wait for it."""
        if self.child is None:
            ours, theirs = socket.socketpair()
            with theirs:
                process = self.starter.submit(spawn, theirs, self.limits).result()
            self.child = Child(process, Wire(ours))
            self.tell(self.child, self.build)
        return self.child

    def run(self, photos: list[Photo]) -> list[Photo]:
        """``photos`` through the stages.

        Raises ``Death`` if the child dies of it, ``OperatorError`` or ``OurFault`` if the run must end.
        """
        child = self.wait_until_ready()
        self.stage = NOWHERE
        self.until = time.monotonic() + self.limits.photo_seconds * len(photos)
        try:
            child.wire.send(photos, until=self.until)
            return self.answer(child, photos)
        except TimeoutError:
            self.close()
            raise Death(self.stage, FaultClass.TIMEOUT, self.too_long()) from None
        except (EOFError, ConnectionError):
            raise Death(self.stage, FaultClass.CRASH, self.post_mortem()) from None

    def answer(self, child: Child, photos: list[Photo]) -> list[Photo]:
        """What comes of ``photos``; on the way, where the child is."""
        known = arrays(photos)
        while True:
            match child.wire.receive(known, self.until):
                case At(stage, count):
                    self.stage = stage
                    if count:
                        self.until = time.monotonic() + self.limits.photo_seconds * count
                case Done(done):
                    return done
                case Exhausted():
                    self.close()
                    raise Death(self.stage, FaultClass.CRASH, self.out_of_memory())
                case message:
                    raise self.ended(message)

    def wait_until_ready(self) -> Child:
        """A child whose stages are built. What fails here is never a photo's fault."""
        child = self.start()
        if child.ready:
            return child
        try:
            message = child.wire.receive(until=time.monotonic() + BUILD_SECONDS)
        except TimeoutError:
            self.close()
            raise OurFault(f"a worker did not get its stages built in {BUILD_SECONDS:g} s") from None
        except (EOFError, ConnectionError):
            raise OurFault(f"a worker died while it built its stages: {self.post_mortem()}") from None
        if not isinstance(message, Ready):
            raise self.ended(message)
        child.ready = True
        return child

    def tell(self, child: Child, message: object) -> None:
        """Send to a child that may already be dead: the next ``receive`` says so."""
        with suppress(ConnectionError):
            child.wire.send(message)

    def ended(self, message: object) -> OperatorError | OurFault:
        """The error for a child that says that it broke."""
        self.close()
        if not isinstance(message, Broke):
            return OurFault(f"a worker said {message!r}, which nobody expected")
        return message.error or OurFault(message.line, message.trace)

    def post_mortem(self) -> str:
        """How the child ended, in words."""
        code = self.child.ending() if self.child else 0
        self.close()
        if code >= 0:
            return f"its process ended with exit code {code}"
        name = signal_name(-code)
        return f"its process was killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"

    def too_long(self) -> str:
        return f"it took longer than {self.limits.photo_seconds:g} s (run.photo_seconds)"

    def out_of_memory(self) -> str:
        limit = self.limits.memory_mb
        return f"memory ran out{f', the limit is {limit} MiB (run.worker_memory_mb)' if limit else ''}"

    def close(self) -> None:
        """End the child, if there is one."""
        child, self.child = self.child, None
        if child:
            child.kill()


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals have no names
        return f"signal {number}"


def spawn(end: socket.socket, limits: Limits) -> subprocess.Popen[bytes]:
    """Start a child: a new interpreter with this one's path. Never a fork: this process has threads."""
    arguments = [end.fileno(), os.getpid(), limits.memory_mb or 0]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipeline.isolation.child", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[end.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=STDERR,
        start_new_session=True,
    )
