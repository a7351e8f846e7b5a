"""What the guard says of every face in a folder of photos: a method without downloads, and restorers that lie.

    python benchmarks/guard.py ../shared/photos ../shared/weights [--method classic|daguerre-s] [--detector yunet]

For each restorer: how many faces are rejected at the default limits and by what, and the figures' quantiles. Another
person's face is the crop of a face in another photo; faces are moved by 5 % of the crop in each direction, or tinted.
``degraded`` is the other way round: sharp crops come back from what blur, noise and JPEG leave of them.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from infra.config import Config
from models.detector import Detector
from models.method import all_methods
from models.training.vspbfr_data import degraded, drawn, small_size
from stages.align import Align
from stages.codec import Limits
from stages.colour import floats
from stages.detect import Decode, Detect
from stages.guard import Guard, looking_again
from stages.photo import Face, FaceStatus, Photo, Pixels, Source
from stages.recipe import Recipe, resolve
from stages.restore import Restore
from stages.stage import Singly, run

SHIFT, TINT, SHARP = 0.05, 0.15, 300
QUANTILES = (0, 0.02, 0.5, 0.98, 1)
COPIES = ("formats", "heavy")  # folders with one photo many times
Change = Callable[[Face, int], Face | None]


def faces_of(photos: Path, recipe: Recipe, detector: Detector) -> Iterator[tuple[str, Face]]:
    """Each face with the folder of its photo, restored by the recipe's method."""
    [name] = recipe.methods
    method, limits = all_methods()[name], Limits(500_000_000, 250_000_000)
    files = {file.name: file.place for file in method.checkpoints if file.place is not None}
    restore = Restore(name, method.build(files, method.parameters(), "cpu", "float32"), 1)
    find = Detect(detector, 12, 1280)
    stages = [Singly([Decode(limits), find, Align(recipe)]), restore]
    for path in sorted(photos.glob("*/*")):
        source = Source(str(path), str(path.relative_to(photos)))
        photo = Photo(source, data=np.frombuffer(path.read_bytes(), np.uint8), sha256="")
        for face in run(stages, [photo])[0].faces:
            if face.status is FaceStatus.RESTORED:
                yield f"{path.parent.name}/{path.name}", face


def another(crops: Sequence[tuple[str, Pixels]], names: Sequence[str]) -> Change:
    def change(face: Face, index: int) -> Face | None:
        others = [crop for name, crop in crops if name != names[index]]
        return replace(face, restored=others[(7 * index) % len(others)])

    return change


def moved(x: float, y: float) -> Change:
    def change(face: Face, _index: int) -> Face | None:
        side = 0 if face.crop is None else len(face.crop)
        matrix = np.array([[1, 0, x * side], [0, 1, y * side]], np.float64)
        return with_restored(
            face, lambda crop: cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
        )

    return change


def tinted(red: float, blue: float) -> Change:
    gains = np.array([1 + red, 1, 1 + blue])
    return lambda face, _index: with_restored(face, lambda crop: np.clip(crop * gains, 0, 255).astype(np.uint8))


def from_degraded(face: Face, index: int) -> Face | None:
    """A faithful restorer of a badly degraded face."""
    if face.crop is None or (face.side or 0) < SHARP:
        return None
    rng = np.random.default_rng(index)
    how = drawn(rng, haze=False)
    side = small_size(len(face.crop), how.scale)
    low = degraded(floats(face.crop) / np.float32(255), how, rng.standard_normal((side, side, 3)).astype(np.float32)).lq
    return replace(face, crop=np.rint(low * 255).astype(np.uint8), restored=face.crop)


def with_restored(face: Face, work: Callable[[Pixels], object]) -> Face | None:
    return None if face.crop is None else replace(face, restored=np.asarray(work(face.crop), np.uint8))


def report(name: str, guard: Guard, faces: Sequence[Face], change: Change) -> None:
    changed = [one for index, face in enumerate(faces) if (one := change(face, index)) is not None]
    started = time.process_time()
    judged = [guard.face(face) for face in changed]
    cost = (time.process_time() - started) / max(1, len(changed)) * 1000
    rejected = [face for face in judged if face.status is FaceStatus.REJECTED]
    print(f"\n{name}: {len(rejected)} of {len(judged)} rejected, {cost:.0f} CPU ms a face")
    for figure in ("guard.structure", "guard.colour", "guard.landmarks"):
        values = [face.figures[figure] for face in judged if figure in face.figures]
        if values:
            print(f"  {figure}: {len(values)} faces, {np.quantile(values, QUANTILES).round(4).tolist()}")
    if len(rejected) < len(judged) / 2:
        print("".join(f"  {face.side:.0f} px: {face.reason}\n" for face in rejected), end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--method", choices=("classic", "daguerre-s"), default="classic")
    parser.add_argument("--detector", choices=("daguerre-d", "yunet"), default="daguerre-d")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = {"method": options.method, "leave": {"larger_than": 0, "good": {}}}
    config = Config.model_validate(settings | {"detect": {"detector": options.detector}})
    recipe = resolve(config, lambda _file: "")
    if recipe.detect is None or recipe.guard is None:
        raise RuntimeError("the defaults have a detector and a guard")
    files = {file.name: file.place or options.weights / file.name for file in recipe.detect.spec.checkpoints}
    detector = recipe.detect.spec.build(files, recipe.detect.settings("cpu"))
    found = list(faces_of(options.photos, recipe, detector))
    names, faces = [name for name, _ in found], [face for _, face in found]
    crops = [(name, face.crop) for name, face in found if face.crop is not None and not name.startswith(COPIES)]
    guard = Guard(recipe.guard, recipe.detect.spec.build(files, looking_again()))
    report(options.method, guard, faces, lambda face, _index: face)
    report("from degraded", guard, faces, from_degraded)
    report("another person", guard, faces, another(crops, names))
    for x, y in ((SHIFT, 0), (-SHIFT, 0), (0, SHIFT), (0, -SHIFT)):
        report(f"moved by {x:g}, {y:g}", guard, faces, moved(x, y))
    for red, blue in ((TINT, -TINT), (-TINT, TINT), (TINT, TINT), (-TINT, -TINT)):
        report(f"tinted: red {red:+g}, blue {blue:+g}", guard, faces, tinted(red, blue))


if __name__ == "__main__":
    main()
