"""One process of the fuzz harness: mutated files through read, detect and align, or all the way to a result.

    python -m tests.fuzz.worker CORPUS JOURNAL SEED START STOP WRITE SECONDS

It may not hold more than ``MEMORY`` bytes. The number of the file in work stands in JOURNAL, so that whoever
started the process knows which file it died of. The tally goes to stdout as JSON, at the end.
"""

import json
import mmap
import os
import pickle
import resource
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tests.fuzz.mutations import mutated

MEMORY = 2 * 2**30
Corpus = dict[str, bytes]
Case = tuple[str, bytes, list[str]]


@dataclass
class Tally:
    """What became of the files: ``statuses`` by status and class, ``unclassified`` errors with the files' numbers."""

    files: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    formats: Counter[str] = field(default_factory=Counter[str])
    unclassified: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    spoiled: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    slowest: tuple[float, int] = (0.0, -1)
    peak: int = 0


def case(corpus: Corpus, seed: int, number: int) -> Case:
    """File ``number`` of round ``seed``: the name of the file it was, its bytes, and what was done to them."""
    dice = np.random.default_rng([seed, number])
    names = list(corpus)
    name, other = (names[int(index)] for index in dice.integers(0, len(names), 2))
    data, done = mutated(corpus[name], corpus[other], dice)
    return name, data, done


class Way(Protocol):
    """What a file goes through."""

    def through(self, made: Case, number: int, tally: Tally) -> None: ...


def work(way: Way, corpus: Corpus, seed: int, numbers: range, seconds: float, journal: mmap.mmap) -> Tally:
    """All files of ``numbers``, as far as ``seconds`` go."""
    for name in [name for name in corpus if name.startswith("0-96-")]:  # what is loaded on first use is loaded now
        way.through((name, corpus[name], []), -1, Tally())
    limit_memory()
    tally, end = Tally(), time.monotonic() + seconds
    for number in numbers:
        if time.monotonic() > end:
            break
        journal[:8] = struct.pack("<q", number)
        started = time.monotonic()
        way.through(case(corpus, seed, number), number, tally)
        tally.slowest = max(tally.slowest, (time.monotonic() - started, number))
        tally.files += 1
    tally.peak = peak()
    return tally


def peak() -> int:
    """The most memory that this process has held, in bytes. Not ``ru_maxrss``: that begins at its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def limit_memory() -> None:
    """From now on this process may take as much more data as there is between what it holds and ``MEMORY``."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    data, held = (1024 * int(facts[name].split()[0]) for name in ("VmData", "VmRSS"))
    limit = data + MEMORY - held
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def signature(error: Exception) -> str:
    """An error by its class and the last line of ours that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in frame.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:160]}"


def photos(write: bool) -> Way:
    """The stages of a run: importing them takes seconds."""
    from tests.fuzz.way import Photos

    return Photos(write)


def main(ways: Callable[[bool], Way] = photos) -> None:
    corpus: Corpus = pickle.loads(Path(sys.argv[1]).read_bytes())
    seed, start, stop, write = (int(text) for text in sys.argv[3:7])
    with Path(sys.argv[2]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as journal:
        tally = work(ways(bool(write)), corpus, seed, range(start, stop), float(sys.argv[7]), journal)
    print(json.dumps(vars(tally)), flush=True)
    os._exit(0)  # no library gets to run code while the process ends


if __name__ == "__main__":
    main()
