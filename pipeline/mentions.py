"""What a manifest says that its sink holds: every row once, and each object's place in it.

A sink may hold 30 million results, so of names only hashes are kept: at most 24 bytes a row, and 8 a face where crops
are kept. That any two of 30 million names share a hash has a probability of 2.4e-5.
"""

import io
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.storage import Storage, StorageFault
from pipeline.ledger import part_names
from pipeline.names import Keys, Names, first_of_each, hashed
from stages.output import SUFFIXES
from stages.write import HASHED, plain_target

BATCH = 1000
TEXTS = ["uri", "path", "status", "target"]  # never null
COLUMNS = [
    *TEXTS,
    *("sha256", "result_uri", "result_sha256"),
    *("error.class", "output.way", "faces.list.element.index"),
]
CROP = re.compile(r"(?P<face>(?P<target>.+)\.[0-9]+)\.(?:[a-z0-9-]+\.png|json)", re.DOTALL)
CONVERTED = tuple(SUFFIXES.values())

Row = dict[str, Any]


class Place(StrEnum):
    """What the manifest knows of an object."""

    CURRENT = "current"  # a current row mentions it
    EARLIER = "earlier"  # it has the name of an earlier result of a photo that changed since, or a replaced row's
    UNCLEAR = "unclear"  # it lies where a current row's result would, but that row has none
    UNKNOWN = "unknown"  # no row has anything to do with it


class Mentions:
    """Reads the manifest of ``sink`` once, newest part first, and remembers the names that its rows stand for.

    ``broken`` are the parts that cannot be read, and why: with one of these nobody knows all that is mentioned.
    ``twice`` are the URIs of rows that a later row of their own part replaces.
    """

    def __init__(self, storage: Storage, sink: str) -> None:
        self.storage = storage
        self.sink = sink
        self.parts = part_names(storage, sink)
        self.crops = storage.is_folder(f"{sink}/crops")
        self.broken: dict[str, str] = {}
        self.twice: list[str] = []
        self._uris = Names()
        self._current = Names()
        self._replaced = Names()
        self._without = Names()  # targets of current rows without a result
        self._changed = Names()  # first targets of photos whose content changed

    def rows(self) -> Iterator[list[Row]]:
        """The current rows (``COLUMNS``), some at a time; ``shared`` in each says that another has the same result."""
        for name in reversed(self.parts):
            table = self._part(f"{self.sink}/manifest/{name}")
            if table is None:
                continue
            current = self._current_rows(cast("list[str]", table.column("uri").to_pylist()))
            for start in range(0, table.num_rows, BATCH):
                rows = table.slice(start, BATCH).to_pylist()
                flags = current[start : start + BATCH].tolist()
                self._take_out([row for row, flag in zip(rows, flags, strict=True) if not flag])
                yield self._take_in([row for row, flag in zip(rows, flags, strict=True) if flag])

    def _part(self, uri: str) -> pa.Table | None:
        """A whole part, checked; None, and noted, if it cannot be read."""
        try:
            return checked(self.storage.read(uri))
        except StorageFault as fault:
            self.broken[uri] = fault.message
        except (pa.ArrowException, OSError, ValueError) as error:
            self.broken[uri] = f"no manifest part: {' '.join(str(error).split())[:200]}"
        return None

    def _current_rows(self, uris: list[str]) -> NDArray[np.bool_]:
        """Which of a part's rows no newer row replaces: none of a newer part, none further down."""
        keys = hashed(uris)
        stale = self._uris.has(keys)
        again = ~first_of_each(keys[::-1])[::-1]
        self.twice += [uris[index] for index in np.flatnonzero(again & ~stale)]
        self._uris.add(keys)
        return ~(stale | again)

    def _take_in(self, rows: list[Row]) -> list[Row]:
        """Remember what current rows stand for, and say which share a result."""
        names = [name_below(row["result_uri"], f"{self.sink}/photos/") for row in rows]
        keys = hashed(f"photos/{name}" for name in names if name is not None)
        again = iter((self._current.has(keys) | ~first_of_each(keys)).tolist())
        for row, name in zip(rows, names, strict=True):
            row["shared"] = name is not None and next(again)
        self._current.add(keys)
        self._current.add(hashed(self._crops(rows)))
        self._without.add(hashed(row["target"] for row in rows if row["result_uri"] is None))
        self._changed.add(hashed(plain_target(row["path"]) for row in rows if HASHED.search(row["target"])))
        return rows

    def _take_out(self, rows: list[Row]) -> None:
        """Remember what replaced rows stood for."""
        names = (name_below(row["result_uri"], f"{self.sink}/photos/") for row in rows)
        self._replaced.add(hashed(f"photos/{name}" for name in names if name is not None))
        self._replaced.add(hashed(self._crops(rows)))

    def _crops(self, rows: Iterable[Row]) -> Iterator[str]:
        """What the names of the crops of rows with a result begin with, where crops are kept."""
        for row in rows:
            if self.crops and row["result_uri"] is not None:
                yield from (f"crops/{row['target']}.{face['index']}" for face in row["faces"] or ())

    def places(self, folder: str, paths: list[str]) -> list[Place]:
        """What the rows that were read know of the objects ``paths`` below the sink's ``folder``."""
        matches = [CROP.fullmatch(path) if folder == "crops" else None for path in paths]
        keys = hashed(
            f"{folder}/{match['face'] if match else path}" for match, path in zip(matches, paths, strict=True)
        )
        targets = [match["target"] if match else path for match, path in zip(matches, paths, strict=True)]
        found = [Place.CURRENT] * len(paths)
        for index in np.flatnonzero(~self._current.has(keys)).tolist():
            found[index] = self._place(keys[index : index + 1], targets[index])
        return found

    def _place(self, key: Keys, target: str) -> Place:
        """The same for one object that no current row mentions, by the hash of its name."""
        targets = {target, unconverted(target)}
        if self._replaced.has(key).any() or self._changed.has(hashed(map(unhashed, targets))).any():
            return Place.EARLIER
        return Place.UNCLEAR if self._without.has(hashed(targets)).any() else Place.UNKNOWN


def checked(content: bytes) -> pa.Table:
    """The columns ``COLUMNS`` of a part. Raises ``ValueError`` if it is no part as a ledger writes it."""
    file = pq.ParquetFile(io.BytesIO(content))
    lacking = set(COLUMNS) - {file.schema.column(index).path for index in range(len(file.schema))}
    if lacking:
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    table = file.read(columns=COLUMNS)
    table.validate(full=True)
    odd = [name for name in TEXTS if table.column(name).null_count or table.schema.field(name).type != pa.string()]
    if odd:
        raise ValueError(f"it has rows without {', '.join(odd)}")
    return table


def name_below(uri: str | None, root: str) -> str | None:
    """The path of ``uri`` below ``root`` (which ends in a slash); None if it lies elsewhere."""
    if uri is None or not uri.startswith(root):
        return None
    name = uri[len(root) :]
    return None if not name or ".." in name.split("/") else name


def unconverted(name: str) -> str:
    """The target of a result that was converted: ``a.gif`` for ``a.gif.png``; any other name as it is."""
    ending = next((ending for ending in CONVERTED if name.endswith(ending)), "")
    return name.removesuffix(ending)


def unhashed(target: str) -> str:
    """The first target of a photo whose content changed: ``a.jpg`` for ``a~0a1b2c3d.jpg``."""
    match = HASHED.search(target)
    return target[: match.start()] + match[1][8:] if match else target
