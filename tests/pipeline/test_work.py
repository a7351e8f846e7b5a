"""What a run has to do, and whether the cluster can do it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.config import Config
from infra.errors import ConfigError, ResourceError, StorageError
from infra.listing import Listing
from infra.storage import Entry
from pipeline import ledger as ledgers
from pipeline.columns import rows as rows_of
from pipeline.job import Job, make_job
from pipeline.manifest import SCHEMA
from pipeline.resources import check_fits, needs
from pipeline.retry import Retry
from pipeline.run import check_limit
from pipeline.subset import Share, share_of
from pipeline.tally import Tally
from pipeline.targets import possible_names
from pipeline.work import Survey, Trial, Work, plan_work
from stages.photo import Fault, FaultClass, Photo, Source, Status

NO_RETRY = Retry()


def job(source: Path | str, sink: Path, **settings: object) -> Job:
    return make_job(
        str(source),
        str(sink),
        Config.model_validate({"method": "classic", "detect": {"detector": "cascade"}} | settings),
    )


def plan(made: Job, trial: Trial | None = None) -> Work:
    return planned(made, trial or Trial())


def planned(made: Job, trial: Trial = Trial(), share: Share = Share()) -> Work:  # noqa: B008 - they are frozen
    return plan_work(made, ledgers.load(made.storage, made.sink, made.source), NO_RETRY, trial, share)


def names(work: Work) -> list[str]:
    return [source.path for source in todo(work)]


def todo(work: Work) -> list[Source]:
    return [source for wave in work.waves(2) for source in wave]


def publish(made: Job, *paths: str, **changes: Any) -> None:
    """Rows of photos, as if a run had found no face in them."""
    ledger = ledgers.load(made.storage, made.sink)
    photos: list[Photo] = []
    for listed, _ in Listing(made.storage, made.source):
        if listed.path in paths:
            source = Source(listed.uri, listed.path, listed.size, listed.etag, listed.mtime, target=listed.path)
            photos.append(replace(Photo(source, sha256="a" * 64, status=Status.NO_FACE), **changes))
    table = rows_of(photos).select(SCHEMA.names)
    index = SCHEMA.get_field_index("recipe")
    table = table.set_column(index, SCHEMA.field("recipe"), pa.array(["r"] * len(photos), pa.string()))
    ledger.publish(1, "run", table, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for name in ["1/a.jpg", "1/b.JPG", "2/c.png", "2/d.txt", "@eaDir/a.jpg", ".x/e.jpg", "2/Thumbs.db", "noending"]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def test_photos_are_due_other_files_are_skipped_and_litter_is_not_listed(folder: Path, tmp_path: Path) -> None:
    work = plan(job(folder, tmp_path / "out"))
    assert names(work) == ["1/a.jpg", "1/b.JPG", "2/c.png"]
    skipped = [photo for batch in work.skipped(1) for photo in batch]
    assert sorted(photo.source.path for photo in skipped) == ["2/d.txt", "noending"]
    assert (work.listed, work.due, work.passed) == (5, 3, 2)
    assert all(photo.status is Status.SKIPPED for photo in skipped)
    assert {photo.fault.kind for photo in skipped if photo.fault} == {FaultClass.NOT_A_PHOTO}


def test_patterns_choose_photos(folder: Path, tmp_path: Path) -> None:
    settings = {"read": {"include": ["1/**", "*.png"], "exclude": ["b.*"]}}
    assert names(plan(job(folder, tmp_path / "out", **settings))) == ["1/a.jpg", "2/c.png"]


def test_a_sample_is_the_same_every_time_and_a_limit_the_first(folder: Path, tmp_path: Path) -> None:
    made = job(folder, tmp_path / "out")
    assert names(plan(made, Trial(sample=2))) == names(plan(made, Trial(sample=2)))
    assert plan(made, Trial(sample=2)).listed == 2
    assert names(plan(made, Trial(limit=2))) == ["1/a.jpg", "1/b.JPG"]


def test_a_list_names_results_by_its_uris(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(f"uri\nfile://{folder}/1/a.jpg\nfile://{folder}/2/c.png\nfile://{folder}/1/a.jpg\n")
    work = plan(job(listed, tmp_path / "out"))
    assert names(work) == [f"file{folder}/1/a.jpg", f"file{folder}/2/c.png"]
    assert [source.size for source in todo(work)] == [7, 7]
    rooted = plan(job(listed, tmp_path / "out", read={"root": str(folder)}))
    assert names(rooted) == ["1/a.jpg", "2/c.png"]


def test_a_list_that_leads_into_the_sink_is_refused(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(f"uri\nfile://{folder}/1/a.jpg\n")
    with pytest.raises(StorageError, match="lies in the sink"):
        plan(job(listed, folder))


THEN, NOW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def entry(etag: str | None = "e", mtime: datetime | None = THEN, size: int | None = 3) -> Entry:
    return Entry("s3://b/a.jpg", "a.jpg", size, etag, mtime)


def surveyed(tmp_path: Path, row: Photo, seen: Entry, retry: Retry = NO_RETRY, copy: bool = False) -> list[Source]:
    """What is due of one listed object, in a sink that has one row."""
    made = job("s3://b", tmp_path / "out", write={"unchanged": "copy" if copy else "skip"})
    table = rows_of([row]).select(SCHEMA.names)
    ledgers.load(made.storage, made.sink).publish(1, "run", table, {})
    survey = Survey(made, ledgers.load(made.storage, made.sink), retry, Share())
    survey.take([seen])
    return todo(survey.work)


def row_of(seen: Entry, **changes: Any) -> Photo:
    source = Source(seen.uri, seen.path, seen.size, seen.etag, seen.mtime, target="a.jpg")
    return replace(Photo(source, sha256="a" * 64, status=Status.NO_FACE), **changes)


@pytest.mark.parametrize(
    ("seen", "is_due"),
    [
        (entry(), False),
        (entry(etag="other"), True),
        (entry(size=4), True),
        (entry(size=None), True),
        (entry(mtime=NOW), False),  # the etag speaks for the content
        (entry(etag=None), False),
        (entry(etag=None, mtime=NOW), True),
        (entry(etag=None, mtime=None), True),
        (entry(etag=None, size=4), True),
    ],
)
def test_a_changed_object_is_due_and_carries_what_was_known(tmp_path: Path, seen: Entry, is_due: bool) -> None:
    due = surveyed(tmp_path, row_of(entry(), sha256="0" * 63 + "1"), seen)
    assert [(item.previous_sha256, item.retry, item.target) for item in due] == [
        ("0" * 63 + "1", False, "a.jpg")
    ] * is_due


def test_a_lists_photo_that_is_still_missing_is_not_due_again(tmp_path: Path) -> None:
    missing = entry(None, None, None)
    assert surveyed(tmp_path, row_of(missing, sha256=None), missing) == []
    (found,) = surveyed(tmp_path / "found", row_of(missing, sha256=None), entry())
    assert found.previous_sha256 is None


@pytest.mark.parametrize(
    ("kind", "status", "retry", "is_due"),
    [
        (FaultClass.STORAGE, Status.FAILED, NO_RETRY, False),
        (FaultClass.STORAGE, Status.FAILED, Retry(classes=frozenset({"corrupt"})), False),
        (FaultClass.STORAGE, Status.FAILED, Retry(all=True), True),
        (FaultClass.STORAGE, Status.FAILED, Retry(classes=frozenset({"storage"})), True),
        (FaultClass.UNSUPPORTED, Status.SKIPPED, Retry(all=True), False),
        (FaultClass.UNSUPPORTED, Status.SKIPPED, Retry(classes=frozenset({"unsupported"})), True),
    ],
)
def test_failures_are_due_only_on_request(
    tmp_path: Path, kind: FaultClass, status: Status, retry: Retry, is_due: bool
) -> None:
    failed = row_of(entry(), status=status, fault=Fault("read", kind, "why"))
    assert [item.retry for item in surveyed(tmp_path, failed, entry(), retry)] == [True] * is_due


def test_copies_that_are_wanted_now_are_due(tmp_path: Path) -> None:
    copied = row_of(entry(), result="file:///b", result_sha256="0" * 64)
    passed = row_of(entry(), status=Status.SKIPPED, fault=Fault("read", FaultClass.PASSED, "bilevel"))
    assert [
        len(surveyed(tmp_path / str(number), row, entry(), copy=True))
        for number, row in enumerate(
            [row_of(entry()), copied, passed, replace(passed, result="file:///b", result_sha256="0" * 64)]
        )
    ] == [1, 0, 1, 0]


def test_shares_are_disjoint_and_together_everything(folder: Path, tmp_path: Path) -> None:
    made = job(folder, tmp_path / "out")
    works = [planned(made, share=share_of(f"{number}/3")) for number in (1, 2, 3)]
    found = [name for work in works for name in names(work)]
    assert sorted(found) == ["1/a.jpg", "1/b.JPG", "2/c.png"]
    assert sum(work.listed for work in works) == 5
    publish(made, "1/a.jpg", "2/c.png")
    assert sum(planned(made, share=share_of(f"{number}/3")).due for number in (1, 2, 3)) == 1
    assert [planned(made, share=share_of(f"{number}/3")).vanished for number in (1, 2, 3)] == [0, 0, 0]


def test_vanished_photos_are_counted_and_named_and_those_of_other_sources_are_not(folder: Path, tmp_path: Path) -> None:
    publish(job(folder, tmp_path / "out"), "1/a.jpg", "2/c.png")
    (folder / "1" / "a.jpg").unlink()
    work = plan(job(folder, tmp_path / "out"))
    assert (work.vanished, work.missing) == (1, [f"file://{folder}/1/a.jpg"])
    assert plan(job(folder / "2", tmp_path / "out")).vanished == 0


def test_two_photos_of_one_target_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(name.encode())
    publish(job(tmp_path / "a", tmp_path / "out"), "x.jpg")
    with pytest.raises(StorageError, match=r"b/x\.jpg and file:.*a/x\.jpg would both become photos/x\.jpg"):
        plan(job(tmp_path / "b", tmp_path / "out"))
    assert plan(job(tmp_path / "a", tmp_path / "out")).due == 0


def test_a_result_in_another_format_takes_no_other_photos_name(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.gif").write_bytes(b"")
    (folder / "a.gif.png").write_bytes(b"")
    with pytest.raises(StorageError, match=r"would both become photos/a\.gif\.png"):
        plan(job(folder, tmp_path / "out"))
    assert possible_names("a.jpg", "tiff", 1) == ["a.jpg", "a.jpg.tif"]
    assert possible_names("a.jpg", "same", 2) == ["a.jpg"]
    assert possible_names("a.bmp", "same", 1) == ["a.bmp"]
    assert possible_names("a.bmp", "same", 2) == ["a.bmp", "a.bmp.png"]


def test_one_file_may_be_the_source(folder: Path, tmp_path: Path) -> None:
    assert names(plan(job(folder / "1" / "a.jpg", tmp_path / "out"))) == ["a.jpg"]


def pools(cpus: float) -> dict[str, object]:
    return {"run": {"prepare": {"cpus": cpus}, "finish": {"cpus": cpus}}}


def test_a_job_with_several_methods_fits_two_cpus(folder: Path, tmp_path: Path) -> None:
    methods = {name: {"method": "classic"} for name in "abcde"}
    rules = [{"name": name, "use": name} for name in methods]
    made = job(folder, tmp_path / "out", methods=methods, rules=rules, method="a")
    assert [need.step for need in needs(made)] == [
        "prepare",
        *(f"restore {name}" for name in "abcde"),
        "finish",
    ]
    check_fits(made, {"CPU": 2.0})


def test_a_job_that_does_not_fit_is_refused_with_the_sum(folder: Path, tmp_path: Path) -> None:
    made = job(folder, tmp_path / "out", **pools(0.9))
    check_fits(made, {"CPU": 2.05})
    with pytest.raises(ResourceError, match=r"needs 2\.05 CPUs, the cluster has 2 \(prepare 0\.9"):
        check_fits(made, {"CPU": 2.0})


def test_missing_gpus_are_named(folder: Path, tmp_path: Path) -> None:
    methods = {"classic": {"method": "classic", "pool": {"gpus": 1}}}
    with pytest.raises(ResourceError, match=r"needs 1 GPUs, the cluster has 0 \(restore classic 1\)"):
        check_fits(job(folder, tmp_path / "out", methods=methods), {"CPU": 2.0})


@pytest.mark.parametrize(
    ("limit", "failed", "seen", "over"),
    [
        (None, 500, 500, False),
        ("5%", 11, 200, True),
        ("5%", 10, 200, False),
        ("5%", 150, 199, False),
        ("3", 4, 4, True),
        ("3", 4, 999, True),
        ("3", 4, 1000, False),  # all are done: nothing is left to stop
        ("3", 3, 300, False),
    ],
)
def test_the_failure_limit_counts_shares_only_after_enough_photos(
    limit: str | None, failed: int, seen: int, over: bool
) -> None:
    tally = Tally()
    tally.photos.update({"failed": failed, "restored": seen - failed})
    assert tally.over(limit, 1000) is over


@pytest.mark.parametrize("limit", ["many", "-1", "2.5", "%", "inf", "nan%"])
def test_a_failure_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.max_failed"):
        check_limit(limit)
