"""Publishing: rows become manifest parts, after the results that they mention."""

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.job import Job, code_version
from pipeline.ledger import Ledger
from pipeline.manifest import SCHEMA

Row = dict[str, Any]


class Publisher:
    """Collects rows and publishes them after ``part_rows`` rows or ``part_seconds`` seconds, and at the end."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self.job = job
        self.ledger = ledger
        self.recipe = job.recipe.model_dump(mode="json")
        self.facts = facts(job)
        self.waiting: list[pa.Table] = []
        self.renewed: list[Row] = []
        self.since = time.monotonic()
        self.number = 0

    def add(self, table: pa.Table) -> None:
        """Take in rows of the transit schema whose results are stored."""
        self.waiting.append(self.complete(table.filter(pc.invert(table.column("renewed")))))
        self.renewed += table.filter(table.column("renewed")).select(["uri", "size", "etag", "mtime"]).to_pylist()
        run = self.job.config.run
        count = sum(part.num_rows for part in self.waiting) + len(self.renewed)
        if count >= run.part_rows or time.monotonic() - self.since >= run.part_seconds:
            self.publish()

    def publish(self) -> None:
        """Publish what is waiting. Interrupted, it may be called again: the same rows go under the same name."""
        table = pa.concat_tables([*self.waiting, self.taken_over()])
        if table.num_rows:
            self.ledger.publish(self.number + 1, self.job.run_id, table, self.recipe)
            self.number += 1
        self.waiting, self.renewed = [], []
        self.since = time.monotonic()

    close = publish

    def complete(self, table: pa.Table) -> pa.Table:
        """Rows of the manifest: the run's own columns filled."""
        worked = table.select(SCHEMA.names)
        for name, value in self.facts.items():
            index, kind = SCHEMA.get_field_index(name), SCHEMA.field(name).type
            worked = worked.set_column(index, SCHEMA.field(name), pa.array([value] * worked.num_rows, kind))
        return worked.cast(SCHEMA)

    def taken_over(self) -> pa.Table:
        """The renewed photos' published rows, with what the listing says now."""
        before = self.ledger.published(row["uri"] for row in self.renewed)
        return pa.Table.from_pylist([before[row["uri"]] | row for row in self.renewed], schema=SCHEMA)


def facts(job: Job) -> dict[str, Any]:
    """The columns that are the same for every row of a run."""
    return {
        "run_id": job.run_id,
        "detector": job.recipe.detect.detector if job.recipe.detect else None,
        "recipe": job.recipe.hash,
        "weights": sorted(job.recipe.weights.items()),
        "code_version": code_version(),
    }
