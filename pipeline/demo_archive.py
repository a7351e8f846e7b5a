"""The demo's archive: old photos of one sitter, made so that the truth is known.

The sitter is Eileen Collins in scikit-image's bundled portrait (NASA, public domain). Beside the archive lie the
truths: the same pictures toned as the photos are, but not damaged, and the boxes of their faces.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from skimage import data

from models.degradations.chain import Image
from models.degradations.codec import to_bytes
from pipeline.demo_scenes import SCENES, Scene, Sitter

Box = tuple[float, float, float, float]

FACE: Box = (177, 68, 96, 122)  # of the sitter in the portrait: x, y, width, height
BACKDROP = np.array([0.63, 0.60, 0.55], np.float32)
VIGNETTE = 0.14  # width of an oval's soft edge, as a share of its radius
JPEG_QUALITY = 93
PNG_LEVEL = 3  # grain hardly compresses: higher levels only take longer


@dataclass(frozen=True, slots=True)
class TruePhoto:
    """One photo of the archive: ``path`` below it, ``truth`` below the truths, face boxes in pixels."""

    path: str
    truth: str
    faces: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """An archive and what it should look like once restored."""

    archive: Path
    truths: Path
    photos: tuple[TruePhoto, ...]


def make_archive(folder: Path, seed: int) -> Truth:
    """Write ``folder/archive``, ``folder/truth`` and ``folder/truth.json``.

    The same ``seed`` gives the same files; a file that is already right is left untouched.
    """
    archive, truths = folder / "archive", folder / "truth"
    photos = tuple(make_photo(scene, archive, truths, [seed, index]) for index, scene in enumerate(SCENES))
    facts = {"seed": seed, "photos": [asdict(photo) for photo in photos]}
    put(folder / "truth.json", json.dumps(facts, indent=1, ensure_ascii=False).encode())
    return Truth(archive, truths, photos)


def make_photo(scene: Scene, archive: Path, truths: Path, seed: list[int]) -> TruePhoto:
    """Draw one scene, let it age and write both."""
    rng = np.random.default_rng(seed)
    aged = scene.ageing.apply(draw(scene), rng)
    truth = str(Path(scene.path).with_suffix(".png"))
    put(archive / scene.path, encoded(aged.photo, Path(scene.path).suffix))
    put(truths / truth, encoded(aged.truth, ".png"))
    return TruePhoto(scene.path, truth, tuple(face_box(sitter) for sitter in scene.sitters))


def draw(scene: Scene) -> Image:
    """The scene as it was on the day, (H, W, 3) float32 RGB in [0, 1]."""
    if not scene.sitters:
        return picture(scene.view).copy()
    width, height = scene.size
    canvas = np.broadcast_to(BACKDROP, (height, width, 3)).copy()
    for sitter in scene.sitters:
        place(sitter, canvas, oval=len(scene.sitters) > 1)
    return canvas


def place(sitter: Sitter, canvas: Image, oval: bool) -> None:
    """Draw the sitter's window of the portrait on ``canvas``, as a soft oval where several share it."""
    left, top, width, height = sitter.window
    window = picture("astronaut")[top : top + height, left : left + width]
    if sitter.mirrored:
        window = window[:, ::-1]
    size = (round(width * sitter.scale), round(height * sitter.scale))
    figure = np.clip(cv2.resize(np.ascontiguousarray(window), size, interpolation=cv2.INTER_CUBIC), 0, 1)
    x, y = sitter.at
    ground = canvas[y : y + size[1], x : x + size[0]]
    cover = oval_mask(size) if oval else np.float32(1)
    ground[:] = ground + cover * (figure[: ground.shape[0], : ground.shape[1]] - ground)


def oval_mask(size: tuple[int, int]) -> Image:
    """(height, width, 1): 1 inside the ellipse that fills ``size`` (width, height), falling to 0 at its edge."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((2 * x + 1) / width - 1, (2 * y + 1) / height - 1)
    return np.clip((1 - radius) / VIGNETTE, 0, 1).astype(np.float32)[..., None]


def face_box(sitter: Sitter) -> Box:
    """Where the sitter's face is on the canvas."""
    left, top, width, _ = sitter.window
    x, y, face_width, face_height = FACE
    inside = width - (x - left) - face_width if sitter.mirrored else x - left
    scale = sitter.scale
    return (
        sitter.at[0] + inside * scale,
        sitter.at[1] + (y - top) * scale,
        face_width * scale,
        face_height * scale,
    )


def picture(name: str) -> Image:
    """One of scikit-image's bundled colour pictures, (H, W, 3) float32 RGB in [0, 1]."""
    bundled: dict[str, Callable[[], np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = {
        "astronaut": data.astronaut,
        "coffee": data.coffee,
        "rocket": data.rocket,
    }
    return (bundled[name]() / 255).astype(np.float32)


def encoded(image: Image, suffix: str) -> bytes:
    """``image`` in [0, 1] as a JPEG or PNG file by ``suffix``."""
    file = BytesIO()
    if suffix == ".png":
        Pillow.fromarray(to_bytes(image)).save(file, "PNG", compress_level=PNG_LEVEL)
    else:
        Pillow.fromarray(to_bytes(image)).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
    return file.getvalue()


def put(path: Path, content: bytes) -> None:
    """Write ``content`` unless it is already there, so that a second demo finds an unchanged archive."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
