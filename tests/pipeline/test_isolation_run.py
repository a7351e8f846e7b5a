"""Real runs on Ray with photos that end or hang their worker, actors that are killed, and errors that are ours."""

import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from infra.errors import WeightsError
from pipeline import archive, chains
from pipeline.isolation.faults import OurFault
from pipeline.job import Job
from pipeline.record import Outcome
from stages.stage import Stage
from tests.pipeline.conftest import portrait
from tests.pipeline.isolation.villains import Brighten, failing_builder
from tests.pipeline.test_run import results, rows, stable

Restoring = Callable[..., Outcome]
SETTINGS = {
    "aligned": True,
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
}
RUN = {"batch": 8, "part_rows": 3}


def with_villains(job: Job, once: Path | None = None) -> list[Stage]:
    """The first chain, behind a stage that photos with the name of a deed go wrong in."""
    return [Villain(once), *chains.prepare(job)]


class Villain(Brighten):
    """Deeds by the name of the file, without its ending."""
