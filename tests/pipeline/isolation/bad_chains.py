"""The real first chain behind stages that go wrong. Children of real runs import this module."""

from pathlib import Path

from pipeline import chains
from pipeline.job import Job
from stages.stage import Singly, Stage
from tests.pipeline.isolation.villains import Brighten, Slow


def prepare_with_villains(job: Job, once: Path | None = None) -> list[Stage]:
    """Photos with the name of a deed go wrong before they are read."""
    return [Singly([Brighten(once)]), *chains.prepare(job)]


def prepare_slowly(job: Job, marks: Path | None = None) -> list[Stage]:
    return [Slow(marks), *chains.prepare(job)]
