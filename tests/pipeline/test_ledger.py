"""The ledger: what counts as done, and how rows are published and replaced."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.storage import Entry, Storage
from pipeline import ledger as ledgers
from pipeline.columns import Columns
from pipeline.ledger import Ledger, Retry
from pipeline.manifest import SCHEMA
from stages.photo import Fault, FaultClass, Photo, Source, Status

THEN, NOW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
NO_RETRY = Retry()
RECIPE = {"seed": 0}


def source(name: str, etag: str | None = "e", mtime: datetime | None = THEN, size: int = 3) -> Source:
    return Source(f"s3://b/{name}", name, size, etag, mtime, target=name)


def entry(name: str, etag: str | None = "e", mtime: datetime | None = THEN, size: int = 3) -> Entry:
    return Entry(f"s3://b/{name}", name, size, etag, mtime)


def done(name: str, sha256: str = "a" * 64, **changes: object) -> Photo:
    return replace(Photo(source(name), sha256=sha256, status=Status.NO_FACE), **changes)  # type: ignore[arg-type]


def table(*photos: Photo) -> pa.Table:
    rows = Columns({}).table(photos, pixels=False).select(SCHEMA.names)
    index = SCHEMA.get_field_index("recipe")
    return rows.set_column(index, SCHEMA.field("recipe"), pa.array(["r"] * len(photos), pa.string()))


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def opened(sink: str) -> Ledger:
    return ledgers.load(Storage(), sink)


def test_a_photo_is_due_until_its_row_is_public(sink: str) -> None:
    ledger = opened(sink)
    due = ledger.due(entry("a.jpg"), NO_RETRY, False)
    assert due == source("a.jpg")
    ledger.publish(1, "run", table(done("a.jpg")), RECIPE)
    assert ledger.due(entry("a.jpg"), NO_RETRY, False) is None
    assert opened(sink).due(entry("a.jpg"), NO_RETRY, False) is None


@pytest.mark.parametrize(
    ("seen", "is_due"),
    [
        (entry("a.jpg", etag="other"), True),
        (entry("a.jpg", size=4), True),
        (entry("a.jpg", mtime=NOW), False),  # the etag speaks for the content
        (entry("a.jpg", etag=None), False),
        (entry("a.jpg", etag=None, mtime=NOW), True),
        (entry("a.jpg", etag=None, mtime=None), True),
    ],
)
def test_a_changed_object_is_due_and_carries_what_was_known(sink: str, seen: Entry, is_due: bool) -> None:
    ledger = opened(sink)
    ledger.publish(1, "run", table(done("a.jpg")), RECIPE)
    due = ledger.due(seen, NO_RETRY, False)
    assert (due is not None) is is_due
    if due:
        assert (due.previous_sha256, due.retry, due.target) == ("a" * 64, False, "a.jpg")


def test_failures_are_due_only_on_request(sink: str) -> None:
    ledger = opened(sink)
    failed = done("a.jpg", status=Status.FAILED, fault=Fault("read", FaultClass.STORAGE, "busy"))
    ledger.publish(1, "run", table(failed), RECIPE)
    assert ledger.due(entry("a.jpg"), NO_RETRY, False) is None
    assert ledger.due(entry("a.jpg"), Retry(classes=frozenset({"corrupt"})), False) is None
    for retry in (Retry(all=True), Retry(classes=frozenset({"storage"}))):
        due = ledger.due(entry("a.jpg"), retry, False)
        assert due is not None
        assert due.retry


def test_skipped_files_are_due_when_their_class_is_asked_for(sink: str) -> None:
    ledger = opened(sink)
    skipped = done("a.jp2", status=Status.SKIPPED, fault=Fault("decode", FaultClass.UNSUPPORTED, "JPEG2000"))
    ledger.publish(1, "run", table(skipped), RECIPE)
    assert ledger.due(entry("a.jp2"), Retry(all=True), False) is None
    assert ledger.due(entry("a.jp2"), Retry(classes=frozenset({"unsupported"})), False) is not None


def test_a_lists_photo_that_is_still_missing_is_not_due_again(sink: str) -> None:
    ledger = opened(sink)
    missing = replace(done("a.jpg", status=Status.FAILED), source=source("a.jpg", None, None, None))  # type: ignore[arg-type]
    ledger.publish(1, "run", table(missing), RECIPE)
    assert ledger.due(entry("a.jpg", None, None, None), NO_RETRY, False) is None  # type: ignore[arg-type]
    assert ledger.due(entry("a.jpg"), NO_RETRY, False) is not None


def test_copies_that_are_wanted_now_are_due(sink: str) -> None:
    ledger = opened(sink)
    ledger.publish(1, "run", table(done("a.jpg"), done("b.jpg", result="file:///b", result_sha256="0")), RECIPE)
    assert ledger.due(entry("a.jpg"), NO_RETRY, True) is not None
    assert ledger.due(entry("b.jpg"), NO_RETRY, True) is None


def test_a_later_row_wins_and_tidying_leaves_one_a_photo(sink: str) -> None:
    first = opened(sink)
    first.publish(1, "one", table(done("a.jpg"), done("b.jpg")), RECIPE)
    first.publish(2, "one", table(done("c.jpg")), RECIPE)
    second = opened(sink)
    assert second.generation == 2
    second.publish(1, "two", table(done("a.jpg", "b" * 64), done("c.jpg", "b" * 64)), RECIPE)
    assert opened(sink).rows["s3://b/a.jpg"].sha256 == "b" * 64
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
    second = opened(sink)
    second.publish(1, "two", table(done("a.jpg")), {"seed": 1})
    second.tidy()
    (tmp, *_) = ledgers.part_names(Storage(), sink)
    assert b"seed" in pq.read_schema(Path(f"{sink.removeprefix('file://')}/manifest/{tmp}")).metadata[ledgers.RECIPE]


def test_other_files_in_the_manifest_folder_are_passed_over(sink: str, tmp_path: Path) -> None:
    opened(sink).publish(1, "one", table(done("a.jpg")), RECIPE)
    (tmp_path / "out" / "manifest" / "notes.parquet").write_bytes(b"mine")
    assert len(opened(sink).rows) == 1


def test_a_whole_row_is_found_again(sink: str) -> None:
    ledger = opened(sink)
    ledger.publish(1, "one", table(done("a.jpg"), done("b.jpg", width=7)), RECIPE)
    assert ledger.published(["s3://b/b.jpg"])["s3://b/b.jpg"]["width"] == 7
