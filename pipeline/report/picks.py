"""Which photos the report shows. Every choice depends on the rows alone, not on their order."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.report.columns import Faces, objects
from pipeline.report.columns import field as part

Row = dict[str, Any]

WORST, REJECTED, SAMPLE, UNTOUCHED = 6, 6, 6, 4
FAILED = 200
EXAMPLES = 3  # a failure class
CLASSES = 40
TIE = 1e-9  # share of the lot in a key that may be the same for many rows


class Smallest:
    """The rows with the ``limit`` smallest keys of any number of batches."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: list[tuple[float, str, Row]] = []

    def offer(self, keys: NDArray[np.float64], batch: pa.RecordBatch) -> None:
        """Take in a batch with one key a row; rows with infinite or NaN keys are passed over."""
        full = len(self._entries) == self._limit
        good = np.isfinite(keys) & (keys <= self._entries[-1][0] if full else True)
        rows = np.flatnonzero(good)
        if len(rows) > self._limit:
            rows = rows[np.argpartition(keys[rows], self._limit)[: self._limit]]
        if len(rows):
            found = batch.take(pa.array(rows, pa.int64())).to_pylist()
            entries = [(float(key), str(row["uri"]), row) for key, row in zip(keys[rows], found, strict=True)]
            self._entries = sorted(self._entries + entries, key=lambda entry: entry[:2])[: self._limit]

    def rows(self) -> list[Row]:
        """The rows, smallest key first."""
        return [row for _, _, row in self._entries]


@dataclass(slots=True)
class Picks:
    """The photos that are shown, and one listing of the failed."""

    worst: Smallest = field(default_factory=lambda: Smallest(WORST))
    rejected: Smallest = field(default_factory=lambda: Smallest(REJECTED))
    restored: Smallest = field(default_factory=lambda: Smallest(WORST + REJECTED + SAMPLE))
    untouched: Smallest = field(default_factory=lambda: Smallest(UNTOUCHED + REJECTED))
    failed: Smallest = field(default_factory=lambda: Smallest(FAILED))
    examples: dict[str, Smallest] = field(default_factory=dict[str, Smallest])

    def add(self, batch: pa.RecordBatch, faces: Faces) -> None:
        """Offer a batch of manifest rows, whose faces are ``faces``."""
        lots, status = lottery(batch), objects(batch.column("status"))
        self.worst.offer(faces.worst_change() + TIE * lots, batch)
        self.rejected.offer(only(lots, faces.count("rejected") + faces.count("failed") > 0), batch)
        self.restored.offer(only(lots, status == "restored"), batch)
        self.untouched.offer(only(lots, np.isin(status.astype(str), ["unchanged", "no_face"])), batch)
        self.failed.offer(only(lots, status == "failed"), batch)
        self._add_examples(batch, lots)

    def _add_examples(self, batch: pa.RecordBatch, lots: NDArray[np.float64]) -> None:
        kinds = objects(part(batch.column("error"), "class"))
        for kind in sorted({kind for kind in kinds.tolist() if kind}):
            if kind in self.examples or len(self.examples) < CLASSES:
                self.examples.setdefault(kind, Smallest(EXAMPLES)).offer(only(lots, kinds == kind), batch)

    def sections(self) -> dict[str, list[Row]]:
        """The photos to show, each once: "worst", "rejected", "sample", "untouched".

        At most a third of the restored photos are the worst, so that a small archive has a sample too.
        """
        restored = self.restored.rows()
        worst = self.worst.rows()[: -(-len(restored) // 3)]
        shown = {row["uri"] for row in worst}
        sections = {"worst": worst}
        rest = (("rejected", self.rejected, REJECTED), ("sample", self.restored, SAMPLE))
        for name, source, limit in (*rest, ("untouched", self.untouched, UNTOUCHED)):
            sections[name] = [row for row in source.rows() if row["uri"] not in shown][:limit]
            shown |= {row["uri"] for row in sections[name]}
        return sections


def lottery(batch: pa.RecordBatch) -> NDArray[np.float64]:
    """(rows,) a number in [0, 1) for each URI, the same in every report."""
    digests = b"".join(blake2b(str(uri).encode(), digest_size=8).digest() for uri in batch.column("uri").to_pylist())
    return np.frombuffer(digests, np.uint64) / 2.0**64


def only(keys: NDArray[np.float64], wanted: Any) -> NDArray[np.float64]:
    """``keys``, infinite where not ``wanted``."""
    return np.where(wanted, keys, np.inf)
