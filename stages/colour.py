"""A page's own colours to sRGB and back, through its ICC profile where it has one.

Networks see sRGB. What they change is a difference in sRGB levels, and it alone is taken back: a sample that does not
change keeps its very value, whatever the profile's tables do on the way there and back.
"""

import io
from functools import lru_cache
from typing import cast

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from stages.picture import Page, Samples, Space

Floats = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in JPEG and Pillow
SAME = 1.5  # levels: a profile that moves no colour further is taken for sRGB
ROUNDS = 3  # of the way back to ink: four inks for three colours have no exact inverse
SPACES: dict[str, Space] = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}
NAMES = {"L": "gray", "RGB": "rgb", "CMYK": "cmyk"}


class Colour:
    """The colours of one kind of page. A profile that is broken, or for another space, is ignored."""

    def __init__(self, page: Page) -> None:
        self._space = page.space
        self._top = 255 if page.depth <= 8 else 65535
        self._channels = page.channels - page.alpha
        self._premultiplied = page.premultiplied
        self._icc = page.icc if page.icc and matters(page.icc, page.space) else None

    def to_srgb(self, samples: Samples) -> Floats:
        """(h, w, channels) samples as sRGB levels (h, w, 3), float32, 0 to 255; a profile may give more and less."""
        if self._icc is None and self._space == "RGB" and self._top == 255:
            return samples[..., :3].astype(np.float32)
        return self._to_srgb(samples[..., : self._channels].astype(np.float32) / np.float32(self._top))

    def changed(self, samples: Samples, change: Floats) -> Samples:
        """``samples`` with ``change`` (h, w, 3) in sRGB levels added; alpha, and what does not change, stays."""
        if not self._premultiplied:
            return self._changed(samples, change)
        opacity = samples[..., -1:].astype(np.float32) / np.float32(self._top)
        result = self._changed(samples, floats(change * opacity))
        colours = np.minimum(result[..., :-1], np.maximum(samples[..., -1:], samples[..., :-1]))
        return np.concatenate([colours, samples[..., -1:]], axis=2)

    def _changed(self, samples: Samples, change: Floats) -> Samples:
        if self._icc is None and self._space != "CMYK":
            return self._plainly(samples, change)
        before = floats(samples[..., : self._channels]) / np.float32(self._top)
        after = self._by_profile(before, change) if self._icc else ink_of(before, self._to_srgb(before) + change)
        still = (change == 0).all(axis=2, keepdims=True)
        levels = np.rint(after * np.float32(self._top)).clip(0, self._top).astype(samples.dtype)
        result = np.array(samples)
        result[..., : self._channels] = np.where(still, result[..., : self._channels], levels)
        return result

    def _plainly(self, samples: Samples, change: Floats) -> Samples:
        """The same for RGB and grey that are sRGB as they are."""
        step = change if self._space == "RGB" else luma_of(change)[..., None]
        step = step if self._top == 255 else step * np.float32(self._top / 255)
        if samples.shape[2] == self._channels:
            return added(samples, step)
        result = np.array(samples)
        result[..., : self._channels] = added(np.ascontiguousarray(samples[..., : self._channels]), step)
        return result

    def _by_profile(self, before: Floats, change: Floats) -> Floats:
        """What the profile makes of the wanted colour, less what it makes of the present one, added to the samples."""
        wanted, after = self._to_srgb(before) + change, before
        for _ in range(ROUNDS if self._space == "CMYK" else 1):
            now = self._to_srgb(after)
            after = (after + self._from_srgb(wanted) - self._from_srgb(now)).clip(0, 1)
        return after

    def _to_srgb(self, values: Floats) -> Floats:
        """(h, w, channels) in [0, 1] to levels (h, w, 3)."""
        if self._icc is not None:
            return floats(through(values, self._icc, srgb(), NAMES[self._space], "rgb") * np.float32(255))
        if self._space == "CMYK":
            return floats((1 - values[..., :3]) * (1 - values[..., 3:]) * np.float32(255))
        return np.broadcast_to(floats(values * np.float32(255)), (*values.shape[:2], 3))

    def _from_srgb(self, levels: Floats) -> Floats:
        """Levels (h, w, 3) to (h, w, channels) in [0, 1], by the profile."""
        icc = cast("bytes", self._icc)
        return through(levels / np.float32(255), srgb(), icc, "rgb", NAMES[self._space])


def luma_of(levels: Floats) -> Floats:
    """The luma (h, w) of RGB (h, w, 3)."""
    return floats(cv2.transform(levels, LUMA[None])).reshape(levels.shape[:2])


def added(samples: Samples, change: Floats) -> Samples:
    """``samples`` plus ``change``, both (h, w, C), in the samples' own units: rounded and clipped."""
    depth = cv2.CV_8U if samples.dtype == np.uint8 else cv2.CV_16U
    return np.asarray(cv2.add(samples, change, dtype=depth), samples.dtype).reshape(samples.shape)


def rounded_levels(levels: Floats, depth: int) -> Samples:
    """sRGB levels (0 to 255) as samples of a depth."""
    top = 255 if depth <= 8 else 65535
    scaled = np.rint(levels * np.float32(top / 255)).clip(0, top)
    return scaled.astype(np.uint8 if depth <= 8 else np.uint16)


def floats(values: NDArray[np.generic]) -> Floats:
    """``values`` as float32; no copy if they are."""
    return np.asarray(values, np.float32)


def ink_of(before: Floats, levels: Floats) -> Floats:
    """Ink (h, w, 4) in [0, 1] for sRGB ``levels`` (h, w, 3), without a profile: light is (1 - ink) (1 - black).

    The black of ``before`` stays, unless the colour is too light for it.
    """
    light = (levels / np.float32(255)).clip(0, 1)
    black = np.minimum(before[..., 3:], 1 - light.max(axis=2, keepdims=True))
    ink = 1 - light / np.maximum(1 - black, 1e-6)
    return np.concatenate([ink.clip(0, 1), black], axis=2)


def through(values: Floats, source: bytes, target: bytes, space: str, to: str) -> Floats:
    """Values (h, w, channels) in [0, 1] through two profiles, in 16 bit."""
    words = np.rint(values.clip(0, 1) * np.float32(65535)).astype(np.uint16)
    words = words[..., 0] if space == "gray" else words
    found = imagecodecs.cms_transform(np.ascontiguousarray(words), source, target, colorspace=space, outcolorspace=to)
    shape = (*values.shape[:2], -1)
    return np.asarray(found, np.float32).reshape(shape) / np.float32(65535)


@lru_cache(maxsize=64)
def matters(icc: bytes, space: Space) -> bool:
    """Whether a profile can be used for ``space`` and moves some colour by more than ``SAME`` levels."""
    if profile_space(icc) != space:
        return False
    steps = np.linspace(0, 1, 9 if space != "CMYK" else 5, dtype=np.float32)
    axes = np.meshgrid(*[steps] * {"L": 1, "RGB": 3, "CMYK": 4}[space])
    grid = np.stack(axes, -1).reshape(1, -1, len(axes))
    try:
        moved = through(grid, icc, srgb(), NAMES[space], "rgb")
        through(moved, srgb(), icc, "rgb", NAMES[space])  # some profiles know one way only
    except (imagecodecs.CmsError, ValueError, RuntimeError):
        return False
    return space == "CMYK" or bool(np.abs(moved - grid).max() * 255 > SAME)


def profile_space(icc: bytes) -> Space | None:
    """The colour space that an ICC profile is for; None if it cannot be read or is for another than these."""
    return SPACES.get(icc[16:20].decode("latin-1")) if icc[36:40] == b"acsp" else None


def profile_name(icc: bytes | None) -> str | None:
    """What a profile calls itself, for people; "unreadable" if it does not say, None if there is none."""
    if not icc:
        return None
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"


@lru_cache(maxsize=1)
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
