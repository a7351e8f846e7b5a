"""A page at a larger size than its file has."""

from collections.abc import Sequence
from dataclasses import replace

from stages.picture import Page, Raster, Samples, Window


class Enlarged:
    """The first page of ``raster``, ``scale`` times as large, its samples (h, w, channels) given; a ``Raster``."""

    def __init__(self, raster: Raster, scale: int, samples: Samples) -> None:
        page = raster.pages[0]
        self.scale = scale
        self.pages: Sequence[Page] = [replace(page, width=page.width * scale, height=page.height * scale)]
        self._samples = samples

    def samples(self, page: int, least: int | None = None) -> Samples:
        """See ``stages.picture.Raster.samples``."""
        return self._samples

    def window(self, page: int, window: Window) -> Samples:
        """See ``stages.picture.Raster.window``."""
        x0, y0, x1, y1 = window
        return self._samples[y0:y1, x0:x1]
