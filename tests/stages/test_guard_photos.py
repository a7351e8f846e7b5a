"""The guard on real photos: ``classic`` passes, restorers that lie do not. Skipped where there are no photos."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from infra.config import Config
from models.detector import Detector
from models.method import all_methods
from stages.align import Align
from stages.codec import Limits
from stages.detect import Decode, Detect
from stages.guard import Guard, looking_again
from stages.paste import Paste
from stages.photo import Face, FaceStatus, Photo, Pixels, Source
from stages.recipe import Recipe, resolve
from stages.restore import Restore
from stages.stage import run

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "photos"
FEW = ("portrait/0", "portrait/B", "portrait/R", "crop/")
SHARE = 0.98
Lie = Callable[[Face], Pixels]


@pytest.fixture(scope="module", params=["daguerre-d", "yunet"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    settings = {"method": "classic", "leave": {"larger_than": 0, "good": {}}, "detect": {"detector": request.param}}
    return resolve(Config.model_validate(settings), lambda _file: "")


@pytest.fixture(scope="module")
def guard(recipe: Recipe, weights_folder: Path) -> Guard:
    assert recipe.guard is not None
    return Guard(recipe.guard, detector_of(recipe, weights_folder, guarding=True))


def detector_of(recipe: Recipe, folder: Path, *, guarding: bool = False) -> Detector:
    assert recipe.detect is not None
    paths = {file.name: file.place or folder / file.name for file in recipe.detect.spec.checkpoints}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing or not PHOTOS.is_dir():
        pytest.skip(f"no {', '.join(missing) or PHOTOS.name} here")
    return recipe.detect.spec.build(paths, looking_again() if guarding else recipe.detect.settings("cpu"))


def restored(recipe: Recipe, weights_folder: Path, starts: tuple[str, ...]) -> list[Photo]:
    """The photos whose paths begin so, with their faces restored by ``classic``."""
    limits, method = Limits(500_000_000, 250_000_000), all_methods()["classic"]
    restore = Restore("classic", method.build({}, method.parameters(), "cpu", "float32"), 1)
    stages = [Decode(limits), Detect(detector_of(recipe, weights_folder), 12, 1280), Align(recipe), restore]
    files = [file for file in sorted(PHOTOS.glob("*/*")) if str(file.relative_to(PHOTOS)).startswith(starts)]
    photos = [Photo(Source(str(file), file.name), data=np.fromfile(file, np.uint8), sha256="") for file in files]
    done = [run(stages, [photo])[0] for photo in photos]
    return [photo for photo in done if any(face.status is FaceStatus.RESTORED for face in photo.faces)]


@pytest.fixture(scope="module")
def portraits(recipe: Recipe, weights_folder: Path) -> list[Photo]:
    return restored(recipe, weights_folder, FEW)


def shifted(face: Face, x: float, y: float) -> Pixels:
    assert face.crop is not None
    side = len(face.crop)
    matrix = np.array([[1, 0, x * side], [0, 1, y * side]], np.float64)
    return np.asarray(cv2.warpAffine(face.crop, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.uint8)


def tinted(face: Face, red: float, blue: float) -> Pixels:
    assert face.crop is not None
    return (face.crop * np.array([red, 1, blue])).clip(0, 255).astype(np.uint8)


def judged(guard: Guard, photos: list[Photo], lie: Lie) -> list[Photo]:
    changed = [
        replace(photo, faces=tuple(replace(face, restored=lie(face)) for face in photo.faces)) for photo in photos
    ]
    return guard(changed)


@pytest.mark.parametrize(
    "lie",
    [
        *(partial(shifted, x=x, y=y) for x, y in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05))),
        *(partial(tinted, red=red, blue=blue) for red, blue in ((1.15, 0.85), (0.85, 1.15))),
    ],
)
def test_shifted_and_tinted_faces_are_rejected_and_nothing_is_pasted(
    guard: Guard, portraits: list[Photo], lie: Lie
) -> None:
    for photo in Paste(0.15)(judged(guard, portraits, lie)):
        assert all(face.status is FaceStatus.REJECTED for face in photo.faces)
        assert not photo.edits


def test_another_persons_face_is_rejected_and_nothing_is_pasted(guard: Guard, portraits: list[Photo]) -> None:
    for index, photo in enumerate(portraits):
        others = [face.crop for other in portraits[:index] + portraits[index + 1 :] for face in other.faces]
        for other in others:
            assert other is not None
            [done] = Paste(0.15)(judged(guard, [photo], lambda _face, other=other: other))
            assert all(face.status is FaceStatus.REJECTED for face in done.faces)
            assert not done.edits


def test_classic_passes_on_portraits(guard: Guard, portraits: list[Photo]) -> None:
    faces = [face for photo in guard(portraits) for face in photo.faces]
    assert len(faces) >= 8
    assert all(face.status is FaceStatus.RESTORED for face in faces)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_classic_passes_on_nearly_all_faces(recipe: Recipe, weights_folder: Path, guard: Guard) -> None:
    photos = guard(restored(recipe, weights_folder, ("",)))
    statuses = [face.status for photo in photos for face in photo.faces]
    assert len(statuses) > 150
    passed = sum(status is not FaceStatus.REJECTED for status in statuses) / len(statuses)
    assert passed >= SHARE
