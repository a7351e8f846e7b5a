"""How a run is going: one live line on a terminal, plain lines otherwise. Always on stderr."""

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.tally import Tally
from stages.photo import Status

log = logging.getLogger(__name__)

EVERY = 10.0


class Progress:
    """``total`` photos are to be worked on. Use as a context; call ``show`` as often as you like."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.started = time.monotonic()
        self.last = self.started
        self.quiet = quiet
        console = Console(stderr=True)
        self.live = Live(console=console, refresh_per_second=4) if console.is_terminal and not quiet else None

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self, tally: Tally) -> None:
        now = time.monotonic()
        if self.live:
            self.live.update(Text(line(tally, self.total, now - self.started)))
        elif not self.quiet and now - self.last >= EVERY:
            self.last = now
            log.info(line(tally, self.total, now - self.started))


def line(tally: Tally, total: int, seconds: float) -> str:
    """``120 of 2000 photos, 6.1 photos/s, 9.8 faces/s, 2 failed, 5:08 left``."""
    rate = tally.total / seconds if seconds > 0 else 0.0
    faces = tally.faces.total() / seconds if seconds > 0 else 0.0
    left = clock((total - tally.total) / rate) if rate else "?"
    failed = tally.photos[Status.FAILED]
    return f"{tally.total} of {total} photos, {rate:.1f} photos/s, {faces:.1f} faces/s, {failed} failed, {left} left"


def clock(seconds: float) -> str:
    """``1:02:03``, ``5:08``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
