"""A run that dies at each of the steps in which it writes: readers see no wrong row, the next run ends as ever."""

import random
from collections import Counter

import pytest

from tests.pipeline.killing import Kill, Place, check_kill, prepared, rows_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A source, and a sink that lags behind it."""
    return prepared(tmp_path_factory.mktemp("steps"), random.Random(4))


def test_the_run_takes_every_kind_of_step(place: Place) -> None:
    kinds = Counter((step.split()[0], step.split("/out/")[1].split("/")[0]) for step in place.steps)
    assert kinds["write", "photos"] == 2
    assert kinds["write", "crops"] == 6
    assert kinds["write", "manifest"] > 3
    assert kinds["delete", "manifest"] > 2
    assert (kinds["write", "runs"], kinds["write", "leases"], kinds["delete", "leases"]) == (1, 1, 1)
    assert [row["path"] for row in rows_of(place.whole)] == ["0.png", "1.png", "2.png", "3.png", "new.png", "notes.txt"]


@pytest.mark.parametrize("third", [0, 1, 2])
def test_a_run_that_dies_at_any_step_is_taken_up_by_the_next(third: int, place: Place) -> None:
    for step in range(1 + third, len(place.steps) + 1, 3):
        check_kill(place, Kill(step, halfway=step % 2 == 0))


def test_a_run_that_dies_twice_at_every_second_step_is_taken_up(place: Place) -> None:
    for step in range(2, len(place.steps) + 1, 4):
        check_kill(place, Kill(step), Kill(step // 2, halfway=True))
