"""GIF: one frame, which becomes a PNG of RGB, or RGBA where a colour is transparent.

The profile, the comments and the XMP packet go along; the palette, its order and other extensions do not.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codec import decoder_faults
from stages.codecs import png
from stages.codecs.gif_blocks import Walk
from stages.codecs.png_chunks import SIGNATURE, text_chunk
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Samples, Written, Xmp
from stages.xmp import renewed

HEADER_END = len(SIGNATURE) + 25  # of a PNG


class GifPicture(Kept):
    """An opened GIF of one frame."""

    format = "GIF"

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data).data
        self._blocks = Walk(self._data).blocks()
        if self._blocks.frames > 1:
            raise PhotoFault(FaultClass.UNSUPPORTED, "an animation")
        facts = self._blocks
        if not (facts.width and facts.height):
            raise PhotoFault(FaultClass.CORRUPT, "a picture without pixels")
        page = Page(facts.width, facts.height, "P", "RGB", facts.transparent, icc=facts.icc)
        super().__init__([page])

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        facts = self._blocks
        packet, note = renewed(xmp, facts.xmp)
        drawing = Drawing(self.edited(0, edits), "RGB", facts.transparent, facts.icc, xmp=packet)
        content = png.create(drawing)
        comments = b"".join(text_chunk(b"Comment", comment) for comment in facts.comments)
        return Written(content[:HEADER_END] + comments + content[HEADER_END:], "converted", "PNG", note)

    def decoded(self, page: int, least: int | None) -> Samples:
        facts = self.pages[page]
        with decoder_faults():
            image = Image.open(io.BytesIO(self._data), formats=["GIF"])
            if image.size != (facts.width, facts.height):
                raise PhotoFault(FaultClass.CORRUPT, "the frame is larger than its canvas")
            return np.asarray(image.convert("RGBA" if facts.alpha else "RGB"))


CODEC = Codec("GIF", (".gif",), lambda head: head[:6] in {b"GIF87a", b"GIF89a"}, GifPicture, becomes="PNG")
