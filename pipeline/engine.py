"""The engine of a run: the flow on a Ray cluster, also on one that lacks the machines of a method."""

import logging
from collections.abc import Generator, Sequence
from typing import cast

import pyarrow as pa

from infra.errors import NoPlace
from pipeline import gate as gates
from pipeline.archive import flow, steps
from pipeline.attendance import Attendance
from pipeline.cluster import connect
from pipeline.isolation.faults import cause
from pipeline.metrics import Metrics
from pipeline.parcels import unpack_rows
from pipeline.record import Outcome, machine
from pipeline.resources import check_fits, step_of
from stages.photo import Source

log = logging.getLogger(__name__)


def on_ray(outcome: Outcome) -> Generator[pa.Table]:
    """The flow's rows as they come, from a cluster that the job fits.

    A method without a place for ``run.wait_seconds`` is given up (``outcome.away``) for the rest of the run: photos
    that need it stay without a row, the others go on. Where no method is left nothing goes on: what remains would be
    read for next to nothing. Raises ``NoPlace`` where a step that every photo needs has none.
    """
    job = outcome.job
    todo: Sequence[Source] = outcome.work.todo
    if nothing_left(outcome):
        return
    with connect(job.config.run) as cluster:
        check_fits(job, cluster, outcome.away)
        outcome.machine = machine(cluster)
        while todo and not nothing_left(outcome):
            reached: set[str] = set()
            try:
                for table in through(outcome, todo):
                    reached.update(cast("list[str]", table.column("uri").to_pylist()))
                    yield table
            except NoPlace as fault:
                outcome.away |= lacking(outcome, fault)
                log.warning("%s: photos that need it are left for a later run", fault.message)
                todo = [source for source in todo if source.uri not in reached]
            else:
                return


def nothing_left(outcome: Outcome) -> bool:
    """Whether every method has been given up."""
    return bool(outcome.away) and outcome.away >= set(outcome.job.recipe.methods)


def through(outcome: Outcome, todo: Sequence[Source]) -> Generator[pa.Table]:
    """The rows of ``todo`` from one flow, without the methods that are away. Raises ``NoPlace``."""
    job, before = outcome.job, outcome.tally.total
    names = [step.name for step in steps(job, outcome.away)]
    with gates.opened(frozenset(outcome.away)) as gate:
        attendance = Attendance(names, gate, job.config.run.wait_seconds, outcome.drain.wake)
        metrics = Metrics(outcome)
        try:
            with outcome.drain.until(lambda: gate.close() == outcome.tally.total - before), attendance:
                photos = flow(job, todo, gate)
                for block in photos.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    attendance.moved()
                    yield from unpack_rows(cast("pa.Table", block))
                    metrics.show()
        except KeyboardInterrupt:
            if outcome.drain.asked or not attendance.given_up:
                raise
            raise no_place(attendance.given_up, job.config.run.wait_seconds) from None
        except Exception as error:
            raise gate.reported() or cause(error) from None
        finally:
            metrics.show()


def no_place(missing: Sequence[str], seconds: float) -> NoPlace:
    hint = "the same command later goes on from here; look after the machines, or raise run.wait_seconds"
    return NoPlace(f"the cluster had no place for {', '.join(missing)} in {seconds:g} s", hint, tuple(missing))


def lacking(outcome: Outcome, fault: NoPlace) -> set[str]:
    """The methods that ``fault`` is about. Where it is about another step, it is raised."""
    methods = {step_of(name): name for name in outcome.job.recipe.methods}
    if not methods.keys() >= set(fault.steps):
        raise fault
    return {methods[step] for step in fault.steps}
