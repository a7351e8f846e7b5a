"""The rows of an evaluation as Markdown for people, and as Parquet for machines."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from infra.storage import Storage, join
from models.quality_measure import all_measures
from models.quality_metric import Protocol, all_metrics
from pipeline.evaluation import Row

NONE = "-"
COUNTS = ("deg_identical",)
SCHEMA = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("pictures", pa.int64(), nullable=False),
        pa.field("figure", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("better", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""One row a figure; ``value`` is null where it is missing, and ``reason`` says why."""


def write(storage: Storage, out: str, rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Store ``evaluation.md`` and ``evaluation.parquet`` below ``out``; gives their URIs."""
    sink = pa.BufferOutputStream()
    pq.write_table(table(rows, protocol), sink)
    files = {"evaluation.md": markdown(rows, protocol).encode(), "evaluation.parquet": sink.getvalue().to_pybytes()}
    for name, content in files.items():
        storage.write(join(out, name), content)
    return [join(out, name) for name in files]


def table(rows: Sequence[Row], protocol: Protocol) -> pa.Table:
    """See ``SCHEMA``."""
    found = [line for row in rows for line in lines(row, protocol)]
    return pa.Table.from_pylist(found, schema=SCHEMA)


def lines(row: Row, protocol: Protocol) -> Iterable[Mapping[str, object]]:
    """The figures of one set, then those that are missing."""
    same = {"set": row.set.name, "method": row.set.method, "protocol": protocol.name, "pictures": row.pictures}
    for name, value in row.figures.items():
        yield same | {"figure": name, "value": value, "better": better(name), "reason": None}
    for name, reason in row.missing.items():
        yield same | {"figure": name, "value": None, "better": better(name), "reason": reason}


def markdown(rows: Sequence[Row], protocol: Protocol) -> str:
    """A line for each method on each set; below, what is missing and why."""
    names = columns(rows, protocol)
    head = ["set", "method", "pictures", *(f"{name} {arrow(name)}".strip() for name in names)]
    cells = [[row.set.name, row.set.method, str(row.pictures), *(shown(row, name) for name in names)] for row in rows]
    ruled = [head, ["---"] * 3 + ["---:"] * len(names), *cells]
    text = [f"Protocol `{protocol.name}`.", "", *("| " + " | ".join(line) + " |" for line in ruled)]
    if missing := reasons(rows):
        text += ["", "Not measured:", "", *missing]
    return "\n".join(text) + "\n"


def columns(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """All figures that any row has, the protocol's first in its order."""
    there = dict.fromkeys(name for row in rows for name in row.figures)
    return [name for name in protocol.metrics if name in there] + [
        name for name in there if name not in protocol.metrics
    ]


def reasons(rows: Sequence[Row]) -> list[str]:
    """What is missing, with the sets that lack it."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row.missing.items():
            found.setdefault((name, reason), []).append(f"{row.set.method} on {row.set.name}")
    of = {key: "" if len(sets) == len(rows) else f" ({', '.join(sets)})" for key, sets in found.items()}
    return [f"- {name}{of[name, reason]}: {reason}" for name, reason in found]


def shown(row: Row, name: str) -> str:
    value = row.figures.get(name)
    if value is None:
        return NONE
    return str(round(value)) if name in COUNTS else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def better(name: str) -> str | None:
    """Which way is better, for a figure that says how good a method is."""
    spec = all_metrics().get(name) or all_measures().get(name)
    return spec.better if spec else None


def arrow(name: str) -> str:
    return {"higher": "↑", "lower": "↓", None: ""}[better(name)]
