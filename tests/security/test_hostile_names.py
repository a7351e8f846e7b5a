"""Names that would like to be something else: a path, a tag, a formula, an option. All are names and nothing more."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.faults import StorageFault
from infra.storage import Storage
from pipeline.record import Outcome
from pipeline.reporting import write_for
from pipeline.verify import Check
from tests.object_store import ObjectStore
from tests.pipeline.conftest import in_process, portrait, restoring

Restoring = Callable[..., Outcome]

ALIGNED: dict[str, Any] = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
}
PLAIN = [
    "<script>alert(1)</script>.png",
    '" onmouseover="alert(1).png',
    "=cmd|' calc'!A0.png",
    "@SUM(1).png",
    "+1.png",
    "-rf.png",
    "--config=evil.toml.png",
    "{{ 7*7 }}{% include 'x' %}.png",
    "back\\..\\slash.png",
    "x..%2f..%2fescape.png",
    "%2E%2E/up.png",
    "snow 雪 \u202egnp.png",
    "$(touch ran).png",
    "n" * 251 + ".png",
]
LOCAL = ["line\nbreak\r.png", os.fsdecode(b"no utf-8 \xff\xfe.png")]  # moto knows no keys with line breaks
CLIMBING = ["../up.png", "a/../../up.png", "/etc/up.png", "a/./b.png", "..", "a//b.png"]


@pytest.fixture
def face() -> bytes:
    out = io.BytesIO()
    portrait(64, 1).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def run() -> Restoring:
    return restoring(in_process)


def files_in(folder: Path) -> set[str]:
    return {os.fsdecode(path) for path in folder.rglob("*") if path.is_file()}


def check_report(sink: str, folder: Path, count: int) -> None:
    """The report of ``sink`` has all its rows, and nothing in it runs."""
    write_for(Storage(), sink, f"file://{folder}")
    page = (folder / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert 'onmouseover="alert' not in page
    assert "49{" not in page  # no template is worked out
    assert page.count("<script>") == 1
    rows = list(csv.DictReader(io.StringIO((folder / "report.csv").read_bytes().decode("utf-8"), newline="")))
    assert len(rows) == count
    assert [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r\n")] == []


def test_in_folders_they_are_names_and_nothing_more(tmp_path: Path, face: bytes, run: Restoring) -> None:
    source, sink = tmp_path / "in", tmp_path / "sink" / "out"
    names = [*PLAIN, *LOCAL]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(face)
    before = files_in(tmp_path)
    outcome = run(source, sink, **ALIGNED)
    assert outcome.counts == {"restored": len(names)}
    made = files_in(tmp_path) - before
    assert [path for path in made if not path.startswith(f"{sink}/")] == []
    assert len([path for path in made if path.startswith(f"{sink}/photos/")]) == len(names)
    assert list(Check(Storage(), f"file://{sink}").findings()) == []
    check_report(f"file://{sink}", tmp_path / "report", len(names))


def test_keys_that_climb_stay_below_a_local_sink(
    tmp_path: Path, face: bytes, run: Restoring, object_store: ObjectStore
) -> None:
    keys = [*PLAIN, *(f"photos/{path}" for path in CLIMBING if path != "..")]
    source, sink = object_store.bucket(dict.fromkeys(keys, face)), tmp_path / "deep" / "down" / "out"
    outcome = run(source, sink, **ALIGNED)
    assert outcome.counts == {"restored": len(keys)}
    assert [path for path in files_in(tmp_path) if not path.startswith(f"{sink}/")] == []
    assert len(files_in(sink / "photos")) == len(keys)
    check_report(f"file://{sink}", tmp_path / "report", len(keys))


def test_in_buckets_they_stay_below_the_sinks_prefix(
    tmp_path: Path, face: bytes, run: Restoring, object_store: ObjectStore
) -> None:
    keys = [*PLAIN, *(f"photos/{path}" for path in CLIMBING if path != "..")]
    source, bucket = object_store.bucket(dict.fromkeys(keys, face)), object_store.bucket()
    outcome = run(source, f"{bucket}/sink", **ALIGNED)
    assert outcome.counts == {"restored": len(keys)}
    stored = [entry.path for entry in Storage().list(bucket)]
    assert [path for path in stored if not path.startswith("sink/")] == []
    assert [path for path in stored if {".", ".."} & set(path.split("/"))] == []
    check_report(f"{bucket}/sink", tmp_path / "report", len(keys))


def test_a_manifest_cannot_send_a_result_out_of_the_sink(tmp_path: Path, face: bytes, run: Restoring) -> None:
    source, sink = tmp_path / "in", tmp_path / "deep" / "out"
    source.mkdir()
    (source / "a.png").write_bytes(face)
    run(source, sink, **ALIGNED)
    (part,) = (sink / "manifest").glob("*.parquet")
    table = pq.read_table(part)
    place = table.schema.get_field_index("target")
    forged = table.set_column(place, table.schema.field(place), [["../../../escaped.png"]])
    pq.write_table(forged, part)
    (source / "a.png").write_bytes(face + b"changed")
    before = files_in(tmp_path)
    outcome = run(source, sink, **ALIGNED)
    assert outcome.tally.total == 1
    assert [path for path in files_in(tmp_path) - before if not path.startswith(f"{sink}/")] == []
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "a/./b.png", "nul\0.png", ".."])
def test_a_store_never_writes_to_a_name_that_climbs(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="leads out of its folder") as caught:
        Storage().write(f"file://{tmp_path}/sink/{name}", b"x")
    assert caught.value.kind == "denied"
    assert files_in(tmp_path) == set()


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "sink" / "a.png"
    precious.write_bytes(b"mine")
    link.parent.mkdir()
    link.symlink_to(precious)
    Storage().write(f"file://{link}", b"result")
    Storage().delete(f"file://{tmp_path}/sink/none.png")
    assert (precious.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"mine", b"result", False)


@pytest.mark.parametrize("name", ["../precious", "./../precious"])
def test_nothing_outside_is_removed(name: str, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "sink").mkdir()
    with pytest.raises(StorageFault):
        Storage().delete(f"file://{tmp_path}/sink/{name}")
    assert (tmp_path / "precious").read_bytes() == b"mine"
