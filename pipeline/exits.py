"""Exit codes, documented in docs/operations.md, and what a scheduler should do after each."""

import signal
from typing import Final, Literal

Exit = int
Action = Literal["done", "retry", "look"]

OK: Final = 0
BUG: Final = 1  # our own fault: one line with its cause, or a traceback
OPERATOR: Final = 2  # something to put right first: one line and a hint
SOME_FAILED: Final = 3  # the run ended, some of the photos that it worked on failed
STOPPED: Final = 4  # the failure limit stopped the run
FINDINGS: Final = 5  # verify found something that is not as it should be
TRY_LATER: Final = 75  # the store, the sink or the cluster was not to be had; sysexits.h calls it EX_TEMPFAIL
INTERRUPTED: Final = 130  # Ctrl-C or SIGTERM: what is done is published, the same command goes on


def action(code: int) -> Action:
    """What a scheduler should do after ``code``: nothing, give the same command again, or call somebody."""
    if code in {OK, SOME_FAILED}:
        return "done"
    taken_away = {128 + signal.SIGKILL, 128 + signal.SIGTERM}  # with its machine
    return "retry" if code in {TRY_LATER, INTERRUPTED, *taken_away} else "look"
