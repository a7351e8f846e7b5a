"""Nodes may come and go during a run: the rows and bytes are those of a run in one process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.record import Outcome
from tests.pipeline.conftest import portrait
from tests.pipeline.test_run import results, stable

POOL = {"cpus": 0.5, "min_size": 3, "max_size": 3}
SETTINGS = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}, "pool": {"cpus": 0.25}}},
    "run": {"batch": 2, "part_rows": 2, "prepare": POOL, "finish": {"cpus": 0.25}},
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_goes_and_one_that_comes_in_mid_run_change_nothing(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    source, sink = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(40):
        portrait(64, index).save(source / f"{index:02}.png")
    run(source, tmp_path / "whole", **SETTINGS)
    command = [sys.executable, "-m", "tests.pipeline.isolation.nodes", str(source), str(sink), json.dumps(SETTINGS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert (told["state"], told["failures"]) == ("finished", {})
    at_going, in_all = told["begun"]
    assert at_going < 20 < in_all, "no batch was lost with its node"
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")
