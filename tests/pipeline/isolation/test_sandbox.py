"""A child with stages in it: what it gives back, how its death is told, when its time is up, what it inherits."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from infra.config import Config
from infra.errors import ResourceError, WeightsError
from pipeline import chains
from pipeline.isolation.faults import OurFault
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Death, Sandbox
from pipeline.job import make_job
from stages.photo import FaultClass
from stages.stage import Stage
from tests.pipeline.isolation.villains import (
    broken_builder,
    dying_builder,
    failing_builder,
    greedy_builder,
    modules_of_prepare,
    one_by_one,
    photo,
    slow_singly,
    slow_together,
    together,
)

Open = Callable[..., AbstractContextManager[Sandbox]]


def opened(build: Callable[[], Sequence[Stage]], seconds: float = 60, memory: int | None = None) -> closing[Sandbox]:
    return closing(Sandbox(build, Limits(seconds, memory)))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened(one_by_one) as made:
        yield made


def test_photos_come_back_as_from_stages_in_this_process(sandbox: Sandbox) -> None:
    photos = [photo("a.png", 100_000), photo("fail"), photo("b.png", 0)]
    done = sandbox.run(photos)
    assert done[0].data is not None
    assert photos[0].data is not None
    np.testing.assert_array_equal(done[0].data, photos[0].data + np.uint8(1))
    assert done[1].fault is not None
    assert (done[1].fault.kind, done[1].fault.stage) == (FaultClass.CORRUPT, "brighten")
    assert [one.source for one in done] == [one.source for one in photos]


def test_what_a_stage_left_alone_comes_back_as_the_very_same_array(sandbox: Sandbox) -> None:
    sent = photo("fail")
    assert sandbox.run([sent])[0].data is sent.data


def test_arrays_are_read_only_in_the_child_and_here(sandbox: Sandbox) -> None:
    done = sandbox.run([photo("a.png")])[0]
    assert done.data is not None
    assert not done.data.flags.writeable


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("segfault", "its process was killed by SIGSEGV"),
        ("kill", "its process was killed by SIGKILL (out of memory?)"),
        ("leave", "its process ended with exit code 3"),
    ],
)
def test_a_death_is_told_with_its_stage_and_cause_and_the_next_batch_has_a_new_child(
    sandbox: Sandbox, deed: str, message: str
) -> None:
    with pytest.raises(Death) as caught:
        sandbox.run([photo("a.png"), photo(deed)])
    assert (caught.value.stage, caught.value.kind, caught.value.message) == ("brighten", FaultClass.CRASH, message)
    assert sandbox.run([photo("a.png")])[0].fault is None


@pytest.mark.parametrize("deed", ["hang", "wait"])
def test_a_hang_ends_at_its_time_even_in_c_with_the_lock_held(deed: str) -> None:
    with opened(one_by_one, seconds=1) as box:
        box.run([photo("a.png")])
        started = time.monotonic()
        with pytest.raises(Death, match=r"longer than 1 s \(run\.photo_seconds\)") as caught:
            box.run([photo(deed)])
        assert 0.9 < time.monotonic() - started < 20
        assert (caught.value.stage, caught.value.kind) == ("brighten", FaultClass.TIMEOUT)


@pytest.mark.parametrize("build", [slow_singly, slow_together])
def test_the_time_is_a_photos_not_a_batchs(build: Callable[[], Sequence[Stage]]) -> None:
    with opened(build, seconds=1.5) as box:
        assert len(box.run([photo("a.png")] * 8)) == 8  # 0.3 s each


def test_memory_without_end_ends_at_the_limit_and_is_the_photos() -> None:
    with (
        opened(one_by_one, memory=1000) as box,
        pytest.raises(Death, match=r"memory ran out, the limit is 1000 MiB \(run\.worker_memory_mb\)") as caught,
    ):
        box.run([photo("devour")])
    assert caught.value.kind is FaultClass.CRASH


def test_a_bug_ends_the_run_with_one_line_and_the_childs_traceback() -> None:
    with opened(together) as box, pytest.raises(OurFault) as caught:
        box.run([photo("a.png"), photo("stumble")])
    assert caught.value.line.startswith("ZeroDivisionError: a bug (isolation/villains.py:")
    assert "in stumble" in caught.value.trace
    assert "\n" not in caught.value.line


@pytest.mark.parametrize(
    ("build", "error", "line"),
    [
        (dying_builder, OurFault, "a worker died while it built its stages: its process was killed by SIGKILL"),
        (broken_builder, OurFault, "KeyError: 'stage'"),
        (failing_builder, WeightsError, "weights are missing: x.pth"),
    ],
)
def test_stages_that_cannot_be_built_are_no_photos_fault(
    build: Callable[[], Sequence[Stage]], error: type[Exception], line: str
) -> None:
    with opened(build) as box, pytest.raises(error) as caught:
        box.run([photo("a.png")])
    assert str(caught.value).startswith(line)
    if isinstance(caught.value, WeightsError):
        assert caught.value.hint == "daguerre weights fetch x.pth"


def test_the_first_chain_needs_neither_ray_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    config = Config.model_validate({"method": "classic", "detect": {"detector": "cascade"}})
    job = make_job(str(tmp_path / "in"), str(tmp_path / "out"), config)
    build = partial(modules_of_prepare, pickle.dumps(partial(chains.prepare, job)))
    with opened(build) as box:
        names = set(box.run([photo("a.png")])[0].source.path.split())
    assert {"cv2", "pipeline.chains"} <= names
    assert not {"ray", "torch"} & names


def test_a_limit_too_low_for_the_stages_themselves_is_the_operators_to_raise() -> None:
    with opened(greedy_builder, memory=500) as box, pytest.raises(ResourceError, match="500 MiB are too little"):
        box.run([photo("a.png")])


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    with opened(one_by_one) as box:
        thread = threading.Thread(target=box.run, args=([photo("a.png")],))
        thread.start()
        thread.join()
        first = box.child
        assert box.run([photo("a.png")])[0].fault is None
        assert box.child is first


ORPHAN = """
import sys
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from tests.pipeline.isolation.villains import one_by_one, photo
box = Sandbox(one_by_one, Limits(60))
box.run([photo("a.png")])
print(box.child.process.pid, flush=True)
box.run([photo("hang")])
"""


def test_a_child_ends_with_its_supervisor_even_while_it_hangs() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", ORPHAN], env=environment, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        assert child.is_running()
        supervisor.send_signal(signal.SIGKILL)
    child.wait(10)
    assert not child.is_running()
