"""What a run has done so far, counted from the rows that come back."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.index import Known
from stages.photo import Status

SEEN_BEFORE_STOPPING = 200
BATCHES = frozenset({"batches", "batch_faces"})  # what ``stages.restore`` counts of its batches
NEEDED = ["uri", "status", "error", "faces", "seconds", "events", "renewed"]


@dataclass(slots=True)
class Tally:
    """Photos and faces by status, failures by class, seconds by stage, events, batches of methods, bytes read from the
    source.

    ``passed`` counts files that were never read because they are no photos: they are in no rate and no limit.
    """

    photos: Counter[str] = field(default_factory=Counter[str])
    faces: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    seconds: Counter[str] = field(default_factory=Counter[str])
    events: Counter[str] = field(default_factory=Counter[str])
    batches: Counter[str] = field(default_factory=Counter[str])
    renewed: Counter[str] = field(default_factory=Counter[str])
    passed: Counter[str] = field(default_factory=Counter[str])
    source_bytes: int = 0

    @property
    def total(self) -> int:
        return self.photos.total() + self.renewed.total()

    def add(self, table: pa.Table, published: Mapping[str, Known]) -> None:
        """Count the rows of ``table`` (the transit schema). A renewed photo counts with the status of its
        ``published`` row.
        """
        self.source_bytes += pc.sum(table.column("bytes_read")).as_py() or 0
        rows: list[dict[str, Any]] = table.select(NEEDED).to_pylist()
        for row in rows:
            self.seconds.update(dict(row["seconds"]))
            for name, count in row["events"]:
                (self.batches if name in BATCHES else self.events)[name] += count
            if row["renewed"]:
                self.renewed[published[row["uri"]].status] += 1
                continue
            self.photos[row["status"]] += 1
            self.faces.update(face["status"] for face in row["faces"])
            if row["status"] == Status.FAILED:
                self.failures[row["error"]["class"]] += 1

    def over(self, limit: str | None, todo: int) -> bool:
        """Whether more photos failed than ``limit`` ("5%" of those seen, or a number) allows, and some are left."""
        if limit is None or self.total >= todo:
            return False
        failed = self.photos[Status.FAILED]
        if limit.endswith("%"):
            return self.total >= SEEN_BEFORE_STOPPING and failed > self.total * float(limit[:-1]) / 100
        return failed > int(limit)
