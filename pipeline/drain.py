"""Stopping a run on SIGINT or SIGTERM: what is in flight is finished, for a while."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")
EVERY = 0.2
WAKE = signal.SIGUSR1


def never() -> bool:
    return False


class Drain:
    """After the first signal nothing new begins (``asked``), and ``through`` ends when nothing is in flight
    (``until``), or after ``seconds``. A second signal raises ``KeyboardInterrupt`` at once.

    Use as a context, in the main thread; in another one signals are left alone. Who waits in ``through`` is woken by a
    signal of its own, which is never taken for one that asks.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self.asked = False
        self.finished = never
        self.asking = threading.Lock()
        self.over = False
        self.waiting = False
        self.wakeful = False
        self.left = threading.Event()
        self.before: dict[signal.Signals, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "Drain":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.handle)
            self.before[WAKE] = signal.signal(WAKE, self.woken)  # given back last: by then none is on its way
            threading.Thread(target=self.watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self.asking:
            self.left.set()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of both signals; it does as little as it can."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def woken(self, number: int, frame: FrameType | None) -> None:
        """Who does not wait any more is left alone."""
        if self.waiting:
            self.wakeful = False
            raise KeyboardInterrupt

    @contextmanager
    def until(self, finished: Callable[[], bool]) -> Generator[None]:
        """While this lasts, ``finished`` says whether nothing is in flight any more. It is called from a thread."""
        self.finished = finished
        self.wakeful = True
        try:
            yield
        finally:
            with self.asking:
                self.finished = never
                self.wakeful = False

    def wake(self) -> None:
        """Once while ``until`` lasts, let who waits in ``through`` get ``KeyboardInterrupt``: there is nothing to wait
        for. Who works on what has come is left alone, and so is a thread other than the main one.
        """
        with self.asking:
            if self.waiting and self.wakeful:
                self.strike()

    def strike(self) -> None:
        if self.before and not self.left.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)

    def through(self, items: Iterable[Item]) -> Iterator[Item]:
        """``items``, until nothing more is waited for: then ``KeyboardInterrupt``."""
        source = iter(items)
        while True:
            self.waiting = True
            try:
                if self.over:
                    raise KeyboardInterrupt
                item = next(source)
            except StopIteration:
                return
            finally:
                self.waiting = False
            yield item

    def watch(self) -> None:
        """Wait for the first signal, then for the end of what is in flight, at most until the deadline."""
        while not self.asked:
            if self.left.wait(EVERY):
                return
        log.warning("stopping: what is in flight is finished, for at most %g s (again: stop at once)", self.seconds)
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and not self.ended():
            if self.left.wait(EVERY):
                return
        self.over = True
        with self.asking:
            self.strike()

    def ended(self) -> bool:
        with self.asking:
            return self.finished()
