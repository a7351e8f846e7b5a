"""How long the diff of a large listing against a large manifest takes, and how much memory.

    python benchmarks/ledger.py [--rows 10000000] [--changed 0] [--first]

Writes a manifest of so many rows (parts of 100,000, whole schema, one face a photo) below a temporary folder, makes a
listing of the same photos as entries, and measures in a process of its own: loading the ledger, comparing, and taking
the work out in waves. ``--changed`` gives that many photos another ETag. ``--first`` compares with an empty manifest.
Prints one JSON line.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.config import Config
from infra.listing import Listed, Listing
from infra.storage import Entry
from pipeline import ledger as ledgers
from pipeline.job import Job, make_job
from pipeline.manifest import SCHEMA
from pipeline.retry import Retry
from pipeline.work import Trial, plan_work

PART = 100_000
SOURCE = "s3://an-archive-of-photos/scans"
THEN = datetime(2026, 1, 1, tzinfo=UTC)
WAVE = 100_000


def path_of(number: int) -> str:
    return f"albums/{number // 1000:06d}/photo-{number:08d}.jpg"


def etag_of(number: int) -> str:
    return f"{number * 2654435761 % 2**64:016x}{number:016x}"


def write_manifest(folder: Path, rows: int) -> None:
    """Parts as a run leaves them after compaction."""
    (folder / "manifest").mkdir(parents=True)
    face = {"index": 0, "page": 0, "status": "restored", "reason": "", "box": [1.0, 2.0, 3.0, 4.0], "score": 0.9}
    face |= {"strength": 1.0, "before": [("noise", 4.0), ("sharpness", 0.25)], "after": []}
    faces = pa.array([[face]] * PART, SCHEMA.field("faces").type)
    for number in range(0, rows, PART):
        count = min(PART, rows - number)
        table = part(range(number, number + count), faces.slice(0, count), folder)
        pq.write_table(table, folder / "manifest" / f"000001-run-{number // PART:05d}.parquet", compression="zstd")


def part(numbers: range, faces: "pa.Array[Any]", folder: Path) -> pa.Table:
    paths = [path_of(number) for number in numbers]
    columns: dict[str, Any] = {
        "uri": [f"{SOURCE}/{path}" for path in paths],
        "path": paths,
        "target": paths,
        "result_uri": [f"file://{folder}/photos/{path}" for path in paths],
        "size": np.arange(numbers.start, numbers.stop) + 1000,
        "etag": [etag_of(number) for number in numbers],
        "sha256": [etag_of(number) * 2 for number in numbers],
        "result_sha256": [etag_of(number + 1) * 2 for number in numbers],
        "mtime": [THEN] * len(numbers),
        "status": ["restored"] * len(numbers),
        "recipe": ["0123456789abcdef"] * len(numbers),
    }
    arrays = [
        faces if field.name == "faces" else pa.array(columns.get(field.name, [None] * len(numbers)), field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def listed(rows: int, changed: int) -> Iterator[Listed]:
    """The listing as the store gives it, patterns apart."""
    for number in range(rows):
        path, etag = path_of(number), etag_of(number)
        if changed and number % (rows // changed) == 0:
            etag = "changed"
        yield Listed(Entry(f"{SOURCE}/{path}", path, number + 1000, etag, THEN), True)


def job(sink: Path) -> Job:
    return make_job(SOURCE, str(sink), Config.model_validate({"detect": {"detector": "cascade"}}))


def measure(sink: Path, rows: int, changed: int) -> dict[str, Any]:
    """Load, compare, take out."""
    made, began = job(sink), now()
    for _ in listed(rows, changed):
        pass
    start = now()
    ledger = ledgers.load(made.storage, made.sink, SOURCE)
    loaded = now()
    with patch.object(Listing, "opened", lambda self: ("folder", listed(rows, changed))):
        work = plan_work(made, ledger, Retry(), Trial())
    compared = now()
    done = sum(len(wave) for wave in work.waves(WAVE))
    ended = now()
    return {
        "rows": len(ledger.index),
        "listed": work.listed,
        "due": done,
        "vanished": work.vanished,
        "making the listing": took(began, start),
        "load": took(start, loaded),
        "compare, making the listing included": took(loaded, compared),
        "waves": took(compared, ended),
        "all": took(start, ended),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def now() -> tuple[float, float]:
    """Wall clock and processor time, seconds."""
    return time.perf_counter(), time.process_time()


def took(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"{end[0] - start[0]:.1f} s ({end[1] - start[1]:.1f} s of CPU)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changed", type=int, default=0)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.rows, options.changed)))
        return
    with tempfile.TemporaryDirectory(prefix="daguerre-ledger-") as folder:
        if not options.first:
            write_manifest(Path(folder), options.rows)
        again = [sys.executable, __file__, "--measure", folder, "--rows", str(options.rows)]
        subprocess.run([*again, "--changed", str(options.changed)], check=True)


if __name__ == "__main__":
    main()
