"""What the manifest holds of every photo, small enough for tens of millions of rows.

In memory a row takes 47 bytes: two 64-bit hashes of its URI, two of what the listing said of the object, one of its
target, its status, its class of fault and its number. What a row is asked for only if its photo is due again lies in a
temporary file without a name. Hashes are Python's own, with the process's own secret; they are never stored.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.photo import FaultClass, Status

Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)

RECORD = np.dtype([("sha256", "V32"), ("tail", "<i4")])
NO_TIME = -(2**63)
UNKNOWN = -1
SPLITMIX = tuple(np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
HAS_RESULT = 128


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the manifest, as far as a run that works on its photo again needs it. ``place`` is its place in
    ``part``.
    """

    status: str
    sha256: str | None
    target: str
    part: str
    place: int


@dataclass(frozen=True, slots=True)
class Keys:
    """URIs as two hashes each, (n,) and (n,)."""

    high: Hashes
    low: Hashes


def keys_of(uris: Sequence[str]) -> Keys:
    """The keys of URIs. That any two of 30 million share both hashes has a probability of 1e-24."""
    high = np.fromiter(map(hash, uris), np.int64, len(uris))
    low = np.fromiter((hash(f"\0{uri}") for uri in uris), np.int64, len(uris))
    return Keys(high.view(np.uint64), low.view(np.uint64))


def by_etag(sizes: Numbers, etags: Sequence[str | None]) -> Hashes:
    """Sizes (n,), -1 for none, with etags, as a hash each; 0 without etag."""
    given = np.fromiter((etag is not None for etag in etags), np.bool_, len(etags))
    hashes = np.fromiter(map(hash, etags), np.int64, len(etags)).view(np.uint64)
    found = mixed(mixed(sizes.view(np.uint64)) ^ mixed(hashes)) | np.uint64(1)
    return np.where(given, found, np.uint64(0))


def by_mtime(sizes: Numbers, mtimes: Numbers) -> Hashes:
    """Sizes (n,), -1 for none, with mtimes (n,), microseconds or ``NO_TIME``, as a hash each; 0 without mtime, unless
    the size is missing too: a photo that was not there, and still is not.
    """
    given = (mtimes != NO_TIME) | (sizes < 0)
    found = mixed(mixed(sizes.view(np.uint64)) ^ mixed(mtimes.view(np.uint64) + SPLITMIX[0])) | np.uint64(1)
    return np.where(given, found, np.uint64(0))


def mixed(numbers: Hashes) -> Hashes:
    """splitmix64's finalizer (Steele, Lea and Flood, 2014) on each of ``numbers``."""
    mixing = numbers + SPLITMIX[0]
    mixing = (mixing ^ (mixing >> np.uint64(30))) * SPLITMIX[1]
    mixing = (mixing ^ (mixing >> np.uint64(27))) * SPLITMIX[2]
    return mixing ^ (mixing >> np.uint64(31))


class Index:
    """All rows of a sink's manifest. Rows are added part by part, oldest first; ``finish`` makes them searchable.

    Rows below ``folder`` are looked for by ``unseen``.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.parts: list[str] = []
        self.sizes: list[int] = []
        self.codes: dict[str | None, int] = {None: 0}
        self.targets: dict[int, str] = {}  # of rows whose target is not the end of their URI
        self.details = tempfile.TemporaryFile(prefix="daguerre-")  # noqa: SIM115 - it lives as long as the index
        self._columns: list[list[NDArray[Any]]] = [[] for _ in range(8)]
        self.finish()

    def add(self, part: str, table: pa.Table) -> None:
        """Take in a part's rows: ``uri``, ``size``, ``etag``, ``mtime``, ``sha256``, ``status``, ``fault``, ``target``,
        ``has_result``.
        """
        uris = cast("list[str]", table.column("uri").to_pylist())
        keys = keys_of(uris)
        sizes, etags = integers(table.column("size"), -1), cast("list[str | None]", table.column("etag").to_pylist())
        prints = by_etag(sizes, etags), by_mtime(sizes, integers(table.column("mtime"), NO_TIME))
        status = self._coded(table.column("status")) | has_result(table.column("has_result"))
        fault = self._coded(table.column("fault"))
        targets = cast("list[str]", table.column("target").to_pylist())
        self._keep(uris, targets, table.column("sha256").to_pylist())
        names = np.fromiter(map(hash, targets), np.int64, len(targets)).view(np.uint64)
        added = (keys.high, keys.low, *prints, names, status, fault, ~self._inside(table.column("uri")))
        for column, piece in zip(self._columns, added, strict=True):
            column.append(piece)
        self.parts.append(part)
        self.sizes.append(len(uris))

    def finish(self) -> None:
        """Sort what was added; of several rows of a URI the last one counts, the others are stale. One column after
        the other, so that no more than one is there twice.
        """
        high, low = self._whole(0, np.uint64), self._whole(1, np.uint64)
        order = np.argsort(high, kind="stable").astype(np.uint32)
        high, low = high[order], low[order]
        last = last_of_each(high, low)
        self.starts = np.cumsum([0, *self.sizes])
        self.stale = self.by_part(order[~last].astype(np.int64))
        self.row = order[last]
        self.high, self.low = (high, low) if last.all() else (high[last], low[last])
        del order, high, low
        self.etag = self._whole(2, np.uint64)[self.row]
        self.mtime = self._whole(3, np.uint64)[self.row]
        self.target = self._whole(4, np.uint64)[self.row]
        self.status = self._whole(5, np.uint8)[self.row]
        self.fault = self._whole(6, np.uint8)[self.row]
        self.seen = self._whole(7, np.bool_)[self.row]
        self._sorted = False

    def _whole(self, at: int, kind: type[Kind]) -> NDArray[Kind]:
        """A column that was added in pieces, which are let go."""
        pieces, self._columns[at] = self._columns[at], []
        return np.concatenate([np.empty(0, kind), *pieces]).astype(kind, copy=False)

    def __len__(self) -> int:
        return int(self.row.size)

    def find(self, keys: Keys) -> Numbers:
        """Where the rows of ``keys`` are, (n,), ``UNKNOWN`` for those without a row."""
        found = np.full(keys.high.size, UNKNOWN, np.int64)
        if not len(self):
            return found
        order = np.argsort(keys.high)  # sorted, they are looked for in places that lie near each other
        first = np.empty(order.size, np.int64)
        first[order] = np.searchsorted(self.high, keys.high[order])
        for step in (1, 0):  # two URIs may share one hash; three never will
            at = np.minimum(first + step, len(self) - 1)
            hit = (self.high[at] == keys.high) & (self.low[at] == keys.low)
            found[hit] = at[hit]
        return found

    def same(
        self, at: Numbers, sizes: Numbers, etags: Sequence[str | None], mtimes: Sequence[datetime | None]
    ) -> Flags:
        """Whether the listing shows the very object of each row ``at``: by size and etag, or, where either has no etag,
        by size and mtime.
        """
        seen, etag = by_etag(sizes, etags), self.etag[at]
        same = (etag == seen) & (etag != 0)
        rest = np.flatnonzero((etag == 0) | (seen == 0))
        if rest.size:
            times = pa.chunked_array([pa.array([mtimes[place] for place in rest.tolist()], pa.timestamp("us", "UTC"))])
            mtime = self.mtime[at[rest]]
            same[rest] = (mtime == by_mtime(sizes[rest], integers(times, NO_TIME))) & (mtime != 0)
        return same

    def unseen(self) -> Numbers:
        """Where the rows below ``folder`` are that were never marked as seen."""
        return np.flatnonzero(~self.seen)

    def has_target(self, high: Hashes) -> Flags:
        """Which of ``high``, first hashes of names, are the target of a row."""
        if not self._sorted:
            self.target.sort()
            self._sorted = True
        at = np.minimum(np.searchsorted(self.target, high), max(len(self) - 1, 0))
        return self.target[at] == high if len(self) else np.zeros(high.size, np.bool_)

    def failed(self, at: Numbers) -> Flags:
        return (self.status[at] & ~np.uint8(HAS_RESULT)) == self._code(Status.FAILED)

    def faults(self, at: Numbers, classes: Iterable[str]) -> Flags:
        """Which rows have a fault of one of ``classes``."""
        return np.isin(self.fault[at], [self._code(name) for name in classes])

    def lacks_copy(self, at: Numbers) -> Flags:
        """Which rows have no result, and would have a copy of their photo where copies are wanted."""
        plain = np.isin(self.status[at], [self._code(Status.UNCHANGED), self._code(Status.NO_FACE)])
        return plain | ((self.status[at] < HAS_RESULT) & self.faults(at, [FaultClass.PASSED]))

    def statuses(self, at: Numbers) -> Counter[str]:
        """How many rows ``at`` have each status."""
        counts = np.bincount(self.status[at] & ~np.uint8(HAS_RESULT), minlength=len(self.codes))
        return Counter({name: int(counts[code]) for name, code in self.codes.items() if name and counts[code]})

    def known(self, at: Sequence[int], uris: Sequence[str]) -> list[Known]:
        """The rows ``at``, whose URIs are ``uris``."""
        rows = self.row[np.asarray(at, np.int64)].astype(np.int64)
        self.details.flush()
        records = np.memmap(self.details, RECORD, "r") if rows.size else np.empty(0, RECORD)
        names = {code: name for name, code in self.codes.items()}
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        found: list[Known] = []
        for index, (row, uri) in enumerate(zip(rows.tolist(), uris, strict=True)):
            record = records[row]
            target = self.targets.get(row) or uri[len(uri) - int(record["tail"]) :]
            sha256 = bytes(record["sha256"]).hex() if any(bytes(record["sha256"])) else None
            status = names[int(self.status[at[index]]) & ~HAS_RESULT] or ""
            part = int(parts[index])
            found.append(Known(status, sha256, target, self.parts[part], row - int(self.starts[part])))
        return found

    def by_part(self, rows: Numbers) -> dict[str, list[int]]:
        """Places of rows, by the name of their part."""
        found: dict[str, list[int]] = {}
        for row, part in zip(
            rows.tolist(), (np.searchsorted(self.starts, rows, side="right") - 1).tolist(), strict=True
        ):
            found.setdefault(self.parts[part], []).append(row - int(self.starts[part]))
        return found

    def _inside(self, uris: "pa.ChunkedArray[Any]") -> Flags:
        """Which URIs lie below ``folder``, (n,)."""
        if self.folder is None:
            return np.zeros(len(uris), np.bool_)
        return np.asarray(pc.starts_with(uris, self.folder), np.bool_)

    def _keep(self, uris: list[str], targets: list[str], sha256s: list[str | None]) -> None:
        """Write down what is asked for later."""
        records = np.zeros(len(uris), RECORD)
        none = "0" * 64
        content = bytes.fromhex("".join(none if sha256 is None else sha256 for sha256 in sha256s))
        records["sha256"] = np.frombuffer(content, "V32")
        records["tail"] = np.fromiter(map(len, targets), np.int32, len(targets))
        if not all(map(str.endswith, uris, targets)):
            start = sum(self.sizes)
            pairs = enumerate(zip(uris, targets, strict=True))
            self.targets |= {start + place: target for place, (uri, target) in pairs if not uri.endswith(target)}
        self.details.write(records.tobytes())

    def _coded(self, column: "pa.ChunkedArray[Any]") -> NDArray[np.uint8]:
        """Texts as small numbers, (n,)."""
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        codes = np.array([self._code(name) for name in encoded.dictionary.to_pylist()] or [0], np.uint8)
        return codes[encoded.indices.to_numpy(zero_copy_only=False)]

    def _code(self, name: str | None) -> int:
        return self.codes.setdefault(None if name is None else str(name), len(self.codes))


def integers(column: "pa.ChunkedArray[Any]", nothing: int) -> Numbers:
    """A column of integers or timestamps, (n,), ``nothing`` for null."""
    filled = cast("pa.ChunkedArray[Any]", pc.fill_null(column.cast(pa.int64()), pa.scalar(nothing)))
    return filled.to_numpy().astype(np.int64)


def has_result(column: "pa.ChunkedArray[Any]") -> NDArray[np.uint8]:
    return column.to_numpy().astype(np.uint8) * np.uint8(HAS_RESULT)


def last_of_each(high: Hashes, low: Hashes) -> Flags:
    """Which keys, sorted by ``high`` and then by age, have no later equal. (n,)"""
    near = high[1:] == high[:-1]
    equal = near & (low[1:] == low[:-1])
    last = np.append(~equal, True)[: high.size]
    if not np.array_equal(near, equal):  # two URIs share the first hash
        newer: dict[tuple[int, int], int] = {}
        for at in np.flatnonzero(np.append(near, False) | np.append(False, near)).tolist():
            key = int(high[at]), int(low[at])
            last[newer.get(key, at)] = False
            newer[key], last[at] = at, True
    return last
