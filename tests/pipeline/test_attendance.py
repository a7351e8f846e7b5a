"""Steps without a machine: noticed, given up in the end, and what needs none of them is done."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import attendance, engine
from pipeline.attendance import Attendance
from pipeline.commands.archive import exit_of, summary
from pipeline.exits import TRY_LATER
from pipeline.gate import Gate
from pipeline.record import Outcome
from tests.pipeline.conftest import portrait
from tests.pipeline.test_run import results, rows, stable

Restoring = Callable[..., Outcome]


class Book(Gate):
    """A gate whose arrivals the test writes down."""

    def __init__(self) -> None:
        super().__init__(None)
        self.nodes: dict[str, set[str]] | None = {}

    def arrived(self) -> dict[str, set[str]] | None:
        return self.nodes


def attending(book: Book, alive: set[str] | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is missing after a while, two looks and more."""
    monkeypatch.setattr(attendance, "living", lambda: alive)
    woken: list[bool] = []
    with Attendance(["prepare", "restore a"], book, 0.3, lambda: woken.append(True)) as watch:
        time.sleep(0.8)
        missing = watch.missing
    assert bool(woken) == bool(missing)
    return missing


def test_a_step_that_no_actor_ever_reported_from_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    book.nodes = {"prepare": {"one"}}
    assert attending(book, {"one", "two"}, monkeypatch) == ["restore a"]


def test_a_step_whose_only_node_went_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    book.nodes = {"prepare": {"one", "two"}, "restore a": {"two"}}
    assert attending(book, {"one", "two"}, monkeypatch) == []
    assert attending(book, {"one"}, monkeypatch) == ["restore a"]


def test_a_step_that_has_done_its_work_may_lose_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    book.nodes = {"prepare": {"gone"}, "restore a": {"one"}}
    monkeypatch.setattr(attendance, "living", lambda: {"one"})
    with Attendance(["prepare", "restore a"], book, 0.5, pytest.fail) as watch:
        for _ in range(10):
            time.sleep(0.1)
            watch.moved()
        assert watch.missing == []


def test_what_cannot_be_known_counts_as_there(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    assert attending(book, None, monkeypatch) == []
    book.nodes = None
    assert attending(book, {"one"}, monkeypatch) == []


def settings(gpus: float) -> dict[str, object]:
    """Aligned faces of 64 pixels: those with a name like far01 go to a method that asks for ``gpus``."""
    classic = {"method": "classic", "parameters": {"size": 64}}
    return {
        "aligned": True,
        "method": "near",
        "methods": {"near": classic, "far": classic | {"pool": {"gpus": gpus}}},
        "rules": [{"name": "by name", "path": ["far*"], "use": "far"}],
        "run": {"batch": 2, "part_rows": 3, "wait_seconds": 10, "grows_to": {"gpus": 1}},
    }


class OnBusyMachine(Attendance):
    """Only the method that has no machine is ever missing: here the others may take longer than the limit to start."""

    @property
    def missing(self) -> list[str]:
        missing = super().missing
        return missing if missing == ["restore far"] else []


def test_photos_that_need_no_missing_gpu_are_done_and_the_others_later(
    tmp_path: Path,
    run: Restoring,
    run_on_ray: Restoring,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "Attendance", OnBusyMachine)
    source, sink = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    names = {f"{'far' if index % 4 == 1 else 'near'}{index:02}.png" for index in range(24)}
    for index, name in enumerate(sorted(names)):
        portrait(64, index).save(source / name)
    run(source, tmp_path / "whole", **settings(0))
    outcome = run_on_ray(source, sink, **settings(1))
    assert (outcome.state, outcome.away, outcome.tally.failures) == ("waiting", {"far"}, {})
    assert set(rows(sink)) == {name for name in names if name.startswith("near")}
    assert "6 not reached" in summary(outcome)[0]
    assert exit_of(outcome) == TRY_LATER
    assert "6 photos wait for far: the cluster had no place for it in 10 s" in capsys.readouterr().err
    assert run(source, sink, **settings(0)).tally.total == 6
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")
