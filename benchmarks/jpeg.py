"""Memory and CPU of replacing two faces in a JPEG: a table in Markdown.

    python benchmarks/jpeg.py [--side 10000] [--small 1000 3500]

Makes photos of smooth colours with grain (quality 90), then opens each in a process of its own, decodes the detector's
view and the windows of two faces (1,000 pixels square, or a fifth of the side), and writes the result. Peaks are the
process's own and, beside it for a part of the time, that of the one that reads coefficients. Both with all imports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codecs.jpeg import CODEC
from stages.picture import Edit, Picture

VIEW = 1500  # pixels of the longer side that the detector asks for
CASES = {"4:4:4": (0, False), "4:2:0": (2, False), "4:2:0 progressive": (2, True), "grey": (0, False)}
HEAD = "| Side | Kind | MB | MB after | view, CPU s | windows, CPU s | write, CPU s | write, s | peak MB | reader, MB |"


def scene(side: int) -> NDArray[np.uint8]:
    """A photo-like picture: large and small smooth shapes, and grain."""
    dice = np.random.default_rng(side)
    picture = np.empty((side, side, 3), np.uint8)
    large, small = (dice.integers(0, 256, (-(-side // step),) * 2 + (3,), np.uint8) for step in (64, 8))
    cv2.addWeighted(
        cv2.resize(large, (side, side), interpolation=cv2.INTER_CUBIC),
        0.8,
        cv2.resize(small, (side, side)),
        0.2,
        0,
        picture,
    )
    for row in range(0, side, 500):
        strip = picture[row : row + 500]
        strip[:] = np.clip(strip + dice.integers(-6, 7, strip.shape, np.int16), 0, 255)
    return picture


def cpu() -> float:
    """CPU seconds of this process and those that it has waited for."""
    return sum(os.times()[:4])


def own_peak() -> float:
    """The peak of this process in MB. ``getrusage`` would count what its parent had before it became this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def edit(picture: Picture, x0: int, y0: int, side: int) -> Edit:
    """A brighter disc."""
    window = x0, y0, x0 + side, y0 + side
    old = picture.window(0, window)
    y, x = np.mgrid[:side, :side] - side / 2
    mask = np.hypot(x, y) < 0.45 * side
    new = np.where(mask[..., None], np.clip(old.astype(np.int16) + 20, 0, 255), old).astype(np.uint8)
    return Edit(0, window, new, mask)


def measure(path: Path) -> str:
    """One photo, in this process; a row of the table from its third column on."""
    data = np.fromfile(path, np.uint8)
    started = cpu()
    picture = CODEC.open(data)
    picture.samples(0, VIEW)
    viewed = cpu()
    side = picture.pages[0].width
    face = min(1000, side // 5)
    edits = [edit(picture, x0, x0 * 2 + 1, face) for x0 in (side // 5 + 3, side // 3 + 5)]
    cut, clock = cpu(), time.monotonic()
    written = picture.write(edits, lambda _: b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    ended = cpu()
    peaks = own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    times = [viewed - started, cut - viewed, ended - cut, time.monotonic() - clock]
    cells = [f"{size / 1e6:.1f}" for size in (data.size, len(written.content))]
    cells += [f"{seconds:.2f}" for seconds in times] + [f"{peak:,.0f}" for peak in peaks]
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--small", type=int, nargs="*", default=[1000, 3500])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure))
        return
    print(HEAD + "\n" + "|---" * 10 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for side in (options.side, *options.small):
            image = Image.fromarray(scene(side))
            for kind, (sampling, progressive) in CASES.items():
                path = Path(folder) / "photo.jpg"
                photo = image.convert("L") if kind == "grey" else image
                photo.save(path, quality=90, subsampling=sampling, progressive=progressive)
                command = [sys.executable, __file__, "--measure", str(path)]
                done = subprocess.run(
                    command, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, check=True
                )
                print(f"| {side:,} | {kind} | {done.stdout.decode().strip()} |", flush=True)


if __name__ == "__main__":
    main()
