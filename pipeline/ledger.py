"""The ledger: what the sink's manifest already holds, and what is therefore left to do.

Parts are named ``<generation>-<run id>-<number>.parquet``: a later part's row for a URI replaces an earlier one's. A
run that replaces rows rewrites the older parts without them afterwards, so that readers find one row a photo
(``tidy``).
"""

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.storage import Entry, Storage
from pipeline.manifest import SCHEMA
from stages.photo import FaultClass, Source, Status
from stages.write import plain_target

NEEDED = ["uri", "size", "etag", "mtime", "sha256", "status", "error", "target", "result_uri", "recipe"]
RECIPE = b"daguerre.recipe"


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger remembers of a row. ``part`` is the manifest part that it stands in."""

    size: int | None
    etag: str | None
    mtime: datetime | None
    sha256: str | None
    status: str
    fault: str | None
    target: str
    has_result: bool
    recipe: str
    part: str

    def same_object(self, entry: Entry) -> bool:
        """Whether the listing shows the very object of this row: its size, and its etag, or its mtime where there is
        none.
        """
        if self.size != entry.size:
            return False
        if self.etag is not None and entry.etag is not None:
            return self.etag == entry.etag
        if entry.size is None:  # a list's photo that was missing, and still is
            return self.mtime == entry.mtime
        return self.mtime is not None and self.mtime == entry.mtime


@dataclass(frozen=True, slots=True)
class Retry:
    """Which photos are to be worked on again: all that failed, or all that failed or were skipped by some classes."""

    all: bool = False
    classes: frozenset[str] = frozenset()

    def wants(self, known: Known) -> bool:
        return (self.all and known.status == Status.FAILED) or known.fault in self.classes


@dataclass(slots=True)
class Ledger:
    """All rows of one sink, by URI. ``stale`` lists, a part, the URIs whose rows there were replaced by later parts."""

    storage: Storage
    sink: str
    rows: dict[str, Known] = field(default_factory=dict[str, Known])
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    stale: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    generation: int = 0

    def due(self, entry: Entry, retry: Retry, copy_unchanged: bool) -> Source | None:
        """The work that an entry of the listing needs; None if its row still holds."""
        known = self.rows.get(entry.uri)
        if known is None:
            return source_of(entry, plain_target(entry.path))
        again = retry.wants(known) or (copy_unchanged and lacks_copy(known))
        if known.same_object(entry) and not again:
            return None
        return source_of(entry, known.target, known.sha256, again)

    def publish(self, number: int, run_id: str, table: pa.Table, recipe: Mapping[str, Any]) -> str:
        """Store a manifest part with the rows of ``table`` (schema ``SCHEMA``) and remember them. Returns its name."""
        name = f"{self.generation:06d}-{run_id}-{number:05d}.parquet"
        metadata = {RECIPE: json.dumps(recipe, sort_keys=True).encode()}
        content = parquet(table.cast(SCHEMA).replace_schema_metadata(metadata))
        self.storage.write(f"{self.sink}/manifest/{name}", content)
        self.remember(name, table)
        return name

    def remember(self, part: str, table: pa.Table) -> None:
        """Take in a part's rows; those that they replace become stale."""
        for uri, known in known_rows(part, table):
            before = self.rows.get(uri)
            if before and before.part != part:
                self.stale[before.part].add(uri)
            self.rows[uri] = known

    def published(self, uris: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The whole published rows of some URIs; each part is read once."""
        wanted = defaultdict[str, set[str]](set)
        for uri in uris:
            wanted[self.rows[uri].part].add(uri)
        found: dict[str, dict[str, Any]] = {}
        for name, inside in wanted.items():
            table = self.part(name)
            index = pa.array([uri in inside for uri in table.column("uri").to_pylist()], pa.bool_())
            found |= {row["uri"]: row for row in table.filter(index).to_pylist()}
        return found

    def part(self, name: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.storage.read(f"{self.sink}/manifest/{name}")))

    def tidy(self) -> int:
        """Rewrite, in place, the parts that hold replaced rows. Returns how many rows went.

        Each step is one atomic PUT or DELETE after the replacing rows are public: stopped half-way, the next run goes
        on.
        """
        gone = 0
        for name, uris in sorted(self.stale.items()):
            table = self.part(name)
            kept = without(table, uris)
            uri = f"{self.sink}/manifest/{name}"
            if kept.num_rows:
                self.storage.write(uri, parquet(kept))
            else:
                self.storage.delete(uri)
            gone += table.num_rows - kept.num_rows
        self.stale.clear()
        return gone


def load(storage: Storage, sink: str) -> Ledger:
    """The ledger of a sink: one LIST a 1,000 parts and one GET a part."""
    ledger = Ledger(storage, sink)
    for name in part_names(storage, sink):
        content = storage.read(f"{sink}/manifest/{name}")
        table = pq.read_table(io.BytesIO(content), columns=NEEDED)
        ledger.remember(name, table)
        recipe = (table.schema.metadata or {}).get(RECIPE)
        if recipe and table.num_rows:
            ledger.recipes[table.column("recipe")[0].as_py()] = json.loads(recipe)
        ledger.generation = max(ledger.generation, int(name.split("-")[0]))
    ledger.generation += 1
    return ledger


def part_names(storage: Storage, sink: str) -> list[str]:
    """The sink's manifest parts, oldest first."""
    if not storage.is_folder(f"{sink}/manifest"):
        return []
    return sorted(entry.path for entry in storage.list(f"{sink}/manifest") if is_part(entry.path))


def is_part(path: str) -> bool:
    return path.endswith(".parquet") and path.split("-", maxsplit=1)[0].isdigit() and "/" not in path


def known_rows(part: str, table: pa.Table) -> Iterator[tuple[str, Known]]:
    for row in table.select(NEEDED).to_pylist():
        yield (
            row["uri"],
            Known(
                size=row["size"],
                etag=row["etag"],
                mtime=row["mtime"],
                sha256=row["sha256"],
                status=row["status"],
                fault=row["error"]["class"] if row["error"] else None,
                target=row["target"],
                has_result=row["result_uri"] is not None,
                recipe=row["recipe"],
                part=part,
            ),
        )


def source_of(entry: Entry, target: str, previous: str | None = None, retry: bool = False) -> Source:
    return Source(entry.uri, entry.path, entry.size, entry.etag, entry.mtime, previous, retry, target)


def lacks_copy(known: Known) -> bool:
    copied = known.status in {Status.UNCHANGED, Status.NO_FACE} or known.fault == FaultClass.PASSED
    return copied and not known.has_result


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def read_manifest(storage: Storage, sink: str) -> Iterator[pa.Table]:
    """Every part of a sink's manifest, one at a time, without the rows that later parts replaced."""
    stale = load(storage, sink).stale
    for name in part_names(storage, sink):
        table = pq.read_table(io.BytesIO(storage.read(f"{sink}/manifest/{name}")))
        yield without(table, stale[name])


def without(table: pa.Table, uris: set[str]) -> pa.Table:
    """``table`` without the rows of ``uris``."""
    if not uris:
        return table
    return table.filter(pa.array([uri not in uris for uri in table.column("uri").to_pylist()], pa.bool_()))
