"""How good ``daguerre-d`` is beside YuNet-n and the cascade: faces found, false faces, landmarks, time.

    python benchmarks/daguerre_d.py PHOTOS YUNET.onnx PORTRAITS MARKS.csv OUT [--weights FILE] [--score 0.8]

PHOTOS is a folder with ``manifest.csv`` (columns ``file``, ``kind`` and ``faces``, the faces counted by eye). A face of
YuNet-n (pyramid, score 0.8) is found if a box overlaps it by 0.4 of their union. Finds beside YuNet's faces are counted
as false, seen or not by YuNet at a lower score; OUT gets each photo with such finds, to be looked at, and each with
misses. Landmarks are those of the portraits that training holds out, brought to faces of 80 to 200 pixels, as they are
and aged (``models.degradations.archival.judged``), against the marks in the CSV, in hundredths of the face's side.
"""

import argparse
import csv
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from detectors import read
from numpy.typing import NDArray
from PIL import Image

from infra.storage import Storage, absolute
from models.degradations.archival import Strength, judged, toned
from models.detector import Detection, Detector, DetectorSettings, all_detectors
from models.detectors import daguerre_d, yunet
from models.training.album import Portrait
from stages.albums import marked

Pixels = NDArray[np.uint8]
KINDS = ("portrait", "group", "old", "profile", "occluded", "small", "crop", "heavy", "damaged")
PYRAMID = (1280, 640, 320, 160)
SAME = 0.4  # intersection over union
SEED = 1843
SIDES = (80, 200)  # of the faces whose landmarks are compared
PORTRAIT_SIDE = 825
STRENGTHS: tuple[Strength | None, ...] = (None, "mild", "medium")
COLOURS = {"yunet": (0, 200, 0), "shared": (60, 120, 255), "alone": (255, 0, 0)}


@dataclass(slots=True)
class Tally:
    """Of one detector on one kind: YuNet's faces, those of them found, and finds that are none of YuNet's."""

    faces: int = 0
    found: int = 0
    alone: int = 0
    scores: list[float] = field(default_factory=list[float])


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union of the boxes."""
    (x, y, w, h), (a, b, c, d) = one.box, other.box
    across, down = min(x + w, a + c) - max(x, a), min(y + h, b + d) - max(y, b)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (w * h + c * d - shared)


def matched(found: Sequence[Detection], truth: Sequence[Detection]) -> list[int]:
    """For each find, best first, the number of the face that it shows, or -1. No face counts twice."""
    left = set(range(len(truth)))
    numbers: list[int] = []
    for one in found:
        best = max(left, key=lambda number: overlap(one, truth[number]), default=-1)
        numbers.append(best if best >= 0 and overlap(one, truth[best]) >= SAME else -1)
        left.discard(numbers[-1])
    return numbers


def compare(photos: Sequence[tuple[str, str]], folder: Path, detectors: dict[str, Detector], out: Path) -> None:
    """Print the table of kinds; ``photos`` are pairs of file and kind."""
    tallies = {name: {kind: Tally() for kind in (*KINDS, "no_face")} for name in detectors if name != "yunet"}
    seconds = dict.fromkeys(detectors, 0.0)
    for file, kind in photos:
        pixels = read(folder / file)
        found: dict[str, list[Detection]] = {}
        for name, detector in detectors.items():
            begun = time.process_time()
            found[name] = detector.detect([pixels])[0]
            seconds[name] += time.process_time() - begun
        for name, kinds in tallies.items():
            numbers = matched(found[name], found["yunet"])
            tally = kinds[kind]
            tally.faces += len(found["yunet"])
            tally.found += sum(number >= 0 for number in numbers)
            tally.alone += sum(number < 0 for number in numbers)
            if name == "daguerre-d" and (-1 in numbers or len(set(numbers) - {-1}) < len(found["yunet"])):
                draw(pixels, found["yunet"], found[name], numbers, out / f"{file.replace('/', '-')}.jpg")
                alone = [f"{one.score:.2f}" for one, number in zip(found[name], numbers, strict=True) if number < 0]
                print(f"  {file}: {len(found['yunet'])} by YuNet, {len(set(numbers) - {-1})} shared, alone {alone}")
    print("\n| kind | YuNet-n | " + " | ".join(f"{name} | finds of its own" for name in tallies) + " |")
    print("|---|---|" + "---|---|" * len(tallies))
    for kind in (*KINDS, "no_face"):
        cells = [f"{kinds[kind].found} | {kinds[kind].alone}" for kinds in tallies.values()]
        print(f"| {kind} | {next(iter(tallies.values()))[kind].faces} | " + " | ".join(cells) + " |")
    for name, kinds in tallies.items():
        of = [kinds[kind] for kind in KINDS]
        faces, hits, alone = (sum(getattr(one, key) for one in of) for key in ("faces", "found", "alone"))
        cost, theirs = (1000 * seconds[one] / len(photos) for one in (name, "yunet"))
        print(f"\n{name}: {hits} of {faces} ({hits / faces:.1%}), {alone} finds of its own; ", end="")
        print(f"{cost:.0f} CPU ms a photo (YuNet {theirs:.0f})")


def draw(
    pixels: Pixels, truth: Sequence[Detection], found: Sequence[Detection], numbers: Sequence[int], path: Path
) -> None:
    """YuNet's faces in green, shared finds in blue, others in red."""
    picture = np.ascontiguousarray(pixels)
    boxes = [(one, COLOURS["yunet"]) for one in truth]
    boxes += [(one, COLOURS["alone" if number < 0 else "shared"]) for one, number in zip(found, numbers, strict=True)]
    for one, colour in boxes:
        x, y, w, h = (round(value) for value in one.box)
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, max(2, max(picture.shape) // 300))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def errors(
    portraits: Sequence[Portrait], strength: Strength | None, detectors: dict[str, Detector]
) -> dict[str, list[float]]:
    """The landmarks' mean distances from their marks, one a face, of the faces that all ``detectors`` find."""
    found: dict[str, list[float]] = {name: [] for name in detectors}
    for index, portrait in enumerate(portraits):
        rng = np.random.default_rng([SEED, index])
        factor = rng.uniform(*SIDES) / portrait.side
        pixels, size = portrait.pixels, round(factor * portrait.side)
        shrunk = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        if strength:
            shrunk = judged(strength, 2 * size)(toned()(shrunk.astype(np.float32), rng), rng)
        scale = np.array([shrunk.shape[1] / pixels.shape[1], shrunk.shape[0] / pixels.shape[0]])
        points = (portrait.points + 0.5) * scale - 0.5
        box = tuple(float(value) for value in np.concatenate([portrait.box[:2] * scale, portrait.box[2:] * scale]))
        truth = Detection((box[0], box[1], box[2], box[3]), points, 1.0)
        photo = np.rint(shrunk * 255).astype(np.uint8)
        hits = {name: hit(detector, photo, truth) for name, detector in detectors.items()}
        for name, one in hits.items():
            if all(other is not None for other in hits.values()) and one is not None and one.landmarks is not None:
                found[name].append(100 * float(np.linalg.norm(one.landmarks - points, axis=1).mean()) / size)
    return found


def hit(detector: Detector, photo: Pixels, truth: Detection) -> Detection | None:
    return next((one for one in detector.detect([photo])[0] if overlap(one, truth) >= SAME), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "yunet", "portraits", "marks", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--weights", type=Path, default=daguerre_d.WEIGHTS.place)
    parser.add_argument("--score", type=float, default=0.8)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    files = {yunet.WEIGHTS.name: options.yunet, daguerre_d.WEIGHTS.name: options.weights}
    scores = {"yunet": 0.8, "daguerre-d": options.score, "cascade": 0.8}
    every = {name: all_detectors()[name].build(files, DetectorSettings(at, PYRAMID)) for name, at in scores.items()}
    with (options.photos / "manifest.csv").open(newline="") as table:
        photos = [(line["file"], line["kind"]) for line in csv.DictReader(table) if line["kind"] in (*KINDS, "no_face")]
    print(
        f"{len(photos)} photos, {platform.machine()}, torch {torch.__version__}, one thread; score {options.score:g}\n"
    )
    compare(photos, options.photos, every, options.out)
    held_out = marked(Storage(), absolute(str(options.portraits)), absolute(str(options.marks)), PORTRAIT_SIDE).split()[
        1
    ]
    pair = {name: every[name] for name in ("yunet", "daguerre-d")}
    print(
        f"\n{len(held_out)} held-out portraits, faces of {SIDES[0]} to {SIDES[1]} px; error in % of the face, median:"
    )
    for strength in STRENGTHS:
        found = errors(held_out, strength, pair)
        ours, theirs = (float(np.median(found[name])) for name in ("daguerre-d", "yunet"))
        print(f"{strength or 'as they are'}: {len(found['yunet'])} faces, ", end="")
        print(f"daguerre-d {ours:.2f}, YuNet-n {theirs:.2f}, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
