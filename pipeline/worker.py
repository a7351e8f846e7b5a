"""A pool's actor, as Ray Data calls it: a table in, a table out. The work is done in its child process."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from infra.errors import OperatorError
from pipeline.columns import Columns
from pipeline.gate import Gate
from pipeline.isolation.faults import OurFault
from pipeline.isolation.messages import Limits
from pipeline.isolation.sandbox import Sandbox
from pipeline.isolation.supervisor import Supervisor
from stages.photo import Photo
from stages.write import target_of


class Worker:
    """``build`` is a pickled ``isolation.messages.Build``. The child starts at once and is waited for at the first
    table. What ends the run is reported at ``gate``.
    """

    pixels = True

    def __init__(self, build: bytes, columns: Columns, limits: Limits, gate: Gate) -> None:
        self.columns = columns
        self.gate = gate
        self.supervisor = Supervisor(Sandbox(build, limits))
        self.supervisor.sandbox.start()

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield self.columns.table(self.work(self.columns.photos(table)), self.pixels)

    def work(self, photos: list[Photo]) -> list[Photo]:
        try:
            return self.supervisor(photos)
        except (OperatorError, OurFault) as fault:
            self.gate.report(fault)
            raise


class FirstWorker(Worker):
    """The first pool's. Behind a closed gate it takes no more photos: they leave the flow and have no row."""

    def work(self, photos: list[Photo]) -> list[Photo]:
        return super().work(photos) if self.gate.enter(len(photos)) else []


class LastWorker(Worker):
    """The last pool's. Its photos go to the driver: rows alone, no pixels."""

    pixels = False

    def work(self, photos: list[Photo]) -> list[Photo]:
        """A photo that ended its worker here has the target that its result would have had: it may even be stored."""
        return [replace(photo, source=replace(photo.source, target=target_of(photo))) for photo in super().work(photos)]
