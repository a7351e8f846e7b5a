"""Runs that die at a chosen step of what they write: for tests and for ``benchmarks/kills.py``.

A process that has imported everything forks; the child works until it is about to do the chosen write or delete, or has
half done it, and sends itself SIGKILL. No step that a sink can see is left out: results, crops, lease, parts, tidying,
compaction, record.
"""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import torch

from infra import local
from infra.config import Config
from infra.storage import Storage
from infra.uris import local_path
from pipeline.job import make_job
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.run import restore
from pipeline.verify import Check
from pipeline.work import Trial
from tests.pipeline.conftest import in_process, portrait

CONFIG = Config.model_validate(
    {
        "aligned": True,
        "method": "classic",
        "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
        "write": {"keep": ["crops"]},
        "run": {"batch": 1, "part_rows": 1, "small_parts": 2},
    }
)
VOLATILE = {"run_id", "seconds"}
BROKEN = {"missing", "changed", "unreadable", "contradiction"}


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a run dies: before its ``step``-th write or delete, or, ``halfway``, with a draft beside the file."""

    step: int
    halfway: bool = False


@dataclass(slots=True)
class Steps:
    """Counts writes and deletes below a sink, and kills the process at one of them."""

    kill: Kill | None = None
    done: int = 0
    log: Path | None = None

    def reached(self, what: str, uri: str) -> None:
        """One more step is about to be done."""
        self.done += 1
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{what} {uri}\n")
        if self.kill and self.kill.step == self.done:
            if self.kill.halfway and what == "write":
                path = local_path(uri)
                path.parent.mkdir(parents=True, exist_ok=True)
                local.unfinished(path).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)


def watched(steps: Steps) -> None:
    """Let ``steps`` know of every write and delete of this process. For a child that ends soon."""
    write, delete = Storage.write, Storage.delete

    def writing(self: Storage, uri: str, data: bytes | memoryview) -> None:
        steps.reached("write", uri)
        write(self, uri, data)

    def deleting(self: Storage, uri: str) -> None:
        steps.reached("delete", uri)
        delete(self, uri)

    Storage.write, Storage.delete = writing, deleting  # type: ignore[method-assign]


def run(source: Path, sink: Path, retry: Retry = Retry()) -> Outcome:  # noqa: B008 - it is frozen
    """A run in this process."""
    job = make_job(str(source), str(sink), CONFIG)
    return restore(job, retry, Trial(), quiet=True, engine=in_process)


def one_thread() -> None:
    """No threads in this process that a forked child would wait for. To be called before anything is computed."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def forked(work: Callable[[], object]) -> int:
    """``work`` in a child; its status as ``os.waitpid`` gives it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def resumed(source: Path, sink: Path) -> int:
    """A run in a child, to its end; how many files it had to do."""
    if forked(lambda: run(source, sink)):
        raise RuntimeError("the child failed")
    record = max((sink / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    counts = json.loads(record.read_text())["counts"]
    return int(counts["listed"] - counts["already_done"])


def dying(source: Path, sink: Path, kill: Kill | None, log: Path | None = None) -> bool:
    """A run in a child that dies at ``kill``; False if it ended before."""

    def work() -> None:
        watched(Steps(kill, log=log))
        run(source, sink)

    status = forked(work)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the child failed")
    return os.WIFSIGNALED(status)


@dataclass(frozen=True, slots=True)
class Place:
    """An archive, a sink (rows name its place, so it is always the same), how the sink is before the run that is to
    die, how it is after an unbroken one, and the steps of that.
    """

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "in"

    @property
    def sink(self) -> Path:
        return self.folder / "out"

    @property
    def before(self) -> Path:
        return self.folder / "before"

    @property
    def whole(self) -> Path:
        return self.folder / "whole"

    @property
    def steps(self) -> list[str]:
        return (self.folder / "steps").read_text().splitlines()

    def fresh(self) -> None:
        """Make the sink what it was before."""
        shutil.rmtree(self.sink, ignore_errors=True)
        shutil.copytree(self.before, self.sink, copy_function=os.link)


def prepared(folder: Path, dice: random.Random) -> Place:
    """A place whose next run adds, renews and replaces rows, tidies and puts parts together."""
    place = Place(folder)
    source, sink = place.source, place.sink
    source.mkdir(parents=True)
    for index in range(4):
        portrait(64, dice.randrange(10**6)).save(source / f"{index}.png")
    (source / "notes.txt").write_text("who is who")
    run(source, sink)
    portrait(64, dice.randrange(10**6)).save(source / "0.png")  # another content
    os.utime(source / "1.png", (1, 1))  # the same content, touched
    (source / "2.png").unlink()
    portrait(64, dice.randrange(10**6)).save(source / "new.png")
    sink.rename(place.before)
    place.fresh()
    dying(source, sink, None, folder / "steps")
    sink.rename(place.whole)
    return place


def parts_of(sink: Path) -> Iterator[Path]:
    return (sink / "manifest").glob("*.parquet")


def rows_of(sink: Path) -> list[dict[str, Any]]:
    """The rows that any reader of the manifest finds, by name, without what differs from run to run."""
    rows = [row for part in parts_of(sink) for row in pq.read_table(part).to_pylist()]
    kept = [{key: row[key] for key in row if key not in VOLATILE} for row in rows]
    return sorted(kept, key=lambda row: row["path"])


def files_of(sink: Path) -> dict[str, bytes]:
    """Everything that a sink holds but for what a run says of itself."""
    found = {str(path.relative_to(sink)): path for path in sink.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(("manifest/", "runs/"))}


def check_readers(sink: Path, before: set[str]) -> None:
    """What a reader may rely on at any moment: no photo lost its row, and each current row has its result."""
    found = [finding for finding in Check(Storage(), f"file://{sink}").findings() if finding.kind in BROKEN]
    assert found == []
    assert before <= {row["path"] for row in rows_of(sink)}


def check_kill(place: Place, *kills: Kill) -> None:
    """Kill one run after the other, look each time at what is left, then let one end: the sink is what it is after an
    unbroken run, and at most those photos were done again that had no row.
    """
    place.fresh()
    final, before = rows_of(place.whole), {row["path"] for row in rows_of(place.before)}
    for kill in kills:
        dying(place.source, place.sink, kill)
        check_readers(place.sink, before)
    published = rows_of(place.sink)
    pending = [row for row in final if row not in published]
    assert resumed(place.source, place.sink) <= len(pending), kills
    assert rows_of(place.sink) == final, kills
    assert files_of(place.sink) == files_of(place.whole), kills
