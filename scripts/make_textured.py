"""Squares to train ``daguerre-s`` on: aligned faces, and hair, cloth and other textures, which are no grain.

    python scripts/make_textured.py PORTRAITS MARKS.csv FACELESS OUT [--hair 2]

All are of 256 pixels and made of the portraits that are trained on, never of the held-out tenth: each aligned face,
windows at each head's hair at a scale between the face's and the photo's own, and windows of the pictures ``found``
and ``skimage`` of FACELESS (``scripts/make_faceless.py``). The last of what is written, by the hash of its names, is
what ``daguerre train`` validates with.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from infra.storage import Storage, absolute
from stages.albums import Marked, Photos, backgrounds, marked
from stages.photo import Pixels
from stages.portraits import portraits

SIDE = 256
SEED = 1841
WHOLE = 4000  # pixels: portraits are hardly reduced
FACE = 0.45  # of the side of an aligned crop that the face's box takes
TEXTURES = ("found", "skimage")
WINDOWS = 4  # of each texture


def hair(photos: Marked, windows: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """Windows above and beside each face."""
    for portrait in photos:
        x, y, w, h = portrait.box
        for _ in range(windows):
            scale = float(np.exp(rng.uniform(np.log(min(1.0, FACE * SIDE / np.sqrt(w * h))), 0)))
            pixels = cv2.resize(portrait.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            centre = np.array([x + w * rng.uniform(-0.2, 1.2), y + h * rng.uniform(-0.4, 0.4)]) * scale
            yield window(pixels.astype(np.uint8, copy=False), centre)


def textures(kinds: list[Photos], rng: np.random.Generator) -> Iterator[Pixels]:
    for kind in kinds:
        for picture in kind:
            if min(picture.shape[:2]) >= SIDE:
                for _ in range(WINDOWS):
                    yield window(picture, rng.uniform(0, 1, 2) * (picture.shape[1], picture.shape[0]))


def window(pixels: Pixels, centre: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Pixels:
    """A square of ``SIDE`` as near to ``centre`` as the picture, mirrored where it is smaller, has one."""
    below, right = (max(0, SIDE - length) for length in pixels.shape[:2])
    whole = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REFLECT)
    limit = np.array([whole.shape[1], whole.shape[0]]) - SIDE
    x, y = np.clip(np.rint(centre - SIDE / 2), 0, limit).astype(int).tolist()
    return whole[y : y + SIDE, x : x + SIDE].astype(np.uint8, copy=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("portraits", "marks", "faceless"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hair", type=int, default=1, help="windows at each head's hair")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    storage, rng = Storage(), np.random.default_rng(SEED)
    source, marks = absolute(options.portraits), absolute(options.marks)
    kinds = [kind for kind in backgrounds(storage, absolute(options.faceless)) if kind.names[0].startswith(TEXTURES)]
    parts: dict[str, Iterator[Pixels]] = {
        "face": iter(portraits(storage, source, SIDE, marks).split()[0]),
        "hair": hair(marked(storage, source, marks, WHOLE).split()[0], options.hair, rng),
        "texture": textures(kinds, rng),
    }
    for name, squares in parts.items():
        for index, square in enumerate(squares):
            Image.fromarray(square).save(options.out / f"{name}-{index:04}.png")


if __name__ == "__main__":
    main()
