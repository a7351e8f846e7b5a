"""The Sharp Loss: a linear unsharp mask, and L1 behind it. The detail loss: how strong it is."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from models.losses.detail import amplitudes, bands, blurred, detail_loss, likeness
from models.losses.sharp import elsface_loss, sharp_loss, sharpened

SHAPE = (2, 3, 40, 56)


def noise(seed: int) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_sharpening_is_opencvs_gaussian_of_51_taps_taken_away() -> None:
    images = noise(1)
    found = sharpened(images)
    for image, sharp in zip(images.flatten(0, 1).numpy(), found.flatten(0, 1).numpy(), strict=True):
        smooth = cv2.GaussianBlur(image.astype(np.float64), (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(sharp, image + 0.5 * (image - smooth), rtol=0, atol=2e-6)


def test_a_flat_picture_stays_as_it_is() -> None:
    flat = torch.full(SHAPE, 0.7)
    torch.testing.assert_close(sharpened(flat), flat, rtol=0, atol=1e-6)


def test_sharpening_the_difference_is_the_difference_of_the_sharpened() -> None:
    found, wanted = noise(1), noise(2)
    expected = functional.l1_loss(sharpened(found), sharpened(wanted))
    torch.testing.assert_close(sharp_loss(found, wanted), expected, rtol=1e-5, atol=0)


def test_lost_edges_cost_more_than_a_shift_of_the_tone() -> None:
    wanted = noise(3)
    shift, error = torch.full(SHAPE, 0.1), 0.1 * torch.sign(noise(4) - 0.5)
    assert float(sharp_loss(wanted + shift, wanted)) == pytest.approx(0.1, rel=1e-4)
    assert float(sharp_loss(wanted + error, wanted)) > 0.14


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.1])
def test_the_total_is_l1_and_a_share_of_the_sharp_loss(weight: float) -> None:
    found, wanted = noise(1), noise(2)
    expected = functional.l1_loss(found, wanted) + weight * sharp_loss(found, wanted)
    torch.testing.assert_close(elsface_loss(found, wanted, weight), expected)


def test_published_weight_of_the_sharp_loss() -> None:
    found, wanted = noise(1), noise(2)
    torch.testing.assert_close(elsface_loss(found, wanted), elsface_loss(found, wanted, 0.05), rtol=0, atol=0)


def test_equal_pictures_cost_nothing() -> None:
    assert float(elsface_loss(noise(1), noise(1))) == 0


def test_gradients_flow_through_the_sharpening() -> None:
    found = noise(1).requires_grad_()
    torch.autograd.backward(sharp_loss(found, noise(2)))
    assert found.grad is not None
    plain = torch.sign(found.detach() - noise(2)) / found.numel()
    assert float((found.grad - plain).abs().max()) > 0.1 * float(plain.abs().max())


@pytest.mark.parametrize("sigma", [0.7, 2.8])
def test_the_detail_losss_blur_is_opencvs_gaussian(sigma: float) -> None:
    images = noise(1)
    taps = 2 * int(np.ceil(3 * sigma)) + 1
    for image, smooth in zip(images.flatten(0, 1).numpy(), blurred(images, sigma).flatten(0, 1).numpy(), strict=True):
        expected = cv2.GaussianBlur(image, (taps, taps), sigma, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(smooth, expected, rtol=0, atol=2e-6)


def test_detail_is_told_by_its_amplitude_and_scale() -> None:
    columns = torch.arange(64.0)
    wave = torch.sin(columns * 2 * torch.pi / 10).expand(1, 3, 48, 64)
    strong, weak = (amplitudes(bands(0.5 + height * wave))[0, :, 24, 32] for height in (0.2, 0.1))
    assert int(strong.argmax()) == 1
    assert float(strong[1] / weak[1]) == pytest.approx(2, rel=0.01)
    passed = np.exp(-((2 * np.pi / 10 * np.array([1.4, 2.8])) ** 2) / 2)  # of a wave by a Gaussian
    assert float(strong[1]) == pytest.approx(0.2 * (passed[0] - passed[1]) / np.sqrt(2), rel=0.03)


def test_detail_that_is_too_faint_costs_and_is_drawn_stronger() -> None:
    fine = noise(1)
    assert not detail_loss(fine, fine).any()
    assert not detail_loss(fine + 0.2, fine).gt(1e-5).any()
    faint, fainter = (0.5 + share * (fine - 0.5) for share in (0.8, 0.5))
    assert detail_loss(faint, fine).shape == (2,)
    assert (detail_loss(faint, fine) < 0.6 * detail_loss(fainter, fine)).all()
    fainter.requires_grad_()
    torch.autograd.backward(detail_loss(fainter, fine).sum())
    assert fainter.grad is not None
    assert float((fainter.grad * (fine - 0.5)).sum()) < 0


def test_nothing_is_gained_by_detail_that_has_no_place() -> None:
    """What goes with the truth nowhere neither costs nor gains; in one band it says nothing of the others."""
    fine = noise(1)
    assert likeness(bands(noise(2)), bands(fine)).max() < 0.15
    assert not likeness(-bands(fine), bands(fine)).any()
    torch.testing.assert_close(likeness(bands(fine), bands(fine)), torch.ones(2, 3))
    coarse = blurred(fine, 2.8) + 0.1 * torch.sin(torch.arange(56.0) * torch.pi / 1.5)
    like = likeness(bands(coarse), bands(fine))
    assert (like[:, 0] < 0.2).all()
    assert (like[:, 2] > 0.8).all()
    assert (detail_loss(0.5 + 0.3 * (noise(2) - 0.5), fine) < 0.1 * detail_loss(0.5 + 0.3 * (fine - 0.5), fine)).all()
