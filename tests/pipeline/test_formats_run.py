"""Whole runs over photos in many formats, and the two ways to other formats and sizes."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from infra.errors import OperatorError
from infra.storage import Storage
from pipeline.ledger import read_manifest
from tests.pipeline.conftest import Restoring, portrait


def rows(sink: Path) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for table in read_manifest(Storage(), f"file://{sink}") for row in table.to_pylist()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One portrait in many formats."""
    root = tmp_path / "photos"
    root.mkdir()
    picture = portrait(240, 1)
    picture.save(root / "a.jpg", quality=90, exif=oriented(6))
    picture.convert("CMYK").save(root / "cmyk.tif")
    picture.convert("P").save(root / "palette.gif")
    picture.save(root / "lossy.webp", quality=80)
    deep = np.asarray(picture, np.uint16) * 257
    (root / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    picture.convert("L").save(root / "pages.tif", save_all=True, append_images=[picture.convert("1"), picture])
    picture.convert("1").save(root / "text.tif", compression="group4")
    return root


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_each_photo_comes_out_as_its_format_allows(photos: Path, tmp_path: Path, run: Restoring) -> None:
    upright = Image.open(photos / "a.jpg").transpose(Image.Transpose.ROTATE_90)
    upright.save(photos / "a.jpg", quality=90, exif=oriented(6))
    run(photos, tmp_path / "out")
    found = rows(tmp_path / "out")
    ways = {path: row["output"] and row["output"]["way"] for path, row in found.items()}
    assert ways == {
        "a.jpg": "dct",
        "cmyk.tif": "segments",
        "palette.gif": "converted",
        "lossy.webp": "recoded",
        "deep.png": "lossless",
        "pages.tif": "segments",
        "text.tif": None,
    }
    assert found["text.tif"]["error"]["class"] == "passed"
    assert found["lossy.webp"]["output"]["outside"] > 0
    assert [face["page"] for face in found["pages.tif"]["faces"]] == [0, 2]
    assert found["pages.tif"]["pages"] == 3
    assert (found["deep.png"]["depth"], found["cmyk.tif"]["mode"]) == (16, "CMYK")
    assert found["palette.gif"]["result_uri"].endswith("/photos/palette.gif.png")
    assert found["palette.gif"]["target"] == "palette.gif"
    assert {row["detector"] for row in found.values()} == {"cascade"}
    result = Image.open(tmp_path / "out" / "photos" / "a.jpg")
    assert result.getexif()[0x0112] == 6
    assert result.size == upright.size


def test_results_may_be_larger(photos: Path, tmp_path: Path, run: Restoring) -> None:
    run(photos, tmp_path / "out", scale=2, read={"include": ["cmyk.tif", "deep.png", "pages.tif"]})
    found = rows(tmp_path / "out")
    statuses = {path: row["status"] for path, row in found.items()}
    assert statuses == {"cmyk.tif": "restored", "deep.png": "restored", "pages.tif": "failed"}
    assert found["pages.tif"]["error"]["class"] == "unwritable"
    assert found["deep.png"]["output"]["scale"] == 2
    assert found["deep.png"]["width"] == 240
    deep = imagecodecs.png_decode((tmp_path / "out" / "photos" / "deep.png").read_bytes())
    assert (deep.shape, deep.dtype) == ((480, 480, 3), np.uint16)
    small = np.asarray(portrait(240, 1).resize((480, 480), Image.Resampling.LANCZOS), float)
    assert np.abs(deep / 257 - small).mean() < 6
    assert Image.open(tmp_path / "out" / "photos" / "cmyk.tif").mode == "CMYK"


def test_results_may_have_another_format(photos: Path, tmp_path: Path, run: Restoring) -> None:
    run(photos, tmp_path / "out", output_format="tiff", read={"include": ["cmyk.tif", "deep.png", "lossy.webp"]})
    found = rows(tmp_path / "out")
    assert found["deep.png"]["result_uri"].endswith("/photos/deep.png.tif")
    assert found["cmyk.tif"]["result_uri"].endswith("/photos/cmyk.tif")
    assert found["cmyk.tif"]["output"]["way"] == "segments"  # it had the format already
    assert {row["output"]["format"] for row in found.values()} == {"TIFF"}


def test_faces_may_be_put_in_place_by_rule(photos: Path, tmp_path: Path, run: Restoring) -> None:
    rules = [{"name": "deep", "use": "classic", "path": ["deep.png"], "paste": "replace"}]
    run(photos, tmp_path / "out", rules=rules, read={"include": ["cmyk.tif", "deep.png"]})
    modes = {path: [face["paste"] for face in row["faces"]] for path, row in rows(tmp_path / "out").items()}
    assert modes["deep.png"] == ["replace"]
    assert modes["cmyk.tif"] == ["difference"]


def test_only_formats_that_are_allowed_are_opened(photos: Path, tmp_path: Path, run: Restoring) -> None:
    run(photos, tmp_path / "out", read={"formats": ["PNG"]})
    found = rows(tmp_path / "out")
    assert found["deep.png"]["status"] == "restored"
    assert found["cmyk.tif"]["error"]["class"] == "unsupported"
    assert found["cmyk.tif"]["error"]["message"] == "TIFF is not among read.formats"


def test_a_scan_that_is_handed_through_is_copied_on_request_also_later(
    photos: Path, tmp_path: Path, run: Restoring
) -> None:
    run(photos, tmp_path / "out", read={"include": ["text.tif"]})
    assert rows(tmp_path / "out")["text.tif"]["result_uri"] is None
    run(photos, tmp_path / "out", read={"include": ["text.tif"]}, write={"unchanged": "copy"})
    row = rows(tmp_path / "out")["text.tif"]
    assert (row["status"], row["error"]["class"], row["output"]["way"]) == ("skipped", "passed", "copied")
    assert (tmp_path / "out" / "photos" / "text.tif").read_bytes() == (photos / "text.tif").read_bytes()


def test_a_broken_xmp_packet_costs_the_record_and_nothing_else(tmp_path: Path, run: Restoring) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    portrait(240, 1).save(root / "a.jpg", quality=90, xmp=b"<x:xmpmeta <no xml")
    run(root, tmp_path / "same")
    run(root, tmp_path / "larger", scale=2)
    run(root, tmp_path / "other", output_format="png")
    for sink in ("same", "larger", "other"):
        row = rows(tmp_path / sink)["a.jpg"]
        assert row["status"] == "restored"
        assert "XMP" in row["output"]["note"]


def test_what_describes_a_photo_goes_into_other_formats(tmp_path: Path, run: Restoring) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    exif = Image.Exif()
    exif[0x013B] = "A. Photographer"
    portrait(240, 1).save(root / "a.tif", exif=exif, dpi=(600, 600))
    portrait(240, 2).save(root / "b.jpg", exif=exif, dpi=(300, 300), quality=90)
    run(root, tmp_path / "out", output_format="png")
    for name, dpi in (("a.tif.png", 600), ("b.jpg.png", 300)):
        with Image.open(tmp_path / "out" / "photos" / name) as result:
            assert result.getexif()[0x013B] == "A. Photographer"
            assert result.info["dpi"][0] == pytest.approx(dpi, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aligned": True, "scale": 2}, "aligned faces cannot be enlarged"),
        ({"upscaler": "x.pth"}, "there is an upscaler, but scale is 1"),
    ],
)
def test_what_cannot_go_together_is_refused(
    photos: Path, tmp_path: Path, run: Restoring, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(OperatorError, match=message):
        run(photos, tmp_path / "out", **settings)
