"""TIFF and BigTIFF: only the strips and tiles under the edits are encoded again, every other byte stays where it is.

Pages are those of the chain of directories; SubIFDs are left alone. Alpha is handed on as it is stored, premultiplied
(ExtraSamples 1) or not; further channels, and such that the file does not call alpha, are not shown and stay. Pages
with a palette, with 2 or 4 bit grey, or of JPEGs are shown, and written anew with Deflate once they are edited.
"""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codec import decoder_faults
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Edit, Page, Samples, Window, Written, Xmp
from stages.tiff import tags
from stages.tiff.directory import BYTE, WIDTHS, Directory, File, is_tiff
from stages.tiff.form import shown
from stages.tiff.fresh import created
from stages.tiff.layout import BILEVEL, Layout, page_of
from stages.tiff.segments import Segments
from stages.tiff.splice import recast, spliced, stored_edits
from stages.tiff.surgery import Change, Surgery, claims_of
from stages.turn import stored, stored_window, upright
from stages.xmp import renewed

THUMBNAIL, MASK = "thumbnail", "mask"


class Tiff(Kept):
    """An opened TIFF. See ``stages.picture.Picture``."""

    format = "TIFF"

    def __init__(self, file: File, pages: Sequence[Page], layouts: Sequence[Layout], refused: Sequence[str]) -> None:
        super().__init__(pages)
        self._file = file
        self._segments = [Segments(file.data, file.flavour, layout) for layout in layouts]
        self._refused = refused

    def window(self, page: int, window: Window) -> Samples:
        if self._refused[page] or not self.by_windows(page):
            return super().window(page, window)
        facts = self.pages[page]
        inside = stored_window(window, facts.width, facts.height, facts.orientation)
        return upright(self._read(page, inside), facts.orientation)

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        surgery = Surgery(self._file.data, self._file.flavour, claims_of(self._file, self._stretches()))
        changes: dict[int, Change] = {}
        notes: list[str] = []
        for page in sorted({edit.page for edit in edits}):
            changes[page] = self._changed(surgery, page, [edit for edit in edits if edit.page == page])
            if changes[page].removed:
                notes.append(f"page {page + 1} was {self._form(page)} and is {self.pages[page].space} in Deflate")
        way = "converted" if notes else "segments"
        notes += self._record(surgery, changes.setdefault(0, Change()), xmp)
        surgery.directories(self._file, changes)
        return Written(surgery.joined(), way, self.format, "; ".join(notes))

    def decoded(self, page: int, least: int | None) -> Samples:
        facts = self.pages[page]
        if self._refused[page] == BILEVEL:
            return bilevel(self._file.data, page, facts.orientation)
        layout = self._segments[page].layout
        return self._read(page, (0, 0, layout.width, layout.height))

    def _read(self, page: int, window: Window) -> Samples:
        """A stored window, as the stages see it but for the turn."""
        if self._refused[page]:
            raise PhotoFault(FaultClass.UNSUPPORTED, self._refused[page])
        segments = self._segments[page]
        return shown(segments.read(window, segments.layout.stored_channels), segments.layout)

    def _changed(self, surgery: Surgery, page: int, edits: Sequence[Edit]) -> Change:
        facts, segments = self.pages[page], self._segments[page]
        turned = stored_edits(facts, edits)
        if not turned:
            return Change()
        if self._refused[page]:
            raise PhotoFault(FaultClass.UNSUPPORTED, self._refused[page])
        if segments.layout.in_place:
            return spliced(surgery, self._file.directories[page], segments, turned)
        return recast(surgery, segments, facts, turned)

    def _form(self, page: int) -> str:
        layout = self._segments[page].layout
        if layout.compression == tags.JPEG:
            return "JPEG"
        return "a palette" if layout.palette is not None else f"grey of {layout.bits} bit"

    def _record(self, surgery: Surgery, change: Change, xmp: Xmp) -> list[str]:
        """The XMP packet goes into the first directory, where readers look for it, whichever page was edited.

        Gives what there is to note.
        """
        directory = self._file.directories[0]
        old = directory.tags.get(tags.XMP)
        before = self._file.content(directory, tags.XMP)
        packet, note = renewed(xmp, before)
        if packet is not None and packet != before:
            if old is None or not old.known:
                change.entries[tags.XMP] = surgery.entry(tags.XMP, BYTE, packet)
            else:
                change.entries[tags.XMP] = surgery.content(old, old.kind if WIDTHS[old.kind] == 1 else BYTE, packet)
        return [note] if note else []

    def _stretches(self) -> list[tuple[int, int]]:
        """Where all segments of all pages lie."""
        found: list[tuple[int, int]] = []
        for segments in self._segments:
            layout = segments.layout
            # a page that is handed through may list more of the one than of the other: only pairs name bytes
            found += zip(layout.offsets.tolist(), layout.counts.tolist(), strict=False)
        return found


def opened(data: NDArray[np.uint8]) -> Tiff:
    """The file with all its pages' facts. Raises ``PhotoFault``; see ``stages.picture.Codec``."""
    file = File(np.ascontiguousarray(data))
    found = [page_of(file, directory) for directory in file.directories]
    file.content(file.directories[0], tags.XMP)
    refused = [page.passed for page, _ in found]
    kinds = [kind_of(file, directory) for directory in file.directories]
    if all(kinds):
        if any(tags.SUB_DIRECTORIES in directory.tags for directory in file.directories):
            raise PhotoFault(FaultClass.UNSUPPORTED, "a TIFF whose photo lies in a SubIFD")
        kinds = [""] * len(kinds)  # thumbnails of nothing: the flags are wrong
    pages = [replace(page, passed=kind or page.passed) for kind, (page, _) in zip(kinds, found, strict=True)]
    reasons = [page.passed for page in pages if page.passed not in {THUMBNAIL, MASK}]
    if all(page.passed for page in pages) and BILEVEL not in reasons:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"TIFF: {reasons[0]}")
    return Tiff(file, pages, [layout for _, layout in found], refused)


def kind_of(file: File, directory: Directory) -> str:
    """Whether a directory calls itself a thumbnail or a mask of another (TIFF 6.0, NewSubfileType and SubfileType)."""
    flags = file.number(directory, tags.SUBFILE, 0)
    if flags & 4:
        return MASK
    return THUMBNAIL if flags & 1 or file.number(directory, tags.OLD_SUBFILE, 0) == 2 else ""


def bilevel(data: NDArray[np.uint8], page: int, orientation: int) -> Samples:
    """The stored samples of a bilevel page, 0 and 255, by Pillow, which turns them upright itself."""
    with decoder_faults(), Image.open(io.BytesIO(data.tobytes()), formats=["TIFF"]) as image:
        image.seek(page)
        grey = np.asarray(image.convert("L"))
    return stored(grey, orientation)[..., None]


CODEC = Codec("TIFF", (".tif", ".tiff", ".btf"), is_tiff, opened, created)
