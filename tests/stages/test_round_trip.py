"""With a restorer that changes nothing, a result has the samples of its photo, all of them, for any size of face."""

import io
from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from stages.canvas import Canvas
from stages.codec import Limits, open_picture
from stages.geometry import cut_from, similarity, square, template, warp_back
from stages.paste import Paste, Patch, blend, soft_mask
from stages.photo import Face, FaceStatus, PasteMode, Photo, Source
from stages.picture import Picture
from stages.rules import STANDARD
from stages.tone import tone_of
from stages.xmp import EditRecord, edited

LIMITS = Limits(10**9, 10**9)
RNG = np.random.default_rng(17)
RECORD = EditRecord("Daguerre", ("none",), "0" * 16)
SIZE = 240, 320


def noise(channels: int, kind: type[np.uint8 | np.uint16] = np.uint8) -> np.ndarray:
    shape = SIZE if channels == 1 else (*SIZE, channels)
    return RNG.integers(0, np.iinfo(kind).max, shape, endpoint=True).astype(kind)


def saved(kind: str, mode: str, channels: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(channels), mode).save(file, kind, **options)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "rgb.png": lambda: saved("PNG", "RGB", 3),
    "rgba.png": lambda: saved("PNG", "RGBA", 4),
    "grey.png": lambda: saved("PNG", "L", 1),
    "grey and alpha.png": lambda: saved("PNG", "LA", 2),
    "deep.png": lambda: bytes(imagecodecs.png_encode(noise(3, np.uint16))),
    "raw.tif": lambda: saved("TIFF", "RGB", 3),
    "lzw.tif": lambda: saved("TIFF", "RGB", 3, compression="tiff_lzw"),
    "deflate.tif": lambda: saved("TIFF", "L", 1, compression="tiff_adobe_deflate"),
    "cmyk.tif": lambda: saved("TIFF", "CMYK", 4),
    "lossless.webp": lambda: saved("WEBP", "RGB", 3, lossless=True, exact=True),
    "colours.bmp": lambda: saved("BMP", "RGB", 3),
    "deep.jp2": lambda: bytes(imagecodecs.jpeg2k_encode(noise(3, np.uint16), reversible=True, level=0)),
}


def opened(name: str, content: bytes) -> Picture:
    return open_picture(np.frombuffer(content, np.uint8), name, LIMITS)


def face(canvas: Canvas, side: float, mode: PasteMode) -> Face:
    points = template("ffhq", STANDARD) * (side / STANDARD) + [(SIZE[1] - side) / 2 + 0.3, (SIZE[0] - side) / 2 - 0.4]
    matrix = similarity(points, template("ffhq", STANDARD))
    crop = cut_from(canvas, matrix, STANDARD)
    found = Face(0, (0, 0, side, side), 1.0, points, FaceStatus.RESTORED, paste=mode)
    return replace(found, matrix=matrix, crop=crop, restored=crop.copy())


@pytest.mark.parametrize("side", [24, 150, 700])
@pytest.mark.parametrize("name", list(FILES))
def test_pasting_no_change_and_writing_it_changes_no_sample(name: str, side: int) -> None:
    picture = opened(name, FILES[name]())
    canvas = Canvas(picture)
    still = face(canvas, side, "difference")
    assert still.matrix is not None
    window = square(still.matrix, STANDARD, canvas.width, canvas.height)
    mask = warp_back(soft_mask(STANDARD, 0.15)[..., None], still.matrix, window)
    patch = Patch(window, mask, np.zeros((*mask.shape[:2], 3), np.float32))
    edits = blend(canvas, [patch], tone_of(canvas.view(1024)))
    again = opened(name, picture.write(edits, lambda packet: edited(packet, RECORD)).content)
    assert again.pages == picture.pages
    np.testing.assert_array_equal(again.samples(0), picture.samples(0))


@pytest.mark.parametrize("mode", ["difference", "replace"])
@pytest.mark.parametrize("name", ["rgb.png", "deep.png", "cmyk.tif"])
def test_a_face_that_did_not_change_makes_no_edit_at_all(name: str, mode: PasteMode) -> None:
    picture = opened(name, FILES[name]())
    photo = Photo(Source("f", "f"), picture=picture, faces=(face(Canvas(picture), 100, mode),))
    done = Paste(0.15)([photo])[0]
    assert not done.edits
    assert done.faces[0].status is FaceStatus.LEFT
