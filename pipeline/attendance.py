"""Which steps of a run have an actor on the cluster, and which have been without one for too long.

Ray gives a pool whose machines are not there (spot GPUs that nobody sells tonight) no place and says nothing; as soon
as the line before it is full, nothing moves any more.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, cast

import ray
from ray.exceptions import RayError

from pipeline.gate import Gate

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two looks, or a fifth of the patience
TELL = 30.0  # seconds after which the operator hears that a step waits


class Attendance:
    """While this context lasts, a thread looks whether each of ``steps`` has an actor on a node that lives. ``missing``
    are those that had none for ``seconds`` in which nothing ``moved`` either; ``wake`` is called as long as there are
    any. A step that has done all its work may lose its machines: what is behind it moves on.

    Actors report to ``gate`` when they are started. What cannot be known, while Ray's head does not answer, counts as
    there.
    """

    def __init__(self, steps: Collection[str], gate: Gate, seconds: float, wake: Callable[[], None]) -> None:
        self.gate = gate
        self.seconds = seconds
        self.wake = wake
        self.nodes: dict[str, set[str]] = {step: set() for step in steps}
        self.seen = dict.fromkeys(steps, time.monotonic())
        self.last = time.monotonic()
        self.told: set[str] = set()
        self.left = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Attendance":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left.set()

    def moved(self) -> None:
        """Say that something came out of the last step."""
        self.last = time.monotonic()

    @property
    def missing(self) -> list[str]:
        """The steps that had no actor for too long, in the flow's order."""
        return self.without(self.seconds)

    def without(self, seconds: float) -> list[str]:
        now = time.monotonic()
        return [step for step, seen in self.seen.items() if now - max(seen, self.last) > seconds]

    def watch(self) -> None:
        while not self.left.wait(min(EVERY, self.seconds / 5)):
            self.look()
            self.tell(set(self.without(TELL)))
            if self.missing:
                self.wake()

    def look(self) -> None:
        """Note which steps have an actor now."""
        arrived, alive, now = self.gate.arrived(), living(), time.monotonic()
        if arrived is None or alive is None:
            self.seen = dict.fromkeys(self.seen, now)
            return
        for step, known in self.nodes.items():
            known.update(arrived.get(step, ()))
            if known & alive:
                self.seen[step] = now

    def tell(self, waiting: set[str]) -> None:
        for step in sorted(waiting - self.told):
            log.warning("no place on the cluster for %s yet: waiting for at most %g s", step, self.seconds)
        self.told = waiting


def living() -> set[str] | None:
    """The ids of the nodes that live, None if that cannot be known now."""
    try:
        nodes = cast("list[dict[str, Any]]", ray.nodes())
    except RayError:
        return None
    return {node["NodeID"] for node in nodes if node["Alive"]}
