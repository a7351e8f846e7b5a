"""Training by command: what it leaves behind, and that being killed changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infra.config import Run
from infra.errors import ConfigError
from infra.storage import Storage
from models.training.tasks.daguerre_d import DaguerreDRecipe
from models.training.tasks.daguerre_s import DaguerreSRecipe
from models.training.trainer import Place
from pipeline.cli import run
from pipeline.train import TrainJob, export, steps, train
from tests.pipeline.conftest import portrait

RECIPE = """
steps = 4
batch = 2
size = 64
patch = 32
whole = 0
validate_every = 2
checkpoint_every = 1
"""
SETTINGS = DaguerreSRecipe(steps=4, batch=2, size=64, patch=32, whole=0, validate_every=2, checkpoint_every=1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As Ray Train's workers have: sums of other threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    for index in range(12):
        portrait(64, index).save(folder / f"{index}.png")
    return folder


def job(faces: Path, out: Path) -> TrainJob:
    return TrainJob("daguerre-s", SETTINGS, Storage(), faces.as_uri(), out.as_uri())


POINTS = ",".join(f"{point}_{axis}" for point in ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l") for axis in "xy")
MARKS = f"file,width,height,x,y,w,h,{POINTS}\n"


def detector_job(faces: Path, out: Path) -> TrainJob:
    """For ``daguerre-d``, with the same pictures as portraits and as pictures without faces."""
    marks = faces.parent / "marks.csv"
    row = "64,64,16,10,32,40,24,26,40,26,32,34,26,42,38,42"
    marks.write_text(MARKS + "".join(f"{index}.png,{row}\n" for index in range(12)))
    recipe = DaguerreDRecipe(steps=4, batch=2, size=64, scene=64, validate_every=2, checkpoint_every=1)
    faceless = faces.as_uri()
    return TrainJob("daguerre-d", recipe, Storage(), faces.as_uri(), out.as_uri(), marks.as_uri(), faceless)


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def test_a_training_that_dies_goes_on_and_ends_with_the_same_weights(
    cluster: None, faces: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for _ in steps(job(faces, whole), Place()):
        pass
    export(job(faces, whole))
    first = steps(job(faces, broken), Place())
    next(first)
    first.close()  # as a kill after the first checkpoint
    assert not (broken / "weights.safetensors").exists()
    train(job(faces, broken), Run())
    expected, found = tensors(whole), tensors(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_detectors_training_goes_on_bit_for_bit(faces: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert list(steps(detector_job(faces, whole), Place())) == [1, 2, 3, 4]
    first = steps(detector_job(faces, broken), Place())
    next(first)
    first.close()
    assert list(steps(detector_job(faces, broken), Place())) == [2, 3, 4]
    for out in (whole, broken):
        export(detector_job(faces, out))
    expected, found = tensors(whole), tensors(broken)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    figures = json.loads((whole / "figures" / "00000004.json").read_text())
    assert {"loss", "recall", "score", "landmarks"} <= figures.keys()


def test_a_detector_is_not_trained_without_pictures_that_show_no_face(faces: Path, tmp_path: Path) -> None:
    job = replace(detector_job(faces, tmp_path / "out"), faceless=None)
    with pytest.raises(ConfigError, match="pictures without any"):
        next(steps(job, Place()))


def test_figures_pictures_and_curves_are_left_behind(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert list(steps(job(faces, out), Place())) == [1, 2, 3, 4]
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["00000003.pt", "00000004.pt"]
    figures = json.loads((out / "figures" / "00000004.json").read_text())
    assert {"loss", "medium.before", "medium.after", "clean"} <= figures.keys()
    assert Image.open(out / "pictures" / "00000004.png").size == (7 * 64, 64)
    curves = EventAccumulator(str(out / "curves"))
    curves.Reload()
    assert [event.step for event in curves.Scalars("loss")] == [1, 2, 3, 4]
    assert [event.step for event in curves.Scalars("medium/after")] == [2, 4]


def test_a_restorer_learns_from_squares_without_faces_too(faces: Path, tmp_path: Path) -> None:
    squares = tmp_path / "squares"
    squares.mkdir()
    portrait(64, 20).save(squares / "hair.png")
    recipe = SETTINGS.model_copy(update={"others": 1.0, "steps": 1})
    both = replace(job(faces, tmp_path / "out"), recipe=recipe, faceless=squares.as_uri())
    learning, held_out = both.sources()
    assert len(learning) + len(held_out) == 12
    assert [len(source[0].others) for source in (learning, held_out)] == [1, 0]
    np.testing.assert_array_equal(learning[0].others[0], np.asarray(portrait(64, 20)))
    assert both.facts()["faceless"] == squares.as_uri()
    assert list(steps(both, Place())) == [1]


def test_a_folder_of_another_recipe_is_refused(faces: Path, tmp_path: Path) -> None:
    one = job(faces, tmp_path / "out")
    one.folder.open(one.facts())
    one.folder.open(one.facts())
    with pytest.raises(ConfigError, match="another recipe"):
        one.folder.open(one.facts() | {"method": "elsface"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 4", "batch: Field required"),
        (RECIPE + "patches = 3", "patches: Extra inputs"),
        (RECIPE.replace("batch = 2", "batch = 0"), "batch: Input should be greater than 0"),
    ],
)
def test_a_wrong_recipe_is_one_line(
    text: str, said: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    code = run(
        ["train", "daguerre-s", str(tmp_path / "out"), "--data", str(faces), "--recipe", str(tmp_path / "recipe.toml")]
    )
    assert code == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_trained_is_named_with_what_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "classic", str(tmp_path), "--data", "x", "--recipe", "y.toml"]) == 2
    assert "there is no training for classic" in capsys.readouterr().err
