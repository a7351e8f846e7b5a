"""The ledger: what the sink's manifest already holds, and how rows are added to it and replaced.

Parts are named ``<generation>-<run id>-<number>.parquet``: a later part's row for a URI replaces an earlier one's. A
run that replaces rows rewrites the older parts without them afterwards, so that readers find one row a photo
(``tidy``).
"""

import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.errors import StorageError
from infra.storage import Entry, Storage
from infra.uris import scheme_of
from pipeline.collector import held_back
from pipeline.index import Index, Known, Numbers
from pipeline.manifest import SCHEMA
from pipeline.names import Names, first_of_each, hashed

NEEDED = ["uri", "size", "etag", "mtime", "sha256", "status", "target", "result_uri", "error.class", "recipe"]
RECIPE = b"daguerre.recipe"
READERS = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Ledger:
    """All rows of one sink. ``rows`` are those of the photos that are being worked on, by URI; the others are in
    ``index``. ``stale`` lists, a part, the places of rows that later parts replaced; ``counts`` the rows of each part.
    """

    storage: Storage
    sink: str
    index: Index = field(default_factory=Index)
    rows: dict[str, Known] = field(default_factory=dict[str, Known])
    hashes: set[str] = field(default_factory=set[str])
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    stale: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    generation: int = 1

    def publish(self, number: int, run_id: str, table: pa.Table, recipe: Mapping[str, Any]) -> str:
        """Store a manifest part with the rows of ``table`` (schema ``SCHEMA``) and remember what it replaces. Returns
        its name.
        """
        name = f"{self.generation:06d}-{run_id}-{number:05d}.parquet"
        metadata = {RECIPE: json.dumps(recipe, sort_keys=True).encode()}
        content = parquet(table.cast(SCHEMA).replace_schema_metadata(metadata))
        self.storage.write(self.uri(name), content)
        self.remember(name, table)
        return name

    def remember(self, part: str, table: pa.Table) -> None:
        """Take in a new part; the rows that it replaces become stale."""
        self.counts[part] = table.num_rows
        for uri in uris_of(table):
            before = self.rows.get(uri)
            if before:
                self.stale.setdefault(before.part, set()).add(before.place)

    def published(self, uris: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The whole published rows of some of ``rows``; each part is read once."""
        wanted: dict[str, list[int]] = {}
        for uri in uris:
            wanted.setdefault(self.rows[uri].part, []).append(self.rows[uri].place)
        found: dict[str, dict[str, Any]] = {}
        for name, places in wanted.items():
            found |= {row["uri"]: row for row in self.part(name).take(pa.array(places, pa.int64())).to_pylist()}
        return found

    def part(self, name: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.storage.read(self.uri(name))))

    def current(self, name: str) -> pa.Table | None:
        """A part's rows without those that were replaced; None if the part is not what was loaded: somebody else has
        rewritten or removed it.
        """
        if not self.storage.exists(self.uri(name)):
            return None
        table = self.part(name)
        return without(table, self.stale.get(name, ())) if table.num_rows == self.counts[name] else None

    def tidy(self) -> int:
        """Rewrite, in place, the parts that hold replaced rows. Returns how many rows went.

        Each step is one atomic PUT or DELETE after the replacing rows are public: stopped half-way, the next run goes
        on.
        """
        gone = 0
        for name, places in sorted(self.stale.items()):
            kept = self.current(name)
            if kept is None:
                continue
            if kept.num_rows:
                self.storage.write(self.uri(name), parquet(kept))
            else:
                self.storage.delete(self.uri(name))
            gone += len(places)
            self.counts[name] = kept.num_rows
        self.stale.clear()
        return gone

    def uris_at(self, at: Numbers, most: int) -> list[str]:
        """The URIs of the rows that the index has ``at``, sorted, ``most`` of them at most."""
        found: list[str] = []
        for name, places in self.index.by_part(self.index.row[at[:most]].astype(np.int64)).items():
            found += uris_of(self.part(name).take(pa.array(places, pa.int64())))
        return sorted(found)

    def targets(self) -> Iterator[tuple[str, str]]:
        """Target and URI of every row, those that were replaced included."""
        for name in self.index.parts:
            table = self.part(name)
            yield from zip(cast("list[str]", table.column("target").to_pylist()), uris_of(table), strict=True)

    def uri(self, name: str) -> str:
        return f"{self.sink}/manifest/{name}"


@held_back()
def load(storage: Storage, sink: str, source: str | None = None) -> Ledger:
    """The ledger of a sink: one LIST a 1,000 parts and one GET a part. Photos below ``source`` can be missed."""
    ledger = Ledger(storage, sink, Index(None if source is None else f"{source}/"))
    generations = [0]
    for name, table in ahead(lambda name: needed(storage, f"{sink}/manifest/{name}"), part_names(storage, sink)):
        take_in(ledger, name, table)
        generations.append(int(name.split("-")[0]))
    ledger.index.finish()
    ledger.stale = {name: set(places) for name, places in ledger.index.stale.items()}
    ledger.generation = max(generations) + 1
    return ledger


def take_in(ledger: Ledger, name: str, table: pa.Table) -> None:
    """Add a part's rows to the index, and its recipe to those that are known."""
    try:
        ledger.index.add(name, table)
    except ValueError as error:
        raise damaged(ledger.uri(name), error) from None
    ledger.counts[name] = table.num_rows
    hashes = [str(recipe) for recipe in pc.unique(table.column("recipe")).to_pylist()]
    ledger.hashes |= set(hashes)
    recipe = (table.schema.metadata or {}).get(RECIPE)
    if recipe and hashes:
        ledger.recipes[hashes[0]] = json.loads(recipe)


def needed(storage: Storage, uri: str) -> pa.Table:
    """What the index needs of a part."""
    try:
        table = pq.ParquetFile(io.BytesIO(storage.read(uri))).read(columns=NEEDED)
    except pa.ArrowException as error:
        raise damaged(uri, error) from None
    fault = pa.chunked_array([pc.struct_field(chunk, "class") for chunk in table.column("error").chunks], pa.string())
    table = table.append_column("fault", fault).append_column("has_result", pc.is_valid(table.column("result_uri")))
    return table.drop_columns(["error", "result_uri"])


def damaged(uri: str, error: Exception) -> StorageError:
    text = " ".join(str(error).split())[:200]
    return StorageError(f"the manifest part {uri} cannot be read: {text}", "daguerre verify looks at all of them")


def ahead(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
    """``work`` on each of ``items``, in their order, a few at a time and never many more than are asked for."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(READERS) as pool:
        while True:
            waiting += [(item, pool.submit(work, item)) for item in islice(rest, READERS - len(waiting))]
            if not waiting:
                return
            item, future = waiting.popleft()
            yield item, future.result()


def part_names(storage: Storage, sink: str) -> list[str]:
    """The sink's manifest parts, oldest first."""
    return sorted(entry.path for entry in listed(storage, f"{sink}/manifest") if is_part(entry.path))


def listed(storage: Storage, folder: str) -> Iterator[Entry]:
    """The objects below ``folder``, none if there is no such folder (buckets have none that are empty)."""
    return storage.list(folder) if scheme_of(folder) == "s3" or storage.is_folder(folder) else iter(())


def is_part(path: str) -> bool:
    return path.endswith(".parquet") and path.split("-", maxsplit=1)[0].isdigit() and "/" not in path


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def read_manifest(storage: Storage, sink: str) -> Iterator[pa.Table]:
    """Every part of a sink's manifest, newest first and one at a time, without the rows that later ones replaced."""
    seen = Names()
    names = part_names(storage, sink)[::-1]
    for _, content in ahead(lambda name: storage.read(f"{sink}/manifest/{name}"), names):
        table = pq.read_table(io.BytesIO(content))
        keys = hashed(uris_of(table))[::-1]
        old = (seen.has(keys) | ~first_of_each(keys))[::-1]
        seen.add(keys)
        yield without(table, np.flatnonzero(old).tolist())


def uris_of(table: pa.Table) -> list[str]:
    return cast("list[str]", table.column("uri").to_pylist())


def without(table: pa.Table, places: Iterable[int]) -> pa.Table:
    """``table`` without the rows at ``places``."""
    kept = np.ones(table.num_rows, np.bool_)
    kept[list(places)] = False
    return table if kept.all() else table.filter(pa.array(kept))
