"""The gate that photos go through into the flow, for all nodes: while a run is being stopped it is closed.

It also keeps which steps have actors and where, and what ends a run, as it was raised: Ray Data hands the driver its
text alone.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infra.errors import OperatorError
from pipeline.isolation.faults import OurFault
from stages.photo import Photo

ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Signs:
    """Of life: the nodes on which each step has, or had, an actor, and how many batches all of them have done."""

    nodes: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    batches: int = 0


class Keeper:
    """The gate's state, in an actor that needs no CPU."""

    def __init__(self) -> None:
        self.open = True
        self.photos = 0
        self.faults: list[OperatorError | OurFault] = []
        self.nodes: dict[str, set[str]] = {}
        self.batches = 0

    def enter(self, photos: int) -> bool:
        self.photos += photos if self.open else 0
        return self.open

    def turn_back(self, photos: int) -> None:
        self.photos -= photos

    def arrive(self, step: str, node: str) -> None:
        self.nodes.setdefault(step, set()).add(node)

    def count_batch(self) -> None:
        self.batches += 1

    def signs(self) -> Signs:
        return Signs(self.nodes, self.batches)

    def close(self) -> int:
        self.open = False
        return self.photos

    def report(self, fault: OperatorError | OurFault) -> None:
        self.faults.append(fault)

    def reported(self) -> list[OperatorError | OurFault]:
        return self.faults


class Gate:
    """A handle on the gate that travels to workers. A gate that cannot be reached counts as open.

    ``away`` are the methods that this flow has to do without.
    """

    def __init__(self, keeper: Any, away: frozenset[str] = frozenset()) -> None:
        self.keeper = keeper
        self.away = away

    def enter(self, photos: int) -> bool:
        """Whether a batch of so many photos may begin; they are counted then."""
        try:
            return bool(ray.get(self.keeper.enter.remote(photos), timeout=ANSWER_SECONDS))
        except RayError:
            return True

    def turn_back(self, photos: Sequence[Photo]) -> list[Photo]:
        """``photos`` without those that need a method that is away: they leave the flow."""
        staying = [photo for photo in photos if not needed(photo) & self.away]
        if len(staying) < len(photos):
            with contextlib.suppress(RayError):
                ray.get(self.keeper.turn_back.remote(len(photos) - len(staying)), timeout=ANSWER_SECONDS)
        return staying

    def arrive(self, step: str) -> None:
        """Say that an actor of ``step`` has a place here."""
        self.keeper.arrive.remote(step, ray.get_runtime_context().get_node_id())

    def count_batch(self) -> None:
        """Say that an actor has done a batch."""
        self.keeper.count_batch.remote()

    def signs(self) -> Signs | None:
        """What actors have said so far; None if that cannot be known now."""
        try:
            return cast("Signs", ray.get(self.keeper.signs.remote(), timeout=ANSWER_SECONDS))
        except RayError:
            return None

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


def needed(photo: Photo) -> set[str]:
    """The methods that restore its faces."""
    return {face.method for face in photo.faces if face.method is not None and face.crop is not None}


@contextlib.contextmanager
def opened(away: frozenset[str] = frozenset()) -> Generator[Gate]:
    """A gate for one flow, on the driver's node: what takes that node away ends the run anyway."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1)(Keeper)
    keeper: Any = actor.options(scheduling_strategy=here).remote()
    try:
        yield Gate(keeper, away)
    finally:
        with contextlib.suppress(RayError):
            ray.kill(keeper)
