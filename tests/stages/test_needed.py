"""Which weights files a job uses where a model is published in several forms."""

from pathlib import Path

import pytest

from infra.config import Config
from infra.weights import WeightStore
from models.checkpoint import Checkpoint
from models.methods.pmrf import FORMS, HUB, LIGHTNING
from stages.needed import alternatives, needed
from stages.recipe import resolve

PMRF = Config.model_validate({"method": "pmrf", "aligned": True})


def store(folder: Path, *files: Checkpoint) -> WeightStore:
    """A store whose cache holds stand-ins for ``files``."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_bytes(b"tensors")
    return WeightStore(folder)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_form_that_is_here_is_used(tmp_path: Path, form: Checkpoint) -> None:
    assert needed(PMRF, store(tmp_path, form)) == [form]


def test_of_several_forms_the_first_is_used_and_of_none_the_one_that_can_be_fetched(tmp_path: Path) -> None:
    assert needed(PMRF, store(tmp_path / "both", LIGHTNING, HUB)) == [HUB]
    assert needed(PMRF, store(tmp_path / "none")) == [HUB]


def test_the_recipe_names_the_form_that_was_used_and_no_other() -> None:
    recipe = resolve(PMRF, lambda file: "0" * 64 if file == LIGHTNING else None)
    assert recipe.weights == {LIGHTNING.name: "0" * 64}
    assert recipe.methods["pmrf"].checkpoints == [LIGHTNING]


def test_files_without_a_role_are_all_needed() -> None:
    plain = [Checkpoint(name, None, "", None) for name in ("a", "b")]
    assert alternatives([*plain, HUB, LIGHTNING]) == [[plain[0]], [plain[1]], [HUB, LIGHTNING]]
