"""Photos and rows on their way through Ray: nothing is lost, whatever mix of photos a block holds."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipeline import parcels
from pipeline.columns import TRANSIT, rows
from pipeline.manifest import SCHEMA
from stages.photo import Face, FaceStatus, Fault, FaultClass, Output, Photo, Source, Status

RNG = np.random.default_rng(9)
SOURCE = Source(
    "s3://bucket/x/1.jpg",
    "x/1.jpg",
    12,
    "etag",
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    previous_sha256="f" * 64,
    retry=True,
    target="x/1.jpg",
)


def face(index: int, method: str | None, status: FaceStatus, size: int = 8, masked: bool = False) -> Face:
    has_crop = method is not None and status is not FaceStatus.FAILED
    pixels = RNG.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    return Face(
        index,
        (1.5, -2.0, 30.25, 41.0),
        0.875,
        RNG.normal(size=(5, 2)) if index else None,
        status,
        "why",
        page=index % 2,
        residual=12.5 if index else None,
        method=method,
        rule="rule",
        strength=0.5,
        paste="replace" if index else "difference",
        seed=2**62 + index,
        side=77.5,
        matrix=RNG.normal(size=(2, 3)),
        before={"sharpness": 0.25, "noise": 3.0},
        after={"noise": 1.0},
        crop=pixels[0] if has_crop else None,
        restored=pixels[1] if status is FaceStatus.RESTORED else None,
        mask=pixels[1, ..., 0] if masked and status is FaceStatus.RESTORED else None,
        figures={"departure": 2.5} if masked else {},
        kept={"wide": pixels[0, :4]} if masked and status is FaceStatus.RESTORED else {},
    )


PHOTOS = [
    Photo(SOURCE, data=np.frombuffer(b"file", np.uint8), bytes_read=4, sha256="0" * 64),
    Photo(SOURCE).failed(Fault("read", FaultClass.STORAGE, "busy", 11)),
    Photo(SOURCE, renewed=True, sha256="f" * 64),
    Photo(
        SOURCE,
        data=RNG.integers(0, 256, 1000, dtype=np.uint8),
        sha256="1" * 64,
        width=10,
        height=20,
        format="PNG",
        mode="RGB",
        depth=16,
        pages=2,
        profile="Display",
        tone="tinted",
        output=Output("dct", "JPEG", 1, 3, "why"),
        faces=(
            face(0, "a", FaceStatus.FOUND),
            face(1, "b", FaceStatus.RESTORED, 16, masked=True),
            face(2, "a", FaceStatus.FAILED),
            face(3, None, FaceStatus.LEFT),
            face(4, "a", FaceStatus.RESTORED),
        ),
        seconds={"read": 0.5},
    ),
    Photo(SOURCE, status=Status.RESTORED, result="s3://b/r", result_sha256="2" * 64, before={"noise": 2.0}, after={}),
]


def assert_same(left: Photo, right: Photo) -> None:
    assert replace(left, data=None, faces=()) == replace(right, data=None, faces=())
    np.testing.assert_array_equal(left.data, right.data)
    assert len(left.faces) == len(right.faces)
    for one, other in zip(left.faces, right.faces, strict=True):
        for field in fields(Face):
            if field.name != "kept":
                np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)
        assert one.kept.keys() == other.kept.keys()
        for name, picture in one.kept.items():
            np.testing.assert_array_equal(picture, other.kept[name])


@pytest.mark.parametrize("photos", [PHOTOS, PHOTOS[:1], PHOTOS[1:2], PHOTOS[3:4], [PHOTOS[3]] * 3, []])
def test_photos_come_back_as_they_were(photos: list[Photo]) -> None:
    back = parcels.unpack(parcels.pack(photos))
    assert len(back) == len(photos)
    for before, after in zip(photos, back, strict=True):
        assert_same(before, after)


def test_blocks_may_be_joined_and_cut() -> None:
    table = pa.concat_tables([parcels.pack(PHOTOS[:2]), parcels.pack(PHOTOS[2:])])
    back = parcels.unpack(table.slice(1, 3))
    for before, after in zip(PHOTOS[1:4], back, strict=True):
        assert_same(before, after)


def test_pixels_come_back_without_a_copy_and_read_only() -> None:
    back = parcels.unpack(parcels.pack(PHOTOS))[3]
    crop = back.faces[0].crop
    for array in (back.data, crop):
        assert array is not None
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_rows_come_back_as_they_were() -> None:
    table = rows(PHOTOS)
    blocks = [parcels.pack_rows(table), parcels.pack_rows(rows([])), parcels.pack_rows(table.slice(2))]
    assert parcels.unpack_rows(pa.concat_tables(blocks)) == [table, table.slice(2)]


def test_columns_never_depend_on_the_data() -> None:
    assert parcels.pack([]).schema == parcels.pack(PHOTOS).schema
    assert parcels.pack_rows(rows([])).schema == parcels.pack_rows(rows(PHOTOS)).schema
    assert rows([]).schema == rows(PHOTOS).schema == TRANSIT
    assert TRANSIT.names[: len(SCHEMA.names)] == SCHEMA.names


def test_a_row_says_what_is_known_of_its_photo_and_faces() -> None:
    failed, restored = rows([PHOTOS[1], PHOTOS[3]]).to_pylist()
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "stage": "read",
        "class": "storage",
        "message": "busy",
        "attempts": 11,
        "retryable": True,
    }
    assert (failed["path"], failed["mtime"], failed["retry"]) == (SOURCE.path, SOURCE.mtime, True)
    known = {"width": 10, "height": 20, "depth": 16, "pages": 2, "tone": "tinted", "seconds": [("read", 0.5)]}
    assert {name: restored[name] for name in known} == known
    assert restored["output"]["way"] == "dct"
    face, given = restored["faces"][1], PHOTOS[3].faces[1]
    assert (face["status"], face["method"], face["seed"], face["box"]) == ("restored", "b", given.seed, list(given.box))
    assert given.landmarks is not None
    assert given.matrix is not None
    assert face["landmarks"] == given.landmarks.ravel().tolist()
    assert face["affine"] == given.matrix.ravel().tolist()
    assert face["before"] == [("noise", 3.0), ("sharpness", 0.25)]
