"""The gate that photos go through into the flow, for all nodes: while a run is being stopped it is closed.

It also keeps what ends a run, as it was raised: Ray Data hands the driver its text alone.
"""

import contextlib
from collections.abc import Generator
from typing import Any

import ray
from ray.exceptions import RayError

from infra.errors import OperatorError
from pipeline.isolation.faults import OurFault

ANSWER_SECONDS = 10.0


class Keeper:
    """The gate's state, in an actor that needs no CPU."""

    def __init__(self) -> None:
        self.open = True
        self.photos = 0
        self.faults: list[OperatorError | OurFault] = []

    def enter(self, photos: int) -> bool:
        self.photos += photos if self.open else 0
        return self.open

    def close(self) -> int:
        self.open = False
        return self.photos

    def report(self, fault: OperatorError | OurFault) -> None:
        self.faults.append(fault)

    def reported(self) -> list[OperatorError | OurFault]:
        return self.faults


class Gate:
    """A handle on the gate that travels to workers. A gate that cannot be reached counts as open."""

    def __init__(self, keeper: Any) -> None:
        self.keeper = keeper

    def enter(self, photos: int) -> bool:
        """Whether a batch of so many photos may begin; they are counted then."""
        try:
            return bool(ray.get(self.keeper.enter.remote(photos), timeout=ANSWER_SECONDS))
        except RayError:
            return True

    def close(self) -> int | None:
        """Let nobody in any more; how many photos are in or through, None if that cannot be known now."""
        try:
            return int(ray.get(self.keeper.close.remote(), timeout=ANSWER_SECONDS))
        except RayError:
            return None

    def report(self, fault: OperatorError | OurFault) -> None:
        """Leave word of what ends the run."""
        with contextlib.suppress(RayError):
            ray.get(self.keeper.report.remote(fault), timeout=ANSWER_SECONDS)

    def reported(self) -> OperatorError | OurFault | None:
        """What a worker said first of what ends the run."""
        try:
            return next(iter(ray.get(self.keeper.reported.remote(), timeout=ANSWER_SECONDS)), None)
        except RayError:
            return None


@contextlib.contextmanager
def opened() -> Generator[Gate]:
    """A gate for one run."""
    keeper: Any = ray.remote(num_cpus=0, max_restarts=-1)(Keeper).remote()
    try:
        yield Gate(keeper)
    finally:
        with contextlib.suppress(RayError):
            ray.kill(keeper)
