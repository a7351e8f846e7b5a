"""Edits of one page, laid into the strips and tiles that they touch, or into the page as a whole."""

from collections.abc import Iterable, Sequence

import numpy as np

from stages.picture import Bits, Edit, Page, Samples, Window
from stages.tiff.directory import Directory
from stages.tiff.form import hidden, shown
from stages.tiff.fresh import Form, page_entries
from stages.tiff.layout import counts_tag, offsets_tag
from stages.tiff.segments import Segments
from stages.tiff.surgery import Change, Surgery
from stages.tiff.tags import OF_THE_FORM
from stages.turn import stored, stored_window

Stored = tuple[Window, Samples, Bits]


def stored_edits(page: Page, edits: Iterable[Edit]) -> list[Stored]:
    """Edits as they lie in the stored raster: window, samples and mask. Those that change nothing are left out."""
    return [
        (
            stored_window(edit.window, page.width, page.height, page.orientation),
            stored(edit.samples, page.orientation),
            stored(edit.mask, page.orientation),
        )
        for edit in edits
        if edit.mask.any()
    ]


def spliced(surgery: Surgery, directory: Directory, segments: Segments, edits: Sequence[Stored]) -> Change:
    """Only the segments under the edits are encoded again, and placed where the old ones were or at the end.

    All of them are if they are old LZW, which is not written and must not stand beside the new.
    """
    layout = segments.layout
    offsets, counts = layout.offsets.tolist(), layout.counts.tolist()
    edited = edited_segments(segments, edits)
    if segments.old_lzw:
        edited = {index: segments.decoded(index) for index in range(segments.count)} | edited
    for index, samples in edited.items():
        content = segments.encoded(samples)
        offsets[index] = surgery.place(offsets[index], counts[index], content)
        counts[index] = len(content)
    change = Change()
    for tag, values, before in (
        (offsets_tag(directory), offsets, layout.offsets),
        (counts_tag(directory), counts, layout.counts),
    ):
        if tag in directory.tags and values != before.tolist():
            change.entries[tag] = surgery.integers(directory.tags[tag], values)
    return change


def edited_segments(segments: Segments, edits: Sequence[Stored]) -> dict[int, Samples]:
    """The segments that hold samples under a mask, with the edits in them."""
    layout = segments.layout
    found: dict[int, Samples] = {}
    for (x0, y0, x1, y1), samples, mask in edits:
        new = hidden(samples, layout)
        for index, (left, top, right, bottom) in segments.under((x0, y0, x1, y1)):
            plane = segments.plane(index)
            inside = slice(max(y0, top) - y0, min(y1, bottom) - y0), slice(max(x0, left) - x0, min(x1, right) - x0)
            where = mask[inside]
            if plane.start >= new.shape[2] or not where.any():
                continue
            if index not in found:
                found[index] = np.array(segments.decoded(index))
            part = new[inside][..., plane]
            target = found[index][max(y0, top) - top :, max(x0, left) - left :, : part.shape[2]]
            np.copyto(target[: part.shape[0], : part.shape[1]], part, where=where[..., None])
    return found


def recast(surgery: Surgery, segments: Segments, page: Page, edits: Sequence[Stored]) -> Change:
    """The page in a form that can hold the edits; its samples outside their masks stay."""
    layout = segments.layout
    whole = (0, 0, layout.width, layout.height)
    samples = shown(segments.read(whole, layout.stored_channels), layout)
    for (x0, y0, x1, y1), new, mask in edits:
        np.copyto(samples[y0:y1, x0:x1], new, where=mask[..., None])
    entries = page_entries(surgery, surgery.flavour, Form(samples, page.space, page.alpha))
    return Change(entries, OF_THE_FORM)
