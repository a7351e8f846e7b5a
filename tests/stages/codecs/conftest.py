"""What the tests of the codecs share: the folder of real files, and the record of an edit."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # --import-mode=importlib leaves codec_kit.py off the path

from stages.picture import Xmp
from stages.xmp import EditRecord, edited

FORMATS = Path(__file__).resolve().parents[4] / "shared" / "photos" / "formats"


@pytest.fixture(scope="session")
def formats() -> Path:
    """The folder of the real files of every format."""
    if not FORMATS.is_dir():
        pytest.skip(f"no folder {FORMATS}")
    return FORMATS


@pytest.fixture(scope="session")
def xmp() -> Xmp:
    """What the stages give to ``Picture.write``."""
    record = EditRecord("Daguerre 0.1.0", ("classic",), "5e11")
    return lambda packet: edited(packet, record)
