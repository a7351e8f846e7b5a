"""The command line: ``daguerre``. Results on stdout, logs and errors on stderr; every error of the operator is one
line and a hint.
"""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter

from infra.errors import OperatorError
from infra.logs import setup
from infra.storage import StorageFault
from pipeline.exits import INTERRUPTED, OPERATOR

app = App(
    name="daguerre",
    help="Restore the faces in archives of old photos, straight from and to object storage.",
    version_flags=["--version"],
)
app.command("pipeline.commands.archive:restore")
app.command("pipeline.commands.archive:plan")
app.command("pipeline.commands.look:status")
app.command("pipeline.commands.look:report")
app.command("pipeline.commands.look:methods")
app.command("pipeline.commands.demo:demo")
app.command("pipeline.commands.weights:app", name="weights")


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
        return complain(error.message, error.hint)
    except StorageFault as fault:
        return complain(fault.message, "check the store, then give the same command again: it goes on from here")
    except CycloptsError as error:
        return complain(
            " ".join(str(error).split()).rstrip("."), "daguerre --help lists the commands and their options"
        )
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
    sys.exit(run(sys.argv[1:]))
