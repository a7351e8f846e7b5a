"""The pieces that DR2 and SPARNetHD are trained with."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.dr2_parameters import Removal
from models.losses.p2 import hybrid_loss, level_log_likelihood, normal_divergence, p2_weights
from models.losses.sparnet import VggDistance, discriminator_loss, feature_loss, generator_loss
from models.nets.sparnet_discriminator import Discriminators, Judgement
from models.samplers.diffusion import linear
from models.training.dr2 import Dr2Augmentation, blurred, diffusion_optimiser, diffusion_picture, enhancer_input


def noise(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_augmentation_draws_within_its_ranges_and_from_its_generator_alone() -> None:
    ranges = Dr2Augmentation(factors=(4, 8), stops=(5, 9), sigmas=(1.0, 2.0))
    drawn = [ranges.draw(torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert {removal.factor for removal, _ in drawn} == {4, 8}
    assert {removal.stop for removal, _ in drawn} == {5, 6, 7, 8, 9}
    assert all(removal.start - removal.stop == {4: 20, 8: 25}[removal.factor] for removal, _ in drawn)
    assert all(1 <= sigma <= 2 for _, sigma in drawn)
    assert ranges.draw(torch.Generator().manual_seed(3)) == drawn[3]
    assert Dr2Augmentation().draw(torch.Generator().manual_seed(1))[0] != Removal(1, 0, 0)


def test_a_blur_keeps_the_mean_takes_detail_and_spreads_a_point_by_sigma() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[..., 32, 32] = 1
    spread = blurred(point, 2.0)[0, 0]
    rows = torch.arange(65) - 32.0
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    assert float((spread.sum(1) * rows.square()).sum()) == pytest.approx(4, rel=0.03)
    assert torch.equal(blurred(point, 0), point)


def test_each_face_of_an_enhancers_input_has_its_own_blur() -> None:
    clean = noise(1, 3, 64, 64).expand(2, -1, -1, -1)
    found = enhancer_input(clean, torch.tensor([0.0, 3.0]), 128)
    assert found.shape == (2, 3, 128, 128)
    assert found[1].std() < 0.3 * found[0].std()


@pytest.mark.parametrize("size", [(256, 256), (300, 400), (1100, 600)])
def test_the_diffusion_model_learns_the_middle_of_a_photo(size: tuple[int, int]) -> None:
    photo = np.zeros((*size, 3), np.uint8)
    photo[:, size[1] // 2 :] = 255
    found = diffusion_picture(photo, flipped=False)
    assert found.shape == (3, 256, 256)
    assert found.dtype == np.float32
    assert found[:, :, :120].max() == -1
    assert found[:, :, 136:].min() == 1
    np.testing.assert_array_equal(diffusion_picture(photo, flipped=True), found[:, :, ::-1])


def test_with_gamma_0_the_weights_are_1_and_with_1_the_noises_variance() -> None:
    process, index = linear(), torch.tensor([0, 10, 999])
    torch.testing.assert_close(p2_weights(process, index, gamma=0), torch.ones(3).double())
    torch.testing.assert_close(p2_weights(process, index), 1 - process.signal[index])


def test_the_bound_trains_the_variances_alone() -> None:
    output = noise(2, 6, 8, 8).requires_grad_(True)
    loss = hybrid_loss(linear(), noise(2, 3, 8, 8, seed=5), torch.tensor([3, 0]), noise(2, 3, 8, 8, seed=6), output)
    torch.autograd.backward(loss.bound.sum())
    assert output.grad is not None
    assert output.grad[:, :3].abs().max() == 0
    assert output.grad[:, 3:].abs().sum() > 0


def test_a_perfect_guess_of_the_noise_costs_nothing() -> None:
    drawn = noise(2, 3, 8, 8)
    output = torch.cat([drawn, torch.full_like(drawn, -1)], dim=1)
    loss = hybrid_loss(linear(), noise(2, 3, 8, 8, seed=5), torch.tensor([500, 900]), drawn, output)
    assert loss.mse.max() == 0
    assert loss.bound.abs().max() < 1e-4
    torch.testing.assert_close(loss.total, loss.mse + loss.bound)


def test_a_normal_diverges_from_itself_by_0_and_from_a_shifted_one_by_half_the_square() -> None:
    zero = torch.zeros(1)
    assert float(normal_divergence(zero, zero, zero, zero)) == 0
    assert float(normal_divergence(zero, zero, zero + 2, zero)) == pytest.approx(2)


def test_the_probabilities_of_all_grey_levels_sum_to_1() -> None:
    levels = torch.linspace(-1, 1, 256)
    found = level_log_likelihood(levels, torch.full_like(levels, 0.3), torch.full_like(levels, math.log(0.2)))
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-4)


def test_the_diffusions_optimiser_does_not_decay_weights() -> None:
    adam = diffusion_optimiser(nn.Linear(2, 2))
    assert (adam.defaults["lr"], adam.defaults["weight_decay"], adam.defaults["betas"]) == (2e-5, 0.0, (0.9, 0.999))


@pytest.fixture(scope="module")
def judges() -> Discriminators:
    torch.manual_seed(8)
    return Discriminators().eval()


def test_the_discriminators_have_the_published_size_and_three_scales(judges: Discriminators) -> None:
    assert sum(parameter.numel() for parameter in judges.parameters()) == 11_750_403
    judged = judges(noise(1, 3, 256, 256))
    assert [tuple(score.shape[2:]) for score, _ in judged] == [(14, 14), (6, 6), (2, 2)]
    assert [len(features) for _, features in judged] == [5, 5, 5]


def judged(score: float, feature: float) -> list[Judgement]:
    return [(torch.full((1, 1, 2, 2), float(score)), [torch.full((1, 4, 2, 2), float(feature))] * 5)] * 3


def test_the_hinge_is_0_for_sure_judges_and_2_for_fooled_ones() -> None:
    assert float(discriminator_loss(judged(-1.5, 0), judged(1.5, 0))) == 0
    assert float(discriminator_loss(judged(1, 0), judged(-1, 0))) == 2


def test_features_are_summed_over_maps_and_averaged_over_scales() -> None:
    assert float(feature_loss(judged(0, 1), judged(0, 3))) == pytest.approx(10)


def test_the_generators_terms_have_their_published_shares() -> None:
    found, wanted = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)

    def perceptual(_found: torch.Tensor, _wanted: torch.Tensor) -> torch.Tensor:
        return torch.tensor(7.0)

    total = generator_loss(found, wanted, judged(2, 1), judged(0, 3), perceptual)
    assert float(total) == pytest.approx(100 * 1 + 7 + 10 * 10 - 2)


def test_vggs_first_four_maps_are_seen_after_their_rectifier_and_the_last_before() -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(3, 3, 1) if index % 2 == 0 else nn.ReLU(inplace=True) for index in range(2, 37)]
    layers[7], layers[8], layers[25], layers[26] = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.ReLU()
    distance = VggDistance(nn.Sequential(*layers))
    maps = distance.features(noise(1, 3, 8, 8))
    assert len(maps) == 5
    assert all(found.min() >= 0 for found in maps[:4])
    assert float(distance(noise(1, 3, 8, 8), noise(1, 3, 8, 8))) == 0


def test_the_smaller_judges_see_a_cubic_half(judges: Discriminators) -> None:
    faces = noise(1, 3, 256, 256)
    half = functional.interpolate(faces, scale_factor=0.5, mode="bicubic", align_corners=False)
    with torch.inference_mode():
        torch.testing.assert_close(judges(faces)[1][0], judges.D_pool[1](half)[0])
