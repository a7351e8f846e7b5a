"""What codecs share that decode a page as a whole: samples kept once decoded, and edits laid over them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from stages.picture import Edit, Page, Samples, Window, Written, Xmp
from stages.turn import upright

KEPT = 48_000_000  # bytes of decoded samples from which on a page is decoded in reduced size or by windows, if it can


class Kept(ABC):
    """A ``Picture`` that decodes a page once, whatever its size, and keeps it until another page is asked for.

    A class below it has a ``format``, knows ``decoded`` and ``write``, and may have a shorter way to a ``window``.
    """

    format: str

    def __init__(self, pages: Sequence[Page]) -> None:
        self.pages = pages
        self._kept: dict[int, Samples] = {}

    @abstractmethod
    def decoded(self, page: int, least: int | None) -> Samples:
        """A page's samples as they are stored, (h, w, channels); with ``least`` they may be reduced as far as
        ``stages.picture.Raster.samples`` says.
        """

    @abstractmethod
    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        """See ``stages.picture.Picture.write``."""

    def samples(self, page: int, least: int | None = None) -> Samples:
        """See ``stages.picture.Raster.samples``. Reduced samples are not kept."""
        if page in self._kept:
            return self._kept[page]
        facts = self.pages[page]
        found = upright(self.decoded(page, least if is_large(facts) else None), facts.orientation)
        if found.shape[:2] == (facts.height, facts.width):
            self._kept = {page: found}
        return found

    def window(self, page: int, window: Window) -> Samples:
        """See ``stages.picture.Raster.window``."""
        x0, y0, x1, y1 = window
        return self.samples(page)[y0:y1, x0:x1]

    def let_go(self) -> None:
        """See ``stages.picture.Picture.let_go``."""
        self._kept = {page: kept for page, kept in self._kept.items() if not is_large(self.pages[page])}

    def by_windows(self, page: int) -> bool:
        """Whether a window is better read by itself: the page is large, and has not been decoded so far."""
        return page not in self._kept and is_large(self.pages[page])

    def edited(self, page: int, edits: Iterable[Edit]) -> Samples:
        """A copy of a page's samples, upright, with those of the edits in their windows."""
        result = np.array(self.samples(page))
        for edit in edits:
            if edit.page == page:
                x0, y0, x1, y1 = edit.window
                result[y0:y1, x0:x1] = edit.samples
        return result


def is_large(page: Page) -> bool:
    """Whether a page's samples take more than ``KEPT`` bytes."""
    return page.width * page.height * page.channels * (2 if page.depth > 8 else 1) > KEPT
