"""Files to pixels and back."""

import io
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from stages.imaging import SAVERS, Limits, decode, encode, stored, upright
from stages.photo import FaultClass, PhotoFault, Pixels

LIMITS = Limits(max_bytes=10**8, max_pixels=10**6)
RNG = np.random.default_rng(7)


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    rgb = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return rgb.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> Pixels:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return np.frombuffer(out.getvalue(), np.uint8)


def fault(data: Pixels, name: str) -> FaultClass:
    with pytest.raises(PhotoFault) as caught:
        decode(data, name, LIMITS)
    return caught.value.kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(orientation: int) -> None:
    image = picture()
    exif = image.getexif()
    exif[274] = orientation
    data = saved(image, "PNG", exif=exif.tobytes())
    decoded = decode(data, "a.png", LIMITS)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data.tobytes()))))
    np.testing.assert_array_equal(decoded.rgb, shown)
    again = Image.open(io.BytesIO(encode(decoded, decoded.rgb)))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    assert again.getexif()[274] == orientation


def test_turning_back_undoes_turning() -> None:
    pixels = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for orientation in range(1, 9):
        np.testing.assert_array_equal(stored(upright(pixels, orientation), orientation), pixels)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiff_keeps_its_orientation_resolution_and_pixels(orientation: int) -> None:
    data = saved(picture(), "TIFF", compression="tiff_lzw", dpi=(600, 600), tiffinfo={274: orientation})
    decoded = decode(data, "scan.tif", LIMITS)
    again = decode(np.frombuffer(encode(decoded, decoded.rgb), np.uint8), "scan.tif", LIMITS)
    np.testing.assert_array_equal(decoded.rgb, again.rgb)
    assert again.encoding == decoded.encoding
    assert again.encoding.compression == "tiff_lzw"


@pytest.mark.parametrize(
    ("kind", "name", "mode"),
    [
        ("PNG", "a.png", "RGB"),
        ("PNG", "a.png", "RGBA"),
        ("PNG", "a.png", "L"),
        ("PNG", "a.png", "LA"),
        ("TIFF", "a.tif", "L"),
        ("BMP", "a.bmp", "RGB"),
    ],
)
def test_lossless_formats_come_out_with_the_same_pixels_and_mode(kind: str, name: str, mode: str) -> None:
    image = picture(mode)
    decoded = decode(saved(image, kind), name, LIMITS)
    again = Image.open(io.BytesIO(encode(decoded, decoded.rgb)))
    assert (again.format, again.mode) == (kind, mode)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


def test_lossless_webp_stays_lossless() -> None:
    decoded = decode(saved(picture(), "WEBP", lossless=True), "a.webp", LIMITS)
    again = decode(np.frombuffer(encode(decoded, decoded.rgb), np.uint8), "a.webp", LIMITS)
    np.testing.assert_array_equal(decoded.rgb, again.rgb)


def test_a_palette_is_expanded() -> None:
    image = picture().quantize(16)
    decoded = decode(saved(image, "PNG"), "a.png", LIMITS)
    np.testing.assert_array_equal(decoded.rgb, np.asarray(image.convert("RGB")))
    assert Image.open(io.BytesIO(encode(decoded, decoded.rgb))).mode == "RGB"


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_keeps_its_tables_sampling_and_progression(subsampling: int) -> None:
    data = saved(
        picture(), "JPEG", quality=63, subsampling=subsampling, progressive=True, dpi=(300, 300), comment=b"box 7"
    )
    decoded = decode(data, "a.jpg", LIMITS)
    again = decode(np.frombuffer(encode(decoded, decoded.rgb), np.uint8), "a.jpg", LIMITS)
    assert again.encoding == decoded.encoding
    assert (again.encoding.subsampling, again.encoding.progressive, again.encoding.comment) == (
        subsampling,
        True,
        b"box 7",
    )


def test_a_colour_profile_is_kept() -> None:
    decoded = decode(saved(picture(), "JPEG", icc_profile=b"profile"), "a.jpg", LIMITS)
    assert Image.open(io.BytesIO(encode(decoded, decoded.rgb))).info["icc_profile"] == b"profile"


def test_grey_stays_grey() -> None:
    decoded = decode(saved(picture("L"), "JPEG"), "a.jpg", LIMITS)
    tinted = decoded.rgb.copy()
    tinted[:5, :5] = [200, 100, 50]
    assert Image.open(io.BytesIO(encode(decoded, tinted))).mode == "L"


def test_what_would_lose_depth_is_unsupported() -> None:
    deep = Image.fromarray(RNG.integers(0, 65536, (8, 8), dtype=np.uint16))
    assert fault(saved(deep, "PNG"), "a.png") is FaultClass.UNSUPPORTED
    assert fault(saved(picture("CMYK"), "JPEG"), "a.jpg") is FaultClass.UNSUPPORTED
    assert fault(saved(picture("1"), "TIFF"), "a.tif") is FaultClass.UNSUPPORTED
    pages = saved(picture(), "TIFF", save_all=True, append_images=[picture()])
    assert fault(pages, "a.tif") is FaultClass.UNSUPPORTED
    assert fault(saved(picture("P"), "GIF"), "a.gif") is FaultClass.UNSUPPORTED


def test_sixteen_bit_colour_is_unsupported_and_never_flattened() -> None:
    import cv2

    written, data = cv2.imencode(".png", RNG.integers(0, 65536, (8, 8, 3), dtype=np.uint16))
    assert written
    assert fault(np.asarray(data, np.uint8).ravel(), "a.png") is FaultClass.UNSUPPORTED


def test_broken_files_say_what_is_wrong() -> None:
    whole = saved(picture(size=(400, 400)), "JPEG")
    assert fault(whole[: whole.size * 2 // 3], "a.jpg") is FaultClass.TRUNCATED
    assert fault(np.frombuffer(b"just text, whatever its name", np.uint8), "a.jpg") is FaultClass.NOT_AN_IMAGE
    assert fault(saved(picture(), "PNG"), "a.jpg") is FaultClass.MISLABELLED
    assert fault(saved(Image.new("L", (1001, 1000)), "PNG"), "a.png") is FaultClass.TOO_LARGE
    heic = np.frombuffer(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", np.uint8)
    assert fault(heic, "a.heic") is FaultClass.UNSUPPORTED


def test_a_damaged_png_decodes_or_is_a_photos_fault_but_never_raises_anything_else() -> None:
    whole = saved(picture(), "PNG")
    for place in range(8, whole.size, 61):
        broken = whole.copy()
        broken[place] ^= 0xFF
        with suppress(PhotoFault):
            assert decode(broken, "a.png", LIMITS).rgb.ndim == 3


def test_damaged_metadata_costs_a_photo_nothing_else() -> None:
    data = saved(picture(), "PNG", exif=b"Exif\0\0this is no TIFF header")
    assert decode(data, "a.png", LIMITS).encoding.orientation == 1
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n  4\nnothexadecimal\n")
    assert decode(saved(picture(), "PNG", pnginfo=text), "a.png", LIMITS).rgb.shape == (24, 40, 3)


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("TIFF", "a.tif"), ("WEBP", "a.webp"), ("PNG", "a.png")])
def test_damaged_files_decode_or_are_a_photos_fault(kind: str, name: str) -> None:
    exif = picture().getexif()
    exif[274] = 6
    whole = saved(picture(), kind, exif=exif)
    dice = np.random.default_rng(1839)
    for _ in range(300):
        broken = whole.copy()
        broken[dice.integers(0, whole.size, 3)] = dice.integers(0, 256, 3)
        with suppress(PhotoFault):
            assert decode(broken, name, LIMITS).rgb.ndim == 3


def test_running_out_of_memory_is_not_the_photos_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", hungry)
    with pytest.raises(MemoryError):
        decode(np.zeros(9, np.uint8), "a.png", LIMITS)


def test_a_bug_in_encoding_is_not_the_photos_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = decode(saved(picture(), "PNG"), "a.png", LIMITS)

    def broken(*_: object) -> None:
        raise NameError("ours")

    monkeypatch.setitem(SAVERS, "PNG", broken)
    with pytest.raises(NameError):
        encode(decoded, decoded.rgb)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [("PNG", "a.png", {}), ("TIFF", "a.tif", {}), ("WEBP", "a.webp", {"lossless": True}), ("JPEG", "a.jpg", {})],
)
def test_a_large_profile_is_kept_in_every_format_and_changes_no_pixel(
    kind: str, name: str, options: dict[str, object]
) -> None:
    decoded = decode(saved(picture(), kind, icc_profile=b"p" * 6000, **options), name, LIMITS)
    again = decode(np.frombuffer(encode(decoded, decoded.rgb), np.uint8), name, LIMITS)
    assert again.encoding == decoded.encoding
    assert again.encoding.icc == b"p" * 6000
    if kind != "JPEG":
        np.testing.assert_array_equal(decoded.rgb, again.rgb)


def test_a_png_keeps_its_gamma_and_the_orientation_in_its_xmp() -> None:
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    xmp += '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    chunks = PngInfo()
    chunks.add(b"gAMA", (45455).to_bytes(4, "big"))
    chunks.add_itxt("XML:com.adobe.xmp", xmp)
    image = picture()
    decoded = decode(saved(image, "PNG", pnginfo=chunks), "a.png", LIMITS)
    again = Image.open(io.BytesIO(encode(decoded, decoded.rgb)))
    assert again.info["gamma"] == pytest.approx(0.45455)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    assert ImageOps.exif_transpose(again).size == (24, 40)
