"""Estimates: intervals that hold what they should, and an estimate that a run's record and report show again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.config import Config, Pool, Rates
from infra.errors import ConfigError
from infra.storage import Storage
from pipeline.cli import run as daguerre
from pipeline.estimate import Interval, duration, estimate, interval, lines, priced, sampled, scaled, steps, widened
from pipeline.job import Job, make_job
from pipeline.ledger import load
from pipeline.record import Outcome
from pipeline.report.runs import estimates
from pipeline.reporting import write_for
from pipeline.retry import Retry
from pipeline.work import Trial, Work, plan_work
from tests.pipeline.conftest import SETTINGS, portrait

Restoring = Callable[..., Outcome]
ALIGNED = SETTINGS | {"aligned": True, "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}}}


@pytest.mark.parametrize("archive", range(3))
def test_of_ten_samples_of_200_at_least_nine_hold_the_faces_of_2000_photos(archive: int) -> None:
    """Archives as they are: most photos have no face or one, a few are group pictures."""
    rng = np.random.default_rng(archive)
    kinds = rng.choice([0, 1, 2, 3], 2000, p=[0.45, 0.35, 0.17, 0.03])
    zero, one = np.zeros(2000, np.int64), np.ones(2000, np.int64)
    faces = np.choose(kinds, (zero, one, rng.poisson(3, 2000) + 2, rng.poisson(14, 2000) + 6))
    found = [scaled(rng.choice(faces, 200, replace=False).tolist(), 2000) for _ in range(10)]
    assert sum(one.low <= faces.sum() <= one.high for one in found) >= 9
    assert all((one.high - one.low) / one.value < 0.8 for one in found)


def test_a_sample_of_all_photos_leaves_nothing_open() -> None:
    assert scaled([0, 1, 5, 2], 4) == Interval(8, 8, 8)


def test_the_slowest_pool_decides_or_the_cpus_do() -> None:
    pools = [Pool(max_size=4), Pool(max_size=1, gpus=1), Pool(max_size=2)]
    assert duration([1.0, 0.1, 0.2], 100, pools, cpus=16) == pytest.approx(15 + 100 * 0.25)
    assert duration([1.0, 0.1, 0.2], 100, pools, cpus=2) == pytest.approx(15 + 100 * 0.6 / 0.8)
    assert duration([1.0, 0.9, 0.2], 100, pools, cpus=16) == pytest.approx(15 + 100 * 0.9)


def test_the_interval_of_a_time_holds_more_than_the_sample_leaves_open() -> None:
    assert widened(Interval(1000, 920, 1080)) == Interval(1000, 900, 1100)
    assert widened(Interval(1000, 1000, 1000)) == Interval(1000, 940, 1060)


def test_the_price_is_that_of_the_pools_at_their_largest_and_of_the_bytes() -> None:
    pools = [Pool(cpus=1, max_size=8), Pool(cpus=1, gpus=1, max_size=2)]
    rates = Rates(cpu_hour=0.05, gpu_hour=1, read_gb=0.01)
    price = priced(Interval(7200, 3600, 10800), 50 * 10**9, pools, rates)
    assert (price.value, price.low, price.high) == pytest.approx((5.5, 3.0, 8.0))


def test_an_interval_of_a_run_comes_from_all_its_steps_together() -> None:
    rng = np.random.default_rng(1)
    fast, slow = rng.exponential(0.1, 200), rng.exponential(2.0, 200)
    both = interval([fast, slow], max)
    assert both.low < 2.0 < both.high
    assert both == interval([slow], lambda one: one)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Twelve aligned faces, two files that are none."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        portrait(64, number).save(tmp_path / "in" / f"{number:02}.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "flat.png")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "in"


def work_of(source: Path, sink: Path, **settings: object) -> tuple[Work, Job]:
    job = make_job(str(source), str(sink), Config.model_validate(ALIGNED | settings))
    return plan_work(job, load(job.storage, job.sink, job.source), Retry(), Trial()), job


def test_another_seed_draws_another_sample_and_the_same_seed_the_same(crops: Path, tmp_path: Path) -> None:
    drawn = [[source.uri for source in sampled(work_of(crops, tmp_path / "out")[0], 5, seed)] for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) == 3
    assert {len(set(one)) for one in drawn} == {5}


def test_an_estimate_stands_in_the_record_and_in_the_report_beside_what_came(
    crops: Path, tmp_path: Path, run: Restoring, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "job.toml"
    config.write_text(
        'method = "classic"\naligned = true\n[methods.classic]\nmethod = "classic"\nparameters = { size = 64 }\n'
        "[leave.good]\n[run]\nbatch = 4\n[rates]\ncpu_hour = 1\n"
    )
    out = tmp_path / "out"
    command = ["plan", str(crops), str(out), "--config", str(config), "--estimate", "--estimate-sample", "14"]
    assert daguerre(command) == 0
    said = capsys.readouterr().out
    assert "estimate 14 of 14 photos, 95 % intervals" in said
    assert "faces    12 (12 to 12)" in said
    assert not (out / "photos").exists()

    outcome = run(crops, out, **ALIGNED)
    record = json.loads(next((out / "runs").glob("*.json")).read_text())
    told = record["estimate"]
    assert told["faces"] == {"value": 12.0, "low": 12.0, "high": 12.0}
    assert told["restored_faces"]["value"] == record["faces"]["restored"] == 12
    assert told["source_bytes"]["value"] == pytest.approx(record["source_bytes"])
    assert record["source_bytes"] == outcome.tally.source_bytes
    assert told["seconds"]["low"] <= told["seconds"]["value"] <= told["seconds"]["high"]
    assert told["price"]["value"] == pytest.approx(told["seconds"]["value"] / 3600 * 0.75)
    rows = {row[0]: row for row in estimates(record)}
    assert rows["Faces"] == ("Faces", "12", "12 to 12", "12")
    assert set(rows) == {"Faces", "Faces restored", "Source bytes read", "Time", "Price, USD"}
    assert lines(told)[1] == "faces    12 (12 to 12)"
    write_for(Storage(), f"file://{out}", f"file://{tmp_path}/report")
    assert "Estimate from 14 of 14 photos, and what came" in (tmp_path / "report" / "report.html").read_text()


def test_a_gpu_that_is_not_here_is_said_so_or_taken_from_the_rates(crops: Path, tmp_path: Path) -> None:
    on_gpu = {"method": "classic", "parameters": {"size": 64}, "device": "cuda", "pool": {"gpus": 1}}
    _, job = work_of(crops, tmp_path / "out", methods={"classic": on_gpu})
    import torch

    if torch.cuda.device_count():
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match="needs a GPU"):
        steps(job)
    work, job = work_of(
        crops, tmp_path / "out", methods={"classic": on_gpu}, rates={"seconds_per_face": {"classic": 5}}
    )
    found = estimate(job, work, 14, cpus=64)
    assert found["seconds"]["value"] == pytest.approx(15 + 5 * 12)


def test_an_estimate_of_nothing_is_refused(crops: Path, tmp_path: Path, run: Restoring) -> None:
    run(crops, tmp_path / "out", **ALIGNED)
    work, job = work_of(crops, tmp_path / "out")
    with pytest.raises(ConfigError, match="nothing to estimate"):
        estimate(job, work, 5, cpus=2)
