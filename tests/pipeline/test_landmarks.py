"""A run with a list of landmarks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import ConfigError
from infra.storage import absolute
from infra.uris import local_path
from pipeline import chains
from pipeline.record import Outcome
from stages.landmarks import COLUMNS

Restoring = Callable[..., Outcome]
FACE = "24,23,34,23,29,29,25,35,33,35"  # in the photo without a face, of 64 x 48 pixels


@pytest.fixture
def listed(tmp_path: Path) -> str:
    path = tmp_path / "landmarks.csv"
    path.write_text(f"path,{','.join(COLUMNS)}\nalbums/blue.png,{FACE}\n")
    return absolute(str(path))


def test_a_run_takes_the_faces_of_its_list_and_says_so_in_its_recipe(
    run: Restoring, archive: Path, tmp_path: Path, listed: str
) -> None:
    """Whoever wrote the list knows more than the detector, which finds no face in this photo."""
    with_list = run(archive, tmp_path / "listed", landmarks=listed)
    plain = run(archive, tmp_path / "plain")
    assert with_list.job.recipe.landmarks is not None
    assert with_list.job.recipe.hash != plain.job.recipe.hash
    assert with_list.counts != plain.counts
    assert sum(with_list.tally.faces.values()) == sum(plain.tally.faces.values()) + 1


def test_a_list_that_changes_under_a_run_is_refused(run: Restoring, archive: Path, tmp_path: Path, listed: str) -> None:
    job = run(archive, tmp_path / "sink", landmarks=listed).job
    local_path(listed).write_text(f"path,{','.join(COLUMNS)}\n")
    with pytest.raises(ConfigError, match="has changed since the run began"):
        chains.prepare(job)
