"""Our own fault: what ends a run although no photo and no operator is to blame."""

import traceback

from infra.errors import OperatorError


class OurFault(Exception):  # noqa: N818 - it is named by whose it is, as PhotoFault is
    """A bug in a stage, a lost GPU, a worker that cannot be built: one line with the cause, and the traceback."""

    def __init__(self, line: str, trace: str = "") -> None:
        super().__init__(line)
        self.line = line
        self.trace = trace

    def __reduce__(self) -> tuple[type["OurFault"], tuple[str, str]]:
        return type(self), (self.line, self.trace)


def one_line(error: BaseException) -> str:
    """``ZeroDivisionError: division by zero (stages/paste.py:61)``: the class, the text and the place."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{place}".split())[:500]


def text(error: BaseException) -> str:
    """The traceback, causes included."""
    return "".join(traceback.format_exception(error))


def cause(error: Exception) -> OperatorError | OurFault:
    """What a run ends with because of ``error``. Of a text that holds a whole traceback, as Ray's, the last line."""
    if isinstance(error, OperatorError | OurFault):
        return error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = f"{type(error).__name__}: {lines[-1]}"[:500] if len(lines) > 1 else one_line(error)
    return OurFault(line, text(error))
