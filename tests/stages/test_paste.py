"""Paste back: the change of each face, inside its mask and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import Plain, edited

from stages.canvas import Canvas
from stages.geometry import cut, square
from stages.paste import Paste, Replace, clusters, make_patch, soft_mask
from stages.photo import Face, FaceStatus, Matrix, PasteMode, Photo, Pixels, Source
from stages.picture import Samples

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
    return Paste(0.15)([Photo(Source("file:///a.png", "a.png"), picture=Plain(photo), faces=faces)])[0]


def result_of(photo: Photo, page: int = 0) -> Samples:
    assert isinstance(photo.picture, Plain)
    return edited(photo.picture, page, photo.edits)


def pasted(photo: Pixels, *faces: Face) -> Samples:
    done = paste(photo, *faces)
    assert done.edits
    return result_of(done)


def at(x: float, y: float, scale: float, size: int = 64) -> Matrix:
    """The upright crop whose square's centre is at (x, y)."""
    return np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]])


@pytest.mark.parametrize("scale", [0.31, 1.0, 4.7])
def test_an_unchanged_crop_leaves_every_pixel(scale: float) -> None:
    done = paste(NOISE, face(NOISE, at(190.3, 140.8, scale), 0))
    assert not done.edits
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
    assert make_patch(face(NOISE, at(-500, 0, 1.0), 10), Canvas(Plain(NOISE)), 0.15) is None


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
    assert not paste(NOISE, failed).edits


def test_a_face_that_did_not_change_is_left_whatever_its_neighbour_did() -> None:
    still, moved = face(NOISE, at(90, 100, 1.0), 0), face(NOISE, at(110, 100, 1.0), 40, index=1)
    done = paste(NOISE, still, moved)
    assert [one.status for one in done.faces] == [FaceStatus.LEFT, FaceStatus.RESTORED]


def replaced(photo: Pixels, whole: Face) -> Photo:
    return Replace()([Photo(Source("file:///a.png", "a.png"), picture=Plain(photo), faces=(whole,))])[0]


@pytest.mark.parametrize(("strength", "level"), [(1.0, 130), (0.5, 115), (0.0, None)])
def test_an_aligned_face_takes_its_strength(strength: float, level: int | None) -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    photo = replaced(grey, face(grey, np.eye(2, 3), 30, strength=strength))
    if level is None:
        assert not photo.edits
        assert photo.faces[0].status is FaceStatus.LEFT
    else:
        assert (result_of(photo) == level).all()


def test_an_aligned_face_is_replaced_as_a_whole() -> None:
    crop = NOISE[:64, :64]
    whole = face(crop, np.eye(2, 3), 30)
    assert whole.restored is not None
    np.testing.assert_array_equal(result_of(replaced(crop, whole)), whole.restored)


def test_replacing_leaves_a_photo_alone_whose_crop_did_not_change() -> None:
    done = paste(NOISE, replace(face(NOISE, at(190.3, 140.8, 1.0), 0), paste="replace"))
    assert not done.edits
    assert done.faces[0].status is FaceStatus.LEFT


def test_replacing_takes_scratches_and_grain_away_that_a_difference_leaves() -> None:
    scratched = np.full((200, 200, 3), 100, np.uint8)
    scratched[:, 100] = 250
    large = face(scratched, at(100, 100, 0.5), 0)  # the crop is smaller than the face: it hardly sees the scratch
    clean = replace(large, restored=np.full((64, 64, 3), 100, np.uint8))
    kept, taken = pasted(scratched, clean), pasted(scratched, replace(clean, paste="replace"))
    assert int(taken[100, 100, 0]) < 115 < int(kept[100, 100, 0])


def test_replacing_keeps_the_tone_of_the_photo_around_the_face() -> None:
    ramp = np.repeat(np.linspace(60, 180, 200).astype(np.uint8)[None, :, None], 200, axis=0).repeat(3, axis=2)
    darker = replace(face(ramp, at(100, 100, 1.0), -40), paste="replace")
    assert darker.restored is not None
    spotted = darker.restored.copy()
    spotted[28:36, 28:36] += 100
    change = pasted(ramp, replace(darker, restored=spotted)).astype(int) - ramp
    assert change[97:103, 97:103].min() > 80
    change[92:108, 92:108] = 0
    assert np.abs(change).max() <= 8  # the spot's own low frequencies


def test_the_parsers_mask_holds_inside_the_soft_square() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    result = pasted(grey, replace(face(grey, at(100, 100, 1.0), 40), mask=mask))
    assert (result[95:105, 85:98] == 140).all()
    assert (result[:, 102:] == 100).all()


@pytest.mark.parametrize("mode", ["difference", "replace"])
def test_a_red_change_of_a_grey_photo_stays_grey(mode: PasteMode) -> None:
    grey = np.repeat(NOISE[..., :1], 3, axis=2)
    red = face(grey, at(100, 100, 1.0), 0)
    assert red.restored is not None
    painted = red.restored.copy()
    painted[..., 0] = 250
    done = paste(grey, replace(red, restored=painted, paste=mode))
    result = result_of(done)
    assert done.tone == "grey"
    assert (result != grey).any()
    np.testing.assert_array_equal(result[..., 0], result[..., 1])
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_sixteen_bits_stay_sixteen_bits() -> None:
    deep = (np.arange(200 * 200 * 3) % 50_000).astype(np.uint16).reshape(200, 200, 3)
    seen = np.rint(deep / 257).astype(np.uint8)
    picture = Plain(deep)
    photo = Paste(0.15)([Photo(Source("f", "f"), picture=picture, faces=(face(seen, at(100, 100, 1.0), 20),))])[0]
    result = edited(picture, 0, photo.edits)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[:40], deep[:40])
    np.testing.assert_allclose(result[95:105, 95:105].astype(int) - deep[95:105, 95:105], 20 * 257, atol=1)


def test_each_page_gets_the_faces_that_were_found_on_it() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    faces = (face(grey, at(60, 60, 1.0), 40), replace(face(grey, at(140, 140, 1.0), 20, index=1), page=1))
    picture = Plain(grey, grey.copy())
    photo = Paste(0.15)([Photo(Source("f", "f"), picture=picture, faces=faces)])[0]
    first, second = edited(picture, 0, photo.edits), edited(picture, 1, photo.edits)
    assert (first[55:65, 55:65] == 140).all()
    assert (first[110:] == 100).all()
    assert (second[135:145, 135:145] == 120).all()
    assert (second[:90] == 100).all()


def test_a_change_that_changes_no_sample_is_none() -> None:
    grey = np.full((200, 200, 1), 100, np.uint8)
    red = face(np.repeat(grey, 3, axis=2), at(100, 100, 1.0), 0)
    assert red.restored is not None
    tinted = replace(red, restored=(red.restored + np.array([10, -5, 0])).astype(np.uint8))  # the same luma
    done = Paste(0.15)([Photo(Source("f", "f"), picture=Plain(grey, space="L"), faces=(tinted,))])[0]
    assert done.faces[0].status is FaceStatus.LEFT
    assert done.faces[0].reason == "the change is too small to change the photo"
    assert not done.edits
    assert done.tone is None


def test_premultiplied_colours_change_by_their_share_and_stay_below_alpha() -> None:
    half = np.full((200, 200, 4), 60, np.uint8)
    half[105:, :, :3] = 120
    half[..., 3] = 128
    half[:, 100:] = (250, 250, 250, 255)
    picture = Plain(half)
    picture.pages = [replace(picture.pages[0], premultiplied=True)]
    photo = Photo(Source("f", "f"), picture=picture, faces=(face(half[..., :3].copy(), at(100, 100, 1.0), 40),))
    result = edited(picture, 0, Paste(0.15)([photo])[0].edits)
    assert (result[95:105, 88:96, :3] == 80).all()
    assert (result[..., :3] <= result[..., 3:]).all()
    assert (result[106:112, 88:96, :3] == 128).all()
    np.testing.assert_array_equal(result[..., 3], half[..., 3])


def test_an_edit_counts_only_where_the_mask_of_its_face_is() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    half = 0.5**0.5
    on_its_corner = np.array([[half, -half, 32], [half, half, 32 - 200 * half]])
    edit = paste(grey, face(grey, on_its_corner, 40)).edits[0]
    height, width = edit.mask.shape
    assert edit.mask[height // 2, width // 2]
    assert not any(edit.mask[y, x] for y in (0, -1) for x in (0, -1))
    np.testing.assert_array_equal(edit.samples[~edit.mask], 100)
    assert 0.3 < edit.mask.mean() < 0.6


def test_a_large_face_in_bands_is_the_face_pasted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    large = face(NOISE, at(190.3, 140.8, 0.31), 60)
    expected = pasted(NOISE, large)
    monkeypatch.setattr("stages.canvas.MOST_PIXELS", 5000)
    done = paste(NOISE, large)
    assert len(done.edits) > 5
    np.testing.assert_array_equal(result_of(done), expected)


def test_replacing_keeps_a_broad_change_that_does_not_reach_the_edge() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    plain = replace(face(grey, at(100, 100, 1.0), 0), paste="replace")
    assert plain.restored is not None
    y, x = np.mgrid[:64, :64] - 31.5
    lit = plain.restored.copy()
    lit[np.hypot(x, y) < 18] += 60
    change = pasted(grey, replace(plain, restored=lit)).astype(int) - grey
    assert change[95:105, 95:105].min() > 50


def test_the_mask_begins_and_ends_its_way_up_softly() -> None:
    steps = np.diff(soft_mask(512, 0.15)[256, :78])
    assert (steps >= 0).all()
    assert steps[0] < steps.max() / 10
    assert steps[-2] < steps.max() / 10


def test_faces_hang_together_through_the_hull_of_others() -> None:
    places = {0: (0, 0, 14, 10), 1: (12, 30, 20, 40), 2: (5, 5, 11, 35), 3: (50, 0, 60, 10)}
    assert sorted(clusters(places)) == [[0, 1, 2], [3]]


def test_a_face_too_faint_to_show_is_left_though_its_neighbour_changes_its_square() -> None:
    grey = np.full((200, 200, 3), 100, np.uint8)
    left_half = np.zeros((64, 64), np.uint8)
    left_half[:, :32] = 255
    faint = replace(face(grey, at(80, 100, 1.0), 20, strength=0.01), mask=left_half)
    done = paste(grey, faint, face(grey, at(120, 100, 1.0), 40, index=1))
    assert [one.status for one in done.faces] == [FaceStatus.LEFT, FaceStatus.RESTORED]


@pytest.mark.parametrize("aligned", [False, True])
def test_the_tone_of_a_photo_is_that_of_its_first_page_that_changes(aligned: bool) -> None:
    grey, colours = np.full((64, 64, 3), 100, np.uint8), NOISE[:64, :64]
    faces = (face(grey, np.eye(2, 3), 30), replace(face(colours, np.eye(2, 3), 30, index=1), page=1))
    photo = Photo(Source("f", "f"), picture=Plain(grey, colours), faces=faces)
    stage = Replace() if aligned else Paste(0.15)
    done = stage([photo])[0]
    assert {edit.page for edit in done.edits} == {0, 1}
    assert done.tone == "grey"
