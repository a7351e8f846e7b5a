"""Paste back: each face's change, inside its mask and nowhere else, in the photo's own colours and depth.

    difference: pasted = photo + strength * mask * warp(restored - crop)
    replace:    pasted = photo + strength * mask * (warp(restored') - photo)

where restored' has the photo's own tone around the face. All crops were cut from the untouched photo. Where masks
overlap their weights are normalised, so that the order of the faces does not matter. If a network changes nothing, the
photo keeps its very bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from stages.canvas import Canvas, bands, common, moved, overlap, view
from stages.colour import Floats, floats
from stages.geometry import square, warp_back
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels
from stages.picture import Edit, Window
from stages.stage import each
from stages.tone import COLOUR, Tone, tone_of

TONE_VIEW = 1024  # the longer side of the view in which a photo's tone line is sought
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
        raster = photo.raster
        if raster is None:
            return photo
        pages = sorted({face.page for face in photo.faces if face.status is FaceStatus.RESTORED})
        for page in pages:
            photo = self.page(photo, Canvas(raster, page))
        return photo

    def page(self, photo: Photo, canvas: Canvas) -> Photo:
        """``photo`` with the edits of one page, faces that hang together at once."""
        mine = {face.index: face for face in photo.faces if face.page == canvas.page and face.matrix is not None}
        places = {index: place_of(face, canvas) for index, face in mine.items() if face.status is FaceStatus.RESTORED}
        inside = {index: place for index, place in places.items() if not is_empty(place)}
        tone = tone_of(canvas.view(TONE_VIEW))
        changed, edits = set[int](), list[Edit]()
        for cluster in clusters(inside):
            patches = {index: patch for index in cluster if (patch := make_patch(mine[index], canvas, self.feather))}
            found = blend(canvas, list(patches.values()), tone)
            seen = {index for index, patch in patches.items() if changes(canvas, found, patch)}
            changed |= seen
            edits += found if seen else []
        faces = tuple(mark(face, face.index in changed) if face.index in places else face for face in photo.faces)
        kind = photo.tone or (tone.kind if edits else None)
        return replace(photo, faces=faces, edits=(*photo.edits, *edits), tone=kind)


class Replace:
    """In place of ``Paste`` where each page is one aligned face: the restored crop is the page."""

    name = "paste"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.replace)

    def replace(self, photo: Photo) -> Photo:
        raster = photo.raster
        if raster is None:
            return photo
        for face in photo.faces:
            if face.crop is None or face.restored is None or face.status is not FaceStatus.RESTORED:
                continue
            canvas = Canvas(raster, face.page)
            change = (face.restored.astype(np.float32) - face.crop) * np.float32(face.strength)
            patch = Patch((0, 0, canvas.width, canvas.height), np.ones((*change.shape[:2], 1), np.float32), change)
            tone = tone_of(canvas.view(TONE_VIEW))
            edits = blend(canvas, [patch], tone)
            changed = changes(canvas, edits, patch)
            faces = tuple(mark(one, changed) if one is face else one for one in photo.faces)
            if changed:
                photo = replace(photo, edits=(*photo.edits, *edits), tone=photo.tone or tone.kind)
            photo = replace(photo, faces=faces)
        return photo


def mark(face: Face, changed: bool) -> Face:
    """A restored face of which not one sample of the photo changed was left, whatever the method did."""
    if face.status is not FaceStatus.RESTORED or changed:
        return face
    same = face.crop is not None and np.array_equal(face.crop, face.restored if face.restored is not None else ())
    reason = "the method changed nothing" if same else "the change is too small to change the photo"
    return replace(face, status=FaceStatus.LEFT, reason=reason)


def place_of(face: Face, canvas: Canvas) -> Window:
    """The window of the page that a face's square touches."""
    if face.crop is None or face.matrix is None:
        return 0, 0, 0, 0
    return square(canvas.matrix(face.matrix), face.crop.shape[0], canvas.width, canvas.height)


def is_empty(window: Window) -> bool:
    return window[2] <= window[0] or window[3] <= window[1]


def make_patch(face: Face, canvas: Canvas, feather: float) -> Patch | None:
    """The change of ``face`` as the photo will see it; None if its square lies outside, or nothing changed."""
    window = place_of(face, canvas)
    if face.crop is None or face.restored is None or face.matrix is None or is_empty(window):
        return None
    if face.strength == 0 or np.array_equal(face.crop, face.restored):
        return None
    mask, matrix = mask_of(face, feather)[..., None], canvas.matrix(face.matrix)
    if face.paste == "difference":
        patch = by_difference(face.crop, face.restored, mask, matrix, window)
    else:
        patch = by_replacing(face.crop, face.restored, mask, matrix, canvas, window)
    return patch if face.strength == 1 else replace(patch, change=patch.change * np.float32(face.strength))


def changes(canvas: Canvas, edits: Sequence[Edit], patch: Patch) -> bool:
    """Whether the edits change a sample of the page where ``patch`` has a change of its own."""
    for edit in edits:
        shared = common(edit.window, patch.window)
        if is_empty(shared):
            continue
        moving = view(patch.change, moved(shared, patch.window)).any(axis=2, keepdims=True)
        differs = view(edit.samples, moved(shared, edit.window)) != canvas.samples(shared)
        if (differs & moving).any():
            return True
    return False


def by_difference(crop: Pixels, restored: Pixels, mask: Floats, matrix: Matrix, window: Window) -> Patch:
    """The change that the network made, warped back."""
    change, weights = warped_with_mask(cv2.subtract(restored, crop, dtype=cv2.CV_32F), mask, matrix, window)
    return Patch(window, weights, change)


def by_replacing(crop: Pixels, restored: Pixels, mask: Floats, matrix: Matrix, canvas: Canvas, window: Window) -> Patch:
    """What is missing to the restored face, once it has the photo's tone around it."""
    face = cv2.add(restored, ring_tone(crop, restored, mask), dtype=cv2.CV_32F)
    wanted, weights = warped_with_mask(face, mask, matrix, window)
    present = cv2.multiply(canvas.levels(window), cv2.merge([weights[..., 0]] * 3))
    cv2.subtract(wanted, present, dst=wanted)
    return Patch(window, weights, wanted)


def warped_with_mask(layers: cv2.typing.MatLike, mask: Floats, matrix: Matrix, window: Window) -> tuple[Floats, Floats]:
    """``layers`` (S, S, 3) times ``mask`` (S, S, 1) in the photo's window, (h, w, 3), and the mask there, (h, w, 1)."""
    four = cv2.cvtColor(layers, cv2.COLOR_RGB2RGBA)  # the fourth becomes 1, and then the mask
    four = cv2.multiply(four, cv2.merge([mask[..., 0]] * 4))
    warped = warp_back(floats(four), matrix, window)
    return floats(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)), floats(cv2.extractChannel(warped, 3))[..., None]


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
    """The page's new samples under patches that hang together; outside their masks not a bit changes."""
    window = around([patch.window for patch in patches])
    return [blended(canvas, band, patches, tone) for band in bands(window)] if patches else []


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


def clusters(places: Mapping[int, Window]) -> list[list[int]]:
    """The keys of ``places`` in groups whose windows hang together."""
    groups: list[list[int]] = []
    for key in places:
        joined, apart = [key], groups
        while True:
            hull = around([places[one] for one in joined])
            near = [overlap(around([places[one] for one in group]), hull) for group in apart]
            if not any(near):
                break
            joined += [one for group, is_near in zip(apart, near, strict=True) if is_near for one in group]
            apart = [group for group, is_near in zip(apart, near, strict=True) if not is_near]
        groups = [*apart, sorted(joined)]
    return groups


def around(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all ``windows``; empty if there are none."""
    if not windows:
        return 0, 0, 0, 0
    left, top, right, bottom = zip(*windows, strict=True)
    return min(left), min(top), max(right), max(bottom)
