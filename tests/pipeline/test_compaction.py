"""Small parts become large ones: no row is lost or doubled, whoever does what at the same time."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.errors import StorageError
from infra.storage import Storage
from pipeline import compaction
from pipeline import ledger as ledgers
from pipeline.compaction import compact, run_of, successor
from pipeline.ledger import Ledger
from tests.pipeline.test_ledger import RECIPE, all_rows, done, opened, table, working_on


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def filled(sink: str, parts: int = 6, run: str = "one") -> Ledger:
    ledger = opened(sink)
    for number in range(1, parts + 1):
        ledger.publish(number, run, table(done(f"{run}-{number}a.jpg"), done(f"{run}-{number}b.jpg")), RECIPE)
    return opened(sink)


def names(sink: str) -> list[str]:
    return ledgers.part_names(Storage(), sink)


def test_small_parts_become_one_that_sorts_after_them(sink: str, tmp_path: Path) -> None:
    ledger = filled(sink)
    before, old = all_rows(sink), names(sink)
    assert compact(ledger, 6) == 0
    assert compact(ledger, 5) == 6
    (name,) = names(sink)
    assert old[-1] < name < "000001-one-00007.parquet"
    assert all_rows(sink) == before
    assert pq.read_schema(tmp_path / "out" / "manifest" / name).metadata[ledgers.RECIPE]
    assert compact(opened(sink), 5) == 0
    assert opened(sink).generation == 2


def test_groups_have_enough_rows_and_large_parts_are_left(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "ROWS", 4)
    ledger = filled(sink, 7)
    assert compact(ledger, 2) == 6
    assert sorted(ledger.counts.values()) == [2, 4, 4, 4]
    assert compact(opened(sink), 0) == 0


def test_rows_that_were_replaced_stay_behind_and_new_parts_still_win(sink: str) -> None:
    filled(sink, 3)
    second = working_on(sink, "one-1a.jpg", "one-3b.jpg")
    second.publish(1, "two", table(done("one-1a.jpg", "b" * 64), done("one-3b.jpg", "b" * 64)), RECIPE)
    compact(second, 2)
    assert second.tidy() == 0
    rows = all_rows(sink)
    assert (len(rows), rows["s3://b/one-1a.jpg"], rows["s3://b/one-2a.jpg"]) == (6, "b" * 64, "a" * 64)
    third = working_on(sink, "one-1a.jpg")
    third.publish(1, "three", table(done("one-1a.jpg", "c" * 64)), RECIPE)
    assert third.tidy() == 1
    assert Counter(all_rows(sink).values()) == {"a" * 64: 4, "b" * 64: 1, "c" * 64: 1}


def test_a_run_with_a_share_puts_only_its_own_parts_together(sink: str) -> None:
    filled(sink, 3)
    ledger = filled(sink, 3, "two")
    assert compact(ledger, 2, "two") == 3
    assert [run_of(name) for name in names(sink)] == ["one", "one", "one", "two"]


def test_two_that_do_it_at_once_lose_nothing(sink: str) -> None:
    filled(sink)
    before = all_rows(sink)
    first, second = opened(sink), opened(sink)
    tables = [second.part(name) for name in names(sink)]
    compact(first, 1)
    assert compact(second, 1) == 0
    compaction.store(second, successor(max(second.counts)), tables[0])  # it had read before the first deleted
    assert all_rows(sink) == before
    third = opened(sink)
    third.tidy()
    assert all_rows(sink) == before
    assert sum(third.counts.values()) == len(before)


def test_nothing_is_removed_if_the_store_does_not_hold_the_new_part(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(sink)
    before = names(sink)
    write = Storage.write
    monkeypatch.setattr(Storage, "write", lambda self, uri, data: write(self, uri, data[: len(data) // 2]))
    with pytest.raises(StorageError, match="does not hold what was written"):
        compact(ledger, 1)
    assert names(sink) == before


def test_names_can_follow_each_other_for_ever() -> None:
    name = "000001-20261121T090011Z-3f9a-00007.parquet"
    for _ in range(30):
        assert name < successor(name) < "000001-20261121T090011Z-3f9a-00008.parquet"
        assert run_of(successor(name)) == "20261121T090011Z-3f9a"
        assert ledgers.is_part(successor(name))
        name = successor(name)
    assert len(name) < 60
