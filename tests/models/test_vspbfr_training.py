"""The pieces of VSPBFR's training: objectives, data, augmentation, optimisers."""

import math

import numpy as np
import pytest
import torch

from models.losses.logistic import discriminator_loss, generator_loss, r1_penalty
from models.nets.code_diffuser import CodeDiffuser
from models.nets.style_encoder import StyleEncoder
from models.nets.vspbfr import RestorationNet
from models.nets.vspbfr_discriminator import CodeDiscriminator, Discriminator
from models.samplers.code_diffusion import schedule
from models.training import vspbfr as training
from models.training.ada import Strength, augmented
from models.training.ranger import Ranger
from models.training.vspbfr_data import blur_kernel, covering, degraded, drawn, grey, levels, small_size
from tests.golden.make_vspbfr import SHAPE, filled, small_networks


def faces(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, SHAPE.side, SHAPE.side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).abs().flatten(1).mean(1)


def embed(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(images.mean((2, 3)))


def test_settings_are_the_published_ones() -> None:
    assert training.DIFFUSER.betas == pytest.approx((0, 0.99199), abs=1e-5)
    assert training.DIFFUSER.learning_rate == pytest.approx(0.0016)
    assert training.RESTORATION.discriminator_rate == pytest.approx(0.00188235, abs=1e-8)
    assert training.RESTORATION.average == pytest.approx(0.9977844, abs=1e-7)


@pytest.mark.parametrize(("step", "last"), [(0, 0), (19_999, 0), (20_000, 1), (22_000, 2), (52_000, 17), (199_999, 17)])
def test_the_encoder_learns_row_by_row(step: int, last: int) -> None:
    assert training.last_row(step) == last


def test_rows_behind_the_last_are_row_0() -> None:
    encoder = filled(StyleEncoder(SHAPE))
    assert isinstance(encoder, StyleEncoder)
    maps = encoder.maps(torch.nn.functional.avg_pool2d(faces(1), 2))
    whole, part = encoder.offsets(maps), encoder.offsets(maps, last=3)
    assert torch.equal(part[:, :4], whole[:, :4])
    assert torch.equal(part[:, 4:], whole[:, :1].expand(-1, SHAPE.rows - 4, -1))
    assert float(training.offset_loss(part, SHAPE.rows - 1)) == pytest.approx(float(training.offset_loss(whole, 3)))


def test_the_encoders_loss_is_the_sum_of_its_terms() -> None:
    images, wanted, codes = faces(2), faces(2, 2), torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(3))
    scores = CodeDiscriminator(8)(codes[:, :3].flatten(0, 1))
    found = training.encoder_loss(images, wanted, codes, scores, 2, distance, embed).detach()
    terms = [
        (images - wanted).square().mean(),
        0.8 * distance(images, wanted).mean(),
        0.5 * training.identity_loss(images, wanted, embed),
        0.1 * generator_loss(scores),
        2e-4 * ((codes[:, 1] - codes[:, 0]).norm(dim=1).mean() + (codes[:, 2] - codes[:, 0]).norm(dim=1).mean()),
    ]
    assert float(found) == pytest.approx(float(torch.stack(terms).sum().detach()), rel=1e-5)


def test_the_diffusers_gradient_goes_through_all_its_steps() -> None:
    """A small step against the gradient lowers the loss by what the gradient says."""
    torch.manual_seed(0)
    diffuser, plan = CodeDiffuser(4, 8), schedule()
    degraded_codes, target = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    noise, image = torch.randn(2, 4, 8), faces(2)

    def loss() -> torch.Tensor:
        prompt = training.diffuser_prompt(diffuser.double(), degraded_codes.double(), noise.double(), plan, start)
        return training.diffuser_loss(prompt, target.double(), image, image, distance, embed)

    start = degraded_codes.double()
    before = loss()
    torch.autograd.backward(before)
    gradients: dict[str, torch.Tensor] = {}
    for name, parameter in diffuser.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
        gradients[name] = parameter.grad
    wanted = 1e-7
    length = wanted / sum(float(gradient.square().sum()) for gradient in gradients.values())
    state = {name: value - length * gradients[name] for name, value in diffuser.state_dict().items()}
    diffuser.load_state_dict(state)
    assert float(before.detach() - loss().detach()) == pytest.approx(wanted, rel=0.01)


def test_the_restoration_networks_losses_reach_every_parameter_that_counts() -> None:
    networks, judge = small_networks(), Discriminator(SHAPE)
    net = networks.restoration.requires_grad_(True).train()
    assert isinstance(net, RestorationNet)
    noise = [torch.randn(2, 1, side, side) for side in (64, 32, 32, 16, 16, 8, 8, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64)]
    codes = torch.randn(2, SHAPE.rows, SHAPE.style)
    maps = [torch.randn(2, SHAPE.channels(side), side, side) for side in (4, 8, 16, 32, 64)]
    rows = net.rows(codes, net.style(torch.randn(2, SHAPE.style)))
    restored = net(faces(2), maps, rows, noise)
    loss = training.restoration_loss(restored, faces(2, 2), judge(restored), distance, embed)
    torch.autograd.backward(loss)
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None]
    summed = training.restoration_loss(restored, faces(2, 2), judge(restored), distance, embed, summed=True)
    extra = 0.5 * 2 * distance(restored, faces(2, 2)).mean()  # 4 times the mean against the sum of two
    assert float((loss - summed).detach()) == pytest.approx(float(extra.detach()), rel=1e-3)


def test_r1_is_the_squared_gradient_of_the_scores() -> None:
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    penalty = r1_penalty(real.square().sum(1, keepdim=True), real)
    assert float(penalty.detach()) == pytest.approx(((4 + 16) + (36 + 64)) / 2)
    assert float(training.penalised(penalty, training.RESTORATION).detach()) == pytest.approx(60 * 80)


def test_logistic_losses_are_low_where_the_discriminator_is_right() -> None:
    right, wrong = torch.full((2, 1), 5.0), torch.full((2, 1), -5.0)
    assert float(discriminator_loss(right, wrong)) < 0.02
    assert float(discriminator_loss(wrong, right)) > 9
    assert float(generator_loss(torch.zeros(3, 1))) == pytest.approx(math.log(2))


def test_the_discriminator_sees_the_batch_as_a_whole() -> None:
    judge, images = filled(Discriminator(SHAPE)), faces(4)
    assert judge(images).shape == (4, 1)
    assert not torch.allclose(judge(images)[:1], judge(images[:1]))


def test_the_code_pool_gives_old_codes_back() -> None:
    pool, generator = training.CodePool(4), torch.Generator().manual_seed(1)
    first = pool.exchanged(list(torch.arange(4.0)), generator)
    assert [float(code) for code in first] == [0, 1, 2, 3]
    later = [float(code) for code in pool.exchanged(list(torch.arange(4.0, 40.0)), generator)]
    given_back = [code for index, code in enumerate(later) if code != index + 4]
    assert len(pool.codes) == 4
    assert 8 < len(given_back) < 28
    assert len(set(given_back)) == len(given_back)


def test_ranger_centralises_and_looks_ahead() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    ranger = Ranger([weight], rate=0.1)
    for step in range(6):
        ranger.zero_grad()
        torch.autograd.backward((weight * torch.tensor([1.0, 2.0, 3.0])).sum())
        before = weight.detach().clone()
        ranger.step()
        assert torch.allclose(weight.mean(1), torch.ones(2), atol=1e-6)  # the gradient's mean is gone
        assert (step < 5) == bool((weight[:, 0] > before[:, 0]).all())
    assert torch.allclose(weight[:, 0] - 1, torch.full((2,), 0.0) + (ranger.slow[0][:, 0] - 1))


def test_degradations_are_drawn_from_the_published_ranges() -> None:
    draws = [drawn(np.random.default_rng(seed), haze=True) for seed in range(400)]
    assert {one.kernel_side for one in draws} == {39, 41}
    assert 0.4 < np.mean([one.sigma_x == one.sigma_y for one in draws]) < 0.6
    assert all(0.8 <= one.scale <= 8 and 0 <= one.noise_sigma <= 20 and 60 <= one.quality < 100 for one in draws)
    hazy = [one.haze for one in draws if one.haze < 1]
    assert len(hazy) < 20
    assert all(0.75 <= haze <= 0.95 for haze in hazy)


def test_a_degraded_picture_keeps_its_size_and_comes_in_whole_levels() -> None:
    rng = np.random.default_rng(1)
    image, how = rng.random((64, 64, 3), np.float32), drawn(rng, haze=False)
    side = small_size(64, how.scale)
    low = degraded(image, how, rng.standard_normal((side, side, 3)).astype(np.float32)).lq
    assert low.shape == image.shape
    assert np.allclose(low * 255, np.rint(low * 255), atol=1e-3)
    assert low.std() < image.std()


def test_a_blur_kernel_has_the_sum_1_and_turns() -> None:
    kernel = blur_kernel(41, 6.0, 1.0, 0.0)
    assert kernel.sum() == pytest.approx(1)
    assert kernel[20, 26] > 10 * kernel[26, 20]
    assert np.allclose(blur_kernel(41, 6.0, 1.0, np.pi / 2), kernel.T, atol=1e-6)


def test_pictures_are_read_and_written_as_the_original_does() -> None:
    picture = np.arange(30 * 50 * 3, dtype=np.uint32).reshape(30, 50, 3).astype(np.uint8)
    assert covering(picture, 20).shape == (20, 20, 3)
    square = picture[:20, :20]
    assert covering(square, 20) is square
    values = np.array([-2, -1, 0, 1, 2], np.float32)
    assert levels(values).tolist() == [0, 0, 128, 255, 255]
    assert np.ptp(grey(np.random.default_rng(1).random((4, 4, 3), np.float32)), axis=2).max() == 0


def test_augmentation_by_identities_changes_next_to_nothing() -> None:
    images = torch.nn.functional.avg_pool2d(faces(2), 5, 1, 2)
    same = augmented(images, torch.eye(3).expand(2, 3, 3), torch.eye(4).expand(2, 4, 4))
    assert same.shape == images.shape
    assert (same - images).abs().mean() < 0.02
    moved = torch.eye(3).repeat(2, 1, 1)
    moved[:, 0, 2] = 8
    shifted = augmented(images, moved, torch.eye(4).expand(2, 4, 4))
    assert (shifted[..., 8:-24] - images[..., 16:-16]).abs().mean() < 0.02


def test_augmentation_grows_while_the_discriminator_is_sure() -> None:
    strength, sure, unsure = Strength(), torch.ones(4, 1), torch.tensor([[1.0], [-1.0]])
    grown = [strength.tune(sure) for _ in range(16)]
    assert grown[6] == 0
    assert grown[7] == pytest.approx(32 / 500_000)
    assert grown[15] == pytest.approx(64 / 500_000)
    assert [strength.tune(unsure) for _ in range(8)][-1] == pytest.approx(48 / 500_000)
