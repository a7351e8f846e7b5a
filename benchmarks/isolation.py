"""What do child processes cost? Photos through the three chains, in this process and in children, without Ray.

    python benchmarks/isolation.py

Aligned faces, so that as little as possible is done for each byte that crosses: 200 of 256 x 256 pixels (130 kB each)
and 24 of 840 x 840 (2.1 MB), PNG, ``classic``. CPU seconds are those of this process and its children together.
"""

import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from infra.config import Config
from pipeline import chains
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from pipeline.job import Job, make_job
from stages.photo import Photo, Source
from stages.stage import run

Step = Callable[[list[Photo]], list[Photo]]
BATCH = 8


def make_faces(folder: Path, count: int, side: int) -> list[Photo]:
    folder.mkdir(parents=True)
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png", compress_level=1)
    return [Photo(Source(f"file://{path}", path.name, target=path.name)) for path in sorted(folder.iterdir())]


def job_of(folder: Path, sink: Path, side: int) -> Job:
    methods = {"classic": {"method": "classic", "parameters": {"size": side}}}
    return make_job(
        str(folder), str(sink), Config.model_validate({"aligned": True, "method": "classic", "methods": methods})
    )


def builds(job: Job) -> list[partial[list[chains.Stage]]]:
    return [partial(chains.prepare, job), partial(chains.restore, job, name="classic"), partial(chains.finish, job)]


@contextmanager
def in_this_process(job: Job) -> Generator[list[Step]]:
    yield [partial(run, build()) for build in builds(job)]


@contextmanager
def in_children(job: Job) -> Generator[list[Step]]:
    boxes = [Sandbox(build, Limits(300)) for build in builds(job)]
    yield [Supervisor(box) for box in boxes]
    for box in boxes:
        box.close()


def cpu_seconds() -> float:
    return sum(os.times()[:4])


def measure(steps: list[Step], photos: list[Photo]) -> float:
    """Wall seconds for all photos but the first batch, which loads what is loaded late."""
    started = 0.0
    for at in range(0, len(photos), BATCH):
        batch = photos[at : at + BATCH]
        for step in steps:
            batch = step(batch)
        assert all(photo.result for photo in batch)
        started = started or time.perf_counter()
    return time.perf_counter() - started


def starts(job: Job) -> None:
    """What it takes to start a child of each chain: CPU seconds, and its private memory before the first photo."""
    for build in builds(job):
        box = Sandbox(build, Limits(300))
        child = psutil.Process(box.wait_until_ready().process.pid)
        seconds, memory = sum(child.cpu_times()[:2]), child.memory_full_info().uss / 1e6
        print(f"a child of {build.func.__name__}: ready after {seconds:.1f} CPU s, {memory:.0f} MB", flush=True)
        box.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for count, side in ((200, 256), (24, 840)):
            folder = Path(scratch) / str(side)
            photos = make_faces(folder / "in", count, side)
            if side == 256:
                starts(job_of(folder / "in", folder / "out", side))
            size = sum(path.stat().st_size for path in (folder / "in").iterdir()) / count / 1e6
            for name, how in (("this process", in_this_process), ("children", in_children)) * 2:
                before = cpu_seconds()
                with how(job_of(folder / "in", folder / "out", side)) as steps:
                    wall = measure(steps, photos)
                cpu = cpu_seconds() - before
                rate = (count - BATCH) / wall
                print(f"{count} of {size:.2f} MB, {name}: {rate:.1f} photos/s, {cpu:.1f} CPU s in all", flush=True)


if __name__ == "__main__":
    main()
