"""A driver that is killed at any moment: the next run ends as an unbroken one would have."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.run import Outcome
from tests.pipeline.conftest import portrait
from tests.pipeline.test_run import results, rows, stable

CONFIG = """
[detect]
detector = "cascade"
[leave.good]
[run]
batch = 1
part_rows = 2
"""
COUNT = 8
COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()", "restore"]


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(COUNT - 1):
        portrait(200 + index, index).save(folder / f"{index}.png")
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


def test_runs_that_are_killed_or_told_to_stop_lose_nothing(
    portraits: Path, tmp_path: Path, config: Path, run: Callable[..., Outcome]
) -> None:
    sink = tmp_path / "out"
    run(portraits, tmp_path / "whole")
    kill_after(portraits, sink, config, parts=1, seconds=0)
    killed = rows(sink)
    assert 0 < len(killed) < COUNT
    stop_after(portraits, sink, config, parts=len(list(sink.glob("manifest/*.parquet"))) + 1)
    stopped = rows(sink)
    assert len(killed) < len(stopped)
    printed = finish(portraits, sink, config)
    assert f"{len(stopped)} done before" in printed
    compare(sink, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_kills_at_random_moments_change_nothing(
    portraits: Path, tmp_path: Path, config: Path, run: Callable[..., Outcome]
) -> None:
    run(portraits, tmp_path / "whole")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(3):
        kill_after(portraits, tmp_path / "out", config, parts=0, seconds=dice.uniform(0.5, 20))
    finish(portraits, tmp_path / "out", config)
    compare(tmp_path / "out", tmp_path / "whole")
