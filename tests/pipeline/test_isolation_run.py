"""Real runs on Ray with photos that end or hang their worker, actors that are killed, and errors that are ours."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil
import pyarrow as pa
import pytest

from pipeline import chains, parcels
from pipeline.archive import blocks
from pipeline.columns import rows as rows_of
from pipeline.commands.archive import exit_of
from pipeline.exits import STOPPED
from pipeline.isolation.faults import OurFault
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from pipeline.record import Outcome
from pipeline.retry import Retry
from stages.photo import FaultClass
from stages.stage import run as run_stages
from tests.pipeline.conftest import portrait, restoring
from tests.pipeline.isolation.bad_chains import prepare_slowly, prepare_with_villains
from tests.pipeline.test_run import results, rows, stable

Restoring = Callable[..., Outcome]
SETTINGS: dict[str, Any] = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
}


def settings(batch: int = 8, **run: object) -> dict[str, Any]:
    return SETTINGS | {"run": {"batch": batch, "part_rows": 2, **run}}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Fourteen aligned faces of 64 pixels."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(14):
        portrait(64, index).save(folder / f"{index:02}.png")
    return folder


def compare(sink: Path, whole: Path) -> None:
    assert results(sink) == results(whole)
    assert stable(sink) == stable(whole)


def test_a_crash_and_a_hang_cost_two_photos_and_a_retry_mends_them(
    faces: Path, tmp_path: Path, run: Restoring, run_on_ray: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait(64, 20).save(faces / "segfault.png")
    portrait(64, 21).save(faces / "hang.png")
    sink = tmp_path / "out"
    run(faces, tmp_path / "whole", **settings())
    with monkeypatch.context() as patched:
        patched.setattr(chains, "prepare", prepare_with_villains)
        outcome = run_on_ray(faces, sink, **settings(photo_seconds=3))
    assert outcome.tally.failures == {"crash": 1, "timeout": 1}
    assert outcome.tally.events == {"worker_deaths": 5}
    found, whole = stable(sink), stable(tmp_path / "whole")
    assert found["segfault.png"]["error"] == {
        "stage": "brighten",
        "class": "crash",
        "message": "its process was killed by SIGSEGV",
        "attempts": 2,
        "retryable": True,
    }
    assert found["hang.png"]["error"]["message"] == "it took longer than 3 s (run.photo_seconds)"
    assert {path: row for path, row in found.items() if path[0].isdigit()} == {
        path: row for path, row in whole.items() if path[0].isdigit()
    }
    run(faces, sink, retry=Retry(classes=frozenset({FaultClass.CRASH, FaultClass.TIMEOUT})), **settings())
    compare(sink, tmp_path / "whole")


def actors(name: str) -> list[psutil.Process]:
    """Our actors of one kind that run on this machine."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"MapBatches({name})" in " ".join(process.info["cmdline"] or [])
    ]


def when_there_are(count: int, folder: Path, action: Callable[[], object]) -> threading.Thread:
    """``action``, in a thread, once ``folder`` holds so many files."""

    def wait() -> None:
        until = time.monotonic() + 100
        while len(list(folder.glob("*"))) < count and time.monotonic() < until:
            time.sleep(0.05)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_actor_that_is_killed_costs_its_batch_and_no_photo(
    number: signal.Signals,
    faces: Path,
    tmp_path: Path,
    run: Restoring,
    run_on_ray: Restoring,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink, killed = tmp_path / "out", list[int]()

    def kill() -> None:
        for process in actors("FirstWorker"):
            process.send_signal(number)
            killed.append(process.pid)

    run(faces, tmp_path / "whole", **settings())
    (tmp_path / "marks").mkdir()
    monkeypatch.setattr(chains, "prepare", partial(prepare_slowly, marks=tmp_path / "marks"))
    thread = when_there_are(3, tmp_path / "marks", kill)
    outcome = run_on_ray(faces, sink, **settings(batch=2))
    thread.join()
    assert killed
    assert len(list((tmp_path / "marks").iterdir())) > 7, "no batch was done again"
    assert outcome.tally.failures == {}
    compare(sink, tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_lets_what_is_in_flight_finish_and_the_next_run_does_the_rest(
    faces: Path, tmp_path: Path, run: Restoring, run_on_ray: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(14, 40):
        portrait(64, index).save(faces / f"{index}.png")
    sink = tmp_path / "out"
    run(faces, tmp_path / "whole", **settings())
    (tmp_path / "marks").mkdir()
    monkeypatch.setattr(chains, "prepare", partial(prepare_slowly, marks=tmp_path / "marks"))
    thread = when_there_are(3, tmp_path / "marks", partial(os.kill, os.getpid(), signal.SIGTERM))
    stopped = run_on_ray(faces, sink, **settings(batch=2, drain_seconds=60))
    thread.join()
    assert stopped.state == "interrupted"
    assert 2 <= stopped.tally.total == len(rows(sink)) < 40
    assert stopped.tally.failures == {}
    assert run_on_ray(faces, sink, **settings()).tally.total == 40 - stopped.tally.total
    compare(sink, tmp_path / "whole")


@pytest.mark.slow
def test_what_is_not_finished_when_the_drain_ends_is_given_up(
    faces: Path, tmp_path: Path, run_on_ray: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait(64, 20).save(faces / "wait.png")
    sink = tmp_path / "out"
    monkeypatch.setattr(chains, "prepare", prepare_with_villains)
    thread = when_there_are(7, sink / "manifest", partial(os.kill, os.getpid(), signal.SIGTERM))
    started = time.monotonic()
    stopped = run_on_ray(faces, sink, **settings(batch=1, drain_seconds=1))
    thread.join()
    assert (stopped.state, stopped.tally.failures) == ("interrupted", {})
    assert set(rows(sink)) == {f"{index:02}.png" for index in range(14)}
    assert time.monotonic() - started < 100


def in_children(outcome: Outcome) -> Generator[pa.Table]:
    """The flow without Ray, its first chain in a child."""
    job = outcome.job
    others = [*chains.restore(job, "classic"), *chains.finish(job)]
    with closing(Sandbox(partial(prepare_with_villains, job), Limits(60))) as box:
        for block in blocks(job, outcome.work.todo):
            photos = Supervisor(box)(parcels.unpack(cast("pa.Table", block)))
            yield rows_of(run_stages(others, photos))


def test_crashes_count_for_the_failure_limit(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / "in" / name).mkdir(parents=True)
        portrait(64, 1).save(tmp_path / "in" / name / ("good.png" if name == "a" else "segfault.png"))
    stopped = restoring(in_children)(tmp_path / "in", tmp_path / "out", **settings(batch=1, max_failed="1"))
    assert (stopped.state, stopped.tally.failures) == ("stopped", {"crash": 2})
    assert exit_of(stopped) == STOPPED
    assert {row["status"] for row in rows(tmp_path / "out").values()} == {"restored", "failed"}


def test_a_bug_in_a_stage_ends_the_run_with_its_cause_in_one_line_and_keeps_what_is_done(
    faces: Path, tmp_path: Path, run_on_ray: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait(64, 20).save(faces / "stumble.png")
    sink = tmp_path / "out"
    monkeypatch.setattr(chains, "prepare", prepare_with_villains)
    with pytest.raises(OurFault) as caught:
        run_on_ray(faces, sink, **settings(batch=2))
    assert caught.value.line.startswith("ZeroDivisionError: a bug (isolation/villains.py:")
    record = json.loads(next((sink / "runs").iterdir()).read_text())
    assert record["state"] == "broken"
    assert record["error"]["line"] == caught.value.line
    assert "in stumble" in record["error"]["traceback"]
    assert set(rows(sink)) <= {f"{index:02}.png" for index in range(14)}
