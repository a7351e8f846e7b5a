"""Landmarks from a list: read, refused, and used in place of a detector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pictures import Plain

from infra.errors import ConfigError
from infra.storage import Storage, absolute
from models.detector import Detection
from stages.detect import Detect, WholePhoto
from stages.landmarks import COLUMNS, Listed, ListedWhole, read_landmarks
from stages.photo import Matrix, Photo, Pixels, Source

FACE = np.array([[202.0, 243.0], [309.0, 242.0], [256.0, 304.0], [212.0, 367.0], [301.0, 366.0]])
OTHER = FACE / 2 + 20


def written(folder: Path, rows: dict[str, list[Matrix]]) -> str:
    """A list of landmarks, with a column that nobody needs."""
    lines = ["note,path," + ",".join(COLUMNS)]
    for path, faces in rows.items():
        lines += [f"x,{path}," + ",".join(f"{value:g}" for value in face.ravel()) for face in faces]
    (folder / "landmarks.csv").write_text("\n".join(lines))
    return absolute(str(folder / "landmarks.csv"))


def photo(path: str, side: int = 64) -> Photo:
    return Photo(Source(f"memory:///{path}", path), picture=Plain(np.zeros((side, side, 3), np.uint8)))


class Centre:
    """Finds a face in the middle of each photo."""

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        return [[Detection((20.0, 20.0, 20.0, 20.0), None, 0.9)] for _ in photos]


def test_a_list_gives_the_faces_of_each_photo(tmp_path: Path) -> None:
    found, digest = read_landmarks(Storage(), written(tmp_path, {"a.png": [FACE, OTHER], "b/c.png": [OTHER]}))
    assert list(found) == ["a.png", "b/c.png"]
    np.testing.assert_array_equal(found["a.png"][0], FACE)
    assert len(digest) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,x1,y1\na,1,2", "has no column x2"),
        ("file," + ",".join(COLUMNS), "has no column path"),
        ("path," + ",".join(COLUMNS) + "\na,1,2,3,4,5,6,7,8,9,ten", "row 1 of .* is no number"),
        ("path," + ",".join(COLUMNS) + "\na,1,2,3,4,5,6,7,8,9", "row 1 of .* is no number"),
        ("path," + ",".join(COLUMNS) + "\na,1,2,3,4,5,6,7,8,9,inf", "row 1 of .* are no face's"),
        ("path," + ",".join(COLUMNS) + "\na" + 10 * ",7", "row 1 of .* are no face's"),
    ],
)
def test_a_list_that_cannot_be_used_is_the_operators_error(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_landmarks(Storage(), absolute(str(tmp_path / "a.csv")))
    assert caught.value.hint == f"a list of landmarks has the columns path,{','.join(COLUMNS)}"


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_landmarks(Storage(), absolute(str(tmp_path / "a.csv")))


def test_listed_photos_have_the_lists_faces_and_others_the_detectors() -> None:
    stage = Listed({"b.png": [FACE, OTHER]}, Detect(Centre(), smallest=12, longest=64))
    first, listed, last = stage([photo("a.png"), photo("b.png"), photo("c.png")])
    assert [one.source.path for one in (first, listed, last)] == ["a.png", "b.png", "c.png"]
    assert [len(one.faces) for one in (first, listed, last)] == [1, 2, 1]
    assert [face.index for face in listed.faces] == [0, 1]
    np.testing.assert_array_equal(listed.faces[1].landmarks, OTHER)
    assert listed.faces[0].box == (202.0, 242.0, 107.0, 125.0)
    assert first.faces[0].landmarks is None


def test_an_aligned_face_gets_the_landmarks_of_its_first_row() -> None:
    stage = ListedWhole({"b.png": [FACE, OTHER]}, WholePhoto())
    other, listed = stage([photo("a.png"), photo("b.png")])
    assert other.faces[0].landmarks is None
    assert listed.faces[0].box == (0.0, 0.0, 64.0, 64.0)
    np.testing.assert_array_equal(listed.faces[0].landmarks, FACE)


def test_a_photo_that_has_failed_is_passed_over() -> None:
    stage = Listed({"a.png": [FACE]}, Detect(Centre(), smallest=12, longest=64))
    [passed] = stage([Photo(Source("memory:///a.png", "a.png"))])
    assert not passed.faces
