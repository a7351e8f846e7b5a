"""A run that dies at each of the steps in which it writes: readers see no wrong row, the next run ends as ever.

The kills are ``benchmarks/kills.py``'s, in a process of its own: it forks, which only a process without threads may.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What the script says of a run with a kill at every step."""
    command = [sys.executable, str(SCRIPT), "--every", "--seed", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert "steps: " in done.stdout, done.stderr
    return done.stdout.splitlines()


def steps(printed: list[str]) -> list[str]:
    return json.loads(printed[0].removeprefix("steps: "))


def test_the_run_takes_every_kind_of_step(printed: list[str]) -> None:
    kinds = Counter(step.partition("/")[0] for step in steps(printed))
    assert (kinds["write photos"], kinds["write crops"]) == (2, 6)
    assert kinds["write manifest"] > 3
    assert kinds["delete manifest"] > 2
    assert (kinds["write runs"], kinds["write leases"], kinds["delete leases"]) == (1, 1, 1)


@pytest.mark.timeout(600)
def test_a_run_that_dies_at_any_step_is_taken_up_by_the_next(printed: list[str]) -> None:
    count = len(steps(printed))
    assert [line for line in printed if line.endswith(": same")] == printed[1:-1]
    assert len(printed[1:-1]) == count + count // 4
    assert printed[-1].startswith(f"{count + count // 4} kills, 0 changed something")
