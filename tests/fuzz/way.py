"""The way of one mutated file: the very stages of a run, reading from and writing to memory."""

from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from infra.config import Config
from infra.errors import WeightsError
from infra.storage import Storage
from pipeline import chains
from pipeline.job import Job, make_job
from stages.codec import open_picture
from stages.output import Wanted
from stages.photo import Photo, Source, Status
from stages.read import Read
from stages.stage import Singly, Stage, run
from stages.write import Write
from tests.fuzz.worker import Case, Tally, signature

SOURCE, SINK = "file:///fuzz", "file:///fuzzed"
DETECT = {"pyramid": [320], "score": 0.5, "smallest": 40}  # measuring a face takes longer than all else
SETTINGS = {
    "method": "classic",
    "detect": DETECT,
    "leave": {"good": {}, "larger_than": 0},
    "read": {"max_pixels": 25_000_000, "max_bytes": 50_000_000},
}


class Memory(Storage):
    """A store in this process' memory."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def read(self, uri: str, size: int | None = None) -> bytes:
        return self.objects[uri]

    def write(self, uri: str, data: bytes | memoryview) -> None:
        self.objects[uri] = bytes(data)


class Photos:
    """Takes files through read, detect and align, or with ``write`` to their results by the method classic."""

    def __init__(self, write: bool) -> None:
        self.memory = Memory()
        self.job, self.stages = make_stages(self.memory, write)

    def through(self, made: Case, number: int, tally: Tally) -> None:
        """One file through the stages, and its result opened again."""
        name, data, _ = made
        self.memory.objects = {f"{SOURCE}/{name}": data}
        try:
            photo = run(self.stages, [Photo(Source(f"{SOURCE}/{name}", name, len(data), target=name))])[0]
        except Exception as error:
            tally.unclassified.setdefault(signature(error), []).append(number)
            return
        outcome = f"{photo.status or 'open'}{f' {photo.fault.kind}' if photo.fault else ''}"
        tally.statuses[outcome] += 1
        tally.formats[photo.format or "not opened"] += 1
        if photo.status is Status.RESTORED and photo.result:
            why = spoiled(self.job, photo, self.memory.objects[photo.result])
            if why:
                tally.spoiled.setdefault(f"{photo.format}: {why}", []).append(number)


def make_stages(memory: Memory, write: bool) -> tuple[Job, list[Stage]]:
    """The very stages of a run, reading from ``memory``: the first chain, or all three with the method classic."""
    small = {"detect": {**DETECT, "smallest": 12}} if write else {}
    try:
        job = make_job(SOURCE, SINK, Config.model_validate(SETTINGS | small))
    except WeightsError:
        settings = SETTINGS | {"detect": {"detector": "cascade"}}
        job = make_job(SOURCE, SINK, Config.model_validate(settings))
    stages = chains.prepare(job)
    if not isinstance(stages[0], Read):
        raise TypeError("the first stage reads no photos")
    stages[0].storage = memory
    if write:
        store = Write(memory, SINK, False, False, partial(chains.record_of, recipe=job.recipe.hash), Wanted())
        finish = chains.finish(job)
        singly = finish[-1]
        if not isinstance(singly, Singly):
            raise TypeError("the last stages do not go photo by photo")
        singly.stages = [*singly.stages[:-1], store]
        stages += [*chains.restore(job, "classic"), *finish]
    return job, stages


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
