"""Two nights of a scheduled run, on Ray, into a bucket: the second one does only what the day has changed."""

from collections.abc import Callable, Generator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from infra.storage import Storage
from pipeline.commands.archive import summary
from pipeline.ledger import read_manifest
from pipeline.record import Outcome
from pipeline.reporting import run_records
from tests.pipeline.store_servers import FaultyStore, faulty_store
from tests.pipeline.test_stores import ALIGNED, buckets, faces, filled, options

Restoring = Callable[..., Outcome]
SOURCE, SINK = "s3://nightly-archive/photos", "s3://nightly-restored"


@pytest.fixture(scope="module")
def faulty() -> Generator[FaultyStore]:
    with faulty_store() as server:
        yield server


def turned(content: bytes) -> bytes:
    """The same picture upside down: other content under the same name."""
    out = BytesIO()
    Image.fromarray(np.asarray(Image.open(BytesIO(content)))[::-1]).save(out, "PNG")
    return out.getvalue()


@pytest.mark.timeout(900)
def test_the_second_night_works_on_what_the_day_brought_and_reads_nothing_else(
    faulty: FaultyStore, run_on_ray: Restoring
) -> None:
    access = options(faulty.url)
    storage = buckets(access, "nightly-archive", "nightly-restored")
    photos = faces(40)
    paths = list(photos)
    first, new = paths[:30], paths[30:]
    broken, gone, changed = first[3], first[7], first[11:13]
    filled(storage, SOURCE, {path: photos[path] for path in first} | {broken: photos[broken][:400]})

    faulty.misbehave(p503=0.1, ptrunc=0.1)
    night = run_on_ray(SOURCE, SINK, storage=access, run={"batch": 8}, **ALIGNED)
    assert night.counts == {"restored": 29, "failed": 1}
    faulty.misbehave()
    before = {row["path"]: row for part in read_manifest(storage, SINK) for row in part.to_pylist()}

    day = {path: photos[path] for path in new} | {path: turned(photos[path]) for path in changed}
    day[broken] = photos[broken]
    filled(storage, SOURCE, day)
    storage.delete(f"{SOURCE}/{gone}")
    night = run_on_ray(SOURCE, SINK, storage=access, run={"batch": 8}, **ALIGNED)

    assert night.tally.total == len(day) == 13
    assert night.tally.photos == {"restored": 13}
    assert night.tally.source_bytes == sum(len(content) for content in day.values())  # and not a byte of the others
    assert night.work.missing == [f"{SOURCE}/{gone}"]
    assert f"1 photos of this sink are no longer in {SOURCE} (kept here), first {SOURCE}/{gone}" in summary(night)
    assert run_records(storage, SINK)[-1]["vanished"] == [f"{SOURCE}/{gone}"]

    after = {row["path"]: row for part in read_manifest(storage, SINK) for row in part.to_pylist()}
    assert set(after) == set(first) | set(new)
    assert {path for path in after if after[path] != before.get(path)} == set(day)
    assert {row["status"] for row in after.values()} == {"restored"}
    assert results_there(storage) == {row["result_uri"] for row in after.values()} | {
        before[path]["result_uri"] for path in changed
    }


def results_there(storage: Storage) -> set[str]:
    return {entry.uri for entry in storage.list(f"{SINK}/photos")}
