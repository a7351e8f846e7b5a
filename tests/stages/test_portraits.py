"""Faces to train on: aligned ones, and photos with landmarks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from infra.errors import ConfigError
from infra.storage import Storage
from stages.geometry import FFHQ_512
from stages.portraits import portraits

HEAD = "file,eye_r_x,eye_r_y,eye_l_x,eye_l_y,nose_x,nose_y,mouth_r_x,mouth_r_y,mouth_l_x,mouth_l_y\n"


def aligned(folder: Path, count: int, side: int = 40) -> str:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.new("RGB", (side, side), (index, 2 * index, 0)).save(folder / f"{index:03d}.png")
    return folder.as_uri()


def test_aligned_faces_come_in_the_order_of_their_names_and_at_the_size_asked_for(tmp_path: Path) -> None:
    faces = portraits(Storage(), aligned(tmp_path / "f", 3), 20)
    assert faces.names == ("000.png", "001.png", "002.png")
    assert [face.shape for face in faces] == [(20, 20, 3)] * 3
    assert faces[2][10, 10].tolist() == [2, 4, 0]


def test_a_photo_is_cut_by_its_landmarks(tmp_path: Path) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    Image.fromarray(astronaut()).save(tmp_path / "not in the list.png")
    points = ",".join(f"{value:.3f}" for value in FFHQ_512.ravel())
    (tmp_path / "l.csv").write_text(f"{HEAD}a.png,{points}\n")
    faces = portraits(Storage(), tmp_path.as_uri(), 512, (tmp_path / "l.csv").as_uri())
    assert faces.names == ("a.png",)
    np.testing.assert_array_equal(faces[0], astronaut())


def test_a_tenth_is_held_out_by_the_hash_of_the_names_whatever_else_there_is(tmp_path: Path) -> None:
    train, held_out = portraits(Storage(), aligned(tmp_path / "f", 40), 8).split()
    assert (len(train), len(held_out)) == (36, 4)
    assert not set(train.names) & set(held_out.names)
    assert list(held_out.names) != sorted(train.names + held_out.names)[-4:]


def test_an_image_that_is_no_square_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (20, 30)).save(tmp_path / "portrait.png")
    faces = portraits(Storage(), tmp_path.as_uri(), 8)
    with pytest.raises(ConfigError, match=r"portrait\.png is no square"):
        faces[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [("file,x\na.png,1\n", "has no column eye_l_x"), (HEAD + "a.png,1,2\n", "line 2"), (HEAD, "no faces")],
)
def test_a_wrong_list_of_landmarks_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        portraits(Storage(), tmp_path.as_uri(), 8, (tmp_path / "l.csv").as_uri())


def test_a_part_of_the_faces_is_a_sequence_of_its_own(tmp_path: Path) -> None:
    part = portraits(Storage(), aligned(tmp_path / "f", 5), 8)[1:4:2]
    assert part.names == ("001.png", "003.png")
    assert [face[4, 4].tolist() for face in part] == [[1, 2, 0], [3, 6, 0]]


def test_a_face_is_read_once(tmp_path: Path) -> None:
    faces = portraits(Storage(), aligned(tmp_path / "f", 2), 8)
    first = faces[0]
    (tmp_path / "f" / "000.png").unlink()
    assert faces[0] is first
