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
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from infra.config import Config
from infra.errors import WeightsError
from infra.storage import Storage
from pipeline import chains
from pipeline.job import Job, make_job
from stages.codec import open_picture
from stages.photo import Photo, Source, Status
from stages.read import Read
from stages.stage import Stage, run
from stages.write import Write
from tests.fuzz.mutations import mutated

MEMORY = 2 * 2**30
SOURCE, SINK = "file:///fuzz", "file:///fuzzed"
SETTINGS = {
    "detect": {"pyramid": [320], "score": 0.5, "smallest": 40},
    "leave": {"good": {}, "larger_than": 0},
    "read": {"max_pixels": 25_000_000, "max_bytes": 50_000_000},
}
Corpus = dict[str, bytes]


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


class Memory(Storage):
    """A store in this process' memory."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def read(self, uri: str, size: int | None = None) -> bytes:
        return self.objects[uri]

    def write(self, uri: str, data: bytes | memoryview) -> None:
        self.objects[uri] = bytes(data)


def case(corpus: Corpus, seed: int, number: int) -> tuple[str, bytes, list[str]]:
    """File ``number`` of round ``seed``: the name of the file it was, its bytes, and what was done to them."""
    dice = np.random.default_rng([seed, number])
    names = list(corpus)
    name, other = (names[int(index)] for index in dice.integers(0, len(names), 2))
    data, done = mutated(corpus[name], corpus[other], dice)
    return name, data, done


def make_stages(memory: Memory, write: bool) -> tuple[Job, list[Stage]]:
    """The very stages of a run, reading from ``memory``: the first chain, or all three with the method classic."""
    try:
        job = make_job(SOURCE, SINK, Config.model_validate(SETTINGS))
    except WeightsError:
        settings = SETTINGS | {"detect": {"detector": "cascade"}}
        job = make_job(SOURCE, SINK, Config.model_validate(settings))
    stages = chains.prepare(job)
    if not isinstance(stages[0], Read):
        raise TypeError("the first stage reads no photos")
    stages[0].storage = memory
    if write:
        store = Write(memory, SINK, False, False, partial(chains.record_of, recipe=job.recipe.hash), chains.Wanted())
        finish = chains.finish(job)
        singly = finish[-1]
        if not isinstance(singly, chains.Singly):
            raise TypeError("the last stages do not go photo by photo")
        singly.stages = [*singly.stages[:-1], store]
        stages += [*chains.restore(job, "classic"), *finish]
    return job, stages


def work(corpus: Corpus, seed: int, numbers: range, write: bool, seconds: float, journal: mmap.mmap) -> Tally:
    """All files of ``numbers``, as far as ``seconds`` go."""
    memory, tally, end = Memory(), Tally(), time.monotonic() + seconds
    job, stages = make_stages(memory, write)
    for name in [name for name in corpus if name.startswith("0-96-")]:  # what is loaded on first use is loaded now
        through((name, corpus[name], []), -1, (job, stages), memory, Tally())
    limit_memory()
    for number in numbers:
        if time.monotonic() > end:
            break
        journal[:8] = struct.pack("<q", number)
        started = time.monotonic()
        through(case(corpus, seed, number), number, (job, stages), memory, tally)
        tally.slowest = max(tally.slowest, (time.monotonic() - started, number))
        tally.files += 1
    tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return tally


def limit_memory() -> None:
    """From now on this process may take as much more data as there is between what it holds and ``MEMORY``."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    data, held = (1024 * int(facts[name].split()[0]) for name in ("VmData", "VmRSS"))
    limit = data + MEMORY - held
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def through(
    made: tuple[str, bytes, list[str]], number: int, how: tuple[Job, list[Stage]], memory: Memory, tally: Tally
) -> None:
    """One file through the stages, and its result opened again."""
    name, data, _ = made
    job, stages = how
    memory.objects = {f"{SOURCE}/{name}": data}
    try:
        photo = run(stages, [Photo(Source(f"{SOURCE}/{name}", name, len(data), target=name))])[0]
    except Exception as error:
        tally.unclassified.setdefault(signature(error), []).append(number)
        return
    outcome = f"{photo.status or 'open'}{f' {photo.fault.kind}' if photo.fault else ''}"
    tally.statuses[outcome] += 1
    tally.formats[photo.format or "not opened"] += 1
    if photo.status is Status.RESTORED and photo.result:
        why = spoiled(job, photo, memory.objects[photo.result])
        if why:
            tally.spoiled.setdefault(f"{photo.format}: {why}", []).append(number)


def spoiled(job: Job, photo: Photo, content: bytes) -> str:
    """What is wrong with a result: it must open again, with all pages as large as they were."""
    suffix = PurePosixPath(photo.result or "").name
    try:
        picture = open_picture(np.frombuffer(content, np.uint8), suffix, replace(job.limits, max_bytes=10**9))
        for index, page in enumerate(picture.pages):
            samples = picture.window(index, (0, 0, page.width, page.height)) if not page.passed else None
            if samples is not None and samples.shape[:2] != (page.height, page.width):
                return f"page {index} is {samples.shape}"
    except Exception as error:
        return signature(error)
    first = picture.pages[0]
    if (first.width, first.height, len(picture.pages)) != (photo.width, photo.height, photo.pages):
        return "another size or number of pages"
    return ""


def signature(error: Exception) -> str:
    """An error by its class and the last line of ours that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in frame.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:160]}"


def main() -> None:
    corpus: Corpus = pickle.loads(Path(sys.argv[1]).read_bytes())
    seed, start, stop, write = (int(text) for text in sys.argv[3:7])
    with Path(sys.argv[2]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as journal:
        tally = work(corpus, seed, range(start, stop), bool(write), float(sys.argv[7]), journal)
    print(json.dumps(vars(tally)), flush=True)
    os._exit(0)  # no library gets to run code while the process ends


if __name__ == "__main__":
    main()
