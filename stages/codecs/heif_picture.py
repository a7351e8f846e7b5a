"""AVIF and HEIC as the stages see them: the coded picture is replaced inside a file that otherwise stays as it was.

A picture stored as a grid of tiles (as phones do) gets new tiles where a face was changed, or all anew where the
decoder wants them alike. Transparency, thumbnails, depth and gain maps are items of their own and keep their bytes.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.codec import decoder_faults
from stages.codecs.heif_graft import Coded, grafted
from stages.codecs.heif_meta import Meta, kind_of, meta_of
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Edit, Page, Samples, Window, Written, Xmp
from stages.turn import TRANSPOSED, stored_size, stored_window, upright
from stages.xmp import renewed

ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
DESCRIBING = frozenset({b"ispe", b"pixi", b"nclx"})
WRONG_COLOURS = 2.0  # levels in the mean of a tile; encoding alone makes less than 0.5


Points = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Engine:
    """What tells the two formats apart.

    ``config`` is the kind of the property that describes the coded data of an item of kind ``coded``; ``facts`` gives
    its depth and subsampling. ``decode`` gives stored samples (h, w, any channels) of a file whose page is known;
    ``encode`` a file of one picture from stored samples (h, w, 1 or 3), its subsampling, and the code points (H.273:
    primaries, transfer, matrix, 1 for full range) that the old one had, as far as it can follow them. ``crops`` says
    that the decoder obeys clean apertures, ``alike`` that it wants all tiles of a grid to share their properties.
    """

    name: str
    coded: bytes
    config: bytes
    facts: Callable[[bytes], tuple[int, str]]
    decode: Callable[[memoryview, Page], Samples]
    encode: Callable[[Samples, str, Points | None], bytes]
    crops: bool
    alike: bool


@dataclass(frozen=True, slots=True)
class Tiles:
    """The coded items of a picture: one, or those of a grid, row by row, and the size of each."""

    items: tuple[int, ...]
    columns: int
    width: int
    height: int

    def window(self, at: int) -> Window:
        y, x = divmod(at, self.columns)
        return x * self.width, y * self.height, (x + 1) * self.width, (y + 1) * self.height


class HeifPicture(Kept):
    """An opened AVIF or HEIC with one picture."""

    def __init__(self, data: NDArray[np.uint8], engine: Engine) -> None:
        self._data = np.ascontiguousarray(data).data
        self._engine = engine
        self.format = engine.name
        with decoder_faults():
            self._meta = meta_of(self._data)
            self._tiles = tiles_of(self._data, self._meta, engine)
            page, self._subsampling = described(self._meta, self._tiles, engine)
        super().__init__([page])

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        changes = [edit for edit in edits if edit.mask.any()]
        item = self._meta.packet_item()
        packet, note = renewed(xmp, None if item is None else self._meta.content(self._data, item))
        if not changes:
            return Written(grafted(self._data, self._meta, [], packet), "lossless", self.format, note)
        colours = self._edited(changes)
        touched, everything = self._touched(changes), list(range(len(self._tiles.items)))
        content = self._with_tiles(colours, touched, packet)
        if touched != everything and not self._fits(content, colours, touched):
            touched = everything
            content = self._with_tiles(colours, touched, packet)
        tiles = f"{len(touched)} of {len(everything)} tiles are encoded again" if len(everything) > 1 else ""
        return Written(content, "recoded", self.format, "; ".join(filter(None, [tiles, note])))

    def _edited(self, edits: Sequence[Edit]) -> Samples:
        """All colours in stored orientation."""
        page = self.pages[0]
        samples = upright(self.edited(0, edits), {6: 8, 8: 6}.get(page.orientation, page.orientation))
        return samples[..., : page.channels - page.alpha]

    def _touched(self, edits: Sequence[Edit]) -> list[int]:
        """The tiles to be encoded again."""
        page, tiles = self.pages[0], self._tiles
        windows = [stored_window(edit.window, page.width, page.height, page.orientation) for edit in edits]
        found = range(len(tiles.items))
        return [at for at in found if self._engine.alike or any(meet(tiles.window(at), each) for each in windows)]

    def _with_tiles(self, colours: Samples, touched: Sequence[int], packet: bytes | None) -> bytes:
        """The file with these tiles encoded again. Where all are, the grid takes on their code points for colours."""
        coded = [self._tile(colours, at) for at in touched]
        if len(coded) == len(self._tiles.items) > 1:
            points = [each for each in coded[0].properties if kind_of(each[0]) == b"nclx"]
            coded.append(Coded(self._meta.primary, None, points, frozenset({b"nclx"})))
        return grafted(self._data, self._meta, coded, packet)

    def _fits(self, content: bytes, colours: Samples, touched: Sequence[int]) -> bool:
        """Whether a decoder shows new tiles beside old ones in the right colours: they may differ in what they mean."""
        page = self.pages[0]
        shown = self._engine.decode(memoryview(content), page)[..., : colours.shape[2]]
        for at in touched:
            x0, y0, x1, y1 = self._tiles.window(at)
            difference = cv2.absdiff(
                np.ascontiguousarray(shown[y0:y1, x0:x1]), np.ascontiguousarray(colours[y0:y1, x0:x1])
            )
            if difference.mean() > WRONG_COLOURS:
                return False
        return True

    def _tile(self, colours: Samples, at: int) -> Coded:
        """One tile; beyond the picture's edges it repeats them."""
        x0, y0, x1, y1 = self._tiles.window(at)
        found = colours[y0:y1, x0:x1]
        missing = ((0, y1 - y0 - found.shape[0]), (0, x1 - x0 - found.shape[1]), (0, 0))
        item = self._tiles.items[at]
        points = points_of(self._meta, item) or points_of(self._meta, self._meta.primary)
        padded = np.ascontiguousarray(np.pad(found, missing, mode="edge"))
        content = memoryview(self._engine.encode(padded, self._subsampling, points))
        new = meta_of(content)
        replaced = DESCRIBING | {self._engine.config} | ({b"clap"} if self._engine.crops else set[bytes]())
        properties = [
            (with_colours_of(each, points), essential)
            for each, (_, essential) in zip(new.properties_of(new.primary), new.associations[new.primary], strict=True)
            if kind_of(each) in replaced
        ]
        return Coded(item, new.content(content, new.primary), properties, frozenset(replaced))

    def decoded(self, page: int, least: int | None) -> Samples:
        facts = self.pages[page]
        with decoder_faults():
            samples = self._engine.decode(self._data, facts)
        width, height = stored_size(facts.width, facts.height, facts.orientation)
        if samples.shape[:2] != (height, width):
            raise PhotoFault(FaultClass.CORRUPT, "the picture is not as large as its header says")
        if facts.space == "L" and samples.shape[2] >= 3:
            samples = samples[..., [0, 3]] if facts.alpha else samples[..., :1]
        return samples[..., : facts.channels]


def tiles_of(data: memoryview, meta: Meta, engine: Engine) -> Tiles:
    """Raises ``PhotoFault`` for pictures that are derived in another way than as a grid."""
    kind = meta.items[meta.primary].kind
    if kind == engine.coded:
        width, height = size_of(meta, meta.primary, engine.crops)
        return Tiles((meta.primary,), 1, width, height)
    if kind != b"grid":
        raise PhotoFault(FaultClass.UNSUPPORTED, f"a picture of the kind {kind.decode('latin-1')}")
    grid = meta.content(data, meta.primary)
    items = meta.targets(b"dimg", meta.primary)
    rows, columns = grid[2] + 1, grid[3] + 1
    if len(items) != rows * columns or meta.property_of(meta.primary, b"clap"):
        raise PhotoFault(FaultClass.UNSUPPORTED, "a grid of tiles that is cropped or lacks some")
    if any(meta.items[item].kind != engine.coded for item in items) or len(set(items)) < len(items):
        raise PhotoFault(FaultClass.UNSUPPORTED, "a grid of tiles of other kinds")
    return Tiles(items, columns, *size_of(meta, items[0], crops=False))


def size_of(meta: Meta, item: int, crops: bool) -> tuple[int, int]:
    """Width and height of an item as it is decoded, before it is turned."""
    extent, crop = meta.property_of(item, b"ispe"), meta.property_of(item, b"clap")
    if extent is None:
        raise PhotoFault(FaultClass.CORRUPT, "a picture without a size")
    if crop and crops:
        width, across, height, down = struct.unpack_from(">IIII", crop)
        return width // across, height // down
    width, height = struct.unpack_from(">II", extent, 4)
    return width, height


def described(meta: Meta, tiles: Tiles, engine: Engine) -> tuple[Page, str]:
    """The page and its subsampling."""
    config = meta.property_of(tiles.items[0], engine.config)
    if config is None:
        raise PhotoFault(FaultClass.CORRUPT, f"no {engine.config.decode()} property")
    depth, subsampling = engine.facts(config)
    if depth > 8:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"{engine.name} of {depth} bit")
    if any(each.kind == b"prem" for each in meta.references):
        raise PhotoFault(FaultClass.UNSUPPORTED, f"{engine.name} with premultiplied transparency")
    width, height = size_of(meta, meta.primary, engine.crops)
    orientation = orientation_of(meta.properties_of(meta.primary))
    if orientation in TRANSPOSED:
        width, height = height, width
    alpha, grey = has_alpha(meta), subsampling == "4:0:0"
    mode = {(True, False): "L", (True, True): "LA", (False, False): "RGB", (False, True): "RGBA"}[grey, alpha]
    icc = profile_of(meta, meta.primary) or profile_of(meta, tiles.items[0])
    return Page(width, height, mode, "L" if grey else "RGB", alpha, 8, orientation, icc), subsampling


def has_alpha(meta: Meta) -> bool:
    """Whether an auxiliary picture is the primary one's transparency."""
    helpers = [each.source for each in meta.references if each.kind == b"auxl" and meta.primary in each.targets]
    kinds = [(meta.property_of(item, b"auxC") or b"")[4:].split(b"\0")[0] for item in helpers]
    return any(kind in ALPHA for kind in kinds)


def profile_of(meta: Meta, item: int) -> bytes | None:
    """The ICC profile of an item."""
    colours = (each[8:] for each in meta.properties_of(item) if each[4:8] == b"colr")
    return next((each[4:] for each in colours if each[:4] in {b"prof", b"rICC"}), None)


def orientation_of(properties: Sequence[bytes]) -> int:
    """The EXIF orientation that does the same as the rotations (anticlockwise) and mirrorings of an item, in order."""
    marked = np.arange(6).reshape(2, 3)
    turned = marked
    for each in properties:
        if each[4:8] == b"irot":
            turned = np.rot90(turned, each[8] & 3)
        elif each[4:8] == b"imir":
            turned = turned[:, ::-1] if each[8] & 1 else turned[::-1]
    return next(value for value in range(1, 9) if np.array_equal(upright(marked, value), turned))


def points_of(meta: Meta, item: int) -> Points | None:
    """The code points for an item's colours, if the file gives any."""
    found = [each for each in meta.properties_of(item) if kind_of(each) == b"nclx"]
    if not found:
        return None
    primaries, transfer, matrix, full = struct.unpack_from(">HHHB", found[0], 12)
    return primaries, transfer, matrix, full >> 7


def with_colours_of(box: bytes, points: Points | None) -> bytes:
    """New code points with the primaries and the transfer curve of the old ones; the matrix is the encoder's."""
    return box[:12] + struct.pack(">HH", *points[:2]) + box[16:] if points and kind_of(box) == b"nclx" else box


def meet(a: Window, b: Window) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
