"""Counts over all rows: statuses, failures and mean quality."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.report.columns import Faces, Figures, Values, figures, objects
from pipeline.report.columns import field as part


@dataclass(slots=True)
class Mean:
    """A measure's mean before and after, over what has both."""

    count: int = 0
    before: float = 0.0
    after: float = 0.0

    def add(self, before: Values, after: Values) -> None:
        known = np.isfinite(before) & np.isfinite(after)
        before, after = before[known], after[known]
        if total := self.count + len(before):
            self.before += (float(before.sum()) - len(before) * self.before) / total
            self.after += (float(after.sum()) - len(after) * self.after) / total
            self.count = total


@dataclass(slots=True)
class Tally:
    """What was counted so far; ``failures`` is by class, of failed and of skipped photos."""

    photos: Counter[str] = field(default_factory=Counter[str])
    faces: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    skips: Counter[str] = field(default_factory=Counter[str])
    face_quality: dict[str, Mean] = field(default_factory=dict[str, Mean])
    photo_quality: dict[str, Mean] = field(default_factory=dict[str, Mean])

    def add(self, batch: pa.RecordBatch, faces: Faces) -> None:
        """Count a batch of manifest rows, whose faces are ``faces``."""
        status = objects(batch.column("status"))
        self.photos.update(counted(status))
        self.faces.update(counted(faces.status))
        kinds = objects(part(batch.column("error"), "class"))
        self.failures.update(counted(kinds[status == "failed"]))
        self.skips.update(counted(kinds[status == "skipped"]))
        restored = faces.status == "restored"
        average(self.face_quality, chosen(faces.before, restored), chosen(faces.after, restored))
        average(self.photo_quality, figures(batch.column("before")), figures(batch.column("after")))


def counted(values: NDArray[np.object_]) -> Counter[str]:
    """How often each value occurs; null is "unknown"."""
    return Counter("unknown" if value is None else str(value) for value in values.tolist())


def chosen(columns: Figures, rows: NDArray[np.bool_]) -> Figures:
    return {name: column[rows] for name, column in columns.items()}


def average(means: dict[str, Mean], before: Figures, after: Figures) -> None:
    """Add the measures that both sides have."""
    for name in before.keys() & after.keys():
        means.setdefault(name, Mean()).add(before[name], after[name])
