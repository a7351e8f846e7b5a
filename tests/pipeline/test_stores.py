"""Whole runs against stores as they are: busy, slow and cutting bodies; and strict with signatures and digests."""

from collections.abc import Callable, Generator
from io import BytesIO
from pathlib import Path

import boto3
import numpy as np
import pytest
from PIL import Image

from infra.storage import Storage, StorageOptions
from pipeline.record import Outcome
from pipeline.verify import Check
from tests.pipeline.conftest import portrait
from tests.pipeline.store_servers import FaultyStore, faulty_store, swift
from tests.pipeline.test_run import results, stable

Restoring = Callable[..., Outcome]

ALIGNED = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
}
FAULTS = {"p503": 0.2, "ptrunc": 0.2, "delay": 0.05}
SWIFT_USER, SWIFT_SECRET = "archive", "not-a-real-secret"


@pytest.fixture(scope="module")
def faulty() -> Generator[FaultyStore]:
    with faulty_store() as server:
        yield server


def options(url: str, key: str = "test", secret: str = "test") -> dict[str, str | int]:
    return {"endpoint_url": url, "region": "us-east-1", "key": key, "secret": secret}


def faces(count: int) -> dict[str, bytes]:
    """Tiny aligned faces, each a little different."""
    face = np.asarray(portrait(64, 1), np.int16)
    found = dict[str, bytes]()
    for number in range(count):
        out = BytesIO()
        Image.fromarray((face + number % 50 - 25).clip(0, 255).astype(np.uint8)).save(out, "PNG")
        found[f"album {number % 7}/{number:04}.png"] = out.getvalue()
    return found


def filled(storage: Storage, root: str, photos: dict[str, bytes]) -> str:
    for path, content in photos.items():
        storage.write(f"{root}/{path}", content)
    return root


def buckets(storage: dict[str, str | int], *names: str) -> Storage:
    """A storage whose server has the buckets ``names``."""
    store = Storage(StorageOptions.model_validate(storage))
    client = boto3.client(
        "s3",
        endpoint_url=str(storage["endpoint_url"]),
        region_name="us-east-1",
        aws_access_key_id=str(storage["key"]),
        aws_secret_access_key=str(storage["secret"]),
    )
    for name in names:
        client.create_bucket(Bucket=name)
    return store


@pytest.mark.parametrize(
    "count", [30, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)], id="500 photos")]
)
def test_a_faulty_store_loses_no_photo_and_changes_no_byte(
    count: int, faulty: FaultyStore, tmp_path: Path, run: Restoring
) -> None:
    photos, access = faces(count), options(faulty.url)
    storage = buckets(access, f"archive-{count}", f"restored-{count}")
    source = filled(storage, f"s3://archive-{count}/photos", photos)
    local = filled(Storage(), f"file://{tmp_path}/in", photos)
    run(local, tmp_path / "out", run={"batch": 15}, **ALIGNED)
    faulty.counts()
    faulty.misbehave(**FAULTS)
    outcome = run(source, f"s3://restored-{count}", run={"batch": 15}, storage=access, **ALIGNED)
    faulty.misbehave()
    asked = faulty.counts()
    print(f"{count} photos: {outcome.counts}, {outcome.seconds:.0f} s, requests {asked}")
    assert outcome.counts == {"restored": count}
    assert asked["503"] > count / 8
    assert asked["trunc"] > count / 10
    stored = {entry.path: storage.read(entry.uri) for entry in storage.list(f"s3://restored-{count}/photos")}
    assert {f"photos/{path}": content for path, content in stored.items()} == results(tmp_path / "out")
    assert list(Check(storage, f"s3://restored-{count}").findings()) == []


def test_a_store_that_checks_signatures_and_digests(tmp_path: Path, archive: Path, run: Restoring) -> None:
    with swift(tmp_path / "swift", SWIFT_USER, SWIFT_SECRET) as url:
        access = options(url, f"test:{SWIFT_USER}", SWIFT_SECRET)
        storage = buckets(access, "archive", "restored")
        photos = {str(path.relative_to(archive)): path.read_bytes() for path in archive.rglob("*") if path.is_file()}
        source, sink = filled(storage, "s3://archive/old photos", photos), "s3://restored/first run"
        first = run(source, sink, storage=access)
        again = run(source, sink, storage=access)
        run(archive, tmp_path / "out")
        stored = {entry.path: storage.read(entry.uri) for entry in storage.list(f"{sink}/photos")}
        findings = list(Check(storage, sink).findings())
    assert first.counts == again.counts == {"restored": 2, "no_face": 1, "failed": 2, "skipped": 2}
    assert first.tally.source_bytes > again.tally.source_bytes == again.tally.total == 0
    assert {f"photos/{path}": content for path, content in stored.items()} == results(tmp_path / "out")
    assert findings == []
    assert len(stable(tmp_path / "out")) == len(photos) - 1  # the dotfile
