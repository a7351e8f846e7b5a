"""A driver that is killed at any moment: the next run ends as an unbroken one would have."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.record import Outcome
from tests.pipeline.conftest import portrait
from tests.pipeline.test_run import results, rows, stable

CONFIG = """
aligned = true
method = "classic"
[methods.classic]
method = "classic"
parameters = { size = 64 }
[run]
batch = 1
part_rows = 2
"""
SETTINGS = tomllib.loads(CONFIG)
COUNT = 17
COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()", "restore"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Sixteen aligned faces so small that a run is hardly more than Ray's start, and one file that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(COUNT - 1):
        portrait(64, index).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(CONFIG)
    return path


def start(source: Path, sink: Path, config: Path) -> subprocess.Popen[bytes]:
    command = [*COMMAND, str(source), str(sink), "--config", str(config)]
    return subprocess.Popen(command, cwd=sink.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_after(source: Path, sink: Path, config: Path, parts: int, seconds: float) -> None:
    """Start a run and kill its driver ``seconds`` after it has published ``parts`` parts, if it lives that long."""
    process = start(source, sink, config)
    while process.poll() is None and len(list(sink.glob("manifest/*.parquet"))) < parts:
        time.sleep(0.05)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def stop_after(source: Path, sink: Path, config: Path, parts: int) -> None:
    """Start a run and send it SIGTERM when the sink has ``parts`` parts: it publishes, says how to go on, and ends."""
    process = start(source, sink, config)
    while process.poll() is None and len(list(sink.glob("manifest/*.parquet"))) < parts:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors.decode()
    assert b"the same command goes on from here" in errors
    assert len(list((sink / "runs").iterdir())) == 1


def finish(source: Path, sink: Path, config: Path) -> str:
    process = start(source, sink, config)
    printed, errors = process.communicate(timeout=200)
    assert process.returncode in {0, 3}, errors.decode()
    return printed.decode()


def compare(sink: Path, whole: Path) -> None:
    """``sink`` holds what ``whole`` holds, and every row names its result; no unfinished file is left."""
    assert results(sink) == results(whole)
    assert stable(sink) == stable(whole)
    assert all(Path(row["result_uri"][7:]).is_file() for row in rows(sink).values() if row["result_uri"])
    assert not list(sink.rglob("*.tmp"))


@pytest.mark.timeout(900)  # three runs, of which other work may stretch each
def test_a_killed_run_goes_on_where_it_was(
    faces: Path, tmp_path: Path, config: Path, run: Callable[..., Outcome]
) -> None:
    sink = tmp_path / "out"
    run(faces, tmp_path / "whole", **SETTINGS)
    kill_after(faces, sink, config, parts=1, seconds=0)
    killed = rows(sink)
    assert 0 < len(killed) < COUNT
    assert f"{len(killed)} done before" in finish(faces, sink, config)
    compare(sink, tmp_path / "whole")


def test_a_run_that_is_killed_while_ray_starts_leaves_a_sink_for_the_next(
    faces: Path, tmp_path: Path, config: Path, run: Callable[..., Outcome]
) -> None:
    sink = tmp_path / "out"
    run(faces, tmp_path / "whole", **SETTINGS)
    process = start(faces, sink, config)
    while process.poll() is None and not list(sink.glob("leases/*.json")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(sink.glob("leases/*.json"))
    run(faces, sink, **SETTINGS)  # at once: the lease's process is dead
    assert not list(sink.glob("leases/*.json"))
    compare(sink, tmp_path / "whole")


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_publishes_what_is_done(
    faces: Path, tmp_path: Path, config: Path, run: Callable[..., Outcome]
) -> None:
    sink = tmp_path / "out"
    run(faces, tmp_path / "whole", **SETTINGS)
    stop_after(faces, sink, config, parts=1)
    stopped = rows(sink)
    assert 0 < len(stopped) < COUNT
    assert f"{len(stopped)} done before" in finish(faces, sink, config)
    compare(sink, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_kills_at_random_moments_change_nothing() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--steps", "0", "--ray", "10"], capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert "10 kills, 0 changed something" in done.stdout
    assert done.returncode == 0
