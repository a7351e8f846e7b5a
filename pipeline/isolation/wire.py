"""Objects over a socket between a supervisor and its child. Arrays travel beside the pickle, without a copy of theirs.

A message is the number of its parts, their sizes, then the parts: the pickle (protocol 5), and each array's bytes.
"""

import io
import pickle
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Buffer

Array = NDArray[np.uint8]
NOTHING: Mapping[int, int] = {}
BUFFER = 4 * 2**20  # bytes that a socket takes before its reader has them, as far as the system allows
COUNT, SIZE = struct.Struct("<I"), struct.Struct("<Q")


class Wire:
    """One end. Both ends trust each other: they are one program."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)

    def send(self, message: object, known: Mapping[int, int] = NOTHING, until: float | None = None) -> None:
        """Send ``message``. An array whose ``id`` is in ``known`` goes as the number that it has there.

        Raises ``TimeoutError`` if the other end does not take it ``until`` then (``time.monotonic``), ``OSError`` if
        it is gone.
        """
        for part in framed(message, known):
            self.end.settimeout(left(until))
            self.end.sendall(part)

    def receive(self, known: Sequence[Array] = (), until: float | None = None) -> Any:
        """The next message; numbers in place of arrays stand for those in ``known``. Its arrays are read-only.

        Raises ``TimeoutError`` if it is not here ``until`` then, ``EOFError`` or ``OSError`` if the other end is gone.
        """
        count = COUNT.unpack(self.part(COUNT.size, until))[0]
        sizes = [SIZE.unpack(self.part(SIZE.size, until))[0] for _ in range(count)]
        body, *arrays = [self.part(size, until) for size in sizes]
        return Unpickler(body, arrays, known).load()

    def part(self, size: int, until: float | None) -> memoryview:
        whole = memoryview(cast("Buffer", np.empty(size, np.uint8)))  # not cleared, as a bytearray would be
        got = 0
        while got < size:
            self.end.settimeout(left(until))
            count = self.end.recv_into(whole[got:])
            if not count:
                raise EOFError
            got += count
        return whole.toreadonly()

    def close(self) -> None:
        self.end.close()


class Pickler(pickle.Pickler):
    """Leaves out the arrays that the other end already has."""

    def __init__(self, file: io.BytesIO, buffers: Callable[[pickle.PickleBuffer], None], known: Mapping[int, int]):
        super().__init__(file, protocol=5, buffer_callback=buffers)
        self.known = known

    def persistent_id(self, obj: object) -> int | None:
        return self.known.get(id(obj)) if isinstance(obj, np.ndarray) else None


class Unpickler(pickle.Unpickler):
    """Puts the arrays that this end already has in their places."""

    def __init__(self, body: memoryview, arrays: Sequence[memoryview], known: Sequence[Array]):
        super().__init__(io.BytesIO(body), buffers=arrays)
        self.known = known

    def persistent_load(self, pid: int) -> Array:
        return self.known[pid]


def framed(message: object, known: Mapping[int, int] = NOTHING) -> list[memoryview]:
    """A message as bytes: the number and sizes of its parts, then the parts."""
    body, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    Pickler(body, buffers.append, known).dump(message)
    parts = [body.getbuffer(), *(buffer.raw() for buffer in buffers)]
    head = COUNT.pack(len(parts)) + b"".join(SIZE.pack(part.nbytes) for part in parts)
    return [memoryview(head), *parts]


def unframed(frame: memoryview) -> Any:
    """The message whose ``framed`` parts ``frame`` holds one after the other. Its arrays are views of ``frame``."""
    count = COUNT.unpack_from(frame)[0]
    sizes = struct.unpack_from(f"<{count}Q", frame, COUNT.size)
    ends = list(accumulate(sizes, initial=COUNT.size + count * SIZE.size))
    body, *arrays = [frame[start:end] for start, end in pairwise(ends)]
    return Unpickler(body, arrays, ()).load()


def left(until: float | None) -> float | None:
    """Seconds that are left, never none at all: 0 would mean "do not wait"."""
    if until is None:
        return None
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
