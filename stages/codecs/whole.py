"""What codecs share that encode a page as a whole: samples kept once decoded, and edits laid over them."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from stages.picture import Edit, Page, Samples, Window
from stages.turn import upright

KEPT = 48_000_000  # bytes of decoded samples that an opened file may hold on to


class Kept:
    """The decoded samples of a file's pages, upright; small ones are kept for the next who asks.

    ``decode(page, least)`` gives a page's samples in stored orientation, (h, w, channels).
    """

    def __init__(self, pages: list[Page], decode: Callable[[int, int | None], Samples]) -> None:
        self._pages = pages
        self._decode = decode
        self._kept: dict[int, Samples] = {}

    def samples(self, page: int, least: int | None = None) -> Samples:
        """See ``stages.picture.Picture.samples``."""
        if page in self._kept:
            return self._kept[page]
        facts = self._pages[page]
        size = facts.width * facts.height * facts.channels * (2 if facts.depth > 8 else 1)
        reducible = least is not None and size > KEPT
        found = upright(self._decode(page, least if reducible else None), facts.orientation)
        if size <= KEPT:
            self._kept = {page: found}
        return found

    def window(self, page: int, window: Window) -> Samples:
        """See ``stages.picture.Picture.window``."""
        x0, y0, x1, y1 = window
        return self.samples(page)[y0:y1, x0:x1]

    def edited(self, page: int, edits: Iterable[Edit]) -> Samples:
        """A copy of a page's samples, upright, with those of the edits in their windows."""
        result = np.array(self.samples(page))
        for edit in edits:
            if edit.page == page:
                x0, y0, x1, y1 = edit.window
                result[y0:y1, x0:x1] = edit.samples
        return result


def bytes_of(data: NDArray[np.uint8]) -> bytes:
    """A file's bytes for libraries that take nothing else."""
    return data.tobytes()
