"""Exit codes, documented in docs/operations.md."""

from typing import Final

Exit = int

OK: Final = 0
BUG: Final = 1  # our own fault: one line with its cause, or a traceback
OPERATOR: Final = 2  # something to put right first: one line and a hint
SOME_FAILED: Final = 3  # the run ended, some of the photos that it worked on failed
STOPPED: Final = 4  # the failure limit stopped the run
FINDINGS: Final = 5  # verify found something that is not as it should be
INTERRUPTED: Final = 130  # Ctrl-C or SIGTERM: what is done is published, the same command goes on
