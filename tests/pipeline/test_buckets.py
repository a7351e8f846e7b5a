"""The same job from bucket to bucket: the same bytes, and a second run that asks for no photo."""

from collections.abc import Callable, Generator
from pathlib import Path

import pyarrow as pa

from infra.storage import Storage
from pipeline.columns import rows as rows_of
from pipeline.commands import archive as archive_command
from pipeline.commands.options import JobOptions
from pipeline.exits import OK
from pipeline.record import Outcome
from stages.photo import Photo, Status
from tests.object_store import ObjectStore
from tests.pipeline.conftest import restoring
from tests.pipeline.test_run import TWO_METHODS, results, stable

Restoring = Callable[..., Outcome]


def upload(archive: Path, store: ObjectStore) -> str:
    files = [path for path in archive.rglob("*") if path.is_file()]
    return store.bucket({str(path.relative_to(archive)): path.read_bytes() for path in files})


def test_buckets_give_the_bytes_that_folders_give(
    archive: Path, tmp_path: Path, run: Restoring, object_store: ObjectStore
) -> None:
    source, sink = upload(archive, object_store), object_store.bucket()
    run(archive, tmp_path / "out")
    run(source, f"{sink}/restored")
    storage = Storage()
    stored = {entry.path: storage.read(entry.uri) for entry in storage.list(f"{sink}/restored/photos")}
    assert {f"photos/{path}": data for path, data in stored.items()} == results(tmp_path / "out")
    assert stable(f"{sink}/restored") == stable(tmp_path / "out")


def nothing_found(outcome: Outcome) -> Generator[pa.Table]:
    """Rows as of photos without a face, none of them read."""
    for source in outcome.work.todo:
        yield rows_of([Photo(source, sha256="0" * 63 + "1", status=Status.NO_FACE)])


def test_a_second_run_over_a_thousand_photos_asks_for_listings_parts_and_five_things_more(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    source = object_store.bucket({f"{number % 10}/{number}.jpg": b"photo" for number in range(1000)})
    sink = object_store.bucket()
    first = restoring(nothing_found)(source, sink, run={"part_rows": 250, "batch": 2})
    assert first.tally.total == 1000
    parts = len(list(Storage().list(f"{sink}/manifest")))
    assert parts == 4
    object_store.reset()
    again = restoring(nothing_found)(source, sink)
    assert (again.tally.total, again.tally.source_bytes, again.work.done.total()) == (0, 0, 1000)
    lists, small = {"source": 1, "manifest": 1}, {"leases": 1, "lease": 2, "lease's end": 1, "record": 1}
    assert object_store.counts == {
        "LIST": sum(lists.values()) + small["leases"],
        "GET": parts + small["lease"] - 1,
        "PUT": small["lease"] - 1 + small["record"],
        "DELETE": small["lease's end"],
    }
    assert sum(small.values()) == 5
    settings, asked = tmp_path / "job.toml", dict(object_store.counts)
    settings.write_text('method = "classic"\ndetect.detector = "cascade"\nleave.good = {}\n')
    object_store.reset()
    assert archive_command.restore(source, sink, options=JobOptions(config=settings)) == OK
    assert object_store.counts == asked, "the command asks for no more than the run"


def test_a_store_that_is_busy_and_cuts_bodies_changes_nothing(
    archive: Path, tmp_path: Path, run: Restoring, object_store: ObjectStore
) -> None:
    source, sink = upload(archive, object_store), object_store.bucket()
    run(archive, tmp_path / "out")
    object_store.busy = object_store.cut = 0.2
    outcome = run(source, sink)
    object_store.busy = object_store.cut = 0.0
    assert outcome.counts == {"restored": 2, "no_face": 1, "failed": 2, "skipped": 2}
    assert stable(sink) == stable(tmp_path / "out")


def test_ray_takes_two_methods_from_bucket_to_bucket_by_the_config_alone(
    archive: Path, tmp_path: Path, run: Restoring, run_on_ray: Restoring, object_store: ObjectStore
) -> None:
    source, sink = upload(archive, object_store), object_store.bucket()
    access = {"endpoint_url": object_store.url, "key": "test", "secret": "open-sesame", "region": "us-east-1"}
    outcome = run_on_ray(source, sink, storage=access, **TWO_METHODS)
    run(archive, tmp_path / "out", **TWO_METHODS)
    assert stable(sink) == stable(tmp_path / "out")
    assert b"open-sesame" not in Storage().read(f"{sink}/runs/{outcome.job.run_id}.json")
