"""Processes that make hashes and shards: as many as are asked for, or this one alone."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

from pipeline.isolation.faults import OurFault

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def crew(workers: int) -> Generator["Crew"]:
    """``workers`` processes for the block; with one, the work is done here."""
    if workers == 1:
        yield Crew(None, 1)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=one_thread) as pool:
        try:
            yield Crew(pool, workers)
        except BrokenProcessPool:
            raise OurFault("a process of the export died: the same command goes on from here") from None
        finally:
            pool.shutdown(cancel_futures=True)


class Crew:
    """Does tasks in order, a few ahead of what is asked for."""

    def __init__(self, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._pool = pool
        self._ahead = 2 * workers

    def each(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Generator[Result]:
        """What ``work``, a function that can be pickled, makes of each task, in order."""
        if self._pool is None:
            for task in tasks:
                yield work(task)
            return
        waiting = deque[Future[Any]]()
        rest = iter(tasks)
        for task in rest:
            waiting.append(self._pool.submit(work, task))
            if len(waiting) >= self._ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def one_thread() -> None:
    """Processes share the cores: none of them takes all."""
    cv2.setNumThreads(1)
