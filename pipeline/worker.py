"""A pool's actor, as Ray Data calls it: a block in, a block out. The work is done in its child process."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from infra.errors import OperatorError
from pipeline import parcels
from pipeline.columns import rows
from pipeline.gate import Gate
from pipeline.isolation.faults import OurFault
from pipeline.isolation.heap import keep_freed_memory
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from stages.photo import Photo
from stages.write import target_of


class Worker:
    """``build`` is a pickled ``isolation.messages.Build``. The child starts at once and is waited for at the first
    block. That an actor of ``step`` is there, each batch, and what ends the run, is reported at ``gate``.

    Two blocks may be here at once: while the child works on one, the other becomes photos or a block again.
    """

    def __init__(self, build: bytes, limits: Limits, gate: Gate, step: str) -> None:
        keep_freed_memory()
        self.gate = gate
        gate.arrive(step)
        self.turn = threading.Lock()
        self.supervisor = Supervisor(Sandbox(build, limits))
        self.supervisor.sandbox.start()

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        yield self.packed(self.work(parcels.unpack(block)))

    def work(self, photos: list[Photo]) -> list[Photo]:
        try:
            with self.turn:
                done = self.supervisor(photos)
        except (OperatorError, OurFault) as fault:
            self.gate.report(fault)
            raise
        self.gate.count_batch()
        return done

    def packed(self, photos: list[Photo]) -> pa.Table:
        return parcels.pack(photos)


class FirstWorker(Worker):
    """The first pool's. Behind a closed gate it takes no more photos: they leave the flow and have no row. So do those
    that turn out to need a method that is away.
    """

    def work(self, photos: list[Photo]) -> list[Photo]:
        return self.gate.turn_back(super().work(photos)) if self.gate.enter(len(photos)) else []


class MethodWorker(Worker):
    """A method's. Its child gets the crops alone: the files stay here."""

    def work(self, photos: list[Photo]) -> list[Photo]:
        done = super().work([replace(photo, data=None) for photo in photos])
        return [replace(one, data=photo.data) for one, photo in zip(done, photos, strict=True)]


class LastWorker(Worker):
    """The last pool's. Its photos go to the driver: rows alone, no pixels."""

    def packed(self, photos: list[Photo]) -> pa.Table:
        return parcels.pack_rows(rows(photos))

    def work(self, photos: list[Photo]) -> list[Photo]:
        """A photo that ended its worker here has the target that its result would have had: it may even be stored."""
        return [replace(photo, source=replace(photo.source, target=target_of(photo))) for photo in super().work(photos)]
