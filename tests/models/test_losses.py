"""The Sharp Loss: a linear unsharp mask, and L1 behind it."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

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
