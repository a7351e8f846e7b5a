"""A picture at a larger size than its file has."""

from collections.abc import Sequence
from dataclasses import replace

from stages.picture import Edit, Page, Picture, Samples, Window, Written, Xmp


class Enlarged:
    """A picture whose one page is ``scale`` times as large. It cannot be written as its file was."""

    def __init__(self, picture: Picture, scale: int, samples: Samples) -> None:
        page = picture.pages[0]
        self.original = picture
        self.format = picture.format
        self.scale = scale
        self.pages: Sequence[Page] = [replace(page, width=page.width * scale, height=page.height * scale)]
        self._samples = samples

    def samples(self, page: int, least: int | None = None) -> Samples:
        """See ``stages.picture.Picture.samples``."""
        return self._samples

    def window(self, page: int, window: Window) -> Samples:
        """See ``stages.picture.Picture.window``."""
        x0, y0, x1, y1 = window
        return self._samples[y0:y1, x0:x1]

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        """Not for enlarged pictures: they are drawn anew."""
        raise NotImplementedError("an enlarged picture is drawn anew")
