"""Checking a sink, and clearing up after crashed runs: what is found, what is not, and what is never touched."""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest

from infra.errors import ConfigError, StorageError
from infra.storage import Storage
from pipeline import cli
from pipeline import ledger as ledgers
from pipeline.columns import rows as rows_of
from pipeline.exits import FINDINGS, OK, OPERATOR
from pipeline.ledger import parquet
from pipeline.manifest import SCHEMA
from pipeline.names import Names, hashed
from pipeline.orphans import Collector
from pipeline.record import Outcome
from pipeline.subset import Subset, subset_of
from pipeline.verify import Check, Finding
from stages.photo import Face, FaceStatus, Fault, FaultClass, Output, Photo, Source, Status
from tests.object_store import ObjectStore

Restoring = Callable[..., Outcome]
Change = Callable[[Photo], Photo]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACE = Face(0, (0, 0, 9, 9), 0.9, status=FaceStatus.RESTORED)


@pytest.fixture(autouse=True)
def logging_restored() -> Generator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def sink(tmp_path: Path) -> str:
    return f"file://{tmp_path}/out"


def content_of(path: str) -> bytes:
    """Some bytes that no other path has."""
    return path.encode() * 5


def restored(sink: str, path: str, target: str | None = None) -> Photo:
    """A photo with one face and a result."""
    target = target or path
    return Photo(
        Source(f"s3://b/{path}", path, 3, "e", NOW, target=target),
        sha256=sha256(path.encode()).hexdigest(),
        faces=(FACE,),
        status=Status.RESTORED,
        result=f"{sink}/photos/{target}",
        result_sha256=sha256(content_of(target)).hexdigest(),
        output=Output("lossless", "PNG"),
    )


def bare(path: str, fault: Fault | None = None) -> Photo:
    """A photo without a result."""
    photo = Photo(Source(f"s3://b/{path}", path, 3, "e", NOW, target=path), sha256="a" * 64, status=Status.NO_FACE)
    return photo.failed(fault) if fault else photo


def table(photos: list[Photo]) -> pa.Table:
    return rows_of(photos).select(SCHEMA.names)


def publish(sink: str, *parts: list[Photo], run: str = "run", stored: bool = True) -> None:
    """What a run leaves: results, then parts."""
    storage = Storage()
    ledger = ledgers.load(storage, sink)
    for number, photos in enumerate(parts, 1):
        for photo in photos:
            if photo.result and stored:
                put(photo.result, content_of(photo.source.target))
        ledger.publish(number, run, table(photos), {"seed": 0})


def put(uri: str, data: bytes) -> None:
    """An object, without waiting for the disk."""
    if not uri.startswith("file://"):
        Storage().write(uri, data)
        return
    path = Path(uri.removeprefix("file://"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def check(sink: str, subset: Subset = Subset()) -> list[Finding]:  # noqa: B008 - it is frozen
    return list(Check(Storage(), sink, subset, 4).findings())


def kinds(sink: str) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in check(sink)))


def photos_of(sink: str, count: int) -> list[Photo]:
    return [restored(sink, f"album {index % 7}/photo {index}.png") for index in range(count)]


def test_each_of_a_thousand_planted_faults_is_found_and_nothing_else(sink: str) -> None:
    photos = photos_of(sink, 1800)
    publish(sink, photos[:700], photos[700:], [bare(f"none {index}.png") for index in range(50)])
    assert check(sink) == []
    dice = random.Random(7)
    uris = [photo.result or "" for photo in photos]
    dice.shuffle(uris)
    flipped, cut, gone, swapped = uris[:250], uris[250:450], uris[450:650], uris[650:850]
    extra = [f"{sink}/photos/album 3/unknown {index}.png" for index in range(100)]
    extra += [f"{sink}/crops/album 3/photo {index}.png.0.json" for index in range(5000, 5050)]
    for uri in flipped:
        data = bytearray(Storage().read(uri))
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        put(uri, bytes(data))
    for uri in cut:
        data = Storage().read(uri)
        put(uri, data[: dice.randrange(len(data))])
    for uri in gone:
        Storage().delete(uri)
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        first, second = Storage().read(one), Storage().read(other)
        put(one, second)
        put(other, first)
    for uri in extra:
        put(uri, b"whose?")
    expected = {(uri, "changed") for uri in [*flipped, *cut, *swapped]}
    expected |= {(uri, "missing") for uri in gone} | {(uri, "extra") for uri in extra}
    found = [(finding.uri, finding.kind) for finding in check(sink)]
    assert len(found) == 1000
    assert set(found) == expected


def test_a_bucket_is_checked_and_cleared_like_a_folder(object_store: ObjectStore) -> None:
    sink = f"{object_store.bucket()}/out"
    photos = photos_of(sink, 12)
    publish(sink, photos)
    assert check(sink) == []
    uris = [photo.result or "" for photo in photos]
    put(uris[0], b"changed")
    Storage().delete(uris[1])
    extra = [f"{sink}/photos/x.png", f"{sink}/crops/{photos[0].source.target}.7.json"]
    for uri in extra:
        put(uri, b"")
    object_store.busy = object_store.cut = 0.05
    found = [(finding.uri, finding.kind) for finding in check(sink)]
    object_store.busy = object_store.cut = 0.0
    assert sorted(found) == sorted(
        [(uris[0], "changed"), (uris[1], "missing"), (extra[0], "extra"), (extra[1], "extra")]
    )
    write_record(sink, "run")
    assert sorted(removed(sink, timedelta())) == sorted(extra)
    assert kinds(sink) == {"changed": 1, "missing": 1}


def test_what_the_store_does_not_hand_out_is_unreadable_and_ends_nothing(
    sink: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.storage import StorageFault

    photos = photos_of(sink, 3)
    publish(sink, photos)
    read = Storage.read

    def refusing(self: Storage, uri: str, size: int | None = None) -> bytes:
        if uri == photos[1].result:
            raise StorageFault("denied", "Forbidden")
        return read(self, uri, size)

    monkeypatch.setattr(Storage, "read", refusing)
    assert check(sink) == [Finding("unreadable", photos[1].result or "", "denied: Forbidden")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda photo: replace(photo, result=None, result_sha256=None, output=None), "restored without a result"),
        (lambda photo: replace(photo, result_sha256=None), "result_sha256 is None"),
        (lambda photo: replace(photo, result_sha256="abc"), "result_sha256 is abc"),
        (lambda photo: replace(photo, result="file:///etc/hostname"), "lies outside of"),
        (lambda photo: replace(photo, result=f"{photo.result}/../../../../x"), "lies outside of"),
        (lambda photo: replace(photo, result=f"{photo.result}.bak"), "does not lie at its target"),
        (lambda photo: replace(photo, status=Status.FAILED), "failed without an error"),
        (lambda photo: replace(photo, fault=Fault("read", FaultClass.EMPTY, "")), "restored with an error"),
        (lambda photo: photo.failed(Fault("write", FaultClass.STORAGE, "")), "failed with a result"),
        (lambda photo: replace(photo, status=Status.NO_FACE, output=Output("copied", "PNG")), "copied, but"),
    ],
)
def test_a_row_that_cannot_be_right_is_a_contradiction(sink: str, change: Change, said: str) -> None:
    publish(sink, [restored(sink, "a.png")])
    publish(sink, [change(restored(sink, "a.png"))], stored=False)
    found = [finding for finding in check(sink) if finding.kind == "contradiction"]
    assert [finding.uri for finding in found] == ["s3://b/a.png"]
    assert said in found[0].detail


def test_a_status_that_there_is_not_is_a_contradiction(sink: str) -> None:
    rows = table([bare("a.png")])
    done = rows.set_column(SCHEMA.get_field_index("status"), SCHEMA.field("status"), pa.array(["done"], pa.string()))
    put(f"{sink}/manifest/000001-run-00001.parquet", parquet(done))
    assert check(sink) == [Finding("contradiction", "s3://b/a.png", "there is no status done")]


def test_a_row_that_points_out_of_the_sink_is_not_followed(sink: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    for uri in (f"file://{secret}", f"{sink}/photos/../../secret"):
        publish(sink, [replace(restored(sink, "a.png"), result=uri)], stored=False)
        assert kinds(sink) == {"contradiction": 1}


def test_two_rows_with_one_result_or_one_photo_are_contradictions(sink: str) -> None:
    photo = restored(sink, "a.png")
    twin = replace(photo, source=replace(photo.source, uri="s3://b/twin.png"))
    publish(sink, [photo], [bare("b.png")], [twin])
    (found,) = check(sink)
    assert (found.kind, found.uri) == ("contradiction", "s3://b/a.png")
    assert "another row has the same result" in found.detail
    publish(sink, [bare("c.png"), bare("c.png")])
    assert Finding("contradiction", "s3://b/c.png", "its part holds several rows of it") in check(sink)


def test_rows_that_say_what_runs_say_contradict_nothing(sink: str) -> None:
    gif = replace(restored(sink, "a.gif"), result=f"{sink}/photos/a.gif.png", output=Output("converted", "PNG"))
    copied = replace(restored(sink, "b.png"), status=Status.NO_FACE, faces=(), output=Output("copied", "PNG"))
    copied = replace(copied, sha256=copied.result_sha256)
    passed = replace(copied, source=replace(copied.source, uri="s3://b/c.tif", path="c.tif", target="c.tif"))
    passed = replace(passed, result=f"{sink}/photos/c.tif", result_sha256=sha256(content_of("c.tif")).hexdigest())
    passed = replace(passed, sha256=passed.result_sha256).failed(Fault("decode", FaultClass.PASSED, "bilevel"))
    publish(sink, [gif, copied, passed, bare("d.png", Fault("read", FaultClass.NOT_FOUND, "gone")), bare("e.png")])
    assert check(sink) == []


def test_earlier_results_are_named_but_are_no_findings_and_stay(sink: str) -> None:
    publish(sink, [restored(sink, "a.png"), restored(sink, "b.gif"), restored(sink, "c.png")], run="one")
    put(f"{sink}/photos/d.png", content_of("d.png"))
    publish(
        sink,
        [
            restored(sink, "a.png", "a~0a1b2c3d.png"),
            restored(sink, "b.gif", "b~0a1b2c3d.gif"),
            bare("d.png", Fault("write", FaultClass.STORAGE, "busy")),
        ],
        run="two",
    )
    put(f"{sink}/photos/b~11112222.gif.png", b"of the second content")
    put(f"{sink}/photos/c~33334444.png", b"of an attempt that no row tells of: c.png never changed")
    before = found_places(sink)
    assert before["earlier"] == {"a.png", "b.gif", "b~11112222.gif.png"}
    ledgers.load(Storage(), sink).tidy()
    assert found_places(sink) == before
    assert before["extra"] == {"d.png", "c~33334444.png"}
    write_record(sink, "two")
    assert removed(sink, timedelta()) == [f"{sink}/photos/c~33334444.png"]


def found_places(sink: str) -> dict[str, set[str]]:
    found = check(sink)
    return {
        kind: {item.uri.removeprefix(f"{sink}/photos/") for item in found if item.kind == kind}
        for kind in ("earlier", "extra")
    }


def test_a_damaged_part_is_named_and_stops_gc(sink: str, tmp_path: Path) -> None:
    publish(sink, photos_of(sink, 3), [restored(sink, "z.png")])
    part = tmp_path / "out/manifest/000001-run-00001.parquet"
    whole = part.read_bytes()
    for damaged in (whole[:-9], b"", parquet(pa.table({"uri": ["s3://b/a"]}))):
        part.write_bytes(damaged)
        (found,) = check(sink)
        assert (found.kind, found.uri) == ("unreadable", f"file://{part}")
        with pytest.raises(StorageError, match="cannot be read"):
            removed(sink, timedelta(), delete=False)


def test_subsets_are_the_same_each_time_and_parts_cover_everything(sink: str) -> None:
    photos = photos_of(sink, 300)
    publish(sink, photos)
    for photo in photos:
        put(photo.result or "", b"changed")
    tenths = [{finding.uri for finding in check(sink, subset_of(f"{n}/10"))} for n in range(1, 11)]
    assert sum(map(len, tenths)) == len(set[str]().union(*tenths)) == 300
    assert all(10 < len(tenth) < 60 for tenth in tenths)
    assert {finding.uri for finding in check(sink, subset_of("10%"))} == tenths[0]
    assert len(check(sink, subset_of("100%"))) == 300


@pytest.mark.parametrize("text", ["", "1", "0%", "101%", "0/10", "11/10", "-1/10", "1/0", "x%", "1.%"])
def test_a_subset_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--subset"):
        subset_of(text)


def test_names_are_found_again_and_others_are_not() -> None:
    names = Names()
    for start in range(0, 5000, 50):
        names.add(hashed(f"name {index}" for index in range(start, start + 60)))
    assert names.has(hashed(f"name {index}" for index in range(5010))).all()
    assert not names.has(hashed(f"name {index}" for index in range(5010, 9000))).any()
    names.add(hashed([]))
    assert names.has(hashed([])).size == 0


def write_record(sink: str, run: str) -> None:
    put(f"{sink}/runs/{run}.json", b"{}")


def removed(sink: str, age: timedelta, delete: bool = True) -> list[str]:
    return [orphan.entry.uri for orphan in Collector(Storage(), sink, age, delete).orphans()]


def test_a_finished_run_with_crops_is_clean_and_gc_finds_nothing(archive: Path, tmp_path: Path, run: Restoring) -> None:
    run(archive, tmp_path / "out", write={"keep": ["crops"], "unchanged": "copy"})
    sink = f"file://{tmp_path}/out"
    assert any((tmp_path / "out/crops").rglob("*.json"))
    assert check(sink) == []
    assert removed(sink, timedelta()) == []


def test_the_commands_print_lines_for_machines_and_end_with_codes(
    sink: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "out")
    assert cli.run(["verify", place]) == OPERATOR
    assert "holds no manifest" in capsys.readouterr().err
    assert cli.run(["gc", place]) == OPERATOR
    publish(sink, [restored(sink, "a.png")])
    write_record(sink, "run")
    capsys.readouterr()
    assert cli.run(["verify", place]) == OK
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "1 rows, 1 results read, 1 objects listed\nok" in printed.err
    put(f"{sink}/photos/x\ty\n\x1b\\.png", b"")
    assert cli.run(["verify", place, "--subset", "50%"]) == FINDINGS
    printed = capsys.readouterr()
    assert printed.out == f"extra\t{sink}/photos/x\\ty\\n\\x1b\\\\.png\tno row mentions it\n"
    assert "1 findings: 1 extra" in printed.err
    assert cli.run(["verify", place, "--json"]) == FINDINGS
    assert json.loads(capsys.readouterr().out) == {
        "kind": "extra",
        "uri": f"{sink}/photos/x\ty\n\x1b\\.png",
        "detail": "no row mentions it",
    }
    assert cli.run(["gc", place]) == OK
    printed = capsys.readouterr()
    assert (printed.out, "1 younger than 24h, kept" in printed.err) == ("", True)
    assert cli.run(["gc", place, "--older-than", "0"]) == OK
    assert capsys.readouterr().out.startswith(f"orphan\t{sink}/photos/x\\ty")
    assert cli.run(["gc", place, "--older-than", "0", "--delete"]) == OK
    assert "1 found, 1 removed" in capsys.readouterr().err
    assert cli.run(["verify", place]) == OK
    for arguments in (["verify", place, "--subset", "x"], ["verify", place, "--threads", "0"]):
        assert cli.run(arguments) == OPERATOR
