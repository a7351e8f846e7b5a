"""What a run has done so far as metrics: ``ray.util.metrics``, which every node of a Ray cluster offers to Prometheus.

The driver alone counts, from the rows that come back, as the run record does: at the end both say the same. Ray puts
``ray_`` before each name. Without Ray's full installation (extra ``metrics``) nobody listens, and nothing is lost.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.record import Outcome
    from pipeline.tally import Tally

COUNTERS: Final[Mapping[str, tuple[str, str]]] = {  # name: the tag beside "run", what it counts
    "daguerre_photos_total": ("status", "photos that the run has worked on, by status"),
    "daguerre_renewed_total": ("status", "photos whose content was the known one, by their row's status"),
    "daguerre_faces_total": ("status", "faces by status"),
    "daguerre_failures_total": ("class", "failed photos by class"),
    "daguerre_source_bytes_total": ("", "bytes read from the source"),
    "daguerre_stage_seconds_total": ("stage", "seconds of work by stage, all processes together"),
    "daguerre_events_total": ("event", "out_of_memory, worker_deaths"),
    "daguerre_batches_total": ("", "batches that went through methods"),
    "daguerre_batch_faces_total": ("", "faces in them: divided by the batches, the mean size of a batch"),
}
GAUGES: Final[Mapping[str, str]] = {
    "daguerre_photos_due": "photos that the run has to work on",
    "daguerre_photos_waiting": "of these, the ones that are not done",
}
Series = dict[tuple[str, str], float]  # (name of the metric, value of its tag): figure


def figures(tally: "Tally") -> Series:
    """Every counter as ``tally`` has it."""
    found: Mapping[str, Mapping[str, float]] = {
        "daguerre_photos_total": tally.photos + tally.passed,
        "daguerre_renewed_total": tally.renewed,
        "daguerre_faces_total": tally.faces,
        "daguerre_failures_total": tally.failures,
        "daguerre_source_bytes_total": {"": tally.source_bytes},
        "daguerre_stage_seconds_total": tally.seconds,
        "daguerre_events_total": tally.events,
        "daguerre_batches_total": {"": tally.batches["batches"]},
        "daguerre_batch_faces_total": {"": tally.batches["batch_faces"]},
    }
    return {(name, tag): float(value) for name, series in found.items() for tag, value in series.items()}


class Metrics:
    """The metrics of one run. ``show`` brings them up to what the tally says; what was shown is the outcome's, so that
    every wave may have metrics of its own.
    """

    def __init__(self, outcome: "Outcome") -> None:
        from ray.util.metrics import Counter, Gauge

        self.outcome = outcome
        self.run = outcome.job.run_id
        self.counters: dict[str, Any] = {
            name: Counter(name, text, tag_keys=("run", tag) if tag else ("run",))
            for name, (tag, text) in COUNTERS.items()
        }
        self.gauges: dict[str, Any] = {name: Gauge(name, text, tag_keys=("run",)) for name, text in GAUGES.items()}
        self.show()

    def show(self) -> None:
        """Add to the counters what came since the last time."""
        for (name, value), total in figures(self.outcome.tally).items():
            more = total - self.outcome.shown.get((name, value), 0.0)
            if more > 0:
                tag = COUNTERS[name][0]
                self.counters[name].inc(more, {"run": self.run} | ({tag: value} if tag else {}))
                self.outcome.shown[name, value] = total
        due = self.outcome.work.due
        waiting = {"daguerre_photos_due": due, "daguerre_photos_waiting": max(0, due - self.outcome.tally.total)}
        for name, value in waiting.items():
            self.gauges[name].set(value, {"run": self.run})
