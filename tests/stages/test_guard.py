"""Guard: faces that are no longer those of their crops are rejected, and never pasted."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import Plain

from infra.config import Guard as Limits
from models.detector import Detection
from models.method import TemplateName
from stages.geometry import template
from stages.guard import COLOUR, LANDMARKS, STRUCTURE, SURE, Guard
from stages.likeness import cells_for, colour, structure
from stages.paste import Paste
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels, Source
from stages.same_person import SamePerson, placed

SIDE = 128
POINTS = template("ffhq", SIDE)
LIMITS = Limits()


def person(seed: int) -> Pixels:
    """Smooth patches (128, 128, 3) that stand for a face, another one for each seed."""
    spots = np.random.default_rng(seed).integers(40, 216, (12, 12, 1)).astype(np.float32)
    grey = cv2.resize(spots, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    return np.rint(grey[..., None] * [0.9, 0.8, 0.7]).astype(np.uint8)


def degraded(picture: Pixels) -> Pixels:
    noise = np.random.default_rng(3).normal(0, 12, picture.shape)
    return (cv2.GaussianBlur(picture, (0, 0), 2) + noise).clip(0, 255).astype(np.uint8)


def moved(picture: Pixels, share: float) -> Pixels:
    matrix = np.array([[1, 0, share * SIDE], [0, 1, 0]], np.float64)
    return np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT), np.uint8)


def tinted(picture: Pixels, gains: Sequence[float]) -> Pixels:
    return (picture * np.array(gains)).clip(0, 255).astype(np.uint8)


def restored(crop: Pixels, result: Pixels, landmarks: Matrix | None = None) -> Face:
    return Face(
        0,
        (0, 0, 1, 1),
        1.0,
        landmarks,
        FaceStatus.RESTORED,
        method="m",
        side=128.0,
        matrix=np.eye(2, 3),
        crop=crop,
        restored=result,
    )


class Finder:
    """Finds the landmarks that it is given for each picture, and nothing in others."""

    def __init__(self, *known: tuple[Pixels, Matrix]) -> None:
        self.known = known
        self.calls = 0

    def detect(self, photos: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        self.calls += 1
        return [
            [Detection((0, 0, 1, 1), points, 0.9) for picture, points in self.known if np.array_equal(picture, photo)]
            for photo in photos
        ]


def judged(face: Face, detector: Finder | None = None, limits: Limits = LIMITS) -> Face:
    return Guard(limits, detector)([Photo(Source("", ""), faces=(face,))])[0].faces[0]


@pytest.mark.parametrize("seed", range(5))
def test_what_a_degraded_crop_came_from_passes(seed: int) -> None:
    face = judged(restored(degraded(person(seed)), person(seed)))
    assert face.status is FaceStatus.RESTORED
    assert face.restored is not None
    assert face.figures[STRUCTURE] > 0.95
    assert face.figures[COLOUR] < 2


@pytest.mark.parametrize("seed", range(5))
def test_another_person_is_rejected(seed: int) -> None:
    face = judged(restored(degraded(person(seed)), person(seed + 100)))
    assert face.status is FaceStatus.REJECTED
    assert face.restored is None
    assert "its structure is like the crop's by" in face.reason
    assert face.figures[STRUCTURE] < 0.85


@pytest.mark.parametrize("share", [0.05, -0.05])
def test_a_shifted_face_is_rejected(share: float) -> None:
    assert judged(restored(person(1), moved(person(1), share))).status is FaceStatus.REJECTED


@pytest.mark.parametrize("gains", [(1.2, 1, 0.8), (0.8, 1, 1.2), (1.2, 0.95, 1.2), (0.75, 0.75, 0.75)])
def test_a_tinted_or_darkened_face_is_rejected_for_its_colour_alone(gains: tuple[float, float, float]) -> None:
    face = judged(restored(person(1), tinted(person(1), gains)))
    assert face.status is FaceStatus.REJECTED
    assert face.reason.startswith("its colour is")
    assert face.figures[STRUCTURE] > 0.99


def test_contrast_and_sharpness_may_change() -> None:
    stronger = ((person(1).astype(float) - 100) * 1.1 + 100).clip(0, 255).astype(np.uint8)
    assert structure(person(1), stronger, 128) == pytest.approx(1, abs=0.01)
    assert judged(restored(person(1), stronger)).status is FaceStatus.RESTORED


def test_a_crop_without_structure_says_nothing_of_it() -> None:
    flat = np.full((SIDE, SIDE, 3), 120, np.uint8)
    assert structure(flat, person(1), 128) is None
    assert STRUCTURE not in judged(restored(flat, flat + 1)).figures


def test_a_small_face_is_compared_in_coarser_cells() -> None:
    assert [cells_for(side) for side in (10, 24, 50, 64, 1000)] == [12, 12, 25, 32, 32]
    small = cv2.resize(cv2.resize(person(1), (24, 24), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    assert (structure(np.asarray(small, np.uint8), person(1), 24) or 0) > 0.95


def test_an_unchanged_face_passes_without_a_look() -> None:
    finder = Finder()
    face = judged(restored(person(1), person(1).copy(), POINTS), finder)
    assert face.figures == {STRUCTURE: 1.0, COLOUR: 0.0}
    assert finder.calls == 0


def test_landmarks_that_move_are_rejected() -> None:
    crop, result = mixed(), person(1)
    near = judged(restored(crop, result, POINTS), Finder((crop, POINTS), (result, POINTS + [0.03 * SIDE, 0])))
    far = judged(restored(crop, result, POINTS), Finder((crop, POINTS), (result, POINTS + [0.13 * SIDE, 0])))
    assert near.status is FaceStatus.RESTORED
    assert near.figures[LANDMARKS] == pytest.approx(0.03)
    assert far.status is FaceStatus.REJECTED
    assert far.reason == "the drift of its landmarks is 0.13 off, more than 0.12"


def test_of_a_face_in_its_place_the_detector_is_not_believed() -> None:
    crop, result = degraded(person(1)), person(1)
    face = judged(restored(crop, result, POINTS), Finder((crop, POINTS), (result, POINTS + [0.13 * SIDE, 0])))
    assert face.figures[STRUCTURE] > SURE
    assert face.figures[LANDMARKS] == pytest.approx(0.13)
    assert face.status is FaceStatus.RESTORED


def mixed() -> Pixels:
    """A crop that is as like the first person's as the guard accepts, and no more."""
    crop = (0.7 * person(1) + 0.3 * person(2)).astype(np.uint8)
    assert 0.85 < (structure(crop, person(1), SIDE) or 0) < SURE
    return crop


def test_the_nearer_of_photo_and_crop_counts() -> None:
    crop, result, off = degraded(person(1)), person(1), POINTS + [0.2 * SIDE, 0]
    coarse = judged(restored(crop, result, off), Finder((crop, POINTS), (result, POINTS)))
    astray = judged(restored(crop, result, POINTS), Finder((crop, off), (result, POINTS)))
    assert coarse.figures[LANDMARKS] == astray.figures[LANDMARKS] == 0


def test_of_several_faces_in_a_crop_the_expected_one_counts() -> None:
    crop, result = degraded(person(1)), person(1)
    finder = Finder((crop, POINTS), (result, POINTS + 50), (result, POINTS + 1))
    assert judged(restored(crop, result, POINTS), finder).figures[LANDMARKS] == pytest.approx(2**0.5 / SIDE)


def test_a_face_that_is_lost_is_rejected_where_it_was_found_before_and_its_structure_is_no_proof() -> None:
    crop, result = degraded(person(1)), person(1)
    other = np.asarray(0.72 * person(1) + 0.28 * person(2), np.uint8)
    lost = judged(restored(person(1), other, POINTS), Finder((person(1), POINTS)))
    unseen = judged(restored(crop, result, POINTS), Finder((crop, POINTS)))
    never = judged(restored(crop, result, POINTS), Finder())
    assert 0.85 < lost.figures[STRUCTURE] < 0.95
    assert lost.status is FaceStatus.REJECTED
    assert lost.reason == "no face is found in it any more"
    assert unseen.status is FaceStatus.RESTORED
    assert never.status is FaceStatus.RESTORED
    assert LANDMARKS not in never.figures


def test_without_landmarks_nothing_is_detected_again() -> None:
    finder = Finder()
    assert judged(restored(degraded(person(1)), person(1)), finder).status is FaceStatus.RESTORED
    assert finder.calls == 0


def test_a_rejected_face_is_not_pasted_and_its_neighbour_is() -> None:
    page = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    page[:, :SIDE], page[:, SIDE:] = person(1), person(2)
    good = restored(person(1), (person(1) * 0.97).astype(np.uint8))
    place = np.array([[1.0, 0, -SIDE], [0, 1, 0]])
    bad = replace(restored(person(2), person(3)), index=1, matrix=place)
    photo = Photo(Source("file:///a.png", "a.png"), picture=Plain(page), faces=(good, bad))
    done = Paste(0.15)(Guard(LIMITS, None)([photo]))[0]
    assert [face.status for face in done.faces] == [FaceStatus.RESTORED, FaceStatus.REJECTED]
    assert done.edits
    assert all(edit.window[2] <= SIDE + 2 for edit in done.edits)
    assert not Paste(0.15)(Guard(LIMITS, None)([replace(photo, faces=(bad,))]))[0].edits


def test_faces_that_were_not_restored_stay_as_they_are() -> None:
    for status in (FaceStatus.LEFT, FaceStatus.FAILED, FaceStatus.REJECTED):
        face = replace(restored(person(1), person(2)), status=status)
        assert judged(face) is face


def test_limits_can_be_lifted() -> None:
    open_limits = Limits(structure=-1, colour=1000, landmarks=10)
    face = judged(restored(person(1), person(2)), limits=open_limits)
    assert face.status is FaceStatus.RESTORED
    assert face.figures[STRUCTURE] < 0.85


class Twins:
    """Says how similar two pictures are by their mean, and remembers the templates."""

    def __init__(self) -> None:
        self.cuts: list[TemplateName] = []

    def __call__(self, crop: Pixels, restored: Pixels, cut: TemplateName) -> float:
        self.cuts.append(cut)
        return 1 - abs(float(crop.mean()) - float(restored.mean())) / 10


def test_a_network_that_compares_persons_is_named_and_can_reject() -> None:
    twins = Twins()
    guard = Guard(Limits(identity="net", similarity=0.5), None, twins, {"m": "arcface"})
    lighter = [restored(person(1), (person(1) + levels).astype(np.uint8)) for levels in (1, 9)]
    photo = guard([Photo(Source("", ""), faces=tuple(lighter))])[0]
    assert [face.status for face in photo.faces] == [FaceStatus.RESTORED, FaceStatus.REJECTED]
    assert photo.faces[0].figures["guard.identity.net"] == pytest.approx(0.9)
    assert photo.faces[1].reason == "its identity is like the crop's by 0.10 only, less than 0.5"
    assert twins.cuts == ["arcface", "arcface"]


class Means:
    """Embeds a face by the means of its channels."""

    def embed(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(faces.mean((2, 3)))


def test_persons_are_compared_by_their_embeddings_in_the_networks_template() -> None:
    compare = SamePerson(Means(), "ffhq")
    assert compare(person(1), person(1), "ffhq") == pytest.approx(1)
    assert compare(person(1), tinted(person(1), (1, 0.5, 0.1)), "arcface") < 0.95
    dot = np.zeros((SIDE, SIDE, 3), np.uint8)
    x, y = np.rint(template("arcface", SIDE)[2]).astype(int)
    cv2.circle(dot, (int(x), int(y)), 4, (255, 255, 255), -1)
    there = placed(dot, "arcface", "ffhq")[..., 0].astype(float)
    rows, columns = np.indices(there.shape)
    centre = (there * columns).sum() / there.sum(), (there * rows).sum() / there.sum()
    assert centre == pytest.approx(tuple(template("ffhq", SIDE)[2]), abs=2)


def test_colours_are_apart_by_what_is_seen() -> None:
    assert colour(person(1), person(1), 128) == 0
    assert colour(person(1), tinted(person(1), (1.1, 1, 0.9)), 128) == pytest.approx(9, abs=4)
