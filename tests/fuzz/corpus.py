"""The corpus: a few portraits, at most 320 px on a side, in every form that Daguerre reads.

Recipe: portraits of ``--photos`` (or the astronaut of scikit-image, a public-domain picture of NASA, where there are
none) reduced to 320 px and to 96 px, each written in all forms of ``FORMS``; and the small files of ``formats`` there
as they are. Nothing of it is kept on disk: the same photos give the same bytes.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin
from skimage.data import astronaut

from tests.fuzz.worker import Corpus

SIDES = (320, 96)
PORTRAITS = ("portrait/0007.jpg", "old/13.jpg", "profile/0149.jpg")
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="box 7"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)

Write = Callable[[Image.Image], bytes]


def corpus(photos: Path | None = None) -> Corpus:
    """The seeds by name ("1-96-progressive.jpg"), in a fixed order."""
    found: Corpus = {}
    for number, picture in enumerate(portraits(photos)):
        for side in SIDES:
            small = reduced(picture, side)
            found |= {f"{number}-{side}-{name}": write(small) for name, write in FORMS.items()}
    for path in sorted((photos / "formats").iterdir()) if photos and (photos / "formats").is_dir() else ():
        if path.stat().st_size and is_small(path):
            found[f"kept-{path.name}"] = path.read_bytes()
    return found


def portraits(photos: Path | None) -> Iterator[Image.Image]:
    """Upright RGB pictures with a face."""
    paths = [photos / name for name in PORTRAITS if (photos / name).is_file()] if photos else []
    for path in paths:
        with Image.open(path) as opened:
            yield opened.convert("RGB")
    if not paths:
        yield Image.fromarray(astronaut()).crop((60, 0, 380, 320))


def is_small(path: Path) -> bool:
    """Whether a file is no picture, or one of at most 320 px."""
    try:
        with Image.open(path) as opened:
            return max(opened.size) <= max(SIDES)
    except OSError:
        return path.suffix != ".heic"


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """``picture`` with its longer side ``side`` pixels long, or as it is where it is smaller."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return small


def saved(kind: str, mode: str = "RGB", **options: Any) -> Write:
    """A writer by Pillow."""

    def write(picture: Image.Image) -> bytes:
        out = io.BytesIO()
        picture.convert(mode).save(out, kind, **options)
        return out.getvalue()

    return write


def tiff(mode: str = "RGB", pages: int = 1, bigtiff: bool = False, order: str = "<", **options: Any) -> Write:
    """A writer by tifffile."""

    def write(picture: Image.Image) -> bytes:
        out = io.BytesIO()
        with tifffile.TiffWriter(out, bigtiff=bigtiff, byteorder="<" if order == "<" else ">") as writer:
            for _ in range(pages):
                writer.write(np.asarray(picture.convert(mode)), metadata=None, **options)
        return out.getvalue()

    return write


def deep(picture: Image.Image) -> NDArray[np.uint16]:
    """(h, w, 3) uint16 over the whole range."""
    return np.asarray(picture.convert("RGB"), np.uint16) * 257


def exif(orientation: int) -> bytes:
    """An Exif block with an orientation, a thumbnail's directory and a maker."""
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "Box and plate"
    block.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0by hand"
    return block.tobytes()


def chunks() -> PngImagePlugin.PngInfo:
    """Text chunks of all kinds."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "plate 12")
    info.add_text("Comment", "found in a box " * 20, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def heic(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=60, exif=exif(1), xmp=XMP)
    return out.getvalue()


def pages_of_pillow(picture: Image.Image) -> bytes:
    """Three pages as Pillow writes them: LZW, Group 4 and deflate."""
    out = io.BytesIO()
    others = [picture.convert("1"), picture.convert("L")]
    picture.save(out, "TIFF", compression="tiff_lzw", save_all=True, append_images=others)
    return out.getvalue()


def jpeg_all(picture: Image.Image) -> bytes:
    """A JPEG with Exif, XMP, profile, comment and restart markers."""
    out = io.BytesIO()
    options = {"exif": exif(6), "xmp": XMP, "icc_profile": profile(), "comment": b"plate 12"}
    picture.save(out, "JPEG", quality=80, restart_marker_blocks=4, dpi=(300, 300), **options)
    return out.getvalue()


def plane_tiff(picture: Image.Image) -> bytes:
    """Colours in planes of their own."""
    out = io.BytesIO()
    planes = np.moveaxis(np.asarray(picture), 2, 0)
    tifffile.imwrite(out, planes, metadata=None, photometric="rgb", planarconfig="separate", compression="deflate")
    return out.getvalue()


FORMS: dict[str, Write] = {
    "420.jpg": saved("JPEG", quality=80),
    "444.jpg": saved("JPEG", quality=90, subsampling=0, optimize=True),
    "progressive.jpg": saved("JPEG", quality=75, progressive=True),
    "grey.jpg": saved("JPEG", "L", quality=80),
    "cmyk.jpg": saved("JPEG", "CMYK", quality=80),
    "all.jpg": jpeg_all,
    "tables.jpg": lambda picture: bytes(imagecodecs.jpeg8_encode(np.asarray(picture), level=80, optimize=True)),
    "rgb.png": saved("PNG"),
    "rgba.png": saved("PNG", "RGBA"),
    "grey.png": saved("PNG", "L"),
    "palette.png": saved("PNG", "P"),
    "bilevel.png": saved("PNG", "1"),
    "deep.png": lambda picture: bytes(imagecodecs.png_encode(deep(picture))),
    "all.png": lambda picture: saved("PNG", pnginfo=chunks(), icc_profile=profile(), exif=exif(3))(
        reduced(picture, 320)
    ),
    "plain.tif": tiff(),
    "tiles.tif": tiff(tile=(64, 64), compression="deflate", predictor=True),
    "lzw.tif": tiff(compression="lzw", rowsperstrip=16, order=">"),
    "packbits.tif": tiff("L", compression="packbits"),
    "jpeg.tif": tiff(compression="jpeg", rowsperstrip=16),
    "planes.tif": plane_tiff,
    "big.tif": tiff(bigtiff=True, pages=2),
    "cmyk.tif": tiff("CMYK", photometric="separated"),
    "pages.tif": pages_of_pillow,
    "group4.tif": saved("TIFF", "1", compression="group4"),
    "lossy.webp": saved("WEBP", quality=70, exif=exif(1), xmp=XMP),
    "lossless.webp": saved("WEBP", lossless=True),
    "alpha.webp": saved("WEBP", "RGBA", quality=70),
    "rgb.bmp": saved("BMP"),
    "palette.bmp": saved("BMP", "P"),
    "grey.bmp": saved("BMP", "L"),
    "palette.gif": saved("GIF", "P"),
    "photo.avif": saved("AVIF", quality=60, speed=10),
    "photo.heic": heic,
    "boxes.jp2": lambda picture: bytes(imagecodecs.jpeg2k_encode(np.asarray(picture), level=40, codecformat="jp2")),
    "deep.jp2": lambda picture: bytes(imagecodecs.jpeg2k_encode(deep(picture), codecformat="jp2")),
    "stream.j2k": lambda picture: bytes(imagecodecs.jpeg2k_encode(np.asarray(picture), level=40, codecformat="j2k")),
}
