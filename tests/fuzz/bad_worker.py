"""A worker that some files kill, hang or fill, for the test of the harness itself."""

import os
import signal
import time

from tests.fuzz.worker import MEMORY, Case, Tally, main, signature

SEGFAULT, HANGS, FILLS, BUG = 2, 4, 6, 7


class Misbehaves:
    """A way of which most files come to an end."""

    def through(self, made: Case, number: int, tally: Tally) -> None:
        if number == SEGFAULT:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == HANGS:
            time.sleep(600)
        try:
            if number == FILLS:
                bytearray(MEMORY)
            if number == BUG:
                raise KeyError("ours")
        except (MemoryError, KeyError) as error:
            tally.unclassified.setdefault(signature(error), []).append(number)


if __name__ == "__main__":
    main(lambda write: Misbehaves())
