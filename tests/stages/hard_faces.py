"""Photos whose truth is known, with faces where pasting is hard. A face's restored crop is cut from the truth."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from pictures import Plain, edited
from skimage import data

from stages.align import locate
from stages.canvas import Canvas
from stages.geometry import cut_from, scale_of
from stages.paste import Paste
from stages.photo import Face, FaceStatus, Matrix, PasteMode, Photo, Pixels, Source

LANDMARKS = np.array([[204, 104], [247, 105], [223, 128], [204, 144], [242, 145]], dtype=np.float64)  # at 512 px
SITTER: Pixels = np.asarray(data.astronaut(), np.uint8)
SIZE = 512


@dataclass(frozen=True)
class Scene:
    """``truth`` and what is left of it, ``photo``, both (H, W, 3); landmarks (5, 2) of each face."""

    name: str
    truth: Pixels
    photo: Pixels
    faces: tuple[Matrix, ...]


def damaged(truth: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(3).normal(0, 4, truth.shape)
    return np.rint(cv2.GaussianBlur(truth, (0, 0), sigma) + grain).clip(0, 255).astype(np.uint8)


def placed(sizes: tuple[int, int], places: list[Matrix], sigma: float, name: str) -> Scene:
    """The sitter, cut out as a head, put onto a grey ground (width, height) by each (2, 3) matrix from her photo."""
    width, height = sizes
    y, x = np.mgrid[:height, :width]
    ground = np.stack([110 + 20 * np.sin(x / 37), 120 + 20 * np.cos(y / 41), 115 + 15 * np.sin((x + y) / 53)], -1)
    for matrix in places:
        shrunk, moved = SITTER.astype(np.float32), matrix
        head = np.zeros(SITTER.shape[:2], np.float32)
        cv2.ellipse(head, (224, 118), (62, 84), 0, 0, 360, 1.0, -1)
        layers = np.dstack([shrunk, cv2.GaussianBlur(head, (0, 0), 4)])
        factor = scale_of(matrix)
        if factor < 1:
            layers = cv2.GaussianBlur(layers, (0, 0), 0.45 / factor)
        warped = cv2.warpAffine(layers, moved, (width, height), flags=cv2.INTER_LINEAR)
        ground = ground + (warped[..., :3] - ground) * warped[..., 3:]
    truth = ground.round().clip(0, 255).astype(np.uint8)
    faces = tuple(LANDMARKS @ matrix[:, :2].T + matrix[:, 2] for matrix in places)
    return Scene(name, truth, damaged(truth, sigma), faces)


def at(x: float, y: float, scale: float, degrees: float = 0) -> Matrix:
    """The matrix that puts the middle of the sitter's face to (x, y)."""
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    turn = np.array([[a, -b], [b, a]])
    return np.hstack([turn, ([[x], [y]] - turn @ [[224], [124]])])


def scenes() -> list[Scene]:
    crowd = [at(36 + 64 * (i % 20), 46 + 80 * (i // 20), 0.42 + 0.01 * (i % 7), 6 * (i % 5) - 12) for i in range(200)]
    return [
        placed((420, 300), [at(150, 150, 1.0), at(245, 160, 1.0)], 2.0, "overlapping"),
        placed((320, 240), [at(20, 200, 1.2, 15)], 2.0, "over the border"),
        placed((360, 320), [at(180, 160, 1.1, 180)], 2.0, "upside down"),
        placed((200, 160), [at(100, 80, 24 / 86)], 0.7, "24 px"),
        placed((1310, 830), crowd, 0.9, "200 faces"),
    ]


def restored(scene: Scene, mode: PasteMode = "difference") -> Photo:
    """``scene`` with every face restored to what the truth shows."""
    picture, truth = Plain(scene.photo), Canvas(Plain(scene.truth))
    faces = [one_face(index, points, Canvas(picture), truth, mode) for index, points in enumerate(scene.faces)]
    photo = Photo(Source("file:///a.png", "a.png"), picture=picture, faces=tuple(faces))
    return Paste(0.15)([photo])[0]


def one_face(index: int, points: Matrix, photo: Canvas, truth: Canvas, mode: PasteMode) -> Face:
    face = Face(index, (0, 0, 1, 1), 1.0, points, FaceStatus.RESTORED, paste=mode)
    matrix = locate(face, "ffhq", SIZE)
    crops = [cut_from(canvas, matrix, SIZE) for canvas in (photo, truth)]
    return replace(face, matrix=matrix, crop=crops[0], restored=crops[1])


def result_of(photo: Photo) -> Pixels:
    assert isinstance(photo.picture, Plain)
    return np.asarray(edited(photo.picture, 0, photo.edits), np.uint8)
