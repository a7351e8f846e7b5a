"""Steps without a machine: noticed, given up in the end, and what needs none of them is done."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import attendance, engine
from pipeline.attendance import Attendance
from pipeline.commands.archive import exit_of, summary
from pipeline.exits import TRY_LATER
from pipeline.gate import Gate, Signs
from pipeline.record import Outcome
from stages.photo import Source
from tests.pipeline.conftest import in_process, portrait, restoring
from tests.pipeline.test_run import results, rows, stable

Restoring = Callable[..., Outcome]


class Book(Gate):
    """A gate where the test writes down what actors say."""

    def __init__(self, **nodes: set[str]) -> None:
        super().__init__(None)
        self.seen: Signs | None = Signs(nodes)

    def signs(self) -> Signs | None:
        return self.seen


def attending(book: Book, alive: set[str] | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is given up after a while, two looks and more."""
    monkeypatch.setattr(attendance, "living", lambda: alive)
    woken: list[bool] = []
    with Attendance(["prepare", "finish"], book, 0.3, lambda: woken.append(True)) as watch:
        time.sleep(0.8)
    assert not watch.thread.is_alive()
    assert bool(woken) == bool(watch.given_up)
    return watch.given_up


def test_a_step_that_no_actor_ever_reported_from_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attending(Book(prepare={"one"}), {"one", "two"}, monkeypatch) == ["finish"]


def test_a_step_whose_only_node_went_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(prepare={"one", "two"}, finish={"two"})
    assert attending(book, {"one", "two"}, monkeypatch) == []
    assert attending(book, {"one"}, monkeypatch) == ["finish"]


@pytest.mark.parametrize("said", ["rows", "batches"])
def test_a_step_that_has_done_its_work_may_lose_its_node(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(prepare={"gone"}, finish={"one"})
    monkeypatch.setattr(attendance, "living", lambda: {"one"})
    with Attendance(["prepare", "finish"], book, 0.5, pytest.fail) as watch:
        for count in range(10):
            time.sleep(0.1)
            if said == "rows":
                watch.moved()
            elif book.seen:
                book.seen = replace(book.seen, batches=count)
        assert watch.missing == []


def test_what_cannot_be_known_counts_as_there(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    assert attending(book, None, monkeypatch) == []
    book.seen = None
    assert attending(book, {"one"}, monkeypatch) == []


def test_a_look_in_vain_does_not_make_the_wait_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"one"}, None] * 100)
    monkeypatch.setattr(attendance, "living", lambda: next(answers))
    with Attendance(["prepare", "finish"], Book(prepare={"one"}), 0.3, lambda: None) as watch:
        time.sleep(1.2)
    assert watch.given_up == ["finish"]


def settings(gpus: float) -> dict[str, object]:
    """Aligned faces of 64 pixels: those with a name like 01-far go to a method that asks for ``gpus``."""
    classic = {"method": "classic", "parameters": {"size": 64}}
    return {
        "aligned": True,
        "method": "near",
        "methods": {"near": classic, "far": classic | {"pool": {"gpus": gpus}}},
        "rules": [{"name": "by name", "path": ["*-far.png"], "use": "far"}],
        "run": {"batch": 2, "part_rows": 3, "wait_seconds": 10, "grows_to": {"gpus": 1}},
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """24 faces, every fourth far."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(24):
        portrait(64, index).save(folder / f"{index:02}-{'far' if index % 4 == 1 else 'near'}.png")
    return folder


def near(source: Path) -> set[str]:
    return {file.name for file in source.glob("*-near.png")}


class OnBusyMachine(Attendance):
    """Only the method that has no machine is ever missing: here the others may take longer than the limit to start."""

    @property
    def missing(self) -> list[str]:
        missing = super().missing
        return missing if missing == ["restore far"] else []


def test_photos_that_need_no_missing_gpu_are_done_and_the_others_later(
    source: Path,
    tmp_path: Path,
    run: Restoring,
    run_on_ray: Restoring,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "Attendance", OnBusyMachine)
    sink = tmp_path / "out"
    run(source, tmp_path / "whole", **settings(0))
    outcome = run_on_ray(source, sink, **settings(1))
    assert (outcome.state, outcome.away, outcome.tally.failures) == ("waiting", {"far"}, {})
    assert set(rows(sink)) == near(source)
    assert "6 not reached" in summary(outcome)[0]
    assert exit_of(outcome) == TRY_LATER
    assert "6 photos wait for far: the cluster had no place for it in 10 s" in capsys.readouterr().err
    assert run(source, sink, **settings(0)).tally.total == 6
    assert results(sink) == results(tmp_path / "whole")
    assert stable(sink) == stable(tmp_path / "whole")


class Cluster:
    """One that cannot grow, and loses its GPU at the first photo that needs it. It counts its
    flows, and how often it was looked for.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has = {"CPU": 4.0, "GPU": 1.0}
        self.flows = self.connections = 0
        monkeypatch.setattr(engine, "connect", self.connect)
        monkeypatch.setattr(engine, "machine", dict[str, float])
        monkeypatch.setattr(engine, "through", self.through)

    @contextmanager
    def connect(self, run: object) -> Generator[dict[str, float]]:
        self.connections += 1
        yield self.has

    def through(self, outcome: Outcome, todo: Sequence[Source]) -> Generator[pa.Table]:
        self.flows += 1
        for photo in todo:
            if photo.path.endswith("-near.png"):
                yield from in_process(replace(outcome, work=replace(outcome.work, todo=[photo])))
            elif not outcome.away:
                self.has["GPU"] = 0.0
                raise engine.no_place(["restore far"], 5)


def test_a_method_that_was_given_up_is_asked_for_by_no_later_wave(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, config = Cluster(monkeypatch), settings(1) | {"run": {"wave": 6, "part_rows": 3}}
    outcome = restoring(engine.on_ray)(source, tmp_path / "out", **config)
    assert (outcome.state, outcome.away, outcome.tally.total) == ("waiting", {"far"}, 18)
    assert set(rows(tmp_path / "out")) == near(source)
    assert cluster.flows == 5, "one more in the first of four waves"


def test_where_no_method_is_left_nothing_more_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, config = Cluster(monkeypatch), settings(1)
    only = {"method": "far", "methods": {"far": {"method": "classic", "pool": {"gpus": 1}}}, "rules": []}
    outcome = restoring(engine.on_ray)(source, tmp_path / "out", **config | only | {"run": {"wave": 6}})
    assert (outcome.state, outcome.away, outcome.tally.total) == ("waiting", {"far"}, 1)
    assert (cluster.flows, cluster.connections) == (1, 1)
