"""``daguerre evaluate``: sets, pairs, protocols, what is missing, and the table in both forms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from infra.errors import ConfigError
from infra.storage import Storage
from infra.weights import WeightStore
from models.quality.psnr import psnr
from models.quality_metric import PROTOCOLS, FeatureSpec, Pixels, SetMetric
from pipeline import evaluation
from pipeline.cli import run
from pipeline.evaluation import Evaluation
from pipeline.evaluation_table import markdown, table
from pipeline.test_sets import TestSet, parsed, samples

NAMES = ("a", "deep/b")


def picture(level: int, side: int = 96) -> NDArray[np.uint8]:
    noise = np.random.default_rng(level).integers(0, 60, (side, side, 3))
    return (noise + level).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two restored pictures 5 and 10 levels too light, their truths and means 2 levels off."""
    for index, name in enumerate(NAMES):
        truth = picture(100)
        for folder, levels in (("truth", 0), ("restored", 5 * (index + 1)), ("mean", 2)):
            file = tmp_path / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(truth + np.uint8(levels)).save(file)
    return tmp_path


def the_set(folders: Path, method: str = "ours", **others: str) -> TestSet:
    keys = {"restored": "restored", "truth": "truth"} | others
    given = ",".join(f"{key}={folders / folder}" for key, folder in keys.items())
    return parsed(f"name=small,method={method},{given}")


def job(folders: Path, protocol: str = "daguerre", metrics: tuple[str, ...] = ()) -> Evaluation:
    return Evaluation(Storage(), WeightStore(folders / "weights"), PROTOCOLS[protocol], metrics)


def test_figures_are_the_means_over_the_pictures(folders: Path) -> None:
    [row] = job(folders).run([the_set(folders, mean="mean")])
    assert row.pictures == 2
    assert row.figures["psnr"] == pytest.approx((20 * np.log10(255 / 5) + 20 * np.log10(255 / 10)) / 2, abs=1e-2)
    assert row.figures["ind_rmse"] == pytest.approx(np.sqrt((3**2 + 8**2) / 2))
    assert 0.9 < row.figures["ssim"] < 1
    assert row.figures["noise"] > 5


def test_missing_weights_are_named_and_the_rest_is_measured(folders: Path) -> None:
    [row] = job(folders, "pmrf").run([the_set(folders)])
    assert {"psnr", "ssim"} == set(row.figures)
    assert "vgg16-397923af.pth" in row.missing["lpips"]
    assert "alignment_WFLW_4HG.pth" in row.missing["lmd"]
    assert row.missing["ind_rmse"] == "the set has no posterior means"
    text = markdown([row], PROTOCOLS["pmrf"])
    assert "daguerre weights fetch vgg16-397923af.pth" in text


def test_a_metric_asked_for_by_name_must_have_its_weights(folders: Path) -> None:
    with pytest.raises(ConfigError, match=r"lpips: weights are missing: vgg16-397923af\.pth"):
        job(folders, metrics=("psnr", "lpips")).run([the_set(folders)])


def test_an_unknown_metric_is_refused(folders: Path) -> None:
    with pytest.raises(ConfigError, match="there is no metric clarity"):
        job(folders, metrics=("clarity",)).run([the_set(folders)])


def test_a_result_without_truth_is_refused(folders: Path) -> None:
    (folders / "truth" / "deep" / "b.png").unlink()
    with pytest.raises(ConfigError, match="ours on small: 1 pictures have no truth: deep/b"):
        samples(Storage(), the_set(folders))


def test_a_truth_without_result_is_refused(folders: Path) -> None:
    Image.fromarray(picture(100)).save(folders / "truth" / "c.png")
    with pytest.raises(ConfigError, match="1 pictures have a truth, but no result: c"):
        samples(Storage(), the_set(folders))


def test_pictures_pair_by_name_whatever_their_suffix(folders: Path) -> None:
    truth = folders / "truth" / "a.png"
    Image.open(truth).save(truth.with_suffix(".webp"), lossless=True)
    truth.unlink()
    assert [one.name for one in samples(Storage(), the_set(folders))] == ["a", "deep/b"]


def test_two_pictures_of_one_name_are_refused(folders: Path) -> None:
    Image.fromarray(picture(100)).save(folders / "restored" / "a.bmp")
    with pytest.raises(ConfigError, match="two pictures called a"):
        samples(Storage(), the_set(folders))


def test_a_truth_of_another_size_is_refused(folders: Path) -> None:
    Image.fromarray(picture(100, 64)).save(folders / "truth" / "a.png")
    with pytest.raises(ConfigError, match="a: the truth has another size: 64 x 64 for 96 x 96"):
        job(folders).run([the_set(folders)])


def test_what_is_no_picture_is_refused(folders: Path) -> None:
    (folders / "restored" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"a\.png cannot be read"):
        job(folders).run([the_set(folders)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name=a,method=b", "restored: Field required"),
        ("name=a,method=b,restored=r,colour=red", "colour: Extra inputs"),
        ("name=a,method", "'method' in --set is no key"),
        ("name=,method=b,restored=r", "name: String should have at least 1"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed(text)


def test_elsface_measures_results_as_jpeg(folders: Path) -> None:
    """Noise survives a PNG and not a JPEG, so only the second differs from equal pictures."""
    same = the_set(folders, restored="truth")
    plain, coded = (job(folders, name, ("psnr",)).run([same])[0].figures["psnr"] for name in ("daguerre", "elsface"))
    assert plain == pytest.approx(80)
    assert coded < 40


def test_features_of_the_reference_are_computed_once(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric of sets with a network of one number a picture: its mean."""
    seen: list[int] = []

    def extract(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        seen.append(len(pictures))
        return np.array([[one.mean()] for one in pictures], np.float32)

    metric = SetMetric(
        name="fid",
        summary="difference of the means",
        better="lower",
        source="here",
        against="reference",
        smallest=(2, 2),
        features=FeatureSpec("mean", lambda _weights, _device: extract),
        compare=lambda restored, reference: float(restored.mean() - reference.mean()),
    )
    monkeypatch.setattr(evaluation, "all_metrics", lambda: {"fid": metric})
    judged = Evaluation(
        Storage(), WeightStore(folders / "weights"), PROTOCOLS["pmrf"], ("fid",), f"file://{folders / 'truth'}"
    )
    rows = judged.run([the_set(folders), the_set(folders, "mean", restored="mean")])
    assert [row.figures["fid"] for row in rows] == pytest.approx([7.5, 2], abs=1e-3)
    assert seen == [2, 2, 2]  # two sets and one reference


def test_the_table_has_one_row_a_figure_and_the_reasons(folders: Path) -> None:
    [row] = job(folders, "pmrf").run([the_set(folders)])
    found = table([row], PROTOCOLS["pmrf"]).to_pylist()
    figures = {line["figure"]: line for line in found}
    assert figures["psnr"]["value"] == row.figures["psnr"]
    assert figures["psnr"]["better"] == "higher"
    assert figures["deg"]["value"] is None
    assert "resnet18_110.pth" in figures["deg"]["reason"]


def test_the_command_writes_both_forms_and_prints_the_table(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, other = (
        f"name=small,method={method},restored={folders / restored},truth={folders / 'truth'}"
        for method, restored in (("ours", "restored"), ("none", "mean"))
    )
    code = run(["evaluate", str(folders / "out"), "--set", given, "--set", other, "--metric", "psnr"])
    printed = capsys.readouterr().out
    assert code == 0
    assert "| small | ours | 2 |" in printed
    assert (folders / "out" / "evaluation.md").read_text() in printed
    stored = pq.read_table(folders / "out" / "evaluation.parquet").to_pylist()
    truth = np.asarray(Image.open(folders / "truth" / "a.png"))
    expected = psnr(np.asarray(Image.open(folders / "mean" / "a.png")), truth)
    [value] = [line["value"] for line in stored if line["method"] == "none" and line["figure"] == "psnr"]
    assert value == pytest.approx(expected)


def test_the_command_takes_sets_from_a_file(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folders / "sets.toml"
    file.write_text(f'[[sets]]\nname = "x"\nmethod = "m"\nrestored = "{folders}/restored"\ntruth = "{folders}/truth"\n')
    assert run(["evaluate", str(folders / "out"), "--sets", str(file), "--metric", "ssim"]) == 0
    assert "| x | m | 2 |" in capsys.readouterr().out


def test_the_command_without_a_set_says_how_to_give_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(tmp_path / "out")]) == 2
    assert "there is no set to evaluate" in capsys.readouterr().err
