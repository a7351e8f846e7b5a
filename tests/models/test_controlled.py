"""The controlled experiments: degradations by their figures, the five schemes, and their objectives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.controlled import SCHEMES, MeanNetwork, Restoration, Shapes, networks, restoration
from models.degradations.controlled import EXPERIMENTS
from models.degradations.difface import Draws, age, degrade, draw, gaussian
from models.nets.hdit import HDiT
from models.pmrf_checkpoint import FlowNetworks
from models.training.pmrf import Line, flow_loss, mean_loss, stratified
from models.training.task import Face
from models.training.tasks.pmrf import TRAINING, PmrfRecipe, PmrfTask
from models.training.trainer import Trainer
from tests.golden.make_pmrf import FLOW, REGRESSOR, weights

SIDE = 64
SMALL = Shapes(FLOW, REGRESSOR)
FLOWS = [name for name, scheme in SCHEMES.items() if scheme.flow]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """For small networks two threads wait for each other more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(channels: int = 3) -> torch.Tensor:
    return torch.rand(channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1839))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(name: str, channels: int = 3) -> tuple[torch.nn.Module, Restoration]:
    made = networks(SCHEMES[name], channels, SMALL).eval().requires_grad_(False)
    made.load_state_dict(weights(made))
    return made, restoration(SCHEMES[name], made, 0.1)


def test_the_noise_of_denoising_has_its_strength() -> None:
    grey = torch.full((3, 256, 256), 0.5)
    noisy = EXPERIMENTS["denoising"].degrade(grey, seeded())
    # clipping at 0 and 1, 1.43 sigma away, takes some of the spread of 0.35
    expected = (torch.randn(3, 256, 256, generator=seeded(1)) * 0.35 + 0.5).clamp(0, 1).std()
    assert float(noisy.std()) == pytest.approx(float(expected), rel=0.01)


def test_super_resolution_leaves_squares_of_eight_pixels() -> None:
    small_again = EXPERIMENTS["super-resolution"].degrade(picture(), seeded())
    squares = small_again.unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)
    assert small_again.shape == (3, SIDE, SIDE)
    assert torch.equal(squares.amin(3), squares.amax(3))
    assert len(squares[0].unique()) > 32


def test_inpainting_drops_nine_tenths_in_all_channels_alike() -> None:
    white = torch.ones(3, SIDE, SIDE)
    holed = EXPERIMENTS["inpainting"].degrade(white, seeded())
    kept = (holed > 0.55).all(0)  # noise of 0.1 does not carry a pixel half way
    assert int(kept.sum()) == SIDE**2 - int(0.9 * SIDE**2)
    assert (holed[:, ~kept] < 0.55).all()


def test_colorization_keeps_one_channel_the_plain_mean() -> None:
    colours = torch.tensor([0.2, 0.4, 0.9])[:, None, None].expand(3, 256, 256)
    grey = EXPERIMENTS["colorization"].degrade(colours, seeded())
    assert grey.shape == (1, 256, 256)
    assert float(grey.mean()) == pytest.approx(0.5, abs=0.01)


def test_a_degradation_depends_on_its_generator_alone() -> None:
    for experiment in EXPERIMENTS.values():
        one, same, other = (experiment.degrade(picture(), seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert one.min() >= 0
        assert one.max() <= 1


def test_the_blur_of_blind_restoration_turns_from_x_to_y() -> None:
    lying, standing = gaussian((6.0, 1.0), 0.0), gaussian((6.0, 1.0), np.pi / 2)
    assert lying.sum() == pytest.approx(1)
    assert lying[20, 30] > 1000 * lying[30, 20]
    np.testing.assert_allclose(standing, lying.T, atol=1e-12)


def test_blind_draws_stay_in_the_published_ranges() -> None:
    found = [draw(np.random.default_rng(seed)) for seed in range(300)]
    assert all(0.1 <= sigma <= 15 for one in found for sigma in one.sigmas)
    assert all(0.8 <= one.factor <= 32 and 0 <= one.noise <= 20 and 30 <= one.quality < 100 for one in found)
    assert 100 < sum(one.flip for one in found) < 200
    assert 100 < sum(one.sigmas[0] == one.sigmas[1] for one in found) < 200
    assert sum(one.grey for one in found) < 12


def test_a_flipped_face_has_a_flipped_truth() -> None:
    image = np.random.default_rng(0).random((96, 96, 3), np.float32)
    drawn = Draws(flip=True, sigmas=(0.2, 0.2), theta=0.0, factor=1.0, noise=0.0, quality=95, grey=False)
    steps = degrade(image, drawn, np.zeros((96, 96, 3), np.float32), coded=False)
    np.testing.assert_array_equal(steps.aged.truth, image[:, ::-1])
    assert np.abs(steps.aged.photo - image[:, ::-1]).mean() < 0.01


def test_what_is_given_has_whole_levels() -> None:
    aged = age(np.random.default_rng(0).random((96, 96, 3), np.float32), np.random.default_rng(1))
    np.testing.assert_allclose(aged.photo * 255, np.rint(aged.photo * 255), atol=1e-4)


def test_times_are_spread_over_all_processes() -> None:
    draws = torch.rand(8, generator=seeded())
    times = torch.cat([stratified(draws[rank::2], rank, 2) for rank in (0, 1)])
    assert sorted((times * 8).floor().tolist()) == list(range(8))


def test_a_line_leads_from_its_source_to_the_clean_image() -> None:
    source, clean = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    start = Line.between(source, clean, torch.zeros(2))
    assert torch.equal(start.points, source)
    torch.testing.assert_close(start.points + start.velocity, clean)
    assert torch.equal(Line.between(source, clean, torch.ones(2)).points, clean)


def test_the_losses_are_mean_squares() -> None:
    line = Line(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]]))
    assert float(flow_loss(torch.zeros(1, 1, 1, 2), line)) == 5
    assert float(mean_loss(torch.tensor([[[[1.5, 0.5]]]]), torch.tensor([[[[1.0, 0.0]]]]))) == 0.125


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_restores_colour_from_any_experiment(name: str, channels: int) -> None:
    _, restorer = small(name, channels)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=seeded())
    results = restorer.restore(picture(channels)[None], noise, 2)
    assert results.restored.shape == (1, 3, SIDE, SIDE)
    assert (results.source is None) == (name == "mean")
    assert (results.mean is None) == (name in ("conditioned-on-input", "flow-from-input"))


def test_the_schemes_start_where_the_paper_says() -> None:
    given, noise = picture()[None], torch.randn(1, 3, SIDE, SIDE, generator=seeded())
    results = {name: small(name)[1].restore(given, noise, 1) for name in FLOWS}
    mean = results["pmrf"].mean
    assert mean is not None
    expected = {
        "pmrf": mean + 0.1 * noise,
        "flow-from-input": given + 0.1 * noise,
        "conditioned-on-input": noise,
        "conditioned-on-mean": noise,
    }
    torch.testing.assert_close({name: result.source for name, result in results.items()}, expected)


def test_a_conditioned_flow_sees_its_condition() -> None:
    made, restorer = small("conditioned-on-input", 1)
    assert isinstance(made, FlowNetworks)
    assert isinstance(made.model, HDiT)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=seeded())
    one, other = (restorer.restore(given[None], noise, 1).restored for given in (picture(1), picture(1).flip(2)))
    assert not torch.allclose(one, other)
    assert made.model.patch_in.proj.in_features == (3 + 1) * 16


def faces(count: int) -> list[Face]:
    return [np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for seed in range(count)]


def recipe(**changes: object) -> PmrfRecipe:
    settings = {"steps": 3, "batch": 2, "size": SIDE, "network": "tiny", "validation_steps": 2, **changes}
    return PmrfRecipe.model_validate(settings)


def trained(chosen: PmrfRecipe) -> Trainer:
    trainer = Trainer(PmrfTask(chosen), chosen, faces(3))
    losses = list(trainer.run(chosen.steps))
    assert all(np.isfinite(losses))
    return trainer


@pytest.mark.parametrize("experiment", ["blind", *EXPERIMENTS])
def test_every_experiment_trains_its_regressor(experiment: str) -> None:
    trainer = trained(recipe(scheme="mean", experiment=experiment))
    assert isinstance(trainer.network, MeanNetwork)
    fresh = PmrfTask(recipe(scheme="mean", experiment=experiment)).network
    assert not torch.equal(trainer.network.model.conv_last.weight, fresh.get_parameter("model.conv_last.weight"))


def test_a_flow_trains_beside_a_frozen_regressor(tmp_path: Path) -> None:
    regressor = trained(recipe(scheme="mean", experiment="colorization"))
    TRAINING.export(regressor.average.state_dict(), tmp_path / "mean.safetensors")
    chosen = recipe(scheme="pmrf", experiment="colorization", regressor=tmp_path / "mean.safetensors")
    before = {name: value.clone() for name, value in PmrfTask(chosen).network.state_dict().items()}
    trainer = trained(chosen)
    after = trainer.network.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(name.startswith("model.") for name in changed)
    assert not any(name.startswith("mmse_model.") for name in changed)
    learnt = regressor.average.state_dict()["model.conv_last.weight"]
    assert torch.equal(after["mmse_model.conv_last.weight"], learnt)
    validation = trainer.task.validate(trainer.average, faces(2))
    assert set(validation.figures) == {"given.psnr", "mean.psnr", "restored.psnr"}
    assert validation.picture.shape == (2 * SIDE, 4 * SIDE, 3)


def test_a_flow_without_a_regressor_is_refused_where_it_needs_one() -> None:
    with pytest.raises(ValidationError, match="needs regressor"):
        recipe(scheme="pmrf")
    assert recipe(scheme="flow-from-input").sigma == 0.1
    assert recipe(scheme="flow-from-input", experiment="denoising").sigma == 0.025
