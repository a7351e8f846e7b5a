"""A controlled experiment from aligned photos to its table, by networks of a small size."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from infra.errors import ConfigError, WeightsError
from infra.storage import Storage
from infra.weights import WeightStore
from models.controlled import SCHEMES, Shapes, networks
from models.degradations.controlled import EXPERIMENTS
from models.quality_metric import PROTOCOLS
from pipeline.cli import run
from pipeline.evaluation import Evaluation
from pipeline.experiment import ExperimentJob, weights_from
from stages.portraits import portraits
from tests.golden.make_pmrf import FLOW, REGRESSOR, weights
from tests.pipeline.conftest import portrait

SIDE = 64
SMALL = Shapes(FLOW, REGRESSOR)
NAMES = ("0", "1", "deep/2", "deep/3")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index, name in enumerate(NAMES):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        portrait(SIDE, index).save(file)
    return folder


def checkpoint(folder: Path, scheme: str, channels: int) -> Path:
    """A file of a scheme with drawn weights."""
    made = networks(SCHEMES[scheme], channels, SMALL)
    path = folder / f"{scheme}-{channels}.safetensors"
    save_file({name: value.clone() for name, value in weights(made).items()}, path)
    return path


def job(photos: Path, out: Path, experiment: str = "denoising", schemes: tuple[str, ...] = ("pmrf",)) -> ExperimentJob:
    chosen = EXPERIMENTS[experiment]
    files = {scheme: checkpoint(photos.parent, scheme, chosen.channels) for scheme in schemes}
    evaluation = Evaluation(Storage(), WeightStore(out / "weights"), PROTOCOLS["pmrf"])
    faces = portraits(Storage(), photos.as_uri(), SIDE)
    return ExperimentJob(chosen, faces, out.as_uri(), files, evaluation, steps=2, shapes=SMALL)


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_stores_everything_and_judges_every_scheme(photos: Path, tmp_path: Path, experiment: str) -> None:
    out = tmp_path / "out"
    rows = job(photos, out, experiment, tuple(SCHEMES)).run()
    assert [row.set.method for row in rows] == ["degraded", *SCHEMES]
    assert all(row.pictures == 4 and {"psnr", "ssim"} <= set(row.figures) for row in rows)
    with_mean = {row.set.method for row in rows if "ind_rmse" in row.figures}
    assert with_mean == {"pmrf", "conditioned-on-mean", "mean"}
    for name in NAMES:
        assert pixels(out / "degraded" / f"{name}.png").ndim == (2 if experiment == "colorization" else 3)
        np.testing.assert_array_equal(pixels(out / "truth" / f"{name}.png"), pixels(photos / f"{name}.png"))
        for scheme in SCHEMES:
            assert pixels(out / scheme / "restored" / f"{name}.png").shape == (SIDE, SIDE, 3)
            assert (out / scheme / "source" / f"{name}.png").exists() == (scheme != "mean")


def test_a_mean_alone_is_its_own_result(photos: Path, tmp_path: Path) -> None:
    rows = job(photos, tmp_path / "out", schemes=("mean",)).run()
    assert rows[1].figures["ind_rmse"] == 0


def test_a_photo_comes_out_the_same_without_the_others(photos: Path, tmp_path: Path) -> None:
    job(photos, tmp_path / "all").run()
    (photos / "0.png").unlink()
    job(photos, tmp_path / "fewer").run()
    one, other = (tmp_path / place / "pmrf" / "restored" / "deep" / "3.png" for place in ("all", "fewer"))
    assert one.read_bytes() == other.read_bytes()


def test_another_seed_gives_other_photos(photos: Path, tmp_path: Path) -> None:
    first = job(photos, tmp_path / "first")
    other = ExperimentJob(
        first.experiment,
        first.photos,
        (tmp_path / "other").as_uri(),
        first.weights,
        first.evaluation,
        2,
        1,
        False,
        SMALL,
    )
    for one in (first, other):
        one.run()
    files = [tmp_path / place / "degraded" / "0.png" for place in ("first", "other")]
    assert files[0].read_bytes() != files[1].read_bytes()


def test_a_checkpoint_of_another_scheme_is_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    wrong = job(photos, tmp_path / "out")
    wrong = replace(wrong, weights={"conditioned-on-mean": wrong.weights["pmrf"]})
    with pytest.raises(WeightsError, match=r"patch_in\.proj\.weight") as raised:
        wrong.run()
    assert "posterior_conditioned_on_mmse" in raised.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no scheme was given"),
        (["pmrf"], "'pmrf' is no SCHEME=FILE"),
        (["best=x"], "'best=x' is no SCHEME=FILE"),
        (["pmrf=nowhere.ckpt"], "there is no file nowhere.ckpt"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weights_from(given)


@pytest.mark.parametrize(
    ("option", "message"), [("--side=100", "no multiple of 64"), ("--steps=0", "no number of steps")]
)
def test_the_command_refuses_what_networks_cannot_take(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert run(["experiment", "denoising", str(photos), str(tmp_path / "out"), option]) == 2
    assert message in capsys.readouterr().err
