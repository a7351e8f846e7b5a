"""One run: list, compare, let the flow work, publish. The driver is the manifest's only writer."""

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from infra.errors import ConfigError, RecipeError
from infra.storage import StorageFault
from pipeline import ledger as ledgers
from pipeline.columns import rows
from pipeline.compaction import compact
from pipeline.drain import Drain
from pipeline.engine import on_ray
from pipeline.estimate import newest
from pipeline.job import Job
from pipeline.lease import Guarded, Holder, lease_uri
from pipeline.ledger import Ledger
from pipeline.progress import Progress
from pipeline.publisher import Publisher
from pipeline.record import Outcome, write_record
from pipeline.retry import Retry
from pipeline.subset import ALL, Share
from pipeline.work import Trial, plan_work
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
    share: Share = ALL,
    take_over: bool = False,
) -> Outcome:
    """Work on everything that the ledger lacks, publish its rows and the run record. ``engine`` is Ray by default."""
    check_limit(job.config.run.max_failed)
    job = placed(job, new_recipe)
    storage = Guarded(job.config.storage, lease_uri(job.sink, share), job.run_id)
    job = replace(job, lease=storage)
    with Holder(storage, share, job.config.run.lease_seconds).take(take_over):
        try:
            return run(job, retry, trial, quiet, engine or on_ray, share)
        except Exception:  # always raised again; whatever went wrong, a lost lease is what the operator must know
            with suppress(StorageFault):
                storage.check(again=True)
            raise


def run(job: Job, retry: Retry, trial: Trial, quiet: bool, engine: Engine, share: Share) -> Outcome:
    """The same, by the owner of the sink."""
    job.storage.sweep(job.sink)
    ledger = opened(job)
    work = plan_work(job, ledger, retry, trial, share)
    log.info("%d listed, %d done before, %d to do", work.listed, work.done.total(), work.due)
    started = datetime.now(UTC)
    outcome = Outcome(
        job, work, share, drain=Drain(job.config.run.drain_seconds), estimate=newest(job) if work.due else None
    )
    clock = time.monotonic()
    with closing(Publisher(job, ledger)) as publisher:
        skip(publisher, outcome)
        work_in_waves(publisher, outcome, engine, quiet)
    compact(ledger, job.config.run.small_parts, None if share.whole else job.run_id)
    ledger.tidy()
    outcome.seconds = time.monotonic() - clock
    write_record(outcome, started)
    if outcome.error:
        raise outcome.error
    return outcome


def work_in_waves(publisher: Publisher, outcome: Outcome, engine: Engine, quiet: bool) -> None:
    """Everything that is due, so much at a time that nothing grows with the archive."""
    settings = outcome.job.config.run
    with outcome.drain:
        for _ in outcome.work.waves(settings.wave):
            if outcome.drain.asked:
                outcome.state = "interrupted"
            else:
                work_through(publisher, outcome, engine, quiet)
            publisher.publish()
            publisher.ledger.rows.clear()
            compact(publisher.ledger, settings.small_parts, outcome.job.run_id)
            if outcome.state != "finished":
                return
    if outcome.away and outcome.tally.total < outcome.work.due:
        outcome.state = "waiting"


def work_through(publisher: Publisher, outcome: Outcome, engine: Engine, quiet: bool) -> None:
    """Publish what the engine brings, to its end, to the failure limit, until the operator interrupts it, or until
    something breaks that is no photo's fault.
    """
    tally, todo, drain = outcome.tally, outcome.work.due, outcome.drain
    with Progress(todo, quiet) as progress, closing(engine(outcome)) as tables:
        try:
            for table in drain.through(tables):
                tally.add(table, publisher.ledger.rows)
                publisher.add(table)
                progress.show(tally)
                if tally.over(outcome.job.config.run.max_failed, todo):
                    outcome.state = "stopped"
                    break
            else:
                outcome.state = "interrupted" if drain.asked and tally.total < todo else "finished"
        except KeyboardInterrupt:
            outcome.state = "finished" if drain.over and tally.total == todo else "interrupted"
        except Exception as error:
            outcome.state, outcome.error = "broken", error


def skip(publisher: Publisher, outcome: Outcome) -> None:
    """Files that are no photos get their rows without ever being read."""
    for photos in outcome.work.skipped(outcome.job.config.run.part_rows):
        table = rows(photos)
        publisher.add(table)
        outcome.tally.passed["skipped"] += table.num_rows
        if not publisher.waiting:
            publisher.ledger.rows.clear()


def placed(job: Job, new_recipe: bool) -> Job:
    """The job in the folder ``recipes/<hash>`` of its sink, if ``new_recipe`` and the sink is another recipe's."""
    if not new_recipe or ledgers.load(job.storage, job.sink).hashes <= {job.recipe.hash}:
        return job
    return replace(job, sink=f"{job.sink}/recipes/{job.recipe.hash}")


def opened(job: Job) -> Ledger:
    """The job's ledger. A sink of another recipe is refused."""
    ledger = ledgers.load(job.storage, job.sink, job.source)
    check_recipe(job, ledger)
    return ledger


def check_recipe(job: Job, ledger: Ledger) -> None:
    """Refuse a sink whose rows were made by another recipe."""
    others = sorted(ledger.hashes - {job.recipe.hash})
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
