"""docs/manifest.md: its tables against the code, and its one-liners run as they stand there on a small manifest."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pytest

from pipeline.ledger import parquet
from pipeline.manifest import FACE, SCHEMA
from stages.photo import RETRYABLE, FaceStatus, FaultClass, Photo, Source, Status
from stages.photo import Fault as PhotoFault

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "manifest.md"
READERS = {"duckdb": duckdb, "pandas": pandas, "polars": polars}
CELL = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
NESTED = {"error", "output", "faces", "box", "landmarks", "affine"}  # described in words

FIRST = "000001-20261121T090011Z-3f9a-00001.parquet"
SECOND = "000002-20261121T100502Z-77c1-00001.parquet"


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^#+ ", DOCUMENT.read_text().split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def oneliner(title: str, number: int) -> Any:
    """What the code block of this number in a section evaluates to."""
    blocks: list[str] = re.findall(r"```python\n(.+?)\n```", section(title), re.DOTALL)
    return eval(blocks[number], dict(READERS))


def face(status: str) -> dict[str, Any]:
    return {
        "index": 0,
        "status": status,
        "reason": "",
        "box": [1.0, 2.0, 30.0, 40.0],
        "score": 0.9,
        "strength": 1.0,
        "before": [("noise", 4.0), ("sharpness", 0.25)],
        "after": [("noise", 2.0), ("sharpness", 0.5)] if status == "restored" else [],
    }


def row(path: str, status: str, **more: object) -> dict[str, Any]:
    nothing = {"faces": [], "before": [], "after": [], "seconds": [], "weights": []}
    return {"uri": f"s3://bucket/{path}", "path": path, "status": status, **nothing, **more}


def error(kind: str) -> dict[str, Any]:
    return {"stage": "decode", "class": kind, "message": "why", "attempts": 1, "retryable": False}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two parts, the second all null where the first has values; the current folder is the one that holds OUT."""
    folder = tmp_path / "OUT" / "manifest"
    folder.mkdir(parents=True)
    rows = [row("a.jpg", "restored", faces=[face("restored"), face("left")]), row("b.jpg", "no_face")]
    put(folder / FIRST, [*rows, row("c.jpg", "failed", error=error("truncated"))])
    put(folder / SECOND, [row("d.jpg", "no_face")])
    monkeypatch.chdir(tmp_path)
    return folder


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(parquet(pa.Table.from_pylist(rows, schema=SCHEMA)))


@pytest.mark.usefixtures("manifest")
def test_duckdb_reads_it() -> None:
    assert oneliner("DuckDB", 0).fetchall() == [("failed", 1), ("no_face", 2), ("restored", 1)]
    assert oneliner("DuckDB", 1).fetchall() == [("a.jpg", 0.25, 0.5)]
    assert oneliner("DuckDB", 2).fetchall() == [("truncated", 1)]


@pytest.mark.usefixtures("manifest")
def test_pandas_reads_it() -> None:
    assert oneliner("pandas", 0).to_dict() == {"failed": 1, "no_face": 2, "restored": 1}
    assert oneliner("pandas", 1) == [("a.jpg", 0.25, 0.5)]
    assert oneliner("pandas", 2).to_dict() == {"truncated": 1}


@pytest.mark.usefixtures("manifest")
def test_polars_reads_it() -> None:
    assert oneliner("polars", 0).rows() == [("failed", 1), ("no_face", 2), ("restored", 1)]
    assert oneliner("polars", 1).rows() == [("a.jpg", 0.25, 0.5)]
    assert oneliner("polars", 2).to_dicts() == [{"class": "truncated", "count": 1}]


def test_the_later_part_wins(manifest: Path) -> None:
    put(manifest / SECOND, [row("c.jpg", "no_face")])
    assert oneliner("While a run replaces rows", 0).fetchall() == [
        ("a.jpg", "restored"),
        ("b.jpg", "no_face"),
        ("c.jpg", "no_face"),
    ]


def test_every_column_is_documented_in_order_with_its_type() -> None:
    for title, fields in (("Columns", list(SCHEMA)), ("Faces", list(FACE))):
        found = CELL.findall(section(title))
        assert [name for name, _ in found] == [field.name for field in fields]
        types = {name: kind for name, kind in found if name not in NESTED}
        assert types == {field.name: str(field.type) for field in fields if field.name not in NESTED}


def test_every_status_and_class_is_documented() -> None:
    statuses = [name for name, _ in CELL.findall(section("Statuses"))]
    assert sorted(statuses) == sorted([*Status, *FaceStatus])
    classes = re.findall(r"^\| `(\w+)` \| (\w+) \| (yes|no) \|", section("Failure classes"), re.MULTILINE)
    assert classes == [(kind.value, ended(kind), "yes" if kind in RETRYABLE else "no") for kind in FaultClass]


def ended(kind: FaultClass) -> str:
    """The status of a photo that ends with a fault of this class."""
    return str(Photo(Source("file:///a", "a")).failed(PhotoFault("read", kind, "")).status)
