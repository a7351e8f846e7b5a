"""The ledger: what counts as done, and how rows are published and replaced."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.storage import Storage
from pipeline import ledger as ledgers
from pipeline.columns import rows as rows_of
from pipeline.index import keys_of
from pipeline.ledger import Ledger
from pipeline.manifest import SCHEMA
from stages.photo import Photo, Source, Status

THEN = datetime(2020, 1, 1, tzinfo=UTC)
RECIPE = {"seed": 0}


def source(name: str, etag: str | None = "e", mtime: datetime | None = THEN, size: int = 3) -> Source:
    return Source(f"s3://b/{name}", name, size, etag, mtime, target=name)


def done(name: str, sha256: str = "a" * 64, **changes: object) -> Photo:
    return replace(Photo(source(name), sha256=sha256, status=Status.NO_FACE), **changes)  # type: ignore[arg-type]


def table(*photos: Photo) -> pa.Table:
    rows = rows_of(photos).select(SCHEMA.names)
    index = SCHEMA.get_field_index("recipe")
    return rows.set_column(index, SCHEMA.field("recipe"), pa.array(["r"] * len(photos), pa.string()))


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def opened(sink: str) -> Ledger:
    return ledgers.load(Storage(), sink)


def working_on(sink: str, *names: str) -> Ledger:
    """The ledger of a run that works on some photos again."""
    ledger = opened(sink)
    uris = [f"s3://b/{name}" for name in names]
    at = ledger.index.find(keys_of(uris)).tolist()
    ledger.rows |= dict(zip(uris, ledger.index.known(at, uris), strict=True))
    return ledger


def test_a_later_row_wins_and_tidying_leaves_one_a_photo(sink: str) -> None:
    first = opened(sink)
    first.publish(1, "one", table(done("a.jpg"), done("b.jpg")), RECIPE)
    first.publish(2, "one", table(done("c.jpg")), RECIPE)
    second = working_on(sink, "a.jpg", "c.jpg")
    assert second.generation == 2
    second.publish(1, "two", table(done("a.jpg", "b" * 64), done("c.jpg", "b" * 64)), RECIPE)
    assert working_on(sink, "a.jpg").rows["s3://b/a.jpg"].sha256 == "b" * 64
    assert second.tidy() == 2
    assert all_rows(sink) == {"s3://b/a.jpg": "b" * 64, "s3://b/b.jpg": "a" * 64, "s3://b/c.jpg": "b" * 64}
    names = ledgers.part_names(Storage(), sink)
    assert names == ["000001-one-00001.parquet", "000002-two-00001.parquet"]


def test_a_run_that_died_before_tidying_is_tidied_by_the_next(sink: str) -> None:
    opened(sink).publish(1, "one", table(done("a.jpg")), RECIPE)
    opened(sink).publish(1, "two", table(done("a.jpg", "b" * 64)), RECIPE)
    assert opened(sink).tidy() == 1
    assert all_rows(sink) == {"s3://b/a.jpg": "b" * 64}
    assert opened(sink).tidy() == 0


def all_rows(sink: str) -> dict[str, str]:
    rows = [row for part in ledgers.read_manifest(Storage(), sink) for row in part.to_pylist()]
    assert set(Counter(row["uri"] for row in rows).values()) == {1}
    return {row["uri"]: row["sha256"] for row in rows}


def test_parts_carry_the_recipe_and_the_whole_schema(sink: str, tmp_path: Path) -> None:
    ledger = opened(sink)
    name = ledger.publish(1, "run", table(done("a.jpg")), RECIPE)
    part = pq.read_table(tmp_path / "out" / "manifest" / name)
    assert part.schema.remove_metadata() == SCHEMA
    assert opened(sink).recipes == {"r": RECIPE}
    opened(sink).tidy()


def test_tidying_keeps_the_recipe(sink: str) -> None:
    opened(sink).publish(1, "one", table(done("a.jpg"), done("b.jpg")), RECIPE)
    second = working_on(sink, "a.jpg")
    second.publish(1, "two", table(done("a.jpg")), {"seed": 1})
    second.tidy()
    (tmp, *_) = ledgers.part_names(Storage(), sink)
    assert b"seed" in pq.read_schema(Path(f"{sink.removeprefix('file://')}/manifest/{tmp}")).metadata[ledgers.RECIPE]


def test_other_files_in_the_manifest_folder_are_passed_over(sink: str, tmp_path: Path) -> None:
    opened(sink).publish(1, "one", table(done("a.jpg")), RECIPE)
    (tmp_path / "out" / "manifest" / "notes.parquet").write_bytes(b"mine")
    assert len(opened(sink).index) == 1


def test_a_whole_row_is_found_again(sink: str) -> None:
    opened(sink).publish(1, "one", table(done("a.jpg"), done("b.jpg", width=7)), RECIPE)
    assert working_on(sink, "b.jpg").published(["s3://b/b.jpg"])["s3://b/b.jpg"]["width"] == 7
