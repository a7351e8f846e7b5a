"""Peak memory of the stages for a very large JPEG with two faces: a table in Markdown.

    DAGUERRE_WEIGHTS=... python benchmarks/large.py [--side 10000]

Puts two portraits of 1,000 pixels (the astronaut of scikit-image) into a photo of smooth colours and grain. One process
does what the ``prepare`` pool does (read, reduced decode, detect, align), another what ``finish`` does (paste, score,
write), each with all its imports; the pixels of the restored faces are made up in between. Peaks are sampled over the
process together with those that it starts.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
from jpeg import scene
from PIL import Image
from skimage import data

from infra.config import Config
from infra.storage import Storage
from infra.weights import WeightStore, sha256
from stages.align import Align
from stages.codec import Limits
from stages.detect import Decode, Detect
from stages.needed import needed
from stages.output import Wanted
from stages.paste import Paste
from stages.photo import FaceStatus, Photo, Source
from stages.read import Read
from stages.recipe import resolve
from stages.score import Score
from stages.stage import Singly
from stages.write import Conclude, Write
from stages.xmp import EditRecord

CASES = {"4:4:4": (0, False), "4:2:0": (2, False), "4:2:0 progressive": (2, True)}
LIMITS = Limits(10**9, 10**9)
EVERY = 0.01  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, photo, state = options.step
        print((prepare if step == "prepare" else finish)(Path(photo), Path(state)))
        return
    print("| Photo | faces | prepare, s | prepare, peak MB | finish, s | finish, peak MB | result |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        picture = Image.fromarray(with_faces(options.side))
        for kind, (sampling, progressive) in CASES.items():
            path, state = Path(folder) / "photo.jpg", Path(folder) / "state"
            picture.save(path, "JPEG", quality=90, subsampling=sampling, progressive=progressive)
            size = path.stat().st_size / 1e6
            cells = [watched(step, path, state) for step in ("prepare", "finish")]
            (faces, first), (way, second) = cells
            print(f"| {options.side}², {kind}, {size:.0f} MB | {faces} | {first} | {second} | {way} |", flush=True)


def with_faces(side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    picture = scene(side)
    head = cv2.resize(data.astronaut()[20:220, 124:324], (1000, 1000), interpolation=cv2.INTER_CUBIC)
    for x, y in ((side // 5, side // 5), (side * 3 // 5, side // 2)):
        picture[y : y + 1000, x : x + 1000] = head
    return picture


def watched(step: str, photo: Path, state: Path) -> tuple[str, str]:
    """What a step says, and its seconds and peak, run in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--step", step, str(photo), str(state)], stdout=subprocess.PIPE, text=True
    )
    peak = [0]
    watcher = threading.Thread(target=watch, args=(psutil.Process(process.pid), peak))
    watcher.start()
    said = process.communicate()[0].strip()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{step} failed")
    return said, f"{time.perf_counter() - started:.1f} | {peak[0] / 2**20:.0f}"


def watch(process: psutil.Process, peak: list[int]) -> None:
    """Keep the largest sum of what the process and its children hold by themselves (USS)."""
    while True:
        try:
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_full_info().uss for one in family))
        except psutil.Error:
            return
        time.sleep(EVERY)


def prepare(path: Path, state: Path) -> str:
    cv2.setNumThreads(1)
    config = Config.model_validate({"method": "classic", "leave": {"larger_than": 0, "good": {}}})
    store = WeightStore.from_environment()
    paths = store.require(needed(config, store))
    recipe = resolve(config, lambda file: sha256(paths[file.name]) if file.name in paths else None)
    if recipe.detect is None:
        raise SystemExit("no detector")
    find = Detect(
        recipe.detect.spec.build(paths, recipe.detect.settings("cpu")), recipe.detect.smallest, recipe.detect.longest
    )
    steps = Singly([Read(Storage(), LIMITS), Decode(LIMITS), find, Align(recipe)])
    photo = steps([Photo(Source(path.as_uri(), path.name, target=path.name))])[0]
    state.write_bytes(pickle.dumps(replace(photo, data=None)))
    return str(len(photo.faces))


def finish(path: Path, state: Path) -> str:
    cv2.setNumThreads(1)
    photo: Photo = pickle.loads(state.read_bytes())
    faces = tuple(
        replace(face, status=FaceStatus.RESTORED, restored=np.maximum(face.crop, 40))
        for face in photo.faces
        if face.crop is not None
    )
    photo = replace(photo, faces=faces, data=np.fromfile(path, np.uint8))
    sink = (path.parent / "out").as_uri()
    record = EditRecord("Daguerre", ("none",), "0" * 16)
    store = Write(Storage(), sink, False, False, lambda _: record, Wanted())
    done = Singly([Decode(LIMITS), Paste(0.15), Score(False), Conclude(), store])([photo])[0]
    return done.output.way if done.output else str(done.fault)


if __name__ == "__main__":
    main()
