"""What a run would come to: faces, bytes, hours and price, from a random sample of the photos that are due.

The sample goes through the very chains of a run, in the same child processes, one for each pool and all at once, but
never more of them than there are CPUs: a process that is alone on a machine is faster than one beside others. Results
go to a temporary folder. The intervals say what a sample of that size leaves open, not how the machines of the run
differ from this one.
"""

import hashlib
import heapq
import json
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import hypot
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from infra.config import Pool, Rates
from infra.errors import ConfigError
from infra.storage import Storage
from pipeline import chains
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from pipeline.job import Job
from pipeline.ledger import listed
from pipeline.work import Work
from stages.photo import FaceStatus, Photo, Source
from stages.recipe import named

CONFIDENCE = 0.95
RESAMPLES = 2000
WAVE = 10_000
START_SECONDS = 15.0  # of Ray, and of the first child of each pool: 12 to 18 for a whole small job
# Of the CPUs' time so much goes to the pools where CPUs are what a run lacks; the rest to Ray, the driver, and waiting.
BUSY = 0.8
SPREAD = 0.06  # of its time: how far apart are what ``duration`` says and what a run takes, the sample aside
Floats = NDArray[np.float64]
OneBatch = Callable[[list[Photo]], list[Photo]]


@dataclass(frozen=True, slots=True)
class Interval:
    """A total and the bounds that hold it with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Step:
    """One pool of the run and its chain. ``skip`` gives seconds a face where the chain cannot run here."""

    name: str
    pool: Pool
    build: chains.Build
    skip: float | None = None


@dataclass(slots=True)
class Sample:
    """What came of the sampled photos, one figure a photo: faces, restored faces, bytes read, seconds of each step."""

    faces: list[float] = field(default_factory=list[float])
    restored: list[float] = field(default_factory=list[float])
    bytes_read: list[float] = field(default_factory=list[float])
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


def estimate(job: Job, work: Work, count: int, cpus: float, seed: int = 0) -> dict[str, Any]:
    """The estimate for all of ``work``, as it stands in the run record. ``cpus`` is what the cluster has."""
    sources = sampled(work, count, seed)
    if not sources:
        raise ConfigError("there is nothing to estimate: no photo is due", "daguerre status says what is done")
    plan = steps(job)
    sample = measured(job, sources, plan)
    rates, pools = job.config.rates, [step.pool for step in plan]
    seconds = [np.array(sample.seconds[step.name]) for step in plan]
    run = widened(interval(seconds, lambda *means: duration(means, work.due, pools, cpus)))
    totals = {
        "faces": scaled(sample.faces, work.due),
        "restored_faces": scaled(sample.restored, work.due),
        "source_bytes": scaled(sample.bytes_read, work.due),
        "seconds": run,
        "price": priced(run, work.bytes_todo, pools, rates),
    }
    facts = {"photos": work.due, "sample": len(sources), "recipe_hash": job.recipe.hash, "source": job.source}
    figures = {name: {"value": it.value, "low": it.low, "high": it.high} for name, it in totals.items()}
    return facts | {"confidence": CONFIDENCE, "currency": rates.currency, **figures}


def sampled(work: Work, count: int, seed: int) -> list[Source]:
    """``count`` of the photos that are due, drawn by ``seed``."""

    def lot(source: Source) -> bytes:
        return hashlib.sha256(f"{seed}/{source.uri}".encode()).digest()

    def due() -> Iterator[Source]:
        for wave in work.waves(WAVE):
            yield from wave
            work.ledger.rows.clear()

    return heapq.nsmallest(count, due(), key=lot)


def steps(job: Job) -> list[Step]:
    """The pools of the run, in order."""
    methods = [
        Step(f"restore {name}", named(job.config, name).pool, partial(chains.restore, name=name), known(job, name))
        for name in job.recipe.methods
    ]
    run = job.config.run
    return [Step("prepare", run.prepare, chains.prepare), *methods, Step("finish", run.finish, chains.finish)]


def known(job: Job, name: str) -> float | None:
    """The seconds a face that the rate table gives for a method; needed where its device is not here."""
    given = job.config.rates.seconds_per_face.get(name)
    if given is None and named(job.config, name).device == "cuda":
        import torch

        if not torch.cuda.device_count():
            hint = f"give rates.seconds_per_face.{name} in the config, or estimate on a machine with a GPU"
            raise ConfigError(f"the sample cannot be worked on here: {name} needs a GPU", hint)
    return given


def measured(job: Job, sources: Sequence[Source], plan: Sequence[Step]) -> Sample:
    """The sample through all steps at once, a batch at a time as in a run."""
    sample, size = Sample(seconds={step.name: [] for step in plan}), job.config.run.batch
    starts = range(0, len(sources), size)
    batches = [given([Photo(source) for source in sources[at : at + size]]) for at in starts]
    turns = threading.Semaphore(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="daguerre-") as folder, ExitStack() as opened:
        elsewhere = replace(job, sink=f"file://{folder}/sink", lease=None)
        works = [opened.enter_context(at_work(step, elsewhere, turns, sample.seconds[step.name])) for step in plan]
        for work in works:
            thread = ThreadPoolExecutor(1)
            opened.callback(thread.shutdown, cancel_futures=True)
            batches = [thread.submit(lambda work, before: work(before.result()), work, batch) for batch in batches]
        photos = [photo for batch in batches for photo in batch.result()]
    for photo in photos:
        sample.faces.append(len(photo.faces))
        sample.restored.append(sum(face.status is FaceStatus.RESTORED for face in photo.faces))
        sample.bytes_read.append(photo.bytes_read)
    return sample


def given(photos: list[Photo]) -> "Future[list[Photo]]":
    """``photos`` as a step's result."""
    result: Future[list[Photo]] = Future()
    result.set_result(photos)
    return result


@contextmanager
def at_work(step: Step, job: Job, turns: threading.Semaphore, seconds: list[float]) -> Generator[OneBatch]:
    """What does one batch of ``step``, in its turn, and adds the ``seconds`` of each photo: its stages' own, and its
    share of the crossing.
    """
    if step.skip is not None:
        yield partial(skipped, step.name.removeprefix("restore "), step.skip, seconds)
        return
    limits = Limits(job.config.run.photo_seconds, job.config.run.worker_memory_mb)
    with closing(Sandbox(pickle.dumps(partial(step.build, job)), limits)) as sandbox:
        sandbox.wait_until_ready()
        yield partial(timed, Supervisor(sandbox), turns, seconds)


def skipped(method: str, each: float, seconds: list[float], batch: list[Photo]) -> list[Photo]:
    """A batch of ``method``, which takes ``each`` seconds a face and is not here."""
    crops = [sum(face.method == method and face.crop is not None for face in photo.faces) for photo in batch]
    seconds += [each * count for count in crops]
    return batch


def timed(supervisor: Supervisor, turns: threading.Semaphore, seconds: list[float], batch: list[Photo]) -> list[Photo]:
    """A batch through a child."""
    with turns:
        started = time.perf_counter()
        after = supervisor(batch)
        wall = time.perf_counter() - started
    own = [spent(new) - spent(old) for new, old in zip(after, batch, strict=True)]
    share = max(0.0, wall - sum(own)) / len(batch)
    seconds += [one + share for one in own]
    return after


def spent(photo: Photo) -> float:
    return sum(photo.seconds.values())


def scaled(figures: Sequence[float], total: int) -> Interval:
    """The total over all photos of a figure that was taken of some of them."""
    return interval([np.array(figures)], lambda mean: mean * total, share=len(figures) / total)


def interval(figures: Sequence[Floats], of_means: Callable[..., float], share: float = 0.0) -> Interval:
    """``of_means`` of the figures' means, with bootstrapped bounds (bias-corrected and accelerated). ``share`` is that
    of all photos which the sample holds: nothing is left open where it is 1.
    """

    def statistic(*samples: Floats) -> float:
        return float(of_means(*(float(one.mean()) for one in samples)))

    value = statistic(*figures)
    if len(figures[0]) < 2 or all(float(np.ptp(one)) == 0 for one in figures):
        return Interval(value, value, value)
    found = stats.bootstrap(
        figures,
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    left = float(np.sqrt(max(0.0, 1 - share)))  # the finite population's
    return Interval(value, value - (value - float(found.low)) * left, value + (float(found.high) - value) * left)


def duration(means: Sequence[float], photos: int, pools: Sequence[Pool], cpus: float) -> float:
    """Seconds of a run whose steps take ``means`` seconds a photo: as long as its slowest pool, or as all of them
    together where they have fewer CPUs than processes (``BUSY``: benchmarks/estimate.py).
    """
    slowest = max(mean / pool.max_size for mean, pool in zip(means, pools, strict=True))
    on_cpus = [mean for mean, pool in zip(means, pools, strict=True) if not pool.gpus]
    return START_SECONDS + photos * max(slowest, sum(on_cpus) / (BUSY * max(1.0, cpus)))


def widened(run: Interval) -> Interval:
    """The interval of a time with ``SPREAD`` in it, beside what the sample leaves open (benchmarks/estimate.py)."""
    more = SPREAD * run.value
    return Interval(
        run.value, run.value - hypot(run.value - run.low, more), run.value + hypot(run.high - run.value, more)
    )


def priced(run: Interval, read: int, pools: Sequence[Pool], rates: Rates) -> Interval:
    """The price of the pools at their largest for the time of the run, and of what is read."""
    an_hour = sum(pool.max_size * (pool.cpus * rates.cpu_hour + pool.gpus * rates.gpu_hour) for pool in pools)
    fixed = read / 1e9 * rates.read_gb
    return Interval(*(fixed + seconds / 3600 * an_hour for seconds in (run.value, run.low, run.high)))


def lines(found: Mapping[str, Any]) -> list[str]:
    """The estimate in lines for people."""
    names = {"faces": ("faces", 1, ""), "restored_faces": ("restored", 1, "faces"), "source_bytes": ("read", 1e9, "GB")}
    names |= {"seconds": ("time", 3600, "h")}
    if found["price"]["value"]:
        names["price"] = ("price", 1, str(found["currency"]))
    told = [f"estimate {found['sample']} of {found['photos']} photos, 95 % intervals"]
    for key, (name, unit, label) in names.items():
        value, low, high = (found[key][bound] / unit for bound in ("value", "low", "high"))
        form = ",.0f" if key in {"faces", "restored_faces"} else ",.3g" if value < 100 else ",.0f"
        told.append(f"{name:<8} {value:{form}} ({low:{form}} to {high:{form}}) {label}".rstrip())
    return told


def keep(storage: Storage, sink: str, run_id: str, found: Mapping[str, Any]) -> str:
    """Store an estimate where the next run finds it; its URI."""
    uri = f"{sink}/estimates/{run_id}.json"
    storage.write(uri, json.dumps(found, indent=1).encode())
    return uri


def newest(job: Job) -> dict[str, Any] | None:
    """The newest estimate of this source by this recipe, if there is one."""
    uris = sorted(entry.uri for entry in listed(job.storage, f"{job.sink}/estimates") if entry.path.endswith(".json"))
    for uri in reversed(uris):
        found = cast("dict[str, Any]", json.loads(job.storage.read(uri)))
        if (found.get("recipe_hash"), found.get("source")) == (job.recipe.hash, job.source):
            return found
    return None
