"""Scenes to train a detector on: faces of all sizes, turned, squeezed and partly covered, before other pictures.

Sizes are those of a square as large as a face's box, in pixels of the scene.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from models.degradations.archival import damaged, toned
from models.training.album import Album, Pixels, Places, Portrait

SMALLEST, LARGEST = 8.0, 200.0
COUNTS = (0, 1, 2, 3, 4, 6, 9)  # faces that are tried in one scene
COUNT_WEIGHTS = (0.16, 0.24, 0.16, 0.14, 0.12, 0.1, 0.08)
TRIES = 6  # places looked at for a face before it is left out
HIDDEN = 0.1  # of a face's box may go under the next portrait
MARGINS = (0.12, 2.5)  # of the face's sides that may stay around it of its photo
FINEST_DAMAGE = 20  # pixels: damage is drawn for faces of this size at least
EDGE = 8  # pixels that a soft edge may reach
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Scene:
    """``pixels`` (S, S, 3) uint8 RGB with ``boxes`` (n, 4) x, y, width, height and ``points`` (n, 5, 2)."""

    pixels: Pixels
    boxes: Places
    points: Places


@dataclass(frozen=True, slots=True)
class Placed:
    """A portrait and the affine map (2, 3) from its pixels to those of the scene."""

    portrait: Portrait
    matrix: Places

    @property
    def box(self) -> Places:
        """The upright box (4,) around the turned face, which is taken for an ellipse."""
        x, y, width, height = self.portrait.box
        centre = self.matrix @ (x + width / 2, y + height / 2, 1)
        half = np.hypot(self.matrix[:, 0] * width / 2, self.matrix[:, 1] * height / 2)
        return np.array([*(centre - half), *(2 * half)])

    @property
    def points(self) -> Places:
        """(5, 2)"""
        return self.portrait.points @ self.matrix[:, :2].T + self.matrix[:, 2]


def scene(album: Album, side: int, rng: Rng) -> Scene:
    """A new scene of ``side`` pixels. All faces in it are large enough for the damage done to it."""
    smallest = _between(rng, SMALLEST, 0.4 * LARGEST)
    canvas = backdrop(album, side, rng)
    count = int(rng.choice(COUNTS, p=COUNT_WEIGHTS))
    largest = min(LARGEST, 0.9 * side) if count < 3 else 0.5 * side
    sizes = sorted((_between(rng, smallest, max(largest, smallest)) for _ in range(count)), reverse=True)
    faces: list[Placed] = []
    for index, size in enumerate(sizes):
        portrait = album.portraits[album.first] if index == 0 else album.portrait(rng)
        face = placed(portrait, size, side, faces, rng)
        if face is not None:
            paste(canvas, face, rng)
            if rng.random() < 0.2:
                cover(canvas, face, album, rng)
            faces.append(face)
    aged = damaged(int(max(FINEST_DAMAGE, smallest * rng.uniform(0.8, 1.3))))
    photo = aged(toned()(canvas.astype(np.float32) / np.float32(255), rng), rng)
    pixels = np.rint(photo * 255).astype(np.uint8)
    boxes, points = [face.box for face in faces], [face.points for face in faces]
    return Scene(pixels, np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 5, 2))


def backdrop(album: Album, side: int, rng: Rng) -> Pixels:
    """(S, S, 3) made of one, four or nine cut-outs of pictures without faces."""
    across = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    edges = np.linspace(0, side, across + 1).astype(int)
    canvas = np.empty((side, side, 3), np.uint8)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            canvas[top:bottom, left:right] = cut_out(album.background(rng), (right - left, bottom - top), rng)
    return canvas


def cut_out(picture: Pixels, size: tuple[int, int], rng: Rng) -> Pixels:
    """A part of ``picture`` brought to ``size`` (width, height), mirrored as often as not, turned now and then."""
    height, width = picture.shape[:2]
    side = round(_between(rng, min(48, height, width), min(height, width)))
    x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    part = picture[y : y + side, x : x + side]
    part = np.rot90(part, int(rng.integers(4))) if rng.random() < 0.15 else part
    part = part[:, ::-1] if rng.random() < 0.5 else part
    kind = cv2.INTER_AREA if side > size[0] else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(part), size, interpolation=kind).astype(np.uint8, copy=False)


def placed(portrait: Portrait, size: float, side: int, others: list[Placed], rng: Rng) -> Placed | None:
    """``portrait`` somewhere in the scene with a face of ``size``; None where it would hide another face."""
    portrait = trimmed(portrait.mirrored() if rng.random() < 0.5 else portrait, rng)
    linear = turn(rng) * (size / portrait.side)
    for _ in range(TRIES):
        face = Placed(portrait, np.hstack([linear, np.zeros((2, 1))]))
        reach = np.minimum(0.6 * face.box[2:], side / 2)
        centre = rng.uniform(reach, side - reach)
        offset = centre - (face.box[:2] + face.box[2:] / 2)
        face = Placed(portrait, np.hstack([linear, offset[:, None]]))
        if all(share_covered(other.box, extent(face)) <= HIDDEN for other in others):
            return face
    return None


def turn(rng: Rng) -> Places:
    """A turn (2, 2) by up to 45 degrees, half of them by a few only, after a squeeze: narrow faces look aside."""
    angle = np.deg2rad(rng.uniform(-45, 45) if rng.random() < 0.5 else rng.normal(0, 6))
    squeeze = np.diag([rng.uniform(0.7, 1.1), rng.uniform(0.92, 1.08)])
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ squeeze


def trimmed(portrait: Portrait, rng: Rng) -> Portrait:
    """Less of the photo around the face."""
    x, y, width, height = portrait.box
    left, right = (_between(rng, *MARGINS) * width for _ in range(2))
    above, below = (_between(rng, *MARGINS) * height for _ in range(2))
    rows, columns = portrait.pixels.shape[:2]
    x0, y0 = max(0, int(x - left)), max(0, int(y - above))
    x1, y1 = min(columns, int(x + width + right) + 1), min(rows, int(y + height + below) + 1)
    box = portrait.box - (x0, y0, 0, 0)
    return Portrait(portrait.pixels[y0:y1, x0:x1], box, portrait.points - (x0, y0))


def extent(face: Placed) -> Places:
    """The upright box (4,) around a whole portrait in the scene."""
    height, width = face.portrait.pixels.shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ face.matrix.T
    return np.concatenate([corners.min(axis=0), np.ptp(corners, axis=0)])


def share_covered(box: Places, by: Places) -> float:
    """How much of ``box`` (4,) lies under ``by`` (4,)."""
    start, end = np.maximum(box[:2], by[:2]), np.minimum(box[:2] + box[2:], by[:2] + by[2:])
    return float(np.clip(end - start, 0, None).prod() / box[2:].prod())


def paste(canvas: Pixels, face: Placed, rng: Rng) -> None:
    """Put a portrait into ``canvas``, with a light of its own and hard, soft or oval edges."""
    pixels, matrix = reduced(face)
    height, width = pixels.shape[:2]
    mask = np.full((height, width), 255, np.uint8)
    if rng.random() < 0.3:
        mask[:] = 0
        cv2.ellipse(mask, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 255, -1)
    left, top, right, bottom = window(extent(face), canvas)
    under, size = canvas[top:bottom, left:right], (right - left, bottom - top)
    matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
    light = np.clip(lit(pixels, rng), 0, 255).astype(np.uint8)
    over = cv2.warpAffine(light, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blend(
        under, over.astype(np.uint8, copy=False), cv2.warpAffine(mask, matrix, size).astype(np.uint8, copy=False), rng
    )


def window(box: Places, canvas: Pixels) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what ``box`` (4,) and its soft edge change of ``canvas``."""
    low = np.clip(np.floor(box[:2] - EDGE), 0, canvas.shape[0] - 1).astype(int)
    high = np.clip(np.ceil(box[:2] + box[2:] + EDGE), low + 1, canvas.shape[0]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def reduced(face: Placed) -> tuple[Pixels, Places]:
    """The portrait shrunk by means over areas as far as the map shrinks it, and the rest of the map (2, 3)."""
    pixels = face.portrait.pixels
    height, width = pixels.shape[:2]
    factor = min(1.0, float(np.sqrt(abs(np.linalg.det(face.matrix[:, :2])))))
    size = (max(2, round(width * factor)), max(2, round(height * factor)))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    scale = np.array([width / size[0], height / size[1]])
    linear = face.matrix[:, :2] * scale
    return small, np.hstack([linear, (face.matrix[:, 2] + face.matrix[:, :2] @ (scale / 2 - 0.5))[:, None]])


def lit(pixels: Pixels, rng: Rng) -> NDArray[np.float32]:
    """``pixels`` brighter or darker, flatter or harder, 0 to 255 and beyond."""
    gain, lift = rng.uniform(0.55, 1.25), rng.uniform(-25, 45)
    return pixels.astype(np.float32) * np.float32(gain) + np.float32(lift)


def blend(canvas: Pixels, over: Pixels, mask: Pixels, rng: Rng) -> None:
    """Lay ``over`` on ``canvas`` where ``mask`` (S, S) in [0, 255] is."""
    if rng.random() < 0.5:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 3)).astype(np.uint8, copy=False)
    weight = mask[..., None].astype(np.uint16)
    mixed = (over * weight + canvas * (255 - weight) + 127) // 255
    canvas[:] = mixed.astype(np.uint8)


def cover(canvas: Pixels, face: Placed, album: Album, rng: Rng) -> None:
    """Hide a third of a face at most: its mouth, its forehead, one side, or a stroke across."""
    box = face.box
    where = int(rng.integers(4))
    share = rng.uniform(0.15, 0.38)
    centre = box[:2] + box[2:] * ((0.5, 1 - share / 2), (0.5, share / 2), (share / 2, 0.5), (0.5, 0.5))[where]
    size = box[2:] * ((1.3, share), (1.3, share), (share, 1.3), (1.3, share / 3))[where]
    left, top, right, bottom = window(np.array([*(box[:2] - 0.2 * box[2:]), *(1.4 * box[2:])]), canvas)
    under = canvas[top:bottom, left:right]
    corners = cv2.boxPoints(((centre[0] - left, centre[1] - top), (size[0], size[1]), rng.uniform(-20, 20)))
    mask = np.zeros(under.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    flat = np.full_like(under, rng.integers(0, 256, 3))
    even = rng.random() < 0.5
    blend(under, flat if even else cut_out(album.background(rng), (right - left, bottom - top), rng), mask, rng)


def _between(rng: Rng, low: float, high: float) -> float:
    """A number whose logarithm is drawn evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if high > low else low
