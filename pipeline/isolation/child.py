"""The child: ``python -P -m pipeline.isolation.child FD PARENT MEGABYTES``. It builds stages and works on batches.

It ends with its supervisor, whatever that dies of: the kernel kills it (PR_SET_PDEATHSIG), and its socket ends.
"""

import ctypes
import faulthandler
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Sequence

import cv2

from infra.errors import OperatorError, ResourceError
from pipeline.isolation.faults import one_line, text
from pipeline.isolation.heap import keep_freed_memory
from pipeline.isolation.messages import Broke, Build, Done, Exhausted, Ready, arrays
from pipeline.isolation.watched import Tell, watched
from pipeline.isolation.wire import Wire
from stages.microbatch import out_of_memory
from stages.photo import Photo
from stages.stage import Stage, run

PR_SET_PDEATHSIG = 1


def main() -> None:
    end, parent, megabytes = (int(argument) for argument in sys.argv[1:])
    tether(parent)
    faulthandler.enable()
    limit_memory(megabytes)
    keep_freed_memory()
    wire = Wire(socket.socket(fileno=end))
    try:
        stages = built(wire.receive(), wire.send)
    except Exception as error:
        wire.send(too_little(megabytes) if megabytes and out_of_memory(error) else broke(error))
        return
    wire.send(Ready())
    serve(wire, stages)


def tether(parent: int) -> None:
    """End when the parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def limit_memory(megabytes: int) -> None:
    """Private memory, not address space: importing torch alone reserves 3.5 GB of that and uses 0.6."""
    if megabytes:
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20, megabytes * 2**20))


def built(packed: bytes, tell: Tell) -> list[Stage]:
    """The stages, one thread each, telling where they are."""
    cv2.setNumThreads(1)
    build: Build = pickle.loads(packed)
    stages = watched(build(), tell)
    one_thread()
    return stages


def one_thread() -> None:
    """Torch, where a stage has imported it, computes with one thread, whatever the environment says."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def serve(wire: Wire, stages: Sequence[Stage]) -> None:
    """Batch by batch, until the supervisor hangs up."""
    while True:
        try:
            photos: list[Photo] = wire.receive()
        except EOFError:
            return
        held = arrays(photos)
        known = {id(array): number for number, array in enumerate(held)}
        try:
            wire.send(Done(run(stages, photos)), known)
        except Exception as error:
            wire.send(Exhausted() if out_of_memory(error) else broke(error))
            return


def too_little(megabytes: int) -> Broke:
    message = f"{megabytes} MiB are too little for a worker to load its stages (run.worker_memory_mb)"
    return Broke(message, "", ResourceError(message, "raise it, or leave it out"))


def broke(error: Exception) -> Broke:
    return Broke(one_line(error), text(error), error if isinstance(error, OperatorError) else None)


if __name__ == "__main__":
    main()
