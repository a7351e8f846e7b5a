"""The flow, on one screen.

    list -> read -> detect -> align -> restore (one actor pool a method, in series)
         -> paste back -> score -> write -> manifest

Three kinds of pools do it: "prepare" reads, detects and aligns; one for each method restores; "finish" pastes back,
scores and writes. A photo's file crosses between them, its decoded pixels never do.

A row is a photo from end to end; its faces travel inside it. The driver lists, takes away what the ledger has, and
publishes a manifest part after the results that it mentions (``pipeline.run``).
"""

from collections.abc import Sequence
from functools import partial

import ray.data
from ray.data import ActorPoolStrategy, Dataset
from ray.data.block import Block

from infra.config import Pool
from pipeline import chains
from pipeline.columns import Columns
from pipeline.job import Job
from stages.photo import Photo, Source
from stages.recipe import named


def flow(job: Job, todo: Sequence[Source]) -> Dataset:
    """Every photo of ``todo``, worked on and its result stored; comes back as rows for the manifest, in any order."""
    pools, batch = job.config.run, job.config.run.batch
    photos = ray.data.from_blocks(blocks(job, todo))  # as from_arrow, but without tasks that look at each block
    photos = add(photos, job, pools.prepare, batch, chains.prepare)
    for name in job.recipe.methods:
        photos = add(photos, job, named(job.config, name).pool, batch, partial(chains.restore, name=name))
    return add(photos, job, pools.finish, batch, chains.finish, chains.LastChain)


def add(
    photos: Dataset, job: Job, pool: Pool, batch: int, build: chains.Build, chain: type[chains.Chain] = chains.Chain
) -> Dataset:
    """One more pool of actors, each of which builds its stages once."""
    return photos.map_batches(
        chain,
        fn_constructor_args=(job, build),
        batch_size=batch,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=pool.min_size, max_size=pool.max_size),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )


def blocks(job: Job, todo: Sequence[Source]) -> list[Block]:
    """The work as small tables without pixels, one batch each: what a worker that dies has to do again."""
    columns, size = Columns(job.sizes), job.config.run.batch
    starts = range(0, len(todo), size)
    return [columns.table([Photo(source) for source in todo[at : at + size]], pixels=False) for at in starts]
