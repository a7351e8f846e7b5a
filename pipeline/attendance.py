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

from pipeline.gate import ANSWER_SECONDS, Gate

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two looks, or a fifth of the patience
TELL = 30.0  # seconds after which the operator hears that a step waits


class Attendance:
    """While this context lasts, a thread looks whether each of ``steps`` has an actor on a node that lives. ``missing``
    are those that had none for ``seconds`` in which nothing ``moved`` either, and no batch was done. As long as there
    are any they are noted as ``given_up`` and ``wake`` is called. A step that has done all its work may lose its
    machines: what is behind it moves on.

    Actors report to ``gate`` when they are started and at each batch. While that cannot be known, because Ray's head
    does not answer, time stands still.
    """

    def __init__(self, steps: Collection[str], gate: Gate, seconds: float, wake: Callable[[], None]) -> None:
        self.gate = gate
        self.seconds = seconds
        self.wake = wake
        self.nodes: dict[str, set[str]] = {step: set() for step in steps}
        self.absent = dict.fromkeys(steps, 0.0)  # seconds
        self.still = 0.0  # seconds
        self.batches = 0
        self.looked = time.monotonic()
        self.given_up: list[str] = []
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
        self.thread.join(2 * ANSWER_SECONDS)

    def moved(self) -> None:
        """Say that something came out of the last step."""
        self.still = 0.0

    @property
    def missing(self) -> list[str]:
        """The steps that had no actor for too long, in the flow's order."""
        return self.without(self.seconds)

    def without(self, seconds: float) -> list[str]:
        return [step for step, absent in self.absent.items() if min(absent, self.still) > seconds]

    def watch(self) -> None:
        while not self.left.wait(min(EVERY, self.seconds / 5)):
            self.look()
            self.tell(set(self.without(TELL)))
            if (missing := self.missing) and not self.left.is_set():
                self.given_up = missing
                self.wake()

    def look(self) -> None:
        """Note which steps have an actor now, and whether any has done something."""
        signs, alive, now = self.gate.signs(), living(), time.monotonic()
        passed, self.looked = now - self.looked, now
        if signs is None or alive is None:
            return
        self.still = self.still + passed if signs.batches == self.batches else 0.0
        self.batches = signs.batches
        for step, known in self.nodes.items():
            known.update(signs.nodes.get(step, ()))
            self.absent[step] = 0.0 if known & alive else self.absent[step] + passed

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
