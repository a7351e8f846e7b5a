"""Paste back: each face's change, inside its mask and nowhere else, in the photo's own colours and depth.

    difference: pasted = photo + strength * mask * warp(restored - crop)
    replace:    pasted = photo + strength * mask * (warp(restored') - photo)

where restored' has the photo's own tone around the face. All crops were cut from the untouched photo. Where masks
overlap their weights are normalised, so that the order of the faces does not matter. If a network changes nothing, the
photo keeps its very bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from stages.canvas import Canvas, common, moved, overlap, view
from stages.colour import Floats, floats
from stages.geometry import square, warp_back
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels
from stages.picture import Edit, Window
from stages.stage import each
from stages.tone import COLOUR, Tone, tone_of

TONE_VIEW = 1024  # the longer side of the view in which a photo's tone line is sought
MOST_PIXELS = 4_000_000  # that are blended at once
RING_SCALE = 8  # the ring's tone is computed on the crop reduced by this
RING_REACH = 1 / 8  # sigma of its extension into the face, as a share of the crop's side


@dataclass(frozen=True, slots=True)
class Patch:
    """One face's change in its window of the photo: ``mask`` (h, w, 1) in [0, 1], ``change`` (h, w, 3) in sRGB levels,
    times mask.
    """

    window: Window
    mask: Floats
    change: Floats


class Paste:
    """Each open photo gets ``edits``; photos without a restored face are left as they are."""

    name = "paste"

    def __init__(self, feather: float) -> None:
        self.feather = feather

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.paste)

    def paste(self, photo: Photo) -> Photo:
        picture = photo.picture
        if picture is None:
            return photo
        pages = sorted({face.page for face in photo.faces if face.status is FaceStatus.RESTORED})
        for page in pages:
            photo = self.page(photo, Canvas(picture, page))
        return photo

    def page(self, photo: Photo, canvas: Canvas) -> Photo:
        """``photo`` with the edits of one page."""
        mine = [face for face in photo.faces if face.page == canvas.page and face.status is FaceStatus.RESTORED]
        patches = {face.index: make_patch(face, canvas, self.feather) for face in mine}
        changed = {index: patch for index, patch in patches.items() if patch and np.rint(patch.change).any()}
        marked = tuple(mark(face, face.index in changed) if face in mine else face for face in photo.faces)
        if not changed:
            return replace(photo, faces=marked)
        tone = tone_of(canvas.view(TONE_VIEW))
        edits = blend(canvas, list(changed.values()), tone)
        return replace(photo, faces=marked, edits=(*photo.edits, *edits), tone=photo.tone or tone.kind)


class Replace:
    """In place of ``Paste`` where each page is one aligned face: the restored crop is the page."""

    name = "paste"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.replace)

    def replace(self, photo: Photo) -> Photo:
        picture = photo.picture
        if picture is None:
            return photo
        for face in photo.faces:
            if face.crop is None or face.restored is None or face.status is not FaceStatus.RESTORED:
                continue
            canvas = Canvas(picture, face.page)
            change = (face.restored.astype(np.float32) - face.crop) * np.float32(face.strength)
            patch = Patch((0, 0, canvas.width, canvas.height), np.ones((*change.shape[:2], 1), np.float32), change)
            changed = bool(np.rint(change).any())
            tone = tone_of(canvas.view(TONE_VIEW))
            edits = blend(canvas, [patch], tone) if changed else []
            faces = tuple(mark(one, changed) if one is face else one for one in photo.faces)
            photo = replace(photo, faces=faces, edits=(*photo.edits, *edits), tone=photo.tone or tone.kind)
        return photo


def mark(face: Face, changed: bool) -> Face:
    """A restored face of which not one pixel of the photo changed was left, whatever the method did."""
    if face.status is not FaceStatus.RESTORED or changed:
        return face
    return replace(face, status=FaceStatus.LEFT, reason="the method changed nothing")


def make_patch(face: Face, canvas: Canvas, feather: float) -> Patch | None:
    """The change of ``face`` as the photo will see it; None if its square lies outside, or nothing changed."""
    if face.crop is None or face.restored is None or face.matrix is None:
        return None
    matrix = canvas.matrix(face.matrix)
    window = square(matrix, face.crop.shape[0], canvas.width, canvas.height)
    if window[2] <= window[0] or window[3] <= window[1] or np.array_equal(face.crop, face.restored):
        return None
    mask = mask_of(face, feather)[..., None]
    if face.paste == "difference":
        patch = by_difference(face.crop, face.restored, mask, matrix, window)
    else:
        patch = by_replacing(face.crop, face.restored, mask, matrix, canvas, window)
    return patch if face.strength == 1 else replace(patch, change=patch.change * np.float32(face.strength))


def by_difference(crop: Pixels, restored: Pixels, mask: Floats, matrix: Matrix, window: Window) -> Patch:
    """The change that the network made, warped back."""
    difference = cv2.subtract(restored, crop, dtype=cv2.CV_32F)
    layers = cv2.cvtColor(difference, cv2.COLOR_RGB2RGBA)  # the fourth becomes 1, and then the mask
    layers = cv2.multiply(layers, cv2.merge([mask[..., 0]] * 4))
    warped = warp_back(floats(layers), matrix, window)
    change, weights = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), cv2.extractChannel(warped, 3)
    return Patch(window, floats(weights)[..., None], floats(change))


def by_replacing(crop: Pixels, restored: Pixels, mask: Floats, matrix: Matrix, canvas: Canvas, window: Window) -> Patch:
    """What is missing to the restored face, once it has the photo's tone around it."""
    face = floats(restored + ring_tone(crop, restored, mask))
    inside = warp_back(floats(cv2.cvtColor(face, cv2.COLOR_RGB2RGBA)), matrix, window)
    weights = warp_back(mask, matrix, window)
    whole = np.maximum(inside[..., 3], np.float32(1e-3))  # at the square's edge the warp mixes in zeros
    wanted = cv2.divide(cv2.cvtColor(inside, cv2.COLOR_RGBA2RGB), cv2.merge([whole] * 3))
    change = cv2.multiply(cv2.subtract(wanted, canvas.levels(window)), cv2.merge([weights[..., 0]] * 3))
    return Patch(window, weights, floats(change))


def ring_tone(crop: Pixels, restored: Pixels, mask: Floats) -> Floats:
    """What to add to ``restored`` (S, S, 3) so that its low frequencies meet those of ``crop`` in the mask's soft edge,
    carried on smoothly into the face.
    """
    size = crop.shape[0]
    small = (max(1, size // RING_SCALE),) * 2
    change = cv2.resize(floats(crop) - restored, small, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)[..., None]
    ring = floats(4 * soft * (1 - soft)).clip(0, 1) + np.float32(1e-6)
    layers = floats(np.concatenate([change * ring, ring], axis=2))
    spread = cv2.GaussianBlur(layers, (0, 0), RING_REACH * small[0])
    found = floats(spread[..., :3] / spread[..., 3:])
    return floats(cv2.resize(found, (size, size), interpolation=cv2.INTER_CUBIC))


def mask_of(face: Face, feather: float) -> Floats:
    """The face's mask in its crop, (S, S) in [0, 1]: the soft square, and inside it what the parser said, if asked."""
    size = 0 if face.crop is None else face.crop.shape[0]
    soft = soft_mask(size, feather)
    return soft if face.mask is None else np.minimum(soft, face.mask.astype(np.float32) / np.float32(255))


@lru_cache(maxsize=8)
def soft_mask(size: int, feather: float) -> Floats:
    """The mask of a crop, (size, size) in [0, 1]: 1 inside, smoothly to 0 at the edge over ``feather`` of the side."""
    distance = (np.minimum(np.arange(size), np.arange(size)[::-1]) / (feather * size)).clip(0, 1)
    ramp = (distance * distance * (3 - 2 * distance)).astype(np.float32)
    mask = np.outer(ramp, ramp)
    mask.setflags(write=False)
    return mask


def blend(canvas: Canvas, patches: Sequence[Patch], tone: Tone = COLOUR) -> list[Edit]:
    """The page's new samples under all patches; outside their masks not a bit changes."""
    return [blended(canvas, band, cluster, tone) for cluster in clusters(patches) for band in bands(around(cluster))]


def blended(canvas: Canvas, window: Window, cluster: Sequence[Patch], tone: Tone) -> Edit:
    """The samples of a window under patches that hang together, so that each is blended and rounded once."""
    mask, change = sum_of(window, cluster)
    samples = canvas.samples(window)
    if tone.kind != "colour":
        change = tone.along(canvas.colour.to_srgb(samples), change)
    return Edit(canvas.page, window, canvas.colour.changed(samples, change), mask[..., 0] > 0)


def sum_of(window: Window, cluster: Sequence[Patch]) -> tuple[Floats, Floats]:
    """The mask (h, w, 1) and the change (h, w, 3) of patches in a window, weighted where masks overlap."""
    if len(cluster) == 1 and cluster[0].window == window:
        return cluster[0].mask, cluster[0].change
    height, width = window[3] - window[1], window[2] - window[0]
    mask, change = np.zeros((height, width, 1), np.float32), np.zeros((height, width, 3), np.float32)
    for patch in (patch for patch in cluster if overlap(patch.window, window)):
        shared = common(patch.window, window)
        view(mask, moved(shared, window))[...] += view(patch.mask, moved(shared, patch.window))
        view(change, moved(shared, window))[...] += view(patch.change, moved(shared, patch.window))
    return mask, floats(change / mask.clip(1))


def clusters(patches: Sequence[Patch]) -> list[list[Patch]]:
    """The patches in groups whose windows hang together."""
    groups: list[list[Patch]] = []
    for patch in patches:
        joined, apart = [patch], groups
        while True:
            near = [overlap(around(group), around(joined)) for group in apart]
            if not any(near):
                break
            joined += [one for group, is_near in zip(apart, near, strict=True) if is_near for one in group]
            apart = [group for group, is_near in zip(apart, near, strict=True) if not is_near]
        groups = [*apart, joined]
    return groups


def bands(window: Window) -> list[Window]:
    """``window`` in horizontal bands of at most ``MOST_PIXELS``, so that a crowd's window needs no more memory."""
    x0, y0, x1, y1 = window
    rows = max(1, MOST_PIXELS // (x1 - x0))
    return [(x0, top, x1, min(top + rows, y1)) for top in range(y0, y1, rows)]


def around(patches: Sequence[Patch]) -> Window:
    """The smallest window that holds those of all patches."""
    windows = [patch.window for patch in patches]
    left, top, right, bottom = zip(*windows, strict=True)
    return min(left), min(top), max(right), max(bottom)
