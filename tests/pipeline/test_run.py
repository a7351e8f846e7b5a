"""The whole flow on a real Ray: what a sink holds after one run, and after the next."""

import json
import os
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.errors import RecipeError, ResourceError, StorageError
from infra.storage import Storage
from pipeline.ledger import Ledger, read_manifest
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.work import Trial
from tests.pipeline.conftest import in_process, restoring

Restoring = Callable[..., Outcome]
TWO_METHODS: dict[str, Any] = {
    "methods": {"small": {"method": "classic", "parameters": {"size": 256}}, "large": {"method": "classic"}},
    "rules": [{"name": "small faces", "use": "small", "side": {"below": 160}}],
    "method": "large",
}
VOLATILE = {"run_id", "seconds", "mtime", "etag", "uri", "result_uri"}


def rows(sink: Path | str) -> dict[str, dict[str, Any]]:
    tables = list(read_manifest(Storage(), str(sink) if "://" in str(sink) else f"file://{sink}"))
    found = [row for table in tables for row in table.to_pylist()]
    assert len({row["uri"] for row in found}) == len(found)
    return {row["path"]: row for row in found}


def stable(sink: Path | str) -> dict[str, dict[str, Any]]:
    """Rows without what differs from run to run and from place to place."""
    return {path: {key: row[key] for key in row if key not in VOLATILE} for path, row in rows(sink).items()}


def results(sink: Path) -> dict[str, bytes]:
    return {str(path.relative_to(sink)): path.read_bytes() for path in (sink / "photos").rglob("*") if path.is_file()}


def test_every_file_ends_with_one_status_and_its_reason(
    archive: Path, tmp_path: Path, run: Restoring, run_on_ray: Restoring
) -> None:
    sink = tmp_path / "out"
    outcome = run_on_ray(archive, sink)
    assert outcome.counts == {"restored": 2, "no_face": 1, "failed": 2, "skipped": 2}
    assert outcome.work.listed == sum(outcome.counts.values()) == 7
    found = rows(sink)
    assert {path: (row["status"], row["error"] and row["error"]["class"]) for path, row in found.items()} == {
        "a.png": ("restored", None),
        "albums/b c.jpg": ("restored", None),
        "albums/blue.png": ("no_face", None),
        "broken.jpg": ("failed", "truncated"),
        "empty.jpg": ("failed", "empty"),
        "moving.gif": ("skipped", "unsupported"),
        "notes.txt": ("skipped", "not_a_photo"),
    }
    assert set(results(sink)) == {"photos/a.png", "photos/albums/b c.jpg"}
    assert found["notes.txt"]["sha256"] is None
    check_row_of_a_restored_photo(found["a.png"], sink, outcome)
    check_record(sink, outcome)
    assert not list(sink.rglob("*.tmp"))
    run(archive, tmp_path / "plain")
    assert stable(tmp_path / "plain") == stable(sink)
    assert results(tmp_path / "plain") == results(sink)


def check_row_of_a_restored_photo(row: dict[str, Any], sink: Path, outcome: Outcome) -> None:
    face = row["faces"][0]
    assert row["result_uri"] == f"file://{sink}/photos/a.png"
    assert (row["width"], row["height"], row["format"]) == (240, 240, "PNG")
    assert (row["run_id"], row["recipe"]) == (outcome.job.run_id, outcome.job.recipe.hash)
    assert (face["status"], face["method"], face["rule"]) == ("restored", "classic", "default")
    assert set(dict(face["before"])) == set(dict(face["after"])) == set(dict(row["before"])) == set(dict(row["after"]))
    stages = {"read", "decode", "detect", "align", "restore", "guard", "paste", "score", "write"}
    assert stages == set(dict(row["seconds"]))


def check_record(sink: Path, outcome: Outcome) -> None:
    record = json.loads((sink / "runs" / f"{outcome.job.run_id}.json").read_text())
    assert record["state"] == "finished"
    assert record["failures"] == {"truncated": 1, "empty": 1}
    assert record["source_bytes"] == outcome.tally.source_bytes > 0


def test_pixels_outside_the_faces_squares_are_the_photos_own(archive: Path, tmp_path: Path, run: Restoring) -> None:
    from stages.geometry import square

    sink = tmp_path / "out"
    run(archive, sink, trial=Trial(limit=1))
    row = rows(sink)["a.png"]
    before, after = (np.asarray(Image.open(path)) for path in (archive / "a.png", sink / "photos" / "a.png"))
    outside = np.ones(before.shape[:2], bool)
    for face in row["faces"]:
        x0, y0, x1, y1 = square(np.array(face["affine"]).reshape(2, 3), 512, before.shape[1], before.shape[0])
        outside[y0:y1, x0:x1] = False
    assert outside.any()
    np.testing.assert_array_equal(after[outside], before[outside])
    assert (after[~outside] != before[~outside]).mean() > 0.1


def test_a_second_run_reads_nothing_and_a_changed_archive_only_what_changed(
    archive: Path, tmp_path: Path, run: Restoring
) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    first, published = stable(sink), results(sink)

    again = run(archive, sink)
    assert (again.tally.total, again.tally.source_bytes) == (0, 0)
    assert again.counts == {"restored": 2, "no_face": 1, "failed": 2, "skipped": 2}
    assert stable(sink) == first

    os.utime(archive / "a.png", (1, 1))  # touched: same content
    Image.new("RGB", (30, 30), "red").save(archive / "new.png")
    changed = Image.open(archive / "albums" / "b c.jpg").rotate(3)
    changed.save(archive / "albums" / "b c.jpg", quality=90)
    (archive / "albums" / "blue.png").unlink()
    third = run(archive, sink)
    assert third.tally.renewed == Counter({"restored": 1})
    assert third.tally.photos.total() == 2
    assert (third.work.vanished, third.work.missing) == (1, [f"file://{archive}/albums/blue.png"])
    after = rows(sink)
    assert after["a.png"]["mtime"].timestamp() == 1
    assert after["a.png"]["result_sha256"] == first["a.png"]["result_sha256"]
    assert after["albums/blue.png"]["status"] == "no_face"
    target = f"albums/b c~{after['albums/b c.jpg']['sha256'][:8]}.jpg"
    assert after["albums/b c.jpg"]["result_uri"] == f"file://{sink}/photos/{target}"
    assert {name: results(sink)[name] for name in published} == published
    assert run(archive, sink).tally.total == 0


def test_a_part_of_a_finished_archive_finds_its_rows_and_reports_nothing_vanished(
    archive: Path, tmp_path: Path, run: Restoring
) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    for part in (archive / "albums", archive / "a.png"):
        again = run(part, sink)
        assert (again.tally.total, again.work.vanished) == (0, 0)
    assert run(archive, sink, read={"exclude": ["*.jpg"]}).work.vanished == 0


def test_files_that_are_no_photos_are_in_no_rate(archive: Path, tmp_path: Path, run: Restoring) -> None:
    for index in range(20):
        (archive / f"{index}.txt").write_text("note")
    outcome = run(archive, tmp_path / "out")
    assert outcome.tally.total == 6
    assert outcome.counts["skipped"] == 22
    assert outcome.unreached == 0


def test_an_interrupt_while_a_part_is_published_doubles_no_row(
    archive: Path, tmp_path: Path, run: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember, calls = Ledger.remember, [0]

    def interrupted(ledger: Ledger, part: str, table: pa.Table) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        remember(ledger, part, table)

    monkeypatch.setattr(Ledger, "remember", interrupted)
    outcome = run(archive, tmp_path / "out")
    assert outcome.state == "interrupted"
    parts = [pq.read_table(path) for path in (tmp_path / "out" / "manifest").glob("*.parquet")]
    uris = [uri for part in parts for uri in part.column("uri").to_pylist()]
    assert len(uris) == len(set(uris)) == sum(outcome.counts.values())


def test_many_touched_photos_are_renewed_in_one_part(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    for name in ("a.png", "albums/b c.jpg", "albums/blue.png", "broken.jpg", "moving.gif"):
        os.utime(archive / name, (1, 1))
    again = run(archive, sink)
    assert again.tally.renewed == Counter({"restored": 2, "no_face": 1, "failed": 1, "skipped": 1})
    assert len(rows(sink)) == 7


def test_failed_photos_are_tried_again_on_request_alone(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    assert run(archive, sink, retry=Retry(classes=frozenset({"truncated"}))).tally.failures == {"truncated": 1}
    assert run(archive, sink, retry=Retry(all=True)).tally.failures == {"truncated": 1, "empty": 1}
    assert rows(sink)["broken.jpg"]["status"] == "failed"


def test_a_trial_is_part_of_the_full_run(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    assert run(archive, sink, trial=Trial(limit=2)).work.listed == 2
    assert run(archive, sink, trial=Trial(sample=3)).work.listed == 3
    full = run(archive, sink)
    assert full.work.done.total() + full.tally.total + full.tally.passed.total() == 7
    assert full.work.done.total() >= 3
    assert len(rows(sink)) == 7


def test_another_recipe_stops_and_works_beside_on_request(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    with pytest.raises(RecipeError, match=r"strength: 1\.0 -> 0\.5"):
        run(archive, sink, strength=0.5)
    beside = run(archive, sink, strength=0.5, new_recipe=True)
    assert beside.job.sink == f"file://{sink}/recipes/{beside.job.recipe.hash}"
    assert (beside.tally.total, beside.tally.passed.total()) == (6, 1)
    assert run(archive, sink, strength=0.5, new_recipe=True).tally.total == 0


def test_a_row_is_published_only_after_its_result(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink, run={"batch": 1, "part_rows": 1})
    parts = sorted((sink / "manifest").glob("*.parquet"))
    assert len(parts) > 3
    for part in parts:
        for row in pq.read_table(part).to_pylist():
            if row["result_uri"]:
                result = Path(row["result_uri"].removeprefix("file://"))
                assert result.stat().st_mtime_ns <= part.stat().st_mtime_ns


def test_parts_have_one_schema_whatever_is_in_them(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink, run={"batch": 1, "part_rows": 1})
    tables = [pq.read_table(part) for part in (sink / "manifest").glob("*.parquet")]
    assert pa.concat_tables(tables).num_rows == 7


def test_methods_are_chosen_by_rule_and_every_face_says_which(archive: Path, tmp_path: Path, run: Restoring) -> None:
    outcome = run(archive, tmp_path / "out", **TWO_METHODS, write={"keep": ["crops"]})
    chosen = {
        path: (row["faces"][0]["method"], row["faces"][0]["rule"])
        for path, row in rows(tmp_path / "out").items()
        if row["faces"]
    }
    assert chosen == {"a.png": ("small", "small faces"), "albums/b c.jpg": ("large", "default")}
    assert sorted(outcome.job.recipe.methods) == ["large", "small"]
    assert Image.open(tmp_path / "out" / "crops" / "a.png.0.restored.png").size == (256, 256)
    assert Image.open(tmp_path / "out" / "crops" / "albums" / "b c.jpg.0.input.png").size == (512, 512)
    assert json.loads((tmp_path / "out" / "crops" / "a.png.0.json").read_text())["method"] == "small"


def test_unchanged_photos_are_copied_byte_for_byte_on_request(archive: Path, tmp_path: Path, run: Restoring) -> None:
    sink = tmp_path / "out"
    run(archive, sink)
    assert not (sink / "photos" / "albums" / "blue.png").exists()
    run(archive, sink, write={"unchanged": "copy"})
    assert (sink / "photos" / "albums" / "blue.png").read_bytes() == (archive / "albums" / "blue.png").read_bytes()
    assert run(archive, sink, write={"unchanged": "copy"}).tally.total == 0


def test_aligned_faces_need_no_detector_and_keep_their_names(tmp_path: Path, run: Restoring) -> None:
    root = tmp_path / "crops"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "0001.png")
    Image.fromarray(noise[:200]).save(root / "0002.png")
    methods = {"classic": {"method": "classic", "parameters": {"size": 256}}}
    outcome = run(root, tmp_path / "out", aligned=True, methods=methods)
    assert outcome.tally.failures == {"wrong_size": 1}
    assert (np.asarray(Image.open(tmp_path / "out" / "photos" / "0001.png")) != noise).any()


def test_a_run_over_the_failure_limit_stops_and_says_so(archive: Path, tmp_path: Path, run: Restoring) -> None:
    for index in range(12):
        (archive / f"bad{index}.jpg").write_bytes(b"text")
    outcome = run(archive, tmp_path / "out", run={"batch": 1, "max_failed": "2"})
    assert outcome.state == "stopped"
    assert outcome.unreached > 0
    assert len(rows(tmp_path / "out")) == outcome.work.listed - outcome.unreached


def test_an_interrupted_run_publishes_what_is_done_and_goes_on(archive: Path, tmp_path: Path) -> None:
    def interrupted(outcome: Outcome) -> Generator[pa.Table]:
        for index, table in enumerate(in_process(outcome)):
            if index == 2:
                raise KeyboardInterrupt
            yield table

    stopped = restoring(interrupted)(archive, tmp_path / "out")
    assert (stopped.state, stopped.unreached) == ("interrupted", 2)
    assert len(rows(tmp_path / "out")) == 5
    assert restoring(in_process)(archive, tmp_path / "out").tally.total == 2


def test_our_own_bug_ends_the_run_and_keeps_what_was_published(archive: Path, tmp_path: Path) -> None:
    def broken(outcome: Outcome) -> Generator[pa.Table]:
        yield next(in_process(outcome))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        restoring(broken)(archive, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 3


def test_pools_that_do_not_fit_are_refused(archive: Path, tmp_path: Path, run_on_ray: Restoring) -> None:
    with pytest.raises(ResourceError, match=r"needs 3\.5 CPUs, the cluster has 2"):
        run_on_ray(
            archive,
            tmp_path / "out",
            run={"prepare": {"cpus": 1.5, "min_size": 2, "max_size": 2}, "finish": {"cpus": 0.25}},
        )


def test_overlapping_places_are_refused(archive: Path, run: Restoring) -> None:
    for sink in (archive, archive / "out", archive.parent):
        with pytest.raises(StorageError, match="overlap"):
            run(archive, sink)


@pytest.mark.parametrize("harm", ["cut", "lost", "replaced"])
def test_a_result_that_the_store_does_not_hold_gets_no_row_that_names_it(
    harm: str, archive: Path, tmp_path: Path, run: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Storage.write

    def harming(self: Storage, uri: str, data: bytes | memoryview) -> None:
        if not uri.endswith("/photos/a.png") or harm != "lost":
            write(self, uri, data)
        if uri.endswith("/photos/a.png") and harm != "lost":
            write(self, uri, data[:-9] if harm == "cut" else data[::-1])

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", harming)
        run(archive, tmp_path / "out")
    row = rows(tmp_path / "out")["a.png"]
    assert (row["status"], row["error"]["class"], row["result_uri"]) == ("failed", "storage", None)
    assert run(archive, tmp_path / "out", retry=Retry(all=True)).tally.photos["restored"] == 1
    assert rows(tmp_path / "out")["a.png"]["result_sha256"]


def test_work_in_waves_gives_what_one_wave_gives(archive: Path, tmp_path: Path, run: Restoring) -> None:
    run(archive, tmp_path / "one")
    for photo in ("a.png", "broken.jpg", "notes.txt"):
        os.utime(archive / photo, (1, 1))
    settings = {"run": {"batch": 2, "part_rows": 1, "wave": 2, "small_parts": 1}}
    outcome = run(archive, tmp_path / "one", **settings)
    assert outcome.tally.renewed == Counter({"restored": 1, "failed": 1})
    run(archive, tmp_path / "many", **settings)
    assert stable(tmp_path / "many") == stable(tmp_path / "one")
    for sink in ("one", "many"):
        tables = [pq.read_table(part) for part in (tmp_path / sink / "manifest").glob("*.parquet")]
        assert (len(tables), sum(table.num_rows for table in tables)) == (1, 7)
