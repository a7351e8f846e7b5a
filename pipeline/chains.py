"""Which stages run together in one process: a photo is decoded once in each chain, and only its file crosses between
them.
"""

from collections.abc import Callable, Iterator, Sequence

import cv2
import pyarrow as pa

from infra.weights import sha256
from models.checkpoint import Checkpoint
from pipeline.columns import Columns
from pipeline.job import Job
from stages.align import Align
from stages.detect import Decode, Detect, WholePhoto
from stages.paste import Paste, Replace
from stages.read import Read
from stages.recipe import DetectRecipe, named
from stages.release import Release
from stages.score import Score
from stages.stage import Stage, run
from stages.write import Conclude, Write

Build = Callable[[Job], list[Stage]]


class Chain:
    """A chain of stages as Ray Data calls it: a table in, a table out. Built once in its worker process."""

    pixels = True

    def __init__(self, job: Job, build: Build) -> None:
        cv2.setNumThreads(1)
        self.columns = Columns(job.sizes)
        self.stages: Sequence[Stage] = build(job)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        photos = run(self.stages, self.columns.photos(table))
        yield self.columns.table(photos, self.pixels)


class LastChain(Chain):
    """The chain whose photos go to the driver: rows alone, no pixels."""

    pixels = False


def prepare(job: Job) -> list[Stage]:
    """Read, decode, detect, align."""
    find: Stage = Detect(build_detector(job, job.recipe.detect)) if job.recipe.detect else WholePhoto()
    keep_all = job.config.write.unchanged == "copy"
    return [Read(job.storage, job.limits), Decode(job.limits), find, Align(job.recipe), Release(keep_all)]


def restore(job: Job, name: str) -> list[Stage]:
    """One method, loaded. Only its workers import torch."""
    import torch

    from stages.restore import Restore

    torch.set_num_threads(1)
    recipe, how = job.recipe.methods[name], named(job.config, name)
    paths = checked_weights(job, recipe.spec.checkpoints, recipe.weights)
    restorer = recipe.spec.build(paths, recipe.resolved, how.device, recipe.dtype)
    return [Restore(name, restorer, how.batch_size, how.device)]


def finish(job: Job) -> list[Stage]:
    """Paste back, score, write."""
    paste: Stage = Paste(job.recipe.paste.feather) if job.recipe.paste else Replace()
    write = job.config.write
    return [
        Decode(job.limits),
        paste,
        Score(job.recipe.aligned),
        Conclude(),
        Write(job.storage, job.sink, write.unchanged == "copy", "crops" in write.keep),
    ]


def build_detector(job: Job, recipe: DetectRecipe):
    paths = checked_weights(job, recipe.spec.checkpoints, recipe.weights)
    return recipe.spec.build(paths, recipe.settings)


def checked_weights(job: Job, files: Sequence[Checkpoint], expected: dict[str, str]):
    """The files' paths on this node, each with the very bytes that the recipe was resolved with."""
    paths = job.weights.require(files)
    for name, path in paths.items():
        if sha256(path) != expected[name]:
            raise RuntimeError(f"{name} on this node is not the file that the recipe names: {expected[name]}")
    return paths
