"""Stopping: the first signal lets what is in flight finish, until a deadline; the second stops at once."""

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.drain import WAKE, Drain
from pipeline.record import Outcome
from tests.pipeline.conftest import in_process, restoring
from tests.pipeline.test_run import rows

Restoring = Callable[..., Outcome]
BOTH = [signal.SIGINT, signal.SIGTERM]


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # a handler runs before the next instruction


def forever() -> Iterator[int]:
    """An item, then a wait that only a signal ends."""
    yield 1
    time.sleep(60)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_only_asks_and_the_second_stops_at_once(number: signal.Signals) -> None:
    with Drain(60) as drain:
        assert not drain.asked
        send(number)
        assert drain.asked
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_after_it_signals_mean_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with Drain(60):
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def work(drain: Drain, items: Iterator[int], seconds: float = 0) -> list[int]:
    """Take what comes, ask for the end at once, and work on each item for so long; what was done when it ended."""
    done: list[int] = []
    with drain:
        try:
            for item in drain.through(items):
                send(signal.SIGTERM)
                time.sleep(seconds)
                done.append(item)
        except KeyboardInterrupt:
            return done
    raise AssertionError("it never ended")


def test_what_is_in_flight_when_the_time_is_up_is_given_up() -> None:
    started = time.monotonic()
    assert work(Drain(0.3), forever()) == [1]
    assert 0.3 <= time.monotonic() - started < 10


def test_it_ends_before_its_time_when_nothing_is_in_flight_any_more() -> None:
    started, drain = time.monotonic(), Drain(60)
    with drain.until(lambda: True):
        assert work(drain, forever()) == [1]
    assert time.monotonic() - started < 10


def test_work_on_what_has_come_is_never_cut_short_by_the_deadline() -> None:
    assert work(Drain(0.1), iter([1, 2, 3]), seconds=1) == [1]


def woken(drain: Drain) -> bool:
    """Whether a wake-up ends a wait of half a second."""

    def wait() -> Iterator[int]:
        drain.wake()
        time.sleep(0.5)
        yield 1

    try:
        return list(drain.through(wait())) != [1]
    except KeyboardInterrupt:
        return True


def test_a_wait_that_is_for_nothing_is_ended_once_for_each_flow_and_is_no_stop() -> None:
    with Drain(60) as drain:
        drain.wake()  # nobody waits
        for _ in range(2):
            with drain.until(lambda: False):
                assert woken(drain)
                assert not woken(drain)
        with drain.until(lambda: False):
            pass
        assert not woken(drain), "its flow has ended"
        assert not drain.asked


def test_a_wake_up_that_comes_when_nobody_waits_any_more_is_nothing() -> None:
    before = signal.getsignal(WAKE)
    with Drain(60) as drain:
        send(WAKE)
        assert not drain.asked
    assert signal.getsignal(WAKE) == before


def test_a_stop_that_comes_with_a_wake_up_is_a_stop() -> None:
    def wait() -> Iterator[int]:
        signal.pthread_sigmask(signal.SIG_BLOCK, [WAKE, signal.SIGTERM])
        drain.wake()
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [WAKE, signal.SIGTERM])
        yield 1

    with Drain(60) as drain, drain.until(lambda: False), pytest.raises(KeyboardInterrupt):
        list(drain.through(wait()))
    assert drain.asked


def asked_after(parts: int, sink: Path) -> Callable[[Outcome], Generator[pa.Table]]:
    """The flow in this process, told to stop once the sink has so many parts."""

    def engine(outcome: Outcome) -> Generator[pa.Table]:
        for table in in_process(outcome):
            yield table
            if len(list(sink.glob("manifest/*.parquet"))) == parts:
                send(signal.SIGTERM)

    return engine


def test_a_run_that_is_told_to_stop_publishes_its_rows_says_so_and_goes_on_later(archive: Path, tmp_path: Path) -> None:
    sink, small = tmp_path / "out", {"batch": 1, "part_rows": 2}
    stopped = restoring(asked_after(1, sink))(archive, sink, run=small)
    assert stopped.state == "interrupted"
    assert 0 < stopped.unreached < stopped.work.listed
    assert len(rows(sink)) == stopped.work.listed - stopped.unreached
    assert len(list((sink / "runs").iterdir())) == 1
    again = restoring(in_process)(archive, sink, run=small)
    assert (again.state, again.tally.total) == ("finished", stopped.unreached)


def test_a_stop_that_comes_when_all_is_done_changes_nothing(archive: Path, tmp_path: Path) -> None:
    def engine(outcome: Outcome) -> Generator[pa.Table]:
        yield from in_process(outcome)
        send(signal.SIGTERM)

    assert restoring(engine)(archive, tmp_path / "out").state == "finished"
