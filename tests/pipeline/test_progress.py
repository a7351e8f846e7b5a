"""The line that tells how a run is going."""

import logging
import time

import pytest

from pipeline import progress
from pipeline.progress import Progress, clock, line
from pipeline.tally import Tally


def tally(restored: int, failed: int, faces: int) -> Tally:
    made = Tally()
    made.photos.update({"restored": restored, "failed": failed})
    made.faces.update({"restored": faces})
    return made


def test_the_line_tells_counts_rates_failures_and_the_time_left() -> None:
    told = line(tally(98, 2, 150), 400, 50.0)
    assert told == "100 of 400 photos, 2.0 photos/s, 3.0 faces/s, 2 failed, 2:30 left"


def test_before_the_first_photo_it_says_that_it_starts() -> None:
    assert line(Tally(), 400, 7.2) == "0 of 400 photos, starting, 0:07"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (308, "5:08"), (3723, "1:02:03")])
def test_times_read_as_on_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_without_a_terminal_there_is_a_log_line_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    with caplog.at_level(logging.INFO), Progress(10) as shown:
        shown.show(tally(1, 0, 1))
        time.sleep(0.06)
        shown.show(tally(2, 0, 2))
        shown.show(tally(3, 0, 3))
    assert [message.split(",")[0] for message in caplog.messages] == ["2 of 10 photos"]
