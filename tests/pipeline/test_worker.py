"""A pool's actors without Ray: what goes to the child, what comes back, and two blocks at once."""

import pickle
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager

import pyarrow as pa
import pytest

from pipeline import parcels
from pipeline.gate import Gate
from pipeline.isolation.messages import Limits
from pipeline.worker import LastWorker, MethodWorker, Worker
from stages.photo import Photo
from tests.pipeline.isolation import villains


class Porter(Gate):
    """A gate without Ray: everybody may enter. It counts batches."""

    def __init__(self) -> None:
        super().__init__(None)
        self.batches = 0

    def arrive(self, step: str) -> None:
        assert step == "prepare"

    def enter(self, photos: int) -> bool:
        return True

    def count_batch(self) -> None:
        self.batches += 1


@contextmanager
def opened(kind: type[Worker]) -> Generator[Worker]:
    """A worker whose child says in each photo's path how large its file is there."""
    worker = kind(pickle.dumps(villains.sizes), Limits(60), Porter(), "prepare")
    with closing(worker.supervisor.sandbox):
        yield worker


def worked(worker: Worker, photos: list[Photo]) -> pa.Table:
    (block,) = worker(parcels.pack(photos))
    return block


PHOTOS = [villains.photo("a.png", 10), villains.photo("b.png", 2000)]


@pytest.mark.parametrize(("kind", "seen"), [(Worker, ["10", "2000"]), (MethodWorker, ["None", "None"])])
def test_files_stay_out_of_the_child_of_a_method_and_come_back_all_the_same(
    kind: type[Worker], seen: list[str]
) -> None:
    with opened(kind) as worker:
        done = parcels.unpack(worked(worker, PHOTOS))
        assert isinstance(worker.gate, Porter)
        assert worker.gate.batches == 1
    assert [photo.source.path for photo in done] == seen
    for before, after in zip(PHOTOS, done, strict=True):
        assert before.data is not None
        assert after.data is not None
        assert after.data.tobytes() == before.data.tobytes()


def test_the_last_pool_gives_rows() -> None:
    with opened(LastWorker) as worker:
        (table,) = parcels.unpack_rows(worked(worker, PHOTOS))
    assert table.column("path").to_pylist() == ["10", "2000"]


def test_two_blocks_at_once_do_not_get_mixed_up() -> None:
    blocks = [[villains.photo("x.png", number)] * 3 for number in range(1, 9)]
    done: dict[int, list[str]] = {}
    with opened(Worker) as worker:

        def run(number: int, photos: list[Photo]) -> None:
            done[number] = [photo.source.path for photo in parcels.unpack(worked(worker, photos))]

        threads = [threading.Thread(target=run, args=(number, photos)) for number, photos in enumerate(blocks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done == {number: [str(number + 1)] * 3 for number in range(8)}
