"""Pictures, edits and checks for the tests of the codecs."""

import io
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Edit, Picture, Samples, Window, Written, Xmp

WINDOW = (5, 3, 25, 19)
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="box 7"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def noise(*shape: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8, seed: int = 7) -> Samples:
    """Random samples over the whole range."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A colour picture without noise, (h, w, 3), for codecs with loss."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x / (9 + 5 * c) + c) * np.cos(y / (11 + 3 * c)) for c in range(3)]
    return np.dstack(waves).astype(np.uint8)


def saved(image: Image.Image | Samples, kind: str, **options: object) -> NDArray[np.uint8]:
    """A file as Pillow writes it."""
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return array(out.getvalue())


def array(content: bytes) -> NDArray[np.uint8]:
    """Bytes as the stages hold them: read-only."""
    return np.frombuffer(content, np.uint8)


def edit(picture: Picture, window: Window = WINDOW) -> Edit:
    """The colours of every other pixel of a window turned over; alpha stays."""
    old = picture.window(0, window)
    mask = np.indices(old.shape[:2]).sum(axis=0) % 2 == 0
    new = old.copy()
    colours = picture.pages[0].channels - picture.pages[0].alpha
    new[mask, :colours] = np.iinfo(old.dtype).max - new[mask, :colours]
    return Edit(0, window, new, mask)


def edited_samples(picture: Picture, change: Edit) -> Samples:
    """All samples of the page as they should come out."""
    expected = np.array(picture.samples(0))
    x0, y0, x1, y1 = change.window
    expected[y0:y1, x0:x1] = change.samples
    return expected


def check_lossless(codec: Codec, data: NDArray[np.uint8], xmp: Xmp) -> Written:
    """Writes an edit, and sees that the samples are those of the file but for it. Gives the result."""
    picture = codec.open(data)
    change = edit(picture)
    expected = edited_samples(picture, change)
    written = picture.write([change], xmp)
    assert codec.open(data).write([change], xmp) == written  # the same bytes each time
    np.testing.assert_array_equal(codec.open(array(written.content)).samples(0), expected)
    return written


def fault(codec: Codec, data: NDArray[np.uint8]) -> FaultClass:
    """The class that a file's fault has, found at opening or decoding."""
    with pytest.raises(PhotoFault) as caught:
        codec.open(data).samples(0)
    return caught.value.kind


def decodes_or_is_at_fault(codec: Codec, data: NDArray[np.uint8], change: Callable[[Picture], object]) -> None:
    """Whatever a damaged file does, it raises nothing but ``PhotoFault``."""
    with suppress(PhotoFault):
        change(codec.open(data))
