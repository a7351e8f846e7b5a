"""The command line: ``daguerre``. Results on stdout, logs and errors on stderr; every error of the operator is one
line and a hint.
"""

import importlib.metadata
import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter

from infra.errors import OperatorError
from infra.logs import setup
from infra.storage import StorageFault
from pipeline.exits import BUG, INTERRUPTED, OPERATOR, TRY_LATER
from pipeline.isolation.faults import OurFault

log = logging.getLogger(__name__)

COMMANDS = {
    "pipeline.commands.archive:restore": "Restore the faces of every photo that the sink does not hold yet.",
    "pipeline.commands.archive:plan": "Say what restore would do, and refuse what it would refuse.",
    "pipeline.commands.look:status": "Say what a sink holds: photos and faces by status, failures, runs.",
    "pipeline.commands.look:report": "Write report.html and report.csv for a sink.",
    "pipeline.commands.look:methods": "List the methods: papers, code, licences, weights.",
    "pipeline.commands.export:export": "Take training data out of a sink: pairs, aligned or degraded faces.",
    "pipeline.commands.verify:verify": "Check that a sink holds what its manifest says, and nothing else.",
    "pipeline.commands.verify:gc": "List, or remove, what crashed runs left in a sink.",
    "pipeline.commands.weights:app": "List, fetch, add and verify the published weights files.",
    "pipeline.commands.train:train": "Train the network of a method.",
    "pipeline.commands.evaluate:evaluate": "Judge methods on test sets by published metrics: one table.",
    "pipeline.commands.experiment:experiment": "Degrade, restore and judge: PMRF's controlled experiments.",
    "pipeline.commands.demo:demo": "Make a small archive with known truth, restore it and write its report.",
}

app = App(
    name="daguerre",
    help="Restore the faces in archives of old photos, straight from and to object storage.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    version=lambda: importlib.metadata.version("daguerre"),
)
for target, text in COMMANDS.items():
    name = target.split(":")[1]
    app.command(target, name="weights" if name == "app" else name, help=text)


app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json_logs: Annotated[bool, Parameter(negative=())] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative=())] = False,
) -> int:
    """Restore the faces in archives of old photos, straight from and to object storage.

    Parameters
    ----------
    json_logs
        logs as JSON lines
    verbose
        more logs
    """
    setup(json_logs, verbose)
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        return int(app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except OperatorError as error:
        complain(error.message, error.hint)
        return TRY_LATER if error.later else OPERATOR
    except StorageFault as fault:
        complain(fault.message, "check the store, then give the same command again: it goes on from here")
        return TRY_LATER if fault.kind == "storage" else OPERATOR
    except CycloptsError as error:
        return complain(
            " ".join(str(error).split()).rstrip("."), "daguerre --help lists the commands and their options"
        )
    except OurFault as fault:
        log.debug("%s\n%s", fault.line, fault.trace)
        complain(fault.line, "a fault of ours, not a photo's: --verbose or the run record shows the traceback")
        return BUG
    except KeyboardInterrupt:
        complain("interrupted", "what is done is published: the same command goes on from here")
        return INTERRUPTED


def complain(message: str, hint: str) -> int:
    """An error as people read it."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"\nhint: {hint}", file=sys.stderr)
    return OPERATOR


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a run like Ctrl-C: publish, then stop."""
    raise KeyboardInterrupt


def main() -> NoReturn:
    signal.signal(signal.SIGTERM, terminate)
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a list, such as head, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)
