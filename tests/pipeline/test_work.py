"""What a run has to do, and whether the cluster can do it."""

from pathlib import Path

import pytest

from infra.config import Config
from infra.errors import ConfigError, ResourceError, StorageError
from infra.storage import Entry, Storage
from pipeline import ledger as ledgers
from pipeline.job import Job, make_job
from pipeline.ledger import Retry
from pipeline.resources import check_fits, needs
from pipeline.run import check_limit
from pipeline.tally import Tally
from pipeline.work import Trial, Work, check_place, plan_work, possible_names
from stages.photo import FaultClass, Status

NO_RETRY = Retry()


def job(source: Path | str, sink: Path, **settings: object) -> Job:
    return make_job(str(source), str(sink), Config.model_validate({"detect": {"detector": "cascade"}} | settings))


def plan(made: Job, trial: Trial | None = None) -> Work:
    return plan_work(made, ledgers.load(made.storage, made.sink), NO_RETRY, trial or Trial())


def names(work: Work) -> list[str]:
    return [source.path for source in work.todo]


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
    assert sorted(photo.source.path for photo in work.skipped) == ["2/d.txt", "noending"]
    assert work.listed == 5
    assert all(photo.status is Status.SKIPPED for photo in work.skipped)
    assert {photo.fault.kind for photo in work.skipped if photo.fault} == {FaultClass.NOT_A_PHOTO}


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
    assert [source.size for source in work.todo] == [7, 7]
    rooted = plan(job(listed, tmp_path / "out", read={"root": str(folder)}))
    assert names(rooted) == ["1/a.jpg", "2/c.png"]


def test_a_list_that_leads_into_the_sink_is_refused(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(f"uri\nfile://{folder}/1/a.jpg\n")
    with pytest.raises(StorageError, match="lies in the sink"):
        plan(job(listed, folder))


def test_two_photos_of_one_target_are_refused(tmp_path: Path) -> None:
    made = make_job(f"{tmp_path}/a", f"{tmp_path}/out", Config.model_validate({"detect": {"detector": "cascade"}}))
    ledger = ledgers.load(Storage(), made.sink)
    targets = {"x.jpg": f"file://{tmp_path}/a/x.jpg"}
    due = ledger.due(Entry(f"file://{tmp_path}/b/x.jpg", "x.jpg"), NO_RETRY, False)
    assert due is not None
    with pytest.raises(StorageError, match=r"would both become photos/x\.jpg"):
        check_place(due, made, targets)


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
