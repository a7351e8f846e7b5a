"""Paste back: the change of each face, inside its mask and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from stages.geometry import cut, square
from stages.imaging import Encoding, Picture
from stages.paste import Paste, Replace, make_patch, soft_mask
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels, Source

RNG = np.random.default_rng(11)
NOISE = RNG.integers(0, 256, (300, 400, 3), dtype=np.uint8)


def face(photo: Pixels, matrix: Matrix, change: float, size: int = 64, index: int = 0, strength: float = 1.0) -> Face:
    crop = cut(photo, matrix, size)
    restored = (crop.astype(float) + change).clip(0, 255).astype(np.uint8)
    return Face(
        index,
        (0, 0, 1, 1),
        1.0,
        None,
        FaceStatus.RESTORED,
        matrix=matrix,
        crop=crop,
        restored=restored,
        strength=strength,
    )


def paste(photo: Pixels, *faces: Face) -> Photo:
    picture = Picture(photo, None, False, Encoding("PNG", "RGB"))
    return Paste(0.15)([Photo(Source("file:///a.png", "a.png"), picture=picture, faces=faces)])[0]


def pasted(photo: Pixels, *faces: Face) -> Pixels:
    result = paste(photo, *faces).pasted
    assert result is not None
    return result


def at(x: float, y: float, scale: float, size: int = 64) -> Matrix:
    """The upright crop whose square's centre is at (x, y)."""
    return np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]])


@pytest.mark.parametrize("scale", [0.31, 1.0, 4.7])
def test_an_unchanged_crop_leaves_every_pixel(scale: float) -> None:
    done = paste(NOISE, face(NOISE, at(190.3, 140.8, scale), 0))
    assert done.pasted is None
    assert done.faces[0].status is FaceStatus.LEFT
    assert done.faces[0].reason == "the method changed nothing"


@pytest.mark.parametrize("scale", [0.31, 1.0, 4.7])
def test_nothing_changes_outside_the_square(scale: float) -> None:
    matrix = at(190.3, 140.8, scale)
    result = pasted(NOISE, face(NOISE, matrix, 60))
    x0, y0, x1, y1 = square(matrix, 64, 400, 300)
    outside = np.ones((300, 400), bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(result[outside], NOISE[outside])
    assert (result != NOISE).any()


def test_the_middle_of_a_face_takes_the_whole_change() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    result = pasted(grey, face(grey, at(100, 100, 1.0), 40))
    assert (result[95:105, 95:105] == 140).all()


def test_strength_scales_the_change() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    result = pasted(grey, face(grey, at(100, 100, 1.0), 40, strength=0.25))
    assert (result[95:105, 95:105] == 110).all()


def test_the_order_of_overlapping_faces_does_not_matter_and_changes_do_not_add_up() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    left, right = face(grey, at(90, 100, 1.0), 40), face(grey, at(110, 100, 1.0), 40, index=1)
    one, other = pasted(grey, left, right), pasted(grey, right, left)
    np.testing.assert_array_equal(one, other)
    assert one.max() <= 140


def test_opposite_changes_of_neighbours_are_blended_before_anything_is_clipped() -> None:
    bright = np.full((200, 200, 3), 240, np.uint8)
    up, down = face(bright, at(90, 100, 1.0), 0), face(bright, at(110, 100, 1.0), -60, index=1)
    up = replace(up, crop=np.full_like(up.restored, 200), restored=np.full_like(up.restored, 255))
    np.testing.assert_array_equal(pasted(bright, up, down), pasted(bright, down, up))


def test_changes_are_rounded_and_not_cut_off() -> None:
    noise = RNG.integers(60, 190, (200, 200, 3), dtype=np.uint8)
    changed = pasted(noise, replace(face(noise, at(100, 100, 1.0), 20), strength=0.33)).astype(int) - noise
    assert changed[90:110, 90:110].mean() == pytest.approx(7, abs=0.01)  # 6.6 rounds to 7, and was cut off to 6


def test_a_face_over_the_border_is_pasted_as_far_as_it_goes() -> None:
    result = pasted(NOISE, face(NOISE, at(2, 3, 1.0), 50))
    assert (result[:10, :10] != NOISE[:10, :10]).any()
    np.testing.assert_array_equal(result[60:], NOISE[60:])


def test_a_face_outside_has_no_patch() -> None:
    assert make_patch(face(NOISE, at(-500, 0, 1.0), 10), NOISE, 0.15) is None


def test_the_input_is_never_written_to() -> None:
    frozen = NOISE.copy()
    frozen.setflags(write=False)
    pasted(frozen, face(frozen, at(100, 100, 1.0), 20))


def test_the_mask_is_one_inside_and_zero_at_the_edge() -> None:
    mask = soft_mask(512, 0.15)
    assert mask[256, 256] == 1
    assert not mask[0].any()
    assert not mask[:, -1].any()
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])


def test_a_face_that_was_not_restored_is_not_pasted() -> None:
    failed = replace(face(NOISE, at(100, 100, 1.0), 50), status=FaceStatus.FAILED)
    picture = Picture(NOISE, None, False, Encoding("PNG", "RGB"))
    photo = Paste(0.15)([Photo(Source("file:///a.png", "a.png"), picture=picture, faces=(failed,))])[0]
    assert photo.pasted is None


def test_a_face_that_did_not_change_is_left_whatever_its_neighbour_did() -> None:
    still, moved = face(NOISE, at(90, 100, 1.0), 0), face(NOISE, at(110, 100, 1.0), 40, index=1)
    done = paste(NOISE, still, moved)
    assert [one.status for one in done.faces] == [FaceStatus.LEFT, FaceStatus.RESTORED]


@pytest.mark.parametrize(("strength", "level"), [(1.0, 130), (0.5, 115), (0.0, None)])
def test_an_aligned_face_takes_its_strength(strength: float, level: int | None) -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    picture = Picture(grey, None, False, Encoding("PNG", "RGB"))
    whole = face(grey, np.eye(2, 3), 30, strength=strength)
    photo = Replace()([Photo(Source("file:///a.png", "a.png"), picture=picture, faces=(whole,))])[0]
    if level is None:
        assert photo.pasted is None
        assert photo.faces[0].status is FaceStatus.LEFT
    else:
        assert photo.pasted is not None
        assert (photo.pasted == level).all()


def test_an_aligned_face_is_replaced_as_a_whole() -> None:
    crop = NOISE[:64, :64]
    whole = face(crop, np.eye(2, 3), 30)
    picture = Picture(crop, None, False, Encoding("PNG", "RGB"))
    photo = Replace()([Photo(Source("file:///a.png", "a.png"), picture=picture, faces=(whole,))])[0]
    assert whole.restored is not None
    assert photo.pasted is not None
    np.testing.assert_array_equal(photo.pasted, whole.restored)
