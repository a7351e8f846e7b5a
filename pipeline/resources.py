"""Whether a job fits its cluster. Pools that do not fit hang for ever without a word, so this is asked first.

The source is read inside the first pool: there is no read task of Ray's beside the pools.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from infra.errors import ResourceError
from pipeline.job import Job
from stages.recipe import named


@dataclass(frozen=True, slots=True)
class Need:
    """What one step asks for at least: ``count`` actors or tasks of ``cpus`` and ``gpus`` each."""

    step: str
    count: int
    cpus: float
    gpus: float = 0


def step_of(method: str) -> str:
    """What the step of a method is called."""
    return f"restore {method}"


def needs(job: Job, away: Collection[str] = ()) -> list[Need]:
    """Every step of the flow, in order, without those of the methods ``away``."""
    run = job.config.run
    methods = [(step_of(name), named(job.config, name).pool) for name in job.recipe.methods if name not in away]
    pools = [("prepare", run.prepare), *methods, ("finish", run.finish)]
    return [Need(name, pool.min_size, pool.cpus, pool.gpus) for name, pool in pools]


def check_fits(job: Job, cluster: Mapping[str, float], away: Collection[str] = ()) -> None:
    """Raise ``ResourceError`` if the smallest pools together, without those of the methods ``away``, exceed the
    cluster, and what it may grow to.
    """
    asked, growth = needs(job, away), job.config.run.grows_to
    for kind, unit, total, most in (
        ("CPU", "cpus", sum(need.count * need.cpus for need in asked), growth.cpus),
        ("GPU", "gpus", sum(need.count * need.gpus for need in asked), growth.gpus),
    ):
        there = max(cluster.get(kind, 0.0), most)
        if total > there + 1e-9:
            parts = ", ".join(
                f"{need.step} {need.count * getattr(need, unit):g}" for need in asked if getattr(need, unit)
            )
            hint = f"lower {unit} or min_size of the pools in the config, or use a larger cluster"
            raise ResourceError(f"the job needs {total:g} {kind}s, the cluster has {there:g} ({parts})", hint)
