"""Clearing up after crashed runs: what goes, what stays, and when nothing is touched."""

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.errors import ConfigError, StorageError
from infra.storage import Storage
from pipeline.lease import Guarded, Holder, lease_uri
from pipeline.ledger import Ledger
from pipeline.orphans import Collector, age_of
from pipeline.record import Outcome
from pipeline.subset import Share
from tests.pipeline.test_verify import bare, check, kinds, photos_of, publish, put, removed, restored, write_record

Restoring = Callable[..., Outcome]
DAY = timedelta(days=1)


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def aged(root: Path, days: float) -> None:
    """Make everything below a folder so many days old."""
    then = datetime.now(UTC).timestamp() - days * 86400
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_gc_lists_orphans_and_removes_them_only_when_told(sink: str, tmp_path: Path) -> None:
    publish(sink, photos_of(sink, 5))
    out = tmp_path / "out"
    orphans = [f"{sink}/photos/crashed.png", f"{sink}/crops/crashed.png.0.json"]
    inner = [f"{sink}/recipes/0123/photos/a.png", f"{sink}/recipes/0123/{draft(1)}"]
    for uri in [*orphans, *inner, f"{sink}/report.html", f"{sink}/{draft(2**22 + 1)}"]:
        put(uri, b"12")
    aged(out, 2)
    put(f"{sink}/photos/young.png", b"3")
    before = {path for path in out.rglob("*") if path.is_file()}
    expected = [*orphans, f"{sink}/{drafts_in(out)[0]}"]
    assert sorted(removed(sink, DAY, delete=False)) == sorted(expected)
    assert {path for path in out.rglob("*") if path.is_file()} == before
    assert sorted(removed(sink, DAY)) == sorted(expected)
    gone = before - {path for path in out.rglob("*") if path.is_file()}
    assert {f"file://{path}" for path in gone} == set(expected)
    assert kinds(sink) == {"extra": 1}


def draft(pid: int, host: str | None = None) -> str:
    return f".daguerre-{host or socket.gethostname()}-{pid}-{uuid.uuid4().hex}.tmp"


def drafts_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".daguerre-*")]


def test_unfinished_files_of_the_dead_go_those_of_other_hosts_when_old(sink: str, tmp_path: Path) -> None:
    publish(sink, [restored(sink, "a.png")])
    dead, far = draft(2**22 + 1), draft(1, "elsewhere")
    for name in (dead, far):
        put(f"{sink}/photos/{name}", b"")
    assert removed(sink, DAY, delete=False) == [f"{sink}/photos/{dead}"]
    aged(tmp_path / "out", 2)
    assert sorted(removed(sink, DAY)) == sorted([f"{sink}/photos/{dead}", f"{sink}/photos/{far}"])


def test_gc_removes_nothing_while_a_run_seems_to_be_at_work(sink: str, tmp_path: Path) -> None:
    publish(sink, [restored(sink, "a.png")], run="20261121T090011Z-3f9a")
    put(f"{sink}/photos/x.png", b"")
    aged(tmp_path / "out/photos", 2)
    with pytest.raises(StorageError, match="run 20261121T090011Z-3f9a has published rows but no record yet"):
        removed(sink, DAY)
    write_record(sink, "20261121T090011Z-3f9a")
    name = draft(os.getpid())
    put(f"{sink}/photos/{name}", b"")
    with pytest.raises(StorageError, match="is being written"):
        removed(sink, DAY)
    (tmp_path / "out/photos" / name).unlink()
    assert removed(sink, DAY) == [f"{sink}/photos/x.png"]


def test_gc_refuses_while_another_run_holds_the_lease_and_leaves_none(sink: str, tmp_path: Path) -> None:
    publish(sink, photos_of(sink, 2))
    aged(tmp_path / "out", 2)
    with (
        Holder(Guarded(None, lease_uri(sink, Share(1, 2)), "other"), Share(1, 2)).take(),
        pytest.raises(StorageError, match=r"another run works into .*: run other"),
    ):
        removed(sink, DAY)
    assert removed(sink, DAY) == []
    assert list((tmp_path / "out" / "leases").iterdir()) == []


def test_gc_stops_when_the_manifest_changes_under_it_and_spares_what_was_written_again(sink: str) -> None:
    publish(sink, [bare("a.png")])
    write_record(sink, "run")
    for name in ("x.png", "y.png"):
        put(f"{sink}/photos/{name}", b"")
    collector = Collector(Storage(), sink, timedelta(), delete=True)
    mentions = collector.mentions()
    found = list(collector.found(mentions))
    put(f"{sink}/photos/x.png", b"a new attempt's")
    assert [orphan.entry.path for orphan in collector.remove(found, mentions)] == ["y.png"]
    assert [entry.path for entry in Storage().list(f"{sink}/photos")] == ["x.png"]
    publish(sink, [bare("b.png")])
    with pytest.raises(StorageError, match="changed meanwhile"):
        list(collector.remove(found, mentions))


def test_an_empty_manifest_makes_no_orphans(sink: str) -> None:
    put(f"{sink}/photos/a.png", b"")
    put(f"{sink}/manifest/notes.txt", b"")
    with pytest.raises(StorageError, match="is empty"):
        removed(sink, timedelta())


@pytest.mark.parametrize(("text", "age"), [("24h", DAY), ("90m", timedelta(minutes=90)), ("0", timedelta())])
def test_ages_are_read(text: str, age: timedelta) -> None:
    assert age_of(text) == age


@pytest.mark.parametrize("text", ["", "h", "-1h", "1w", "1.5h", "٣h", "999999d"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--older-than"):
        age_of(text)


def test_what_a_dead_run_stored_is_an_orphan_until_a_run_publishes_it(
    archive: Path, tmp_path: Path, run: Restoring, sink: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_part = Ledger.publish
    with monkeypatch.context() as patch:

        def dying(self: Ledger, number: int, run_id: str, table: pa.Table, recipe: Mapping[str, Any]) -> str:
            if number > 1:
                raise RuntimeError("killed")
            return publish_part(self, number, run_id, table, recipe)

        patch.setattr(Ledger, "publish", dying)
        with pytest.raises(RuntimeError, match="killed"):
            run(archive, tmp_path / "out", run={"batch": 2, "part_rows": 1})
    left = [f"{sink}/photos/a.png", f"{sink}/photos/albums/b c.jpg"]
    assert [(finding.kind, finding.uri) for finding in check(sink)] == [("extra", uri) for uri in left]
    assert removed(sink, DAY, delete=False) == []
    assert removed(sink, timedelta(), delete=False) == left
    run(archive, tmp_path / "out")
    assert check(sink) == []
    assert removed(sink, timedelta(), delete=False) == []
