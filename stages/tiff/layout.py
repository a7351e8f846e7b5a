"""How a page's samples are stored, and whether they can be worked on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.photo import FaultClass, PhotoFault
from stages.picture import Page, Space
from stages.tiff import tags
from stages.tiff.directory import Directory, File, Numbers
from stages.turn import stored_size

SPACES: dict[int, Space] = {0: "L", 1: "L", 2: "RGB", 3: "RGB", 5: "CMYK", 6: "RGB"}
COLOURS = {"L": 1, "RGB": 3, "CMYK": 4}
PREDICTING = frozenset({tags.LZW, tags.ZSTD, *tags.DEFLATES})
BILEVEL = "bilevel"
SPLICED = PREDICTING | {tags.RAW, tags.PACKBITS}


@dataclass(frozen=True, slots=True)
class Layout:
    """A page as it lies in the file: ``width`` x ``height`` pixels before they are turned, of ``samples`` a pixel.

    Segments are strips or tiles of ``span`` x ``rows`` pixels, in rows from the upper left corner; with ``planar``
    those of the first sample come first, then those of the second. ``palette`` is (n, 3) uint8.
    """

    width: int
    height: int
    bits: int
    samples: int
    photometric: int
    compression: int
    predictor: int
    reversed_bits: bool
    planar: bool
    tiled: bool
    span: int
    rows: int
    alpha: bool
    offsets: Numbers
    counts: Numbers
    palette: NDArray[np.uint8] | None = None
    tables: bytes | None = None

    @property
    def space(self) -> Space:
        return SPACES.get(self.photometric, "RGB")

    @property
    def stored_channels(self) -> int:
        """Samples of a pixel, from the first, that the stages see; further ones stay as they are."""
        return self.samples if self.palette is not None else COLOURS[self.space] + self.alpha

    @property
    def depth(self) -> int:
        """Bits of the samples that the stages see."""
        return max(8, self.bits)

    @property
    def in_place(self) -> bool:
        """Whether segments can be encoded again one by one, as they were; else an edited page gets another form."""
        return self.bits >= 8 and self.palette is None and self.compression in SPLICED

    @property
    def across(self) -> int:
        return -(-self.width // self.span)

    @property
    def down(self) -> int:
        return -(-self.height // self.rows)

    @property
    def planes(self) -> int:
        return self.samples if self.planar else 1

    @property
    def together(self) -> int:
        """Samples of a pixel that lie in one segment."""
        return 1 if self.planar else self.samples

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a segment."""
        return (self.span * self.together * self.bits + 7) // 8

    def rows_of(self, index: int) -> int:
        """The rows of a segment: the last strips may have fewer, tiles never do."""
        row = index % (self.across * self.down) // self.across
        return self.rows if self.tiled else min(self.rows, self.height - row * self.rows)


def page_of(file: File, directory: Directory) -> tuple[Page, Layout]:
    """A page's facts and layout. ``Page.passed`` says why a page cannot be worked on, as far as its own tags tell."""
    layout = layout_of(file, directory)
    orientation = file.number(directory, tags.ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    width, height = stored_size(layout.width, layout.height, orientation)
    reason = refusal(file, directory, layout)
    layout = with_tables(file, directory, layout) if not reason else layout
    layout = with_counts(layout)
    check_segments(layout, file.data.size, strict=reason in {"", BILEVEL})
    page = Page(
        width=width,
        height=height,
        mode=mode_of(layout),
        space=layout.space,
        alpha=layout.alpha,
        premultiplied=layout.alpha and file.numbers(directory, tags.EXTRA_SAMPLES).tolist() == [1],
        depth=layout.depth,
        orientation=orientation,
        icc=file.content(directory, tags.ICC),
        passed=reason,
    )
    return page, layout


def layout_of(file: File, directory: Directory) -> Layout:
    """The layout as the tags tell it, with the defaults of TIFF 6.0; ``PhotoFault`` if they cannot be true."""

    def number(tag: int, default: int) -> int:
        return file.number(directory, tag, default)

    width, height = number(tags.WIDTH, 0), number(tags.HEIGHT, 0)
    tiled = tags.TILE_WIDTH in directory.tags
    span = number(tags.TILE_WIDTH, 0) if tiled else width
    rows = number(tags.TILE_HEIGHT, 0) if tiled else min(number(tags.ROWS, height) or height, height)
    if min(width, height, span, rows) < 1:
        raise PhotoFault(FaultClass.CORRUPT, f"a page of {width} x {height} in segments of {span} x {rows}")
    if span * rows > 4 * width * height + 2**22:
        raise PhotoFault(FaultClass.CORRUPT, f"a page of {width} x {height} in tiles of {span} x {rows}")
    samples = number(tags.SAMPLES, 1)
    photometric = number(tags.PHOTOMETRIC, tags.BLACK_IS_ZERO if samples < 3 else tags.UNSAID)
    extra = file.numbers(directory, tags.EXTRA_SAMPLES).tolist()
    return Layout(
        width=width,
        height=height,
        bits=number(tags.BITS, 1),
        samples=samples,
        photometric=photometric,
        compression=number(tags.COMPRESSION, tags.RAW),
        predictor=number(tags.PREDICTOR, 1),
        reversed_bits=number(tags.FILL_ORDER, 1) == 2,
        planar=number(tags.PLANAR, 1) == 2 and samples > 1,
        tiled=tiled,
        span=span,
        rows=rows,
        alpha=samples == COLOURS[SPACES.get(photometric, "RGB")] + 1 and extra in ([1], [2]),
        offsets=file.numbers(directory, offsets_tag(directory)),
        counts=file.numbers(directory, counts_tag(directory)),
    )


def offsets_tag(directory: Directory) -> int:
    return tags.TILE_OFFSETS if tags.TILE_OFFSETS in directory.tags else tags.STRIP_OFFSETS


def counts_tag(directory: Directory) -> int:
    return tags.TILE_COUNTS if tags.TILE_COUNTS in directory.tags else tags.STRIP_COUNTS


def refusal(file: File, directory: Directory, layout: Layout) -> str:
    """Why a page cannot be worked on; empty if it can."""
    formats = set(file.numbers(directory, tags.SAMPLE_FORMAT).tolist())
    if layout.bits == 1 and layout.samples == 1:
        return BILEVEL
    if not formats <= {1, 4}:
        return "signed or floating samples"
    if len(set(file.numbers(directory, tags.BITS).tolist())) > 1:
        return "channels of different depths"
    return refused_colours(file, directory, layout) or refused_form(layout)


def refused_colours(file: File, directory: Directory, layout: Layout) -> str:
    if (layout.photometric == tags.YCBCR and layout.compression != tags.JPEG) or layout.photometric not in SPACES:
        return f"{tags.PHOTOMETRICS.get(layout.photometric, f'photometric {layout.photometric}')} colours"
    if layout.photometric == tags.SEPARATED and file.number(directory, tags.INK_SET, 1) != 1:
        return "inks other than CMYK"
    if layout.photometric == tags.PALETTE:
        entries = file.numbers(directory, tags.COLOUR_MAP).size
        return (
            "" if layout.samples == 1 and entries == 3 << layout.bits else "a palette of another size than its depth's"
        )
    extra = layout.samples - COLOURS[layout.space]
    if extra < 0 or (extra > 1 and extra != file.numbers(directory, tags.EXTRA_SAMPLES).size):
        return f"{layout.space} of {layout.samples} channels"
    return ""


def refused_form(layout: Layout) -> str:
    few = layout.bits in {2, 4} and layout.samples == 1
    if not few and layout.bits not in ({8} if layout.photometric == tags.PALETTE else {8, 16}):
        return f"{layout.bits} bit"
    if layout.compression == tags.JPEG:
        plain = layout.bits == 8 and not layout.planar and layout.samples == COLOURS[layout.space]
        known = layout.photometric in {tags.BLACK_IS_ZERO, tags.RGB, tags.YCBCR}
        return "" if plain and known else "a JPEG of unusual colours or depth"
    if layout.compression not in SPLICED:
        return f"{tags.COMPRESSIONS.get(layout.compression, f'compression {layout.compression}')} compression"
    if layout.predictor not in {1, 2} or (layout.predictor == 2 and (few or layout.compression not in PREDICTING)):
        return f"predictor {layout.predictor} with {layout.bits} bit and compression {layout.compression}"
    return ""


def with_tables(file: File, directory: Directory, layout: Layout) -> Layout:
    """The layout with its palette, if it has one, and its JPEG tables."""
    palette = None
    if layout.photometric == tags.PALETTE:
        words = file.numbers(directory, tags.COLOUR_MAP).reshape(3, -1).T
        palette = (words if words.max() < 256 else words >> np.uint64(8)).astype(np.uint8)
    return replace(layout, palette=palette, tables=file.content(directory, tags.JPEG_TABLES))


def with_counts(layout: Layout) -> Layout:
    """The layout with the sizes of uncompressed segments, if the file does not tell them."""
    if layout.compression != tags.RAW or layout.counts.any():
        return layout
    sizes = [layout.row_bytes * layout.rows_of(index) for index in range(layout.offsets.size)]
    return replace(layout, counts=np.asarray(sizes, np.uint64))


def check_segments(layout: Layout, size: int, strict: bool) -> None:
    """Raises ``PhotoFault`` unless every segment is there and lies in the file's ``size`` bytes.

    Without ``strict`` a page may store its samples in another way than in whole segments.
    """
    wanted = layout.across * layout.down * layout.planes
    told = min(wanted, layout.offsets.size, layout.counts.size)
    if strict and told < wanted:
        raise PhotoFault(FaultClass.CORRUPT, f"{told} of {wanted} segments have a place")
    offsets, counts = layout.offsets[:told], layout.counts[:told]
    wrong = (counts > size) | (offsets > size - np.minimum(counts, np.uint64(size)))
    if strict:
        wrong |= (offsets == 0) | (counts == 0)
    if strict and layout.compression == tags.RAW:
        wrong |= counts < np.asarray([layout.row_bytes * layout.rows_of(index) for index in range(told)], np.uint64)
    if wrong.any():
        raise PhotoFault(FaultClass.TRUNCATED, f"{np.count_nonzero(wrong)} of {wanted} segments are not all there")


def mode_of(layout: Layout) -> str:
    """The name that people know the page's form by, as in Pillow where that has one."""
    if layout.bits == 1 and layout.samples == 1:
        return "1"
    if layout.photometric == tags.PALETTE:
        return "P"
    if layout.photometric not in SPACES:
        return tags.PHOTOMETRICS.get(layout.photometric, "unknown")
    base = "LA" if layout.space == "L" and layout.alpha else layout.space + "A" * layout.alpha
    if layout.bits == 8:
        return base
    return f"I;{layout.bits}" if base == "L" else f"{base};{layout.bits}"
