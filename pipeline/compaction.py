"""Many small manifest parts become few large ones.

A new part, named to sort right after the newest of those that it replaces, is stored and read back; then those are
removed. Stopped in between, the sink holds rows twice, the same in both places: the later part wins, as ever, and the
next run finds the older ones replaced. Parts under their old names are never added to, so two runs that compact at once
cannot lose a row: each removes only what it has stored elsewhere itself.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from infra.confirm import holds
from infra.errors import StorageError
from pipeline.ledger import Ledger, ahead, parquet

ROWS = 100_000
NUMBER = re.compile(r"(?P<base>.+-[0-9]+)(?:c(?P<times>[0-9]{4})[0-9a-f]{8})?\.parquet")


def compact(ledger: Ledger, most: int, run_id: str | None = None) -> int:
    """Put small parts together if there are more than ``most``; only those of the run ``run_id`` if it is given.
    Returns how many parts went.
    """
    small = [name for name in sorted(ledger.counts) if ledger.counts[name] < ROWS and run_id in {None, run_of(name)}]
    if len(small) <= most:
        return 0
    return sum(merge(ledger, group) for group in grouped(small, ledger.counts) if len(group) > 1)


def grouped(names: Sequence[str], counts: Mapping[str, int]) -> Iterator[list[str]]:
    """``names`` in their order, in groups of at least ``ROWS`` rows but for the last."""
    group: list[str] = []
    for name in names:
        group.append(name)
        if sum(counts[part] for part in group) >= ROWS:
            yield group
            group = []
    if group:
        yield group


def merge(ledger: Ledger, names: Sequence[str]) -> int:
    """One part in the place of ``names``; returns how many went, none if somebody else has changed one of them."""
    tables = [table for _, table in ahead(ledger.current, names) if table is not None]
    if len(tables) < len(names):
        return 0
    whole = pa.concat_tables(tables).replace_schema_metadata(tables[-1].schema.metadata)
    if whole.num_rows:
        store(ledger, successor(names[-1]), whole)
    for name in names:
        ledger.storage.delete(ledger.uri(name))
        ledger.counts.pop(name)
        ledger.stale.pop(name, None)
    return len(names)


def store(ledger: Ledger, name: str, table: pa.Table) -> None:
    """Store a part, and see that it is there."""
    uri, content = ledger.uri(name), parquet(table)
    ledger.storage.write(uri, content)
    if not holds(ledger.storage, uri, content):
        ledger.storage.delete(uri)
        raise StorageError(f"the store does not hold what was written to {uri}", "check the store; no row was removed")
    ledger.counts[name] = table.num_rows


def successor(name: str) -> str:
    """A part's name that sorts right after ``name``: ``000001-run-00007.parquet`` -> ``000001-run-00007c00013f9a77d2
    .parquet``.
    """
    match = NUMBER.fullmatch(name)
    base, times = (match["base"], int(match["times"] or 0)) if match else (name.removesuffix(".parquet"), 0)
    return f"{base}c{times + 1:04d}{secrets.token_hex(4)}.parquet"


def run_of(name: str) -> str:
    """The run of a part's name."""
    return name.partition("-")[2].rpartition("-")[0]
