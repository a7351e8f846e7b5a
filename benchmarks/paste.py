"""What does it cost to paste one face? CPU time on a photo of 12 megapixels, ours and as facexlib does it, one thread.

    OMP_NUM_THREADS=1 python benchmarks/paste.py [--repeats 15]

A crop of 512 pixels, restored, goes into 4000 x 3000 pixels; its square is turned by 10 degrees. Codecs, networks and
parsers are apart: our mask and facexlib's label map are given. ``ours`` writes into the decoded photo, as the codecs
do; facexlib makes a new one.
"""

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil

from stages.canvas import Canvas
from stages.colour import Floats
from stages.compat import facexlib
from stages.geometry import cut, square
from stages.paste import blend, by_difference, by_replacing, soft_mask
from stages.photo import Matrix, Pixels
from stages.picture import Page, Samples, Window

WIDTH, HEIGHT, SIZE = 4000, 3000, 512
DEGREES = 10
FEATHER = 0.15
SIDES = (200, 500, 1000)


class Decoded:
    """A raster of one page that is in memory already."""

    def __init__(self, photo: Pixels) -> None:
        self.photo = photo
        self.pages: Sequence[Page] = [Page(photo.shape[1], photo.shape[0], "RGB")]

    def samples(self, page: int, least: int | None = None) -> Samples:
        return self.photo

    def window(self, page: int, window: Window) -> Samples:
        x0, y0, x1, y1 = window
        return self.photo[y0:y1, x0:x1]


def ours(photo: Pixels, matrix: Matrix, crop: Pixels, restored: Pixels, mask: Floats, replaces: bool = False) -> Pixels:
    """``photo`` (H, W, 3) with the face in it, in place. ``mask`` is (S, S) in [0, 1]."""
    canvas = Canvas(Decoded(photo))
    window = square(matrix, crop.shape[0], canvas.width, canvas.height)
    if replaces:
        patch = by_replacing(crop, restored, mask[..., None], matrix, canvas, window)
    else:
        patch = by_difference(crop, restored, mask[..., None], matrix, window)
    for edit in blend(canvas, [patch]):
        x0, y0, x1, y1 = edit.window
        photo[y0:y1, x0:x1] = edit.samples
    return photo


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo and a face in it whose square has a side of ``side`` pixels."""

    side: int
    photo: Pixels
    matrix: Matrix
    crop: Pixels
    restored: Pixels
    labels: Pixels


def scene(side: int) -> Scene:
    """Smooth noise; the face is a blurred crop."""
    small = np.random.default_rng(7).integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), dtype=np.uint8)
    photo = np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    a, b = (SIZE / side * turn(math.radians(DEGREES)) for turn in (math.cos, math.sin))
    matrix = np.array([[a, -b, 0], [b, a, 0]])
    matrix[:, 2] = SIZE / 2 - matrix[:, :2] @ [WIDTH / 2, HEIGHT / 2]
    crop = cut(photo, matrix, SIZE)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(labels, (SIZE // 2, SIZE // 2), (180, 230), 0, 0, 360, (1,), -1)
    return Scene(side, photo, matrix, crop, np.asarray(cv2.GaussianBlur(crop, (0, 0), 3), np.uint8), labels)


def cpu_ms(work: Callable[[], object], repeats: int) -> float:
    """The median CPU time of ``work`` in milliseconds, all threads together, after one run to warm up."""
    times: list[float] = []
    for _ in range(repeats + 1):
        started = time.process_time()
        work()
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times[1:])


def figures(one: Scene, repeats: int) -> list[float]:
    """Milliseconds: ours by difference, ours by replacing, facexlib's square mask, facexlib's parse mask."""
    mask, back = soft_mask(SIZE, FEATHER), facexlib.inverse(one.matrix)
    photo, seldom = one.photo.copy(), max(1, repeats // 5)
    return [
        cpu_ms(lambda: ours(photo, one.matrix, one.crop, one.restored, mask), repeats),
        cpu_ms(lambda: ours(photo, one.matrix, one.crop, one.restored, mask, replaces=True), repeats),
        cpu_ms(lambda: facexlib.paste(one.photo, [back], [one.restored]), seldom),
        cpu_ms(lambda: facexlib.paste(one.photo, [back], [one.restored], labels=[one.labels]), seldom),
    ]


def hardware() -> str:
    """The processor and the memory, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 2**30
    return f"{names[0] if names else platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    versions = f"Python {platform.python_version()}, OpenCV {cv2.__version__}, NumPy {np.__version__}"
    print(f"{hardware()}; {versions}; {time.strftime('%B %Y')}. CPU ms, median.\n")
    print("| Face square | difference | replace | facexlib, square | facexlib, parsed |")
    print("|---|---|---|---|---|")
    for side in SIDES:
        cells = (f"{value:.1f}" if value < 100 else f"{value:,.0f}" for value in figures(scene(side), options.repeats))
        print(f"| {side} px | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
