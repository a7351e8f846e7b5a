"""The baseline: better than its input on damaged faces, harmless on clean ones, and the same on every machine."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage import data

from models.method import Faces
from models.methods.classic import Classic, ClassicParameters, grain_of, view_sides

GOLDEN = Path(__file__).parents[1] / "golden" / "classic.npz"
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face() -> Pixels:
    """A sharp face, (256, 256, 3) RGB: the astronaut's head."""
    return cv2.resize(data.astronaut()[0:256, 96:352], (256, 256)).astype(np.uint8)


def damaged(face: Pixels, blur: float, grain: float, quality: int) -> Pixels:
    soft = cv2.GaussianBlur(face, (0, 0), blur).astype(np.float64)
    noisy = soft + np.random.default_rng(7).normal(0, grain, (*face.shape[:2], 1))
    rounded = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    file = cv2.imencode(".jpg", rounded, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), dtype=np.uint8)


def restore(face: Pixels, parameters: ClassicParameters | None = None) -> NDArray[np.float32]:
    tensor = torch.from_numpy(face.astype(np.float32) / 255).permute(2, 0, 1)[None]
    restored = Classic(parameters or ClassicParameters(size=face.shape[0])).restore(Faces.plain(tensor, [0])).faces
    return restored[0].permute(1, 2, 0).numpy()


def psnr(one: NDArray[np.float32], other: Pixels) -> float:
    return float(-10 * np.log10(np.mean((one - other / 255.0) ** 2) + 1e-12))


@pytest.mark.parametrize(("blur", "grain", "quality"), [(1, 5, 70), (1, 12, 60), (2, 15, 50), (1.5, 10, 40)])
def test_a_damaged_face_comes_nearer_to_the_truth(face: Pixels, blur: float, grain: float, quality: int) -> None:
    photo = damaged(face, blur, grain, quality)
    assert psnr(restore(photo), face) > psnr((photo / 255).astype(np.float32), face) + 0.2


def enlarged(photo: Pixels, scale: float, side: int = 512) -> Pixels:
    """The middle of ``photo`` as a crop of ``side`` pixels, each photo pixel ``scale`` crop pixels wide."""
    shift = (side - scale * photo.shape[0]) / 2
    moved = np.array([[scale, 0, shift], [0, scale, shift]])
    return np.asarray(cv2.warpAffine(photo, moved, (side, side), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


@pytest.mark.parametrize("quality", [95, 75])
@pytest.mark.parametrize(("scale", "gain"), [(2, 1.5), (3.2, 1), (5, 0.5), (8, 0.15)])
def test_grain_is_seen_at_any_enlargement(face: Pixels, scale: float, gain: float, quality: int) -> None:
    """The photo's pixels are what counts, so both crops are taken back to the photo's resolution."""
    side = round(512 / scale)
    truth = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)
    photo = damaged(truth, 0.6, 12, quality)
    change = restore(enlarged(photo, scale)) - enlarged(photo, scale) / 255
    after = photo / 255 + cv2.resize(change, (side, side), interpolation=cv2.INTER_AREA)
    before = psnr((photo / 255).astype(np.float32), truth)
    assert psnr(after.astype(np.float32), truth) > before + gain


def test_grain_of_a_pixel_and_enlarged_grain_are_taken_in_their_own_size() -> None:
    noise = np.random.default_rng(3).normal(0.5, 0.06, (512, 512)).astype(np.float32)
    fine, _ = grain_of(noise)
    coarse, grain = grain_of(cv2.resize(noise[:128, :128], (512, 512)).astype(np.float32))
    assert fine == 512
    assert 128 <= coarse <= 256
    assert grain > 8


@pytest.mark.parametrize("side", [32, 33, 64, 256, 512, 2048])
def test_views_shrink_by_the_root_of_two(side: int) -> None:
    views = view_sides(side)
    assert views[:3] == [side, round(side / 2**0.5), round(side / 2)]
    assert all(view >= 64 for view in views[3:])


def test_a_clean_face_is_hardly_touched(face: Pixels) -> None:
    assert psnr(restore(face), face) > 40


@pytest.mark.parametrize("scale", [2, 3.2, 5, 8])
def test_a_clean_enlarged_face_is_hardly_touched(face: Pixels, scale: float) -> None:
    side = round(512 / scale)
    crop = enlarged(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8), scale)
    assert psnr(restore(crop), crop) > 42


def test_a_face_comes_out_the_same_in_any_batch_and_order(face: Pixels) -> None:
    crops = [enlarged(damaged(face, 1, grain, 80), scale) for grain, scale in [(5, 2), (12, 3.2), (8, 5)]]
    batch = torch.from_numpy(np.stack(crops).astype(np.float32) / 255).permute(0, 3, 1, 2)
    together = Classic(ClassicParameters()).restore(Faces.plain(batch.flip(0), [0, 1, 2])).faces.flip(0)
    for crop, restored in zip(crops, together, strict=True):
        np.testing.assert_array_equal(restore(crop), restored.permute(1, 2, 0).numpy())


def test_with_everything_off_nothing_changes(face: Pixels) -> None:
    off = ClassicParameters(size=256, denoise=0, deblur=0, contrast=0)
    np.testing.assert_allclose(restore(face, off), face / 255, atol=1e-6)


def test_contrast_spreads_the_tones(face: Pixels) -> None:
    raised = ClassicParameters(size=256, denoise=0, deblur=0, contrast=1)
    assert restore(face, raised).std() > (face / 255).std()


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_flat_crop_stays_flat(level: int) -> None:
    flat = np.full((64, 64, 3), level, dtype=np.uint8)
    np.testing.assert_allclose(restore(flat), flat / 255, atol=1e-6)


def test_a_grey_face_stays_grey(face: Pixels) -> None:
    grey = np.repeat(face[..., :1], 3, axis=2)
    restored = restore(damaged(grey, 1, 10, 90)[..., :1].repeat(3, axis=2))
    assert np.ptp(restored, axis=2).max() < 1e-5


@pytest.mark.parametrize("name", ["denoise", "deblur", "contrast"])
def test_strengths_outside_their_range_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ClassicParameters.model_validate({name: 1.5})


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert Classic(ClassicParameters()).restore(Faces.plain(torch.zeros(0, 3, 64, 64), [])).faces.shape == (
        0,
        3,
        64,
        64,
    )


def test_the_golden_crops_come_out_as_recorded() -> None:
    with np.load(GOLDEN) as golden:
        for crop, expected in zip(golden["input"], golden["output"], strict=True):
            np.testing.assert_allclose(restore(crop), expected.astype(np.float32), rtol=0, atol=1 / 255)


def test_an_enlarged_golden_crop_comes_out_as_recorded() -> None:
    with np.load(GOLDEN) as golden:
        large = cv2.resize(golden["input"][0], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        expected = golden["enlarged"].astype(np.float32)
        made = restore(np.asarray(large, np.uint8))[::4, ::4]
        assert np.abs(made - large[::4, ::4].astype(np.float32) / 255).mean() > 4 / 255
        np.testing.assert_allclose(made, expected, rtol=0, atol=2 / 255)
