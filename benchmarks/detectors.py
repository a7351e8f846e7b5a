"""What the detectors find on the test photos, and what a photo costs. Prints a markdown table.

    python benchmarks/detectors.py PHOTOS WEIGHTS [--score 0.8] [--list] [--quick]

PHOTOS is a folder with ``manifest.csv`` (columns ``file`` and ``faces``, the faces counted by eye), WEIGHTS one with
``yunet_n_640_640.onnx``. Where more faces are found than there are, the surplus counts as false; where fewer, the rest
as missed. ``--list`` names the photos where the counts differ; ``--quick`` leaves the networks of RetinaFace out.

RetinaFace has random weights here, so it is timed only, at a score that nothing reaches. Photos are read with Pillow,
turned as EXIF says, 16-bit grey divided by 257, all else by ``convert("RGB")``; HEIC where pillow-heif is there. The
milliseconds are CPU time in one thread, decoding of the file not included.
"""

import argparse
import csv
import importlib.util
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.detector import Detector, DetectorSettings, all_detectors
from models.detectors import daguerre_d, yunet
from models.nets.retinaface import BodyName, RetinaFace
from models.pyramid import Pyramid
from models.retinaface_detector import BGR_MEAN, TorchScale

LEVELS = {"one scale": (1280,), "pyramid": (1280, 640, 320, 160)}
BODIES: dict[str, BodyName] = {"retinaface, retinaface-facexlib": "resnet50", "retinaface-mobile": "mobile0.25"}
OUT_OF_REACH = 1.0
UNREADABLE = (OSError, SyntaxError, ValueError)


@dataclass(frozen=True, slots=True)
class Photo:
    """``faces`` were counted by eye."""

    name: str
    faces: int
    rgb: NDArray[np.uint8]


def read(path: Path) -> NDArray[np.uint8]:
    """The first page, upright, (H, W, 3) RGB."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode.startswith("I"):
            grey = np.asarray(upright).astype(np.float64) / 257
            return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def photos_of(folder: Path) -> list[Photo]:
    """Every photo of the manifest whose faces were counted and that Pillow reads."""
    photos: list[Photo] = []
    with (folder / "manifest.csv").open(newline="") as table:
        counted = [(line["file"], int(line["faces"])) for line in csv.DictReader(table) if line["faces"]]
    for name, faces in counted:
        try:
            photos.append(Photo(name, faces, read(folder / name)))
        except UNREADABLE as error:
            print(f"not read: {name} ({type(error).__name__})")
    return photos


def measured(detector: Detector, photos: Sequence[Photo]) -> tuple[list[int], float]:
    """How many faces it finds in each photo, and its CPU milliseconds a photo."""
    detector.detect([photos[0].rgb])
    started = time.process_time()
    found = [len(detector.detect([photo.rgb])[0]) for photo in photos]
    return found, (time.process_time() - started) / len(photos) * 1000


def line(name: str, scales: str, photos: Sequence[Photo], found: Sequence[int] | None, cost: float) -> str:
    """A row of the table; ``found`` is None where nothing can be found."""
    if found is None:
        return f"| {name} | {scales} | | | {cost:.0f} |"
    pairs = list(zip(found, photos, strict=True))
    hits = sum(min(count, photo.faces) for count, photo in pairs)
    false = sum(max(0, count - photo.faces) for count, photo in pairs)
    faces = sum(photo.faces for photo in photos)
    return f"| {name} | {scales} | {hits} of {faces} ({hits / faces:.1%}) | {false} | {cost:.0f} |"


def differing(photos: Sequence[Photo], found: Sequence[int]) -> list[str]:
    return [
        f"  {photo.name}: {photo.faces} by eye, {count} found"
        for photo, count in zip(photos, found, strict=True)
        if count != photo.faces
    ]


def untrained(body: BodyName, levels: tuple[int, ...]) -> Detector:
    """RetinaFace with random weights."""
    torch.manual_seed(0)
    network = RetinaFace(body).eval().requires_grad_(False)
    return Pyramid(TorchScale(network, BGR_MEAN, OUT_OF_REACH), levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--score", type=float, default=0.8)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
    photos = photos_of(options.photos)
    weights = {yunet.WEIGHTS.name: options.weights / yunet.WEIGHTS.name}
    if daguerre_d.WEIGHTS.place:
        weights[daguerre_d.WEIGHTS.name] = daguerre_d.WEIGHTS.place
    print(f"{len(photos)} photos, {sum(photo.faces for photo in photos)} faces, score {options.score:g}")
    print(f"Python {platform.python_version()}, OpenCV {cv2.__version__}, torch {torch.__version__}\n")
    print("| Detector | Searched | Faces found | False faces | CPU ms a photo |\n|---|---|---|---|---|")
    for name in ("yunet", "yunet-torch", "daguerre-d", "cascade"):
        for scales, levels in LEVELS.items() if name != "cascade" else [("its own way", ())]:
            settings = DetectorSettings(options.score, levels)
            found, cost = measured(all_detectors()[name].build(weights, settings), photos)
            print(line(name, scales, photos, found, cost), flush=True)
            if options.list:
                print("\n".join(differing(photos, found)))
    for name, body in [] if options.quick else BODIES.items():
        for scales, levels in LEVELS.items():
            print(line(name, scales, photos, None, measured(untrained(body, levels), photos)[1]), flush=True)


if __name__ == "__main__":
    main()
