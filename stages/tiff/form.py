"""Stored samples of a page to those that the stages see, and back."""

import numpy as np

from stages.picture import Samples
from stages.tiff import tags
from stages.tiff.layout import Layout


def shown(samples: Samples, layout: Layout) -> Samples:
    """Stored samples (h, w, channels), which may be written into, with black 0, palettes as RGB, few bits as 8."""
    if layout.palette is not None:
        return layout.palette[samples[..., 0]]
    if layout.bits < 8:
        samples *= np.uint8(255 // ((1 << layout.bits) - 1))
    return inverted(samples) if layout.photometric == tags.WHITE_IS_ZERO else samples


def hidden(samples: Samples, layout: Layout) -> Samples:
    """The inverse of ``shown`` for pages whose segments are encoded again as they were. A copy where it differs."""
    return inverted(np.array(samples)) if layout.photometric == tags.WHITE_IS_ZERO else samples


def inverted(samples: Samples) -> Samples:
    """Grey samples with light and dark exchanged, in place; alpha stays."""
    grey = samples[..., 0]
    np.invert(grey, out=grey)
    return samples
