"""Nodes may come and go during a run: the rows and bytes are those of a run in one process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.record import Outcome
from tests.pipeline.conftest import portrait
from tests.pipeline.test_run import results, stable

Restoring = Callable[..., Outcome]
POOL = {"cpus": 0.5, "min_size": 3, "max_size": 3}
SETTINGS: dict[str, Any] = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}, "pool": {"cpus": 0.25}}},
    "run": {"batch": 2, "part_rows": 2, "prepare": POOL, "finish": {"cpus": 0.25}},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty aligned faces of 64 pixels."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(40):
        portrait(64, index).save(folder / f"{index:02}.png")
    return folder


def on_nodes(source: Path, sink: Path, settings: dict[str, Any], change: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.pipeline.isolation.nodes"]
    command += [str(source), str(sink), json.dumps(settings), change]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_goes_and_one_that_comes_in_mid_run_change_nothing(
    source: Path, tmp_path: Path, run: Restoring
) -> None:
    sink = tmp_path / "out"
    run(source, tmp_path / "whole", **SETTINGS)
    told = on_nodes(source, sink, SETTINGS, "exchange")
    assert (told["state"], told["failures"]) == ("finished", {})
    at_going, in_all = told["begun"]
    assert at_going < 20 < in_all, "no batch was lost with its node"
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")


def with_gpu(wait_seconds: float) -> dict[str, Any]:
    """Settings whose method wants a GPU; the smallest pools together want one CPU."""
    method, pool = SETTINGS["methods"]["classic"], {"cpus": 0.2, "max_size": 3}
    run = {"batch": 2, "part_rows": 2, "prepare": pool, "finish": pool, "wait_seconds": wait_seconds}
    return SETTINGS | {
        "methods": {"classic": method | {"pool": {"cpus": 0.2, "gpus": 1}}},
        "run": run | {"grows_to": {"gpus": 1}},
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gpu_that_comes_late_is_waited_for_and_pools_grow(source: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(source, tmp_path / "whole", **SETTINGS)
    told = on_nodes(source, sink, with_gpu(120), "bring_gpu")
    assert (told["state"], told["failures"], told["away"]) == ("finished", {}, [])
    assert told["pool"] > 1, "the pool did not grow although photos waited"
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gpu_that_goes_and_never_comes_back_is_not_waited_for_without_end(
    source: Path, tmp_path: Path, run: Restoring
) -> None:
    sink = tmp_path / "out"
    run(source, tmp_path / "whole", **SETTINGS)
    told = on_nodes(source, sink, with_gpu(30), "go")
    assert (told["state"], told["failures"], told["away"]) == ("waiting", {}, ["classic"])
    assert len(results(sink)) < 40
    again = run(source, sink, **SETTINGS)
    assert again.tally.failures == {}
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")
