"""One bad photo among eight: it fails alone, seven are done, and the results are those of an undisturbed run."""

from functools import partial
from pathlib import Path

import pytest

from pipeline.isolation.faults import OurFault
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from stages.photo import Fault, FaultClass, Photo
from stages.stage import run
from tests.pipeline.isolation.villains import batch, one_by_one, photo, together

LIMITS = {"devour": Limits(60, 1000), "hang": Limits(1)}


def kept(photos: list[Photo]) -> list[tuple[str, bytes, object]]:
    """What is in photos, their seconds and events apart."""
    return [(one.source.path, b"" if one.data is None else one.data.tobytes(), one.fault) for one in photos]


@pytest.mark.parametrize(
    ("deed", "kind", "message"),
    [
        ("segfault", FaultClass.CRASH, "its process was killed by SIGSEGV"),
        ("kill", FaultClass.CRASH, "its process was killed by SIGKILL (out of memory?)"),
        ("leave", FaultClass.CRASH, "its process ended with exit code 3"),
        ("devour", FaultClass.CRASH, "memory ran out, the limit is 1000 MiB (run.worker_memory_mb)"),
        ("hang", FaultClass.TIMEOUT, "it took longer than 1 s (run.photo_seconds)"),
    ],
)
def test_a_photo_that_ends_its_worker_costs_only_itself(deed: str, kind: FaultClass, message: str) -> None:
    supervisor = Supervisor(Sandbox(one_by_one, LIMITS.get(deed, Limits(60))))
    done = supervisor(batch(deed))
    supervisor.sandbox.close()
    fault = done[3].fault
    assert fault is not None
    assert (fault.stage, fault.kind, fault.message, fault.attempts) == ("brighten", kind, message, 2)
    assert fault.retryable
    assert sum(one.events.get("worker_deaths", 0) for one in done) == 3
    others = [one for one in batch(deed) if one.source.path != deed]
    assert kept(done[:3] + done[4:]) == kept(run(one_by_one(), others))


def test_a_death_that_does_not_come_again_is_nobodys_fault(tmp_path: Path) -> None:
    supervisor = Supervisor(Sandbox(partial(one_by_one, tmp_path), Limits(60)))
    done = supervisor(batch("kill"))
    supervisor.sandbox.close()
    assert kept(done) == kept(run(one_by_one(tmp_path), batch("kill")))
    assert [one.fault for one in done] == [None] * 8
    assert done[0].events == {"worker_deaths": 1}


def test_photos_in_a_row_that_all_end_their_worker_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.isolation.supervisor.IN_A_ROW", 3)
    supervisor = Supervisor(Sandbox(together, Limits(60)))
    with pytest.raises(OurFault, match=r"3 photos in a row ended their worker, the last in brighten: .* SIGKILL"):
        supervisor([photo("kill")] * 4)
    supervisor.sandbox.close()


def test_a_photo_that_is_done_or_had_ended_before_breaks_the_row_or_leaves_it() -> None:
    supervisor = Supervisor(Sandbox(together, Limits(60)))
    ended = photo("a.png").failed(Fault("read", FaultClass.EMPTY, "the file is empty"))
    supervisor([photo("leave")])
    assert supervisor([ended]) == [ended]
    assert supervisor.row == 1
    supervisor([photo("a.png")])
    assert supervisor.row == 0
    supervisor.sandbox.close()
