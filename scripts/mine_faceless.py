"""Gather what a detector in training takes for faces, for the next round of ``daguerre train daguerre-d``.

    .venv/bin/python scripts/mine_faceless.py WEIGHTS FACELESS PORTRAITS MARKS.csv OUT [--score 0.3]

WEIGHTS is a ``daguerre-d`` file, FACELESS a folder of ``scripts/make_faceless.py``. Around each false face of its
pictures, and of the portraits beside their faces, a square is cut out, 1.2 to 2.5 times as large. OUT gets FACELESS's
pictures (as links) and the squares, by kind below ``hard``. Nothing that is held out is searched.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from infra.storage import Storage, absolute
from models.detector import Detection
from models.detectors.daguerre_d import load_network
from models.pyramid import Pyramid
from models.yunet_detector import TorchScale
from stages.albums import backgrounds, marked

Pixels = NDArray[np.uint8]
SEED = 1842
LEVELS = (640, 320, 160)  # longer sides at which a picture is searched
MOST = 4  # false faces that are kept of one picture
PORTRAIT_SIDE = 400
SMALLEST = 40  # pixels of a square


def squares(pixels: Pixels, found: list[Detection], rng: np.random.Generator) -> Iterator[Pixels]:
    """What surrounds each find."""
    height, width = pixels.shape[:2]
    for one in found[:MOST]:
        x, y, w, h = one.box
        side = int(min(max(SMALLEST, max(w, h) * rng.uniform(1.2, 2.5)), height, width))
        left, top = (
            int(np.clip(c - side / 2, 0, limit - side)) for c, limit in ((x + w / 2, width), (y + h / 2, height))
        )
        yield pixels[top : top + side, left : left + side]


def beside(found: list[Detection], face: NDArray[np.float64]) -> list[Detection]:
    """The finds that are well away from ``face``, a box (4,)."""
    low, high = face[:2] - 0.6 * face[2:], face[:2] + 1.6 * face[2:]
    centres = [(one, np.array(one.box[:2]) + np.array(one.box[2:]) / 2) for one in found]
    return [one for one, centre in centres if ((centre < low) | (centre > high)).any()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("weights", "faceless", "portraits", "marks", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--score", type=float, default=0.3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector = Pyramid(TorchScale(load_network(options.weights), options.score), LEVELS)
    for path in sorted(options.faceless.rglob("*.*")):
        place = options.out / path.relative_to(options.faceless)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.resolve())
    kept = 0
    for number, kind in enumerate(backgrounds(Storage(), absolute(str(options.faceless)))):
        learning, _ = kind.split()
        folder = options.out / "hard" / Path(learning.names[0]).parent
        for index, pixels in enumerate(learning):
            rng = np.random.default_rng([SEED, number, index])
            kept += store(squares(pixels, detector.detect([pixels])[0], rng), folder, index)
    portraits, _ = marked(
        Storage(), absolute(str(options.portraits)), absolute(str(options.marks)), PORTRAIT_SIDE
    ).split()
    for index, one in enumerate(portraits):
        found = beside(detector.detect([one.pixels])[0], one.box)
        kept += store(
            squares(one.pixels, found, np.random.default_rng([SEED, 100, index])),
            options.out / "hard" / "beside",
            index,
        )
    print(f"{kept} false faces")


def store(pictures: Iterator[Pixels], folder: Path, index: int) -> int:
    """How many were stored."""
    count = 0
    for count, pixels in enumerate(pictures, 1):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{index:04d}-{count}.jpg", quality=92)
    return count


if __name__ == "__main__":
    main()
