"""Photos to train a detector on: marked portraits, and pictures without faces by kind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.errors import ConfigError
from infra.storage import Storage
from models.training.album import Album, Albums
from stages.albums import backgrounds, marked

HEAD = "file,width,height,x,y,w,h,eye_r_x,eye_r_y,eye_l_x,eye_l_y,nose_x,nose_y,mouth_r_x,mouth_r_y,mouth_l_x,mouth_l_y"


def folder(root: Path, names: list[str], size: tuple[int, int] = (40, 80)) -> str:
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (index, 7, 9)).save(root / name)
    return root.as_uri()


def marks(path: Path, names: list[str]) -> str:
    rows = [f"{name},40,80,9.5,19.5,20,30,12,24,28,24,20,32,14,42,26,42" for name in names]
    path.write_text("\n".join([HEAD, *rows]))
    return path.as_uri()


def test_marks_shrink_with_their_photo(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    portraits = marked(Storage(), folder(tmp_path / "p", [*names, "c.png"]), marks(tmp_path / "m.csv", names), 40)
    assert len(portraits) == 2
    one = portraits[1]
    assert one.pixels.shape == (40, 20, 3)
    np.testing.assert_allclose(one.box, [4.5, 9.5, 10, 15])
    np.testing.assert_allclose(one.points[0], [5.75, 11.75])


def test_pictures_without_faces_come_by_kind_and_reduced(tmp_path: Path) -> None:
    source = folder(tmp_path / "f", ["cloth/1.png", "cloth/2.png", "letters/1.png"], (900, 1280))
    kinds = backgrounds(Storage(), source)
    assert [len(kind) for kind in kinds] == [2, 1]
    assert kinds[0][1].shape == (640, 450, 3)
    assert kinds[0][1][0, 0].tolist() == [1, 7, 9]


def test_what_is_held_out_is_in_no_other_part(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(20)]
    portraits = marked(Storage(), folder(tmp_path / "p", names), marks(tmp_path / "m.csv", names), 40)
    train, held_out = portraits.split()
    assert (len(train), len(held_out)) == (18, 2)
    assert not {one.pixels[0, 0, 0] for one in train} & {one.pixels[0, 0, 0] for one in held_out}


def test_an_album_opens_at_each_portrait(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    source = folder(tmp_path / "p", names)
    portraits = marked(Storage(), source, marks(tmp_path / "m.csv", names), 40)
    albums = Albums(portraits, backgrounds(Storage(), source))
    second = albums[1]
    assert isinstance(second, Album)
    assert (len(albums), second.first) == (2, 1)
    kinds = {int(second.background(np.random.default_rng(seed))[0, 0, 0]) for seed in range(20)}
    assert kinds == {0, 1}


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no pictures"):
        backgrounds(Storage(), (tmp_path / "empty").as_uri())
    with pytest.raises(ConfigError, match="no faces"):
        marked(Storage(), (tmp_path / "empty").as_uri(), marks(tmp_path / "m.csv", ["a.png"]), 40)
