"""The examples load, resolve and do what they say."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

from infra.config import Config, Detect, load
from stages.canvas import Canvas
from stages.geometry import square
from stages.photo import Face, FaceStatus, Photo, Status
from stages.recipe import Recipe, resolve
from stages.rules import choose

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
GOOD = {"sharpness": 0.9, "noise": 0.7, "blockiness": 0.1, "exposure": 0.8}
POOR = GOOD | {"sharpness": 0.2, "noise": 5.0}


def recipe_of(name: str) -> Recipe:
    return resolve(load(EXAMPLES / name), lambda file: "0" * 64)


@pytest.fixture
def one_photo() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("one_photo", EXAMPLES / "one_photo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    """The astronaut with grain, as a PNG."""
    grain = np.random.default_rng(1).normal(0, 12, (512, 512, 3))
    path = tmp_path / "in.png"
    Image.fromarray((astronaut() + grain).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", ["folder.toml", "s3.toml"])
def test_a_config_gives_two_methods_by_size_and_leaves_by_quality(name: str) -> None:
    recipe = recipe_of(name)
    face = Face(0, (0, 0, 100, 100), 0.95, side=150.0, before=POOR)
    assert choose(recipe, "a.jpg", face).method == "small"
    assert choose(recipe, "a.jpg", replace(face, side=600.0)).method == "large"
    assert choose(recipe, "a.jpg", replace(face, side=600.0, before=GOOD)).method is None
    assert {method: how.size for method, how in recipe.methods.items()} == {"small": 256, "large": 512}


def test_the_example_changes_the_face_and_nothing_else(one_photo: ModuleType, portrait: Path) -> None:
    photo: Photo = one_photo.restore_photo(portrait, Config(detect=Detect(detector="cascade")))
    assert photo.status is Status.RESTORED
    assert photo.picture is not None
    before = np.asarray(Image.open(portrait))
    after = Canvas(photo.picture, 0, photo.edits).rgb((0, 0, before.shape[1], before.shape[0]))
    inside = np.zeros(before.shape[:2], bool)
    for face in photo.faces:
        assert face.status is FaceStatus.RESTORED
        cover(inside, face)
    assert 0 < inside.mean() < 0.5
    np.testing.assert_array_equal(after[~inside], before[~inside])
    assert (after[inside] != before[inside]).any()


def cover(inside: NDArray[np.bool_], face: Face) -> None:
    assert face.matrix is not None
    assert face.crop is not None
    x0, y0, x1, y1 = square(face.matrix, face.crop.shape[0], inside.shape[1], inside.shape[0])
    inside[y0:y1, x0:x1] = True


def test_the_example_writes_a_file_like_its_input(
    one_photo: ModuleType, portrait: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = portrait.with_name("out.png")
    monkeypatch.setattr(sys, "argv", ["one_photo.py", str(portrait), str(out), "--detector", "cascade"])
    assert one_photo.main() == 0
    assert "in.png: restored" in capsys.readouterr().out
    with Image.open(out) as result:
        assert (result.format, result.mode, result.size) == ("PNG", "RGB", (512, 512))


def test_the_example_says_that_weights_are_missing(
    one_photo: ModuleType, portrait: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGUERRE_WEIGHTS", raising=False)
    monkeypatch.setenv("DAGUERRE_CACHE", str(portrait.parent / "cache"))
    out = str(portrait.with_name("out.png"))
    monkeypatch.setattr(sys, "argv", ["one_photo.py", str(portrait), out, "--detector", "yunet"])
    with pytest.raises(SystemExit) as stop:
        one_photo.main()
    assert stop.value.code == 2
    assert "daguerre weights fetch yunet_n_640_640.onnx" in capsys.readouterr().err
