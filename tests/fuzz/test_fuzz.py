"""Damaged files: whatever they do, each ends as a photo or as a fault with its class, and its process lives."""

from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import bad_worker
from tests.fuzz.corpus import SIDES, corpus
from tests.fuzz.harness import Round
from tests.fuzz.mutations import MUTATIONS, Mutation
from tests.fuzz.worker import MEMORY, Corpus, case

SHARED = Path(__file__).resolve().parents[3] / "shared"
PLENTY = 1_000_000  # files; the time ends a round before them


@pytest.fixture(scope="session")
def seeds(weights_folder: Path) -> Corpus:
    """All seeds; where there are no weights only small ones, as the cascade takes a second for a large one."""
    photos = SHARED / "photos"
    found = corpus(photos if photos.is_dir() else None)
    small = f"-{min(SIDES)}-"
    return found if weights_folder.is_dir() else {name: data for name, data in found.items() if small in name}


@pytest.fixture(autouse=True)
def weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if weights_folder.is_dir():
        monkeypatch.setenv("DAGUERRE_WEIGHTS", str(weights_folder))


def test_twenty_seconds_of_damaged_files(seeds: Corpus, tmp_path: Path) -> None:
    found = Round(seeds, tmp_path, seed=20261121).run(PLENTY, workers=1, seconds=20)
    assert found.clean, found.lines()
    assert found.files > 20
    assert found.peak <= MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("write", [False, True], ids=["read, detect, align", "to the result"])
def test_a_minute_of_damaged_files(write: bool, seeds: Corpus, tmp_path: Path) -> None:
    found = Round(seeds, tmp_path, seed=20261122, write=write).run(PLENTY, workers=2, seconds=60)
    print(*found.lines(), sep="\n")
    assert found.clean, found.lines()
    assert found.files > 200
    assert found.peak <= MEMORY


def test_the_harness_tells_deaths_hangs_full_memory_and_bugs(tmp_path: Path) -> None:
    work = Round({"0-96-a.png": b"data"}, tmp_path, 1, worker="tests.fuzz.bad_worker", file_seconds=2.0)
    found = work.run(9, workers=1)
    assert [number for number, _ in found.deaths] == [bad_worker.SEGFAULT]
    assert found.deaths[0][1].startswith("exit code -11")
    assert found.hangs == [bad_worker.HANGS]
    assert [number for numbers in found.unclassified.values() for number in numbers] == [
        bad_worker.FILLS,
        bad_worker.BUG,
    ]
    assert [what.split()[0] for what in found.unclassified] == ["MemoryError", "KeyError"]
    assert not found.clean


def test_a_file_of_a_round_is_the_same_each_time(seeds: Corpus) -> None:
    assert [case(seeds, 7, number) for number in range(50)] == [case(seeds, 7, number) for number in range(50)]
    assert case(seeds, 7, 1) != case(seeds, 8, 1)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_changes_files_of_any_size(mutation: Mutation) -> None:
    dice, changed = np.random.default_rng(5), 0
    for size in (1, 2, 7, 300, 5000):
        data = dice.bytes(size)
        changed += any(mutation(data, b"other", dice) != data for _ in range(20))
    assert changed >= 2  # blocks of 16 bytes of a small file have no other order
