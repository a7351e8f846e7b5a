"""One run: list, compare, let the flow work, publish. The driver is the manifest's only writer."""

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pyarrow as pa

from infra.errors import ConfigError, RecipeError
from pipeline import ledger as ledgers
from pipeline.archive import flow
from pipeline.cluster import connect
from pipeline.columns import Columns
from pipeline.drain import Drain
from pipeline.gate import opened
from pipeline.isolation.faults import cause
from pipeline.job import Job
from pipeline.ledger import Ledger, Retry
from pipeline.progress import Progress
from pipeline.publisher import Publisher
from pipeline.record import Outcome, machine, write_record
from pipeline.resources import check_fits
from pipeline.work import Trial, batches, plan_work
from stages.recipe import differences

log = logging.getLogger(__name__)

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
    outcome = Outcome(job, work, drain=Drain(job.config.run.drain_seconds))
    clock = time.monotonic()
    with closing(Publisher(job, ledger)) as publisher:
        skip(publisher, outcome)
        if work.todo:
            work_through(publisher, outcome, engine or on_ray, quiet)
    ledger.tidy()
    outcome.seconds = time.monotonic() - clock
    write_record(outcome, started)
    if outcome.error:
        raise outcome.error
    return outcome


def work_through(publisher: Publisher, outcome: Outcome, engine: Engine, quiet: bool) -> None:
    """Publish what the engine brings, to its end, to the failure limit, until the operator interrupts it, or until
    something breaks that is no photo's fault.
    """
    tally, todo, drain = outcome.tally, len(outcome.work.todo), outcome.drain
    with Progress(todo, quiet) as progress, drain, closing(engine(outcome)) as tables:
        try:
            for table in drain.through(tables):
                tally.add(table, publisher.ledger.rows)
                publisher.add(table)
                progress.show(tally)
                if tally.over(outcome.job.config.run.max_failed, todo):
                    outcome.state = "stopped"
                    break
            else:
                if drain.asked and tally.total < todo:
                    outcome.state = "interrupted"
        except KeyboardInterrupt:
            outcome.state = "interrupted"
        except Exception as error:
            outcome.state, outcome.error = "broken", error


def on_ray(outcome: Outcome) -> Generator[pa.Table]:
    """The flow's rows as they come, from a cluster that the job fits."""
    job = outcome.job
    with connect(job.config.run) as cluster:
        check_fits(job, cluster)
        outcome.machine = machine(cluster)
        with opened() as gate, outcome.drain.until(lambda: gate.close() == outcome.tally.total):
            photos = flow(job, outcome.work.todo, gate)
            try:
                for table in photos.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    yield cast("pa.Table", table)
            except Exception as error:
                raise gate.reported() or cause(error) from None


def skip(publisher: Publisher, outcome: Outcome) -> None:
    """Files that are no photos get their rows without ever being read."""
    columns = Columns(outcome.job.sizes)
    for photos in batches(outcome.work.skipped, outcome.job.config.run.part_rows):
        table = columns.table(photos, pixels=False)
        publisher.add(table)
        outcome.tally.passed["skipped"] += table.num_rows


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
