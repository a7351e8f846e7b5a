"""Which photos are to be worked on again although nothing about them changed."""

from dataclasses import dataclass

import numpy as np

from pipeline.index import Flags, Index, Numbers


@dataclass(frozen=True, slots=True)
class Retry:
    """All that failed, or all that failed or were skipped by some classes."""

    all: bool = False
    classes: frozenset[str] = frozenset()

    def wants(self, index: Index, at: Numbers) -> Flags:
        """Which of the rows ``at`` are wanted, (n,)."""
        failed = index.failed(at) if self.all else np.zeros(at.size, np.bool_)
        return failed | index.faults(at, self.classes) if self.classes else failed
