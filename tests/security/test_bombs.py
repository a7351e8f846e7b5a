"""Small files that want to become large: refused, or worked on, within bounds of memory."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from models.checkpoint_file import CheckpointUnreadable, tensor_shapes
from pipeline.commands.weights import known

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20
ALLOWED = 400  # MiB more than the process had before
DECODE = """
import json, resource, sys
from pathlib import Path
import numpy as np
from stages.codec import Limits, open_picture
from stages.photo import PhotoFault
from stages.xmp import EditRecord, edited
from functools import partial
from stages.picture import Edit

LIMITS = Limits(500_000_000, 250_000_000)
RECORD = partial(edited, record=EditRecord("Daguerre", ("classic",), "0"))

def through(path):
    picture = open_picture(np.fromfile(path, np.uint8), Path(path).name, LIMITS)
    page = picture.pages[0]
    samples = picture.window(0, (0, 0, min(16, page.width), min(16, page.height)))
    mask = np.ones(samples.shape[:2], bool)
    edit = Edit(0, (0, 0, samples.shape[1], samples.shape[0]), np.array(samples) ^ 1, mask)
    return len(picture.write([edit], RECORD).content)

def tried(path):
    try:
        return through(path)
    except PhotoFault as fault:
        return str(fault.kind)

tried(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = [tried(path) for path in sys.argv[2:]]
print(json.dumps([found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024]))
"""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zeros(mebibytes: int) -> bytes:
    """A zlib stream of so many MiB of zeros."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(mebibytes)) + packer.flush()


def png(kind: bytes = b"", content: bytes = b"") -> bytes:
    """A small PNG with a chunk behind its header."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "navy").save(out, "PNG")
    whole = out.getvalue()
    return whole[:33] + (chunk(kind, content) if kind else b"") + whole[33:]


def resized(whole: bytes, width: int, height: int) -> bytes:
    """A PNG that claims another size."""
    header = struct.pack(">II", width, height) + whole[24:29]
    return whole[:8] + chunk(b"IHDR", header) + whole[33:]


def tiff(entries: dict[int, int], compression: str | None = None, more: bytes = b"") -> bytes:
    """A small TIFF, with ``more`` at its end and other values in its directory; -1 is where that begins."""
    out = io.BytesIO()
    Image.new("L", (64, 48)).save(out, "TIFF", compression=compression)
    content = bytearray(out.getvalue())
    values = {tag: len(content) if value < 0 else value for tag, value in entries.items()}
    start = struct.unpack("<I", content[4:8])[0]
    for index in range(struct.unpack("<H", content[start : start + 2])[0]):
        entry = start + 2 + 12 * index
        tag = struct.unpack("<H", content[entry : entry + 2])[0]
        if tag in values:
            content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, values[tag])
    return bytes(content) + more


def canvas_webp() -> bytes:
    """A WebP whose canvas is 16,777,216 pixels wide and high, by its own word."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    content = out.getvalue()
    return content[:24] + b"\xff" * 6 + content[30:]


def exif_loop() -> bytes:
    """A TIFF whose directory is its own successor."""
    out = io.BytesIO()
    Image.new("L", (64, 48)).save(out, "TIFF")
    content = bytearray(out.getvalue())
    start = struct.unpack("<I", content[4:8])[0]
    end = start + 2 + 12 * struct.unpack("<H", content[start : start + 2])[0]
    content[end : end + 4] = struct.pack("<I", start)
    return bytes(content)


def xmp_with_entities() -> bytes:
    """A packet whose entities would grow to a thousand million letters."""
    names = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{names}]><x:xmpmeta xmlns:x="adobe:ns:meta/">&l9;'.encode()
    )


ZEROS = zeros(700)
BOMBS: dict[str, bytes] = {
    "profile.png": png(b"iCCP", b"x\0\0" + ZEROS),
    "text.png": png(b"zTXt", b"Comment\0\0" + ZEROS),
    "packet.png": png(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + ZEROS),
    "entities.png": png(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_with_entities()),
    "pixels.png": resized(png(), 40_000, 40_000),
    "tall.tif": tiff({256: 200_000, 257: 200_000, 278: 200_000}),
    "strip.tif": tiff({273: -1, 279: len(ZEROS)}, "tiff_adobe_deflate", ZEROS),
    "canvas.webp": canvas_webp(),
    "loop.tif": exif_loop(),
    "wide.jp2": bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k")).replace(
        struct.pack(">II", 64, 64), struct.pack(">II", 60_000, 60_000), 1
    ),
}


def test_bombs_stay_small_and_end_as_photos_or_faults(tmp_path: Path) -> None:
    (tmp_path / "plain.png").write_bytes(png())
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in ("plain.png", *BOMBS)]
    done = subprocess.run(
        [sys.executable, "-c", DECODE, *paths],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found, grown = json.loads(done.stdout)
    ended = dict(zip(BOMBS, found, strict=True))
    assert ended["pixels.png"] == "too_large"
    assert ended["tall.tif"] == "truncated"  # its rows cannot be in so small a file
    assert ended["wide.jp2"] == ended["canvas.webp"] == "corrupt"
    assert all(isinstance(ended[name], int) for name in ("profile.png", "text.png", "packet.png", "entities.png"))
    assert grown < ALLOWED


def test_a_zip_of_weights_that_grows_without_end_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "weights.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive, archive.open("weights.pth", "w", force_zip64=True) as member:
        for _ in range(300):
            member.write(bytes(MEBIBYTE))
    with pytest.raises(CheckpointUnreadable, match=r"weights\.pth in it grows from \d+ to 314572800 bytes"):
        tensor_shapes(path)
    assert known(path) is None
