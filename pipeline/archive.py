"""The flow, on one screen.

    list -> read -> detect -> align -> restore (one actor pool a method, in series)
         -> paste back -> score -> write -> manifest

Three kinds of pools do it: "prepare" reads, detects and aligns; one for each method restores; "finish" pastes back,
scores and writes. A photo's file crosses between them, its decoded pixels never do.

A row is a photo from end to end; its faces travel inside it. The driver lists, takes away what the ledger has, and
publishes a manifest part after the results that it mentions (``pipeline.run``).
"""

import pickle
from collections.abc import Sequence
from functools import partial

import ray.data
from ray.data import ActorPoolStrategy, Dataset
from ray.data.block import Block

from infra.config import Pool
from pipeline import chains, parcels
from pipeline.gate import Gate
from pipeline.isolation.messages import Limits
from pipeline.job import Job
from pipeline.worker import FirstWorker, LastWorker, MethodWorker, Worker
from stages.photo import Photo, Source
from stages.recipe import named

CALLS = 2  # batches in one worker: one in its child, one on its way in or out


def flow(job: Job, todo: Sequence[Source], gate: Gate) -> Dataset:
    """Every photo of ``todo`` that ``gate`` lets in, worked on and its result stored; comes back as blocks of rows for
    the manifest (``parcels.pack_rows``), in any order.
    """
    pools = job.config.run
    photos = ray.data.from_blocks(blocks(job, todo))  # as from_arrow, but without tasks that look at each block
    photos = add(photos, job, pools.prepare, chains.prepare, FirstWorker, gate)
    for name in job.recipe.methods:
        photos = add(photos, job, named(job.config, name).pool, partial(chains.restore, name=name), MethodWorker, gate)
    return add(photos, job, pools.finish, chains.finish, LastWorker, gate)


def add(photos: Dataset, job: Job, pool: Pool, build: chains.Build, worker: type[Worker], gate: Gate) -> Dataset:
    """One more pool of actors, each of which has its stages built once, in a child.

    An actor that dies, with its node perhaps, is started again and given its batch again, without end: that is not held
    against photos, which can end nothing but a child.
    """
    run = job.config.run
    limits = Limits(run.photo_seconds, run.worker_memory_mb)
    return photos.map_batches(
        worker,
        fn_constructor_args=(pickle.dumps(partial(build, job)), limits, gate),
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
