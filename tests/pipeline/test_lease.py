"""One run a sink: who is refused, who may take over, and what a run does that lost its lease."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.config import Config
from infra.errors import StorageError
from infra.storage import Storage
from pipeline import cli
from pipeline.exits import OPERATOR, TRY_LATER
from pipeline.job import make_job
from pipeline.lease import Guarded, Holder, LeaseLost, Process, lease_uri, parsed, this_process
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.run import restore
from pipeline.subset import ALL, Share
from pipeline.work import Trial
from tests.pipeline.conftest import in_process
from tests.pipeline.killing import CONFIG, portrait, rows_of

SECONDS = 60.0


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def holder(sink: str, run_id: str, share: Share = ALL, seconds: float = SECONDS) -> Holder:
    return Holder(Guarded(None, lease_uri(sink, share), run_id), share, seconds)


def written(sink: str, share: Share = ALL) -> dict[str, Any]:
    return json.loads(Storage().read(lease_uri(sink, share)))


def plant(sink: str, run_id: str, process: Process, age: float = 0.0, share: Share = ALL) -> None:
    """Another run's lease, renewed ``age`` seconds ago."""
    then = datetime.now(UTC) - timedelta(seconds=age)
    lease = replace(holder(sink, run_id, share).lease, process=process, since=then, renewed=then)
    Storage().write(lease_uri(sink, share), lease.content())


def far() -> Process:
    return replace(this_process(), host="elsewhere", space="another machine", pid=1, started="1")


def test_a_lease_says_who_and_is_gone_afterwards(sink: str, tmp_path: Path) -> None:
    with holder(sink, "one").take():
        data = written(sink)
        assert (data["run_id"], data["process"]["pid"]) == ("one", os.getpid())
        assert not parsed(data).over
    assert list((tmp_path / "out" / "leases").iterdir()) == []


def test_a_second_run_is_refused_with_who_and_until_when(sink: str) -> None:
    plant(sink, "20261121T090011Z-3f9a", far())
    with pytest.raises(StorageError, match=r"run 20261121T090011Z-3f9a on elsewhere \(process 1\), since .*, expires"):
        holder(sink, "two").take()
    assert written(sink)["run_id"] == "20261121T090011Z-3f9a"


def test_an_expired_lease_is_taken_over_and_one_that_is_forced(sink: str) -> None:
    plant(sink, "old", far(), age=SECONDS + 1)
    with holder(sink, "two").take():
        assert written(sink)["run_id"] == "two"
    plant(sink, "young", far())
    with holder(sink, "three").take(forced=True):
        assert written(sink)["run_id"] == "three"


def test_a_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once(sink: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    process = replace(this_process(), pid=child.pid)
    child.wait()
    plant(sink, "dead", process)
    with holder(sink, "two").take():
        pass
    plant(sink, "reused", replace(this_process(), started="another start"))
    with holder(sink, "three").take():
        pass
    plant(sink, "alive", this_process())
    with pytest.raises(StorageError, match="another run works"):
        holder(sink, "four").take()


def test_a_process_that_only_waits_to_be_buried_is_dead(sink: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(this_process(), pid=child.pid, started=start_of(child.pid))
    assert not process.dead
    assert child.stdin
    child.stdin.close()
    for _ in range(200):
        if process.dead:
            break
        time.sleep(0.05)
    assert process.dead
    child.wait()


def start_of(pid: int) -> str:
    from pipeline import lease

    return lease.start_of(pid) or ""


def test_a_lease_is_renewed_while_it_is_held(sink: str) -> None:
    with holder(sink, "one", seconds=0.4).take():
        first = written(sink)["renewed"]
        time.sleep(0.8)
        assert written(sink)["renewed"] > first
        with pytest.raises(StorageError, match="another run works"):
            holder(sink, "two").take()


def test_shares_of_one_division_stand_side_by_side_and_everything_else_is_refused(sink: str) -> None:
    plant(sink, "first", far(), share=Share(1, 3))
    with holder(sink, "second", Share(2, 3)).take():
        for share in (Share(1, 3), Share(2, 3), Share(3, 4), ALL):
            with pytest.raises(StorageError, match="another run works"):
                holder(sink, "other", share).take()
    plant(sink, "all", far())
    with pytest.raises(StorageError, match="another run works"):
        holder(sink, "third", Share(3, 3)).take()


def test_what_is_no_lease_is_overwritten(sink: str) -> None:
    Storage().write(lease_uri(sink), b"{")
    with holder(sink, "one").take():
        assert written(sink)["run_id"] == "one"


def test_nothing_is_written_after_another_run_took_over(sink: str) -> None:
    held = holder(sink, "one").take()
    held.storage.write(f"{sink}/photos/a", b"1")
    plant(sink, "two", far())
    held.storage.check_again()
    with pytest.raises(LeaseLost, match=r"run one lost its lease .* to run two"):
        held.storage.write(f"{sink}/photos/b", b"2")
    held.release()
    assert written(sink)["run_id"] == "two"
    assert not Storage().exists(f"{sink}/photos/b")


def test_a_workers_copy_of_the_storage_looks_for_itself(sink: str) -> None:
    import pickle

    held = holder(sink, "one").take()
    copy: Guarded = pickle.loads(pickle.dumps(held.storage))
    held.release()
    with pytest.raises(LeaseLost, match="its file is gone"):
        copy.write(f"{sink}/photos/late", b"a late attempt's")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        portrait(64, index).save(folder / f"{index}.png")
    return folder


def go(source: Path, sink: str, share: Share = ALL, take_over: bool = False, engine: Any = in_process) -> Outcome:
    job = make_job(str(source), sink, CONFIG)
    return restore(job, Retry(), Trial(), quiet=True, engine=engine, share=share, take_over=take_over)


def test_a_run_that_loses_its_lease_stops_publishing_and_can_be_resumed(
    faces: Path, sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.lease.CHECK_SECONDS", 0.0)

    def robbed(outcome: Outcome) -> Generator[pa.Table]:
        for number, table in enumerate(in_process(outcome)):
            if number == 3:
                plant(sink, "thief", far())
            yield table

    with pytest.raises(LeaseLost, match="to run thief"):
        go(faces, sink, engine=robbed)
    assert len(rows_of(tmp_path / "out")) == 3
    assert list((tmp_path / "out").glob("runs/*")) == []
    with pytest.raises(StorageError, match="another run works"):
        go(faces, sink)
    outcome = go(faces, sink, take_over=True)
    assert (outcome.work.done.total(), outcome.tally.total) == (3, 3)


def test_shares_at_the_same_time_do_each_photo_once(faces: Path, sink: str, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda share=share: outcomes.append(go(faces, sink, share)))
        for share in (Share(1, 2), Share(2, 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome.tally.total for outcome in outcomes) == 6
    assert len(rows_of(tmp_path / "out")) == 6
    assert go(faces, sink).tally.total == 0


def test_the_command_refuses_with_one_line_and_a_hint(
    faces: Path, sink: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(sink, "first", far())
    (tmp_path / "job.toml").write_text(
        'aligned = true\nmethod = "classic"\n[methods.classic]\nmethod = "classic"\nparameters = { size = 64 }\n'
    )
    assert cli.run(["restore", str(faces), sink, "--config", str(tmp_path / "job.toml")]) == TRY_LATER
    errors = capsys.readouterr().err.splitlines()
    assert errors[-3].startswith(f"error: another run works into {sink}: run first on elsewhere")
    assert errors[-1].startswith("hint: wait for its end, or give --take-over")
    assert cli.run(["restore", str(faces), sink, "--share", "5/2"]) == OPERATOR


def test_a_lease_holds_as_long_as_the_config_says() -> None:
    assert Config().run.lease_seconds == SECONDS
