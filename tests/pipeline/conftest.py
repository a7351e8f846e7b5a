"""One Ray for all tests, and a small archive with a bit of everything."""

import logging
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
import ray
from PIL import Image
from skimage.data import astronaut

from infra.config import Config
from pipeline import chains, parcels
from pipeline.archive import blocks
from pipeline.columns import rows
from pipeline.job import make_job
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.run import Engine, restore
from pipeline.work import Trial
from stages.stage import run as run_stages

SETTINGS = {
    "method": "classic",
    "detect": {"detector": "cascade"},
    "leave": {"good": {}},
    "run": {"batch": 2, "part_rows": 3},
}
NO_RETRY, WHOLE = Retry(), Trial()
Restoring = Callable[..., Outcome]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray of two CPUs whose workers start in an empty folder, as ``pipeline.cluster`` starts it."""
    empty = str(tmp_path_factory.mktemp("empty"))
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=500 * 2**20,
        include_dashboard=False,
        runtime_env={"working_dir": empty},
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def portrait(side: int, seed: int) -> Image.Image:
    """The astronaut's head and shoulders, reduced and noisy."""
    picture = Image.fromarray(astronaut()).crop((60, 0, 380, 320)).resize((side, side), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).normal(0, 8, (side, side, 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two photos with a face, one without, one broken, one empty, an animation, a text and a dotfile."""
    root = tmp_path / "archive"
    (root / "albums").mkdir(parents=True)
    portrait(240, 1).save(root / "a.png")
    portrait(300, 2).save(root / "albums" / "b c.jpg", quality=90)
    Image.new("RGB", (64, 48), "navy").save(root / "albums" / "blue.png")
    whole = (root / "albums" / "b c.jpg").read_bytes()
    (root / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "empty.jpg").write_bytes(b"")
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("navy", "white")]
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    (root / "notes.txt").write_text("who is who")
    (root / ".hidden.png").write_bytes(b"not listed")
    return root


def in_process(outcome: Outcome) -> Generator[pa.Table]:
    """The flow's chains one after the other, batch by batch, without Ray."""
    job = outcome.job
    builds: list[chains.Build] = [chains.prepare]
    builds += [partial(chains.restore, name=name) for name in job.recipe.methods]
    steps = [build(job) for build in [*builds, chains.finish]]
    for block in blocks(job, outcome.work.todo):
        if outcome.drain.asked:
            return
        table = cast("pa.Table", block)
        for stages in steps:
            table = parcels.pack(run_stages(stages, parcels.unpack(table)))
        yield rows(parcels.unpack(table))


def restoring(engine: Engine | None) -> Restoring:
    """``run(source, sink, retry, trial, new_recipe, **settings)``: small parts and the cascade detector."""

    def go(
        source: Path | str,
        sink: Path | str,
        *,
        retry: Retry = NO_RETRY,
        trial: Trial = WHOLE,
        new_recipe: bool = False,
        **settings: object,
    ) -> Outcome:
        config = Config.model_validate(SETTINGS | settings)
        return restore(make_job(str(source), str(sink), config), retry, trial, new_recipe, quiet=True, engine=engine)

    return go


@pytest.fixture
def run() -> Restoring:
    """A run whose chains work in this process: for what a sink must hold, whoever does the work."""
    return restoring(in_process)


@pytest.fixture
def run_on_ray(cluster: None) -> Restoring:
    """A run as users start it."""
    return restoring(None)
