"""Paste back: the photo plus the *change* of each face, inside the face's mask and nowhere else.

    pasted = photo + strength * mask * warp(restored - crop)

All crops were cut from the untouched photo. Where masks overlap their weights are normalised, so that the order of the
faces does not matter. If a network changes nothing, the photo keeps its very bytes.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.geometry import square, warp_back
from stages.photo import Face, FaceStatus, Photo, Pixels
from stages.stage import each

Floats = NDArray[np.float32]
A = TypeVar("A", Pixels, Floats)
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Patch:
    """One face's change in its window (x0, y0, x1, y1) of the photo: ``mask`` (h, w, 1) in [0, 1], ``change`` (h, w,
    3) in levels, times mask.
    """

    window: Window
    mask: Floats
    change: Floats


class Paste:
    """Each open photo gets ``pasted``; photos without a restored face are left as they are."""

    name = "paste"

    def __init__(self, feather: float) -> None:
        self.feather = feather

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.paste)

    def paste(self, photo: Photo) -> Photo:
        faces = [face for face in photo.faces if face.status is FaceStatus.RESTORED]
        if photo.picture is None or not faces:
            return photo
        before = photo.picture.rgb
        patches = {face.index: make_patch(face, before, self.feather) for face in faces}
        changed = {index: patch for index, patch in patches.items() if patch and np.rint(patch.change).any()}
        marked = tuple(mark(face, face.index in changed) for face in photo.faces)
        return replace(photo, faces=marked, pasted=blend(before, list(changed.values())) if changed else None)


class Replace:
    """In place of ``Paste`` where the photo is one aligned face: the restored crop is the result."""

    name = "paste"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.replace)

    def replace(self, photo: Photo) -> Photo:
        restored = [face for face in photo.faces if face.status is FaceStatus.RESTORED]
        if not restored:
            return photo
        face = restored[0]
        crop, result = face.crop, face.restored
        if crop is None or result is None:
            return photo
        change = (result.astype(np.float32) - crop) * np.float32(face.strength)
        changed = bool(np.rint(change).any())
        faces = tuple(mark(face, changed) for face in photo.faces)
        return replace(photo, faces=faces, pasted=add(crop, change) if changed else None)


def mark(face: Face, changed: bool) -> Face:
    """A restored face of which not one pixel of the photo changed was left, whatever the method did."""
    if face.status is not FaceStatus.RESTORED or changed:
        return face
    return replace(face, status=FaceStatus.LEFT, reason="the method changed nothing")


def make_patch(face: Face, photo: Pixels, feather: float) -> Patch | None:
    """The change of ``face`` as the photo will see it; None if its square lies outside."""
    if face.crop is None or face.restored is None or face.matrix is None:
        return None
    size = face.crop.shape[0]
    x0, y0, x1, y1 = square(face.matrix, size, photo.shape[1], photo.shape[0])
    if x1 <= x0 or y1 <= y0:
        return None
    mask = soft_mask(size, feather)[..., None]
    change = (face.restored.astype(np.float32) - face.crop) * mask * np.float32(face.strength)
    warped = warp_back(np.concatenate([change, mask], axis=2), face.matrix, x0, y0, x1, y1)
    return Patch((x0, y0, x1, y1), warped[..., 3:], warped[..., :3])


def soft_mask(size: int, feather: float) -> Floats:
    """The mask of a crop, (size, size) in [0, 1]: 1 inside, smoothly to 0 at the edge over ``feather`` of the side."""
    distance = (np.minimum(np.arange(size), np.arange(size)[::-1]) / (feather * size)).clip(0, 1)
    ramp = (distance * distance * (3 - 2 * distance)).astype(np.float32)
    return np.outer(ramp, ramp)


def blend(photo: Pixels, patches: list[Patch]) -> Pixels:
    """``photo`` (H, W, 3) with all patches applied; outside their masks not a bit changes."""
    pasted = photo.copy()
    for cluster in clusters(patches):
        window = around(cluster)
        x0, y0, x1, y1 = window
        mask, change = np.zeros((y1 - y0, x1 - x0, 1), np.float32), np.zeros((y1 - y0, x1 - x0, 3), np.float32)
        for patch in cluster:
            place = (patch.window[0] - x0, patch.window[1] - y0, patch.window[2] - x0, patch.window[3] - y0)
            view(mask, place)[...] += patch.mask
            view(change, place)[...] += patch.change
        view(pasted, window)[...] = add(view(photo, window), (change / mask.clip(1)).astype(np.float32))
    return pasted


def clusters(patches: list[Patch]) -> list[list[Patch]]:
    """The patches in groups whose windows hang together, so that each pixel is blended and rounded once."""
    groups: list[list[Patch]] = []
    for patch in patches:
        near = [overlap(around(group), patch.window) for group in groups]
        joined = [one for group, is_near in zip(groups, near, strict=True) if is_near for one in group]
        groups = [group for group, is_near in zip(groups, near, strict=True) if not is_near] + [[*joined, patch]]
    return groups


def around(patches: list[Patch]) -> Window:
    """The smallest window that holds those of all patches."""
    windows = [patch.window for patch in patches]
    left, top, right, bottom = zip(*windows, strict=True)
    return min(left), min(top), max(right), max(bottom)


def overlap(one: Window, other: Window) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def view(array: A, window: Window) -> A:
    """The window (x0, y0, x1, y1) of an image."""
    x0, y0, x1, y1 = window
    return array[y0:y1, x0:x1]


def add(pixels: Pixels, change: Floats) -> Pixels:
    """``pixels`` plus ``change`` in levels, rounded, within 0..255."""
    return np.rint(pixels + change).clip(0, 255).astype(np.uint8)
