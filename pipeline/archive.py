"""The flow, on one screen.

    list -> read -> detect -> align -> restore (one actor pool a method, in series)
         -> paste back -> score -> write -> manifest

Three kinds of pools do it: "prepare" reads, detects and aligns; one for each method restores; "finish" pastes back,
scores and writes. A photo's file crosses between them, its decoded pixels never do.

A row is a photo from end to end; its faces travel inside it. The driver lists, takes away what the ledger has, and
publishes a manifest part after the results that it mentions (``pipeline.run``).
"""

import pickle
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import ray.data
from ray.data import ActorPoolStrategy, Dataset
from ray.data.block import Block

from infra.config import Pool
from pipeline import chains, parcels
from pipeline.gate import Gate
from pipeline.isolation.messages import Limits
from pipeline.job import Job
from pipeline.resources import step_of
from pipeline.worker import FirstWorker, LastWorker, MethodWorker, Worker
from stages.photo import Photo, Source
from stages.recipe import named

CALLS = 2  # batches in one worker: one in its child, one on its way in or out


def flow(job: Job, todo: Sequence[Source], gate: Gate) -> Dataset:
    """Every photo of ``todo`` that ``gate`` lets in, worked on and its result stored; comes back as blocks of rows for
    the manifest (``parcels.pack_rows``), in any order.
    """
    photos = ray.data.from_blocks(blocks(job, todo))  # as from_arrow, but without tasks that look at each block
    for step in steps(job, gate.away):
        photos = add(photos, job, step, gate)
    return photos


@dataclass(frozen=True, slots=True)
class Step:
    """One pool of actors, each of which has its stages built once, in a child."""

    name: str
    worker: type[Worker]
    build: chains.Build
    pool: Pool


def steps(job: Job, away: Collection[str] = ()) -> list[Step]:
    """The flow's steps in order, without those of the methods ``away``."""
    run = job.config.run
    methods = [name for name in job.recipe.methods if name not in away]
    return [
        Step("prepare", FirstWorker, chains.prepare, run.prepare),
        *(
            Step(step_of(name), MethodWorker, partial(chains.restore, name=name), named(job.config, name).pool)
            for name in methods
        ),
        Step("finish", LastWorker, chains.finish, run.finish),
    ]


def add(photos: Dataset, job: Job, step: Step, gate: Gate) -> Dataset:
    """One more step.

    An actor that dies, with its node perhaps, is started again and given its batch again, without end: that is not held
    against photos, which can end nothing but a child.
    """
    run, pool = job.config.run, step.pool
    limits = Limits(run.photo_seconds, run.worker_memory_mb)
    return photos.map_batches(
        step.worker,
        fn_constructor_args=(pickle.dumps(partial(step.build, job)), limits, gate, step.name),
        batch_size=run.batch,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=pool.min_size,
            max_size=pool.max_size,
            max_concurrent_calls_per_actor=CALLS,
            enable_true_multi_threading=True,  # a worker's child has one batch at a time nevertheless
        ),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )


def blocks(job: Job, todo: Sequence[Source]) -> list[Block]:
    """The work as small blocks without pixels, one batch each: what a worker that dies has to do again."""
    size = job.config.run.batch
    starts = range(0, len(todo), size)
    return [parcels.pack([Photo(source) for source in todo[at : at + size]]) for at in starts]
