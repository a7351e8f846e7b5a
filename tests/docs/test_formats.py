"""docs/formats.md: each row of its table, made again from the file that it speaks of."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from infra.listing import IMAGE_SUFFIXES
from stages.codec import all_codecs

ROOT = Path(__file__).resolve().parents[2]
# not in the repository, for the photos have licences of their own: without the folder the tests skip by name
FORMATS = ROOT.parent / "shared" / "photos" / "formats"
LINES = [line for line in (ROOT / "docs" / "formats.md").read_text().splitlines() if re.match(r"\| `[\w.]+` \|", line)]
ROWS = {line.split("`")[1]: line for line in LINES}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_formats", ROOT / "scripts" / "make_formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(ROWS))
def test_each_row_says_what_becomes_of_its_file(script: ModuleType, name: str) -> None:
    if not FORMATS.is_dir():  # the photos are not in the repository: an outsider's clone has none
        pytest.skip("no photos: shared/photos/formats is not beside the repository")
    row = script.row_of(FORMATS / name)
    assert f"| {' | '.join(row.cells())} |" == ROWS[name]
    assert not row.lost


def test_every_file_of_the_folder_has_its_row() -> None:
    if not FORMATS.is_dir():  # the photos are not in the repository: an outsider's clone has none
        pytest.skip("no photos: shared/photos/formats is not beside the repository")
    assert {path.name for path in FORMATS.iterdir()} == set(ROWS)


def test_every_ending_of_a_codec_is_listed_as_an_image() -> None:
    assert {suffix for codec in all_codecs().values() for suffix in codec.suffixes} <= IMAGE_SUFFIXES
    known = {codec.name for codec in all_codecs().values()}
    assert known == {"AVIF", "BMP", "GIF", "HEIC", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"}
