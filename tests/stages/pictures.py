"""A picture that lies in memory, for stages that need no file."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.picture import Edit, Page, Samples, Space, Window, Written, Xmp


class Plain:
    """Pages of samples (H, W, C); writing gives their raw bytes."""

    format = "PLAIN"

    def __init__(self, *pages: NDArray[np.uint8 | np.uint16], space: Space = "RGB", icc: bytes | None = None) -> None:
        channels = {"L": 1, "RGB": 3, "CMYK": 4}[space]
        self._pages = pages
        self.pages: Sequence[Page] = [
            Page(
                width=page.shape[1],
                height=page.shape[0],
                mode=space,
                space=space,
                alpha=page.shape[2] > channels,
                depth=8 * page.dtype.itemsize,
                icc=icc,
            )
            for page in pages
        ]

    def samples(self, page: int, least: int | None = None) -> Samples:
        return self._pages[page]

    def window(self, page: int, window: Window) -> Samples:
        x0, y0, x1, y1 = window
        return self._pages[page][y0:y1, x0:x1]

    def let_go(self) -> None:
        pass

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        return Written(
            b"".join(edited(self, page, edits).tobytes() for page in range(len(self.pages))), "lossless", "PLAIN"
        )


def edited(picture: Plain, page: int, edits: Sequence[Edit]) -> Samples:
    """A page's samples with the edits in their places."""
    result = np.array(picture.samples(page))
    for edit in edits:
        if edit.page == page:
            x0, y0, x1, y1 = edit.window
            result[y0:y1, x0:x1] = edit.samples
    return result
