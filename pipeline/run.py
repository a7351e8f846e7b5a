"""One run: list, compare, let the flow work, publish. The driver is the manifest's only writer."""

import importlib.metadata
import json
import logging
import math
import platform
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import ray

from infra.errors import ConfigError, RecipeError
from pipeline import ledger as ledgers
from pipeline.archive import flow
from pipeline.cluster import connect
from pipeline.columns import Columns
from pipeline.job import Job, code_version
from pipeline.ledger import Ledger, Retry
from pipeline.manifest import SCHEMA
from pipeline.progress import Progress
from pipeline.resources import check_fits
from pipeline.tally import Tally
from pipeline.work import Trial, Work, batches, plan_work
from stages.recipe import differences

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What a run came to. ``state`` is "finished", "stopped" (by the failure limit) or "interrupted"."""

    job: Job
    work: Work
    tally: Tally = field(default_factory=Tally)
    state: str = "finished"
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def counts(self) -> dict[str, int]:
        """Every listed photo's status, those that were done before included."""
        return dict(self.work.done + self.tally.photos + self.tally.renewed)

    @property
    def unreached(self) -> int:
        """Photos that a stopped or interrupted run did not come to."""
        return self.work.listed - sum(self.counts.values())


Engine = Callable[[Outcome], Generator[pa.Table]]


def restore(
    job: Job,
    retry: Retry,
    trial: Trial,
    new_recipe: bool = False,
    quiet: bool = False,
    engine: Engine | None = None,
) -> Outcome:
    """Work on everything that the ledger lacks, publish its rows and the run record. ``engine`` is Ray by default."""
    check_limit(job.config.run.max_failed)
    job, ledger = open_sink(job, new_recipe)
    job.storage.sweep(job.sink)
    work = plan_work(job, ledger, retry, trial)
    log.info("%d listed, %d done before, %d to do", work.listed, work.done.total(), len(work.todo))
    started = datetime.now(UTC)
    outcome = Outcome(job, work)
    clock = time.monotonic()
    with closing(Publisher(job, ledger)) as publisher:
        skip(publisher, outcome)
        if work.todo:
            work_through(publisher, outcome, engine or on_ray, quiet)
    ledger.tidy()
    outcome.seconds = time.monotonic() - clock
    write_record(outcome, started)
    return outcome


def work_through(publisher: "Publisher", outcome: Outcome, engine: Engine, quiet: bool) -> None:
    """Publish what the engine brings, to its end, to the failure limit, or until the operator interrupts it."""
    tally, todo = outcome.tally, len(outcome.work.todo)
    with Progress(todo, quiet) as progress, closing(engine(outcome)) as tables:
        try:
            for table in tables:
                publisher.add(table)
                tally.add(table, publisher.ledger.rows)
                progress.show(tally)
                if tally.over(outcome.job.config.run.max_failed, todo):
                    outcome.state = "stopped"
                    break
        except KeyboardInterrupt:
            outcome.state = "interrupted"


def on_ray(outcome: Outcome) -> Generator[pa.Table]:
    """The flow's rows as they come, from a cluster that the job fits."""
    job = outcome.job
    with connect(job.config.run) as cluster:
        check_fits(job, cluster)
        outcome.machine = machine(cluster)
        photos = flow(job, outcome.work.todo)
        for table in photos.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield cast("pa.Table", table)


def skip(publisher: "Publisher", outcome: Outcome) -> None:
    """Files that are no photos get their rows without ever being read."""
    columns = Columns(outcome.job.sizes)
    for photos in batches(outcome.work.skipped, outcome.job.config.run.part_rows):
        table = columns.table(photos, pixels=False)
        publisher.add(table)
        outcome.tally.add(table, publisher.ledger.rows)


class Publisher:
    """Collects rows and publishes them after ``part_rows`` rows or ``part_seconds`` seconds, and at the end."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self.job = job
        self.ledger = ledger
        self.recipe = job.recipe.model_dump(mode="json")
        self.facts = facts(job)
        self.waiting: list[pa.Table] = []
        self.since = time.monotonic()
        self.number = 0

    def add(self, table: pa.Table) -> None:
        """Take in rows of the transit schema whose results are stored."""
        self.waiting.append(self.complete(table))
        run = self.job.config.run
        count = sum(part.num_rows for part in self.waiting)
        if count >= run.part_rows or time.monotonic() - self.since >= run.part_seconds:
            self.publish()

    def publish(self) -> None:
        """Publish what is waiting."""
        if self.waiting:
            self.number += 1
            table = pa.concat_tables(self.waiting)
            self.ledger.publish(self.number, self.job.run_id, table, self.recipe)
        self.waiting = []
        self.since = time.monotonic()

    close = publish

    def complete(self, table: pa.Table) -> pa.Table:
        """Rows of the manifest: the run's own columns filled, renewed rows taken over from the ledger."""
        renewed = table.filter(table.column("renewed")).select(["uri", "size", "etag", "mtime"]).to_pylist()
        worked = table.filter(pc.invert(table.column("renewed"))).select(SCHEMA.names)
        for name, value in self.facts.items():
            index, kind = SCHEMA.get_field_index(name), SCHEMA.field(name).type
            worked = worked.set_column(index, SCHEMA.field(name), pa.array([value] * worked.num_rows, kind))
        before = self.ledger.published(row["uri"] for row in renewed)
        kept = pa.Table.from_pylist([before[row["uri"]] | row for row in renewed], schema=SCHEMA)
        return pa.concat_tables([worked.cast(SCHEMA), kept])


def facts(job: Job) -> dict[str, Any]:
    """The columns that are the same for every row of a run."""
    return {
        "run_id": job.run_id,
        "recipe": job.recipe.hash,
        "weights": sorted(job.recipe.weights.items()),
        "code_version": code_version(),
    }


def open_sink(job: Job, new_recipe: bool) -> tuple[Job, Ledger]:
    """The job's ledger. A sink of another recipe is refused, or left for its folder ``recipes/<hash>`` on
    ``new_recipe``.
    """
    ledger = ledgers.load(job.storage, job.sink)
    if new_recipe and any(known.recipe != job.recipe.hash for known in ledger.rows.values()):
        job = replace(job, sink=f"{job.sink}/recipes/{job.recipe.hash}")
        ledger = ledgers.load(job.storage, job.sink)
    check_recipe(job, ledger)
    return job, ledger


def check_recipe(job: Job, ledger: Ledger) -> None:
    """Refuse a sink whose rows were made by another recipe."""
    others = sorted({known.recipe for known in ledger.rows.values()} - {job.recipe.hash})
    if not others:
        return
    new = job.recipe.model_dump(mode="json")
    lines = differences(ledger.recipes.get(others[0], {}), new)
    hint = "use the same options, or --new-recipe to work into recipes/<hash>/ of this sink"
    raise RecipeError(f"{job.sink} was made by another recipe ({others[0]}): {'; '.join(lines)}", hint)


def check_limit(limit: str | None) -> None:
    try:
        value = float((limit or "0").removesuffix("%"))
        good = 0 <= value < math.inf and ((limit or "").endswith("%") or value.is_integer())
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"run.max_failed: {limit} is neither a number nor a share", 'for example "5%" or "20"')


def machine(cluster: Mapping[str, float]) -> dict[str, Any]:
    """Where a run was: for the record only."""
    return {
        "cpus": cluster.get("CPU", 0.0),
        "gpus": cluster.get("GPU", 0.0),
        "nodes": len(ray.nodes()),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "torch": importlib.metadata.version("torch"),
        "opencv": cv2.__version__,
    }


def record(outcome: Outcome, started: datetime) -> dict[str, Any]:
    """The run record: facts of the run, none of which is in a result."""
    job, tally, work = outcome.job, outcome.tally, outcome.work
    rate = 1 / outcome.seconds if outcome.seconds else 0.0
    return {
        "run_id": job.run_id,
        "source": job.source,
        "sink": job.sink,
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
        "state": outcome.state,
        "recipe": job.recipe.model_dump(mode="json"),
        "recipe_hash": job.recipe.hash,
        "code_version": code_version(),
        "counts": {
            "listed": work.listed,
            **outcome.counts,
            "already_done": work.done.total(),
            "renewed": tally.renewed.total(),
        }
        | {"vanished": len(work.vanished)},
        "vanished": work.vanished[:1000],
        "faces": dict(tally.faces),
        "failures": dict(tally.failures),
        "source_bytes": tally.source_bytes,
        "seconds": outcome.seconds,
        "stage_seconds": dict(tally.seconds),
        "photos_per_second": tally.total * rate,
        "faces_per_second": tally.faces.total() * rate,
        "machine": outcome.machine,
    }


def write_record(outcome: Outcome, started: datetime) -> None:
    """Store the run record, last of all."""
    job = outcome.job
    content = json.dumps(record(outcome, started), indent=1).encode()
    job.storage.write(f"{job.sink}/runs/{job.run_id}.json", content)
