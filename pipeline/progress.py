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
        self.tally = Tally()
        console = Console(stderr=True)
        live = console.is_terminal and not quiet
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self.text) if live else None

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
        self.tally = tally
        if not self.live and not self.quiet and time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            log.info(self.text().plain)

    def text(self) -> Text:
        """The line as it stands now."""
        return Text(line(self.tally, self.total, time.monotonic() - self.started))


def line(tally: Tally, total: int, seconds: float) -> str:
    """``120 of 2000 photos, 6.1 photos/s, 9.8 faces/s, 2 failed, 5:08 left``."""
    if not tally.total:
        return f"0 of {total} photos, starting, {clock(seconds)}"
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
