"""The run record: what a run did, where and how fast. None of it is in a result."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import cv2
import ray

from infra.logs import SECRET_VARIABLES, Redactor
from pipeline.drain import Drain
from pipeline.isolation.faults import OurFault, text
from pipeline.job import Job, code_version
from pipeline.metrics import Series
from pipeline.subset import ALL, Share
from pipeline.tally import Tally
from pipeline.work import Work


@dataclass(slots=True)
class Outcome:
    """What a run came to. ``state`` is "finished", "stopped" (by the failure limit), "interrupted", "waiting" (photos
    are left that need methods without a place on the cluster: ``away``) or "broken" (by ``error``, which is nobody's
    but ours or the operator's). ``shown`` is what of the tally stands in the metrics,
    ``estimate`` what ``plan --estimate`` said of this source and recipe.
    """

    job: Job
    work: Work
    share: Share = ALL
    tally: Tally = field(default_factory=Tally)
    state: str = "finished"
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict[str, Any])
    drain: Drain = field(default_factory=Drain)
    error: Exception | None = None
    away: set[str] = field(default_factory=set[str])
    shown: Series = field(default_factory=Series)
    estimate: dict[str, Any] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Every listed photo's status, those that were done before included."""
        return dict(self.work.done + self.tally.passed + self.tally.photos + self.tally.renewed)

    @property
    def unreached(self) -> int:
        """Photos that a stopped or interrupted run did not come to."""
        return self.work.listed - sum(self.counts.values())


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
        "share": str(outcome.share),
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
        "state": outcome.state,
        "error": told(outcome.error),
        "away": sorted(outcome.away),
        "recipe": job.recipe.model_dump(mode="json"),
        "recipe_hash": job.recipe.hash,
        "code_version": code_version(),
        "counts": {
            "listed": work.listed,
            **outcome.counts,
            "already_done": work.done.total(),
            "renewed": tally.renewed.total(),
        }
        | {"vanished": work.vanished},
        "vanished": work.missing,
        "faces": dict(tally.faces),
        "failures": dict(tally.failures),
        "worked": dict(tally.photos + tally.passed),
        "source_bytes": tally.source_bytes,
        "seconds": outcome.seconds,
        "stage_seconds": dict(tally.seconds),
        "events": {name: int(count) for name, count in tally.events.items()},
        "batches": {name: int(count) for name, count in tally.batches.items()},
        "photos_per_second": tally.total * rate,
        "faces_per_second": tally.faces.total() * rate,
        "machine": outcome.machine,
        "estimate": outcome.estimate,
    }


def told(error: Exception | None) -> dict[str, str] | None:
    """What ended a run: its line and its traceback, without credentials."""
    if error is None:
        return None
    hidden = Redactor(os.environ.get(name, "") for name in SECRET_VARIABLES)
    trace = error.trace if isinstance(error, OurFault) else text(error)
    return {"line": hidden(str(error)), "traceback": hidden(trace)}


def write_record(outcome: Outcome, started: datetime) -> None:
    """Store the run record, last of all."""
    job = outcome.job
    content = json.dumps(record(outcome, started), indent=1).encode()
    job.storage.write(f"{job.sink}/runs/{job.run_id}.json", content)
