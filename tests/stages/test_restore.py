"""Restore: one method, the faces of many photos in micro-batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.method import Faces, Restored
from models.parser import Parser
from stages.photo import Face, FaceStatus, Photo, Source, Status
from stages.restore import Restore

RNG = np.random.default_rng(5)


class Brighter:
    """Adds the last digit of the face's seed, in levels, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def restore(self, faces: Faces) -> Restored:
        self.batches.append(len(faces))
        return Restored(faces.crops + torch.tensor([seed % 10 / 255 for seed in faces.seeds]).view(-1, 1, 1, 1))


class Broken:
    def restore(self, faces: Faces) -> Restored:
        bad = torch.tensor([seed % 2 == 1 for seed in faces.seeds]).view(-1, 1, 1, 1)
        return Restored(torch.where(bad, torch.nan, faces.crops))


def photo(*seeds: int, method: str = "m") -> Photo:
    faces = [
        Face(
            index,
            (0, 0, 1, 1),
            1.0,
            method=method,
            seed=seed,
            crop=RNG.integers(0, 200, (8, 8, 3), dtype=np.uint8),
        )
        for index, seed in enumerate(seeds)
    ]
    return Photo(Source("file:///a.png", "a.png"), faces=tuple(faces))


def test_faces_of_many_photos_share_micro_batches_and_get_their_own_seeds() -> None:
    network = Brighter()
    photos = Restore("m", network, 4)([photo(1, 2, 3), photo(), photo(4, 5, 6)])
    assert network.batches == [4, 2]
    for done in photos:
        for face in done.faces:
            assert face.status is FaceStatus.RESTORED
            assert face.crop is not None
            assert face.restored is not None
            np.testing.assert_array_equal(face.restored, face.crop + (face.seed or 0) % 10)


def test_a_batch_does_not_change_a_face() -> None:
    photos = [photo(1, 2), photo(3)]
    together = Restore("m", Brighter(), 8)(photos)
    alone = [Restore("m", Brighter(), 1)([one])[0] for one in photos]
    for left, right in zip(together, alone, strict=True):
        for one, other in zip(left.faces, right.faces, strict=True):
            np.testing.assert_array_equal(one.restored, other.restored)


def test_a_face_that_is_not_finite_fails_and_its_neighbours_do_not() -> None:
    done = Restore("m", Broken(), 8)([photo(1, 2)])[0]
    assert [face.status for face in done.faces] == [FaceStatus.FAILED, FaceStatus.RESTORED]
    assert done.faces[0].restored is None
    assert done.faces[0].reason == "the result is not finite"


def test_faces_of_other_methods_and_ended_photos_are_left_alone() -> None:
    network = Brighter()
    photos = [photo(1, method="other"), replace(photo(1), status=Status.FAILED)]
    assert Restore("m", network, 8)(photos) == photos
    assert network.batches == []


def test_a_network_of_the_wrong_shape_is_our_bug() -> None:
    class Wrong:
        def restore(self, faces: Faces) -> Restored:
            return Restored(faces.crops[:, :1])

    with pytest.raises(RuntimeError, match="m returned"):
        Restore("m", Wrong(), 8)([photo(1)])


def test_seconds_are_shared_out() -> None:
    done = Restore("m", Brighter(), 8)([photo(1, 2, 3), photo(4), photo()])
    assert done[0].seconds["restore"] == pytest.approx(3 * done[1].seconds["restore"])
    assert "restore" not in done[2].seconds


class Halves(torch.nn.Module):
    """A parser's network that takes the left half for skin and the right half for background."""

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.zeros(len(pictures), 19, *pictures.shape[-2:])
        logits[:, 1, :, : pictures.shape[-1] // 2] = 1
        return logits, pictures


def test_with_a_parser_each_restored_face_gets_its_mask_and_a_failed_one_none() -> None:
    done = Restore("m", Broken(), 4, parser=Parser(Halves(), "cpu"))([photo(2), photo(1)])
    masked, failed = done[0].faces[0], done[1].faces[0]
    assert masked.crop is not None
    assert masked.mask is not None
    assert masked.mask.shape == masked.crop.shape[:2]
    middle = masked.mask.shape[0] // 2
    assert masked.mask[middle, middle // 2] > 200
    assert masked.mask[middle, middle + middle // 2] < 50
    assert failed.mask is None


class Talking:
    """Says of each face what it was given, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.seen: list[Faces] = []

    def restore(self, faces: Faces) -> Restored:
        self.seen.append(faces)
        means = faces.crops.flatten(1).mean(1).tolist()
        kept = dict.fromkeys(faces.keep, faces.crops[:, :, ::2, ::2])
        return Restored(faces.crops, [{"mean": mean} for mean in means], kept)


def test_a_method_is_told_landmarks_in_the_crop_the_measures_and_the_settings_of_the_rule() -> None:
    network, landmarks = Talking(), np.arange(10.0).reshape(5, 2)
    known, unknown = photo(1), photo(2)
    found = replace(
        known.faces[0], landmarks=landmarks, matrix=np.array([[2, 0, 1], [0, 2, -1.0]]), rule="r", before={"noise": 3.0}
    )
    Restore("m", network, 8, settings={"r": {"tau": 3}})([replace(known, faces=(found,)), unknown])
    np.testing.assert_allclose(network.seen[0].landmarks[0], landmarks * 2 + [1, -1])
    assert network.seen[0].landmarks[1].isnan().all()
    assert network.seen[0].settings == [{"tau": 3}, {}]
    assert network.seen[0].measures[0] == {"noise": 3.0}


def test_a_method_is_told_how_many_samples_are_wanted() -> None:
    network = Talking()
    Restore("m", network, 8, samples=4)([photo(1)])
    Restore("m", network, 8)([photo(1)])
    assert [faces.samples for faces in network.seen] == [4, 1]


def test_figures_and_middle_results_stay_with_their_faces() -> None:
    done = Restore("m", Talking(), 2, keep=frozenset({"half"}))([photo(1, 2, 3)])[0]
    for face in done.faces:
        assert face.crop is not None
        assert face.figures["mean"] == pytest.approx(face.crop.mean() / 255, abs=1e-6)
        np.testing.assert_array_equal(face.kept["half"], face.crop[::2, ::2])


def test_a_face_that_failed_has_neither_figures_nor_middle_results() -> None:
    class Both(Broken):
        def restore(self, faces: Faces) -> Restored:
            return replace(super().restore(faces), figures=[{"x": 1.0}] * len(faces), kept={"half": faces.crops})

    failed, restored = Restore("m", Both(), 8, keep=frozenset({"half"}))([photo(1, 2)])[0].faces
    assert (failed.figures, failed.kept) == ({}, {})
    assert restored.figures == {"x": 1.0}


class Capped(Brighter):
    """Has memory for ``most`` faces, and for no face whose seed is 9."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def restore(self, faces: Faces) -> Restored:
        if len(faces.crops) > self.most or 9 in faces.seeds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().restore(faces)


def test_with_memory_for_an_eighth_of_a_batch_every_face_is_restored_as_with_enough() -> None:
    photos = [photo(1, 2, 3), photo(4), photo(5, 6, 7, 8), photo(1)] * 5
    stage, network = Restore("m", Capped(2), 16), Brighter()
    done = stage(photos) + stage(photos)
    for ours, plain in zip(done, Restore("m", network, 16)(photos) * 2, strict=True):
        assert len(ours.faces) == len(plain.faces)
        for one, other in zip(ours.faces, plain.faces, strict=True):
            np.testing.assert_array_equal(one.restored, other.restored)
    assert [one.events.get("out_of_memory", 0) for one in done] == [3, *[0] * 39]


def test_a_face_that_does_not_fit_alone_fails_alone() -> None:
    faces = Restore("m", Capped(8), 4)([photo(1, 9, 2)])[0].faces
    assert [face.status for face in faces] == [FaceStatus.RESTORED, FaceStatus.FAILED, FaceStatus.RESTORED]
    assert faces[1].reason == "out of memory at batch size 1"
