"""The manifest's rows as columns: a batch and its faces, for counting without a Python object a row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.quality_measure import all_measures

Column: TypeAlias = "pa.Array[Any]"
Values = NDArray[np.float64]
Figures = dict[str, Values]

# What pyarrow's stubs know too narrowly.
list_flatten = cast("Callable[[Column], Column]", pc.list_flatten)
list_parent_indices = cast("Callable[[Column], Column]", pc.list_parent_indices)
field = cast("Callable[[Column, str], Column]", pc.struct_field)


@dataclass(frozen=True, slots=True)
class Faces:
    """All faces of a batch, one after the other.

    ``photo`` (n,) is the row that each belongs to, ``status`` (n,) its status; ``before`` and ``after`` hold for each
    measure (n,) figures, NaN where there is none. ``photos`` is the number of rows.
    """

    photos: int
    photo: NDArray[np.int64]
    status: NDArray[np.object_]
    before: Figures
    after: Figures

    def count(self, status: str) -> NDArray[np.int64]:
        """(photos,) how many faces of ``status`` each row has."""
        return np.bincount(self.photo[self.status == status], minlength=self.photos)

    def changes(self) -> Values:
        """(n,) mean relative change of each face's figures, in [-1, 1], negative for worse; NaN where unknown."""
        return mean_of(
            [
                relative(self.before[name], self.after[name], direction(name))
                for name in self.before
                if name in self.after and direction(name)
            ],
            len(self.photo),
        )

    def worst_change(self) -> Values:
        """(photos,) the lowest change among each row's restored faces; NaN where there is none."""
        changes = self.changes()
        known = (self.status == "restored") & np.isfinite(changes)
        lowest = np.full(self.photos, np.inf)
        np.minimum.at(lowest, self.photo[known], changes[known])
        return np.where(np.isfinite(lowest), lowest, np.nan)


def faces_of(batch: pa.RecordBatch) -> Faces:
    """The faces of a batch of manifest rows."""
    column = batch.column("faces")
    flat = list_flatten(column)
    return Faces(
        batch.num_rows,
        np.asarray(list_parent_indices(column).to_numpy(), np.int64),
        objects(field(flat, "status")),
        figures(field(flat, "before")),
        figures(field(flat, "after")),
    )


def figures(maps: Column) -> Figures:
    """A column of maps as one column a key, (rows,), NaN where a row lacks it."""
    pairs = maps.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())])))
    parents = np.asarray(list_parent_indices(pairs).to_numpy(), np.int64)
    flat = list_flatten(pairs)
    keys = objects(field(flat, "key"))
    values = np.asarray(field(flat, "value").to_numpy(zero_copy_only=False), np.float64)
    found: Figures = {}
    for key in sorted(set(keys.tolist())):
        found[key] = np.full(len(maps), np.nan)
        found[key][parents[keys == key]] = values[keys == key]
    return found


def objects(column: Column) -> NDArray[np.object_]:
    """A column as Python objects."""
    return np.asarray(column.to_numpy(zero_copy_only=False), object)


def relative(before: Any, after: Any, sign: int) -> Any:
    """The change as a share of both figures, in [-1, 1]; 0 where both are 0. Takes numbers or arrays."""
    scale = np.abs(before) + np.abs(after)
    return sign * (after - before) / np.where(scale > 0, scale, 1.0)


def mean_of(columns: list[Values], rows: int) -> Values:
    """(rows,) the mean over ``columns`` of what is finite; NaN where nothing is."""
    table = np.stack([*columns, np.full(rows, np.nan)])
    known = np.isfinite(table)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, table, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


@cache
def direction(name: str) -> int:
    """1 if higher figures of the measure are better, -1 if lower, 0 if the measure is not known here."""
    spec = all_measures().get(name)
    return 0 if spec is None else 1 if spec.better == "higher" else -1
