"""The demo's yardstick: how much closer to the truth each face has come."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipeline.demo_archive import Box, TruePhoto, Truth

Levels = NDArray[np.float64]
Row = Mapping[str, Any]

SMALLEST_ERROR = 1e-6  # mean squared error below which two 8-bit pictures count as equal (60 dB)


@dataclass(frozen=True, slots=True)
class Gain:
    """One photo: mean PSNR of its faces before and after, in dB. A face that was not restored counts as unchanged."""

    path: str
    before: float
    after: float
    faces: int
    restored: int

    @property
    def decibels(self) -> float:
        return self.after - self.before


def gains(truth: Truth, rows: Iterable[Row]) -> list[Gain]:
    """The gain of every photo with faces, in the archive's order. ``rows`` are the manifest's, results local files."""
    by_path = {str(row["path"]): row for row in rows}
    return [gain(truth, photo, by_path.get(photo.path)) for photo in truth.photos if photo.faces]


def gain(truth: Truth, photo: TruePhoto, row: Row | None) -> Gain:
    """Each face's PSNR against the truth, in the source and in the result."""
    wanted, source = levels(truth.truths / photo.truth), levels(truth.archive / photo.path)
    uri = row["result_uri"] if row else None
    result = levels(Path(str(uri).removeprefix("file://"))) if uri else source
    before = [psnr(wanted, source, box) for box in photo.faces]
    hits = [restored(box, row) for box in photo.faces]
    after = [
        psnr(wanted, result, box) if hit else same for box, hit, same in zip(photo.faces, hits, before, strict=True)
    ]
    return Gain(photo.path, float(np.mean(before)), float(np.mean(after)), len(hits), sum(hits))


def restored(face: Box, row: Row | None) -> bool:
    """Whether a restored face of ``row`` has its centre inside the box ``face``."""
    x, y, width, height = face
    for found in (row or {}).get("faces") or []:
        left, top, found_width, found_height = found["box"]
        across, down = left + found_width / 2 - x, top + found_height / 2 - y
        if found["status"] == "restored" and 0 <= across <= width and 0 <= down <= height:
            return True
    return False


def psnr(truth: Levels, picture: Levels, face: Box) -> float:
    """Peak signal-to-noise ratio in dB inside the face's ellipse; both pictures (H, W, 3) in [0, 1]."""
    mask = ellipse(face, truth.shape[0], truth.shape[1])
    error = float(np.mean((truth[mask] - picture[mask]) ** 2))
    return -10 * log10(max(error, SMALLEST_ERROR))


def ellipse(box: Box, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width): the pixels inside the ellipse that fills ``box``."""
    x, y, box_width, box_height = box
    rows, columns = np.mgrid[:height, :width]
    across = (columns - (x + box_width / 2)) / (box_width / 2)
    down = (rows - (y + box_height / 2)) / (box_height / 2)
    return across**2 + down**2 <= 1


def levels(path: Path) -> Levels:
    """A picture as (H, W, 3) float64 RGB in [0, 1]."""
    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float64) / 255
