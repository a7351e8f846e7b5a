"""VSPBFR as a method: the record of its arithmetic, its draws, and one face in any batch."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.method import Faces
from models.methods.vspbfr import METHOD, PROMPT, Draws, Vspbfr, VspbfrParameters, draws_of
from models.nets.style_decoder import noise_sides
from models.nets.vspbfr import noise_sides_of
from models.nets.vspbfr_shape import PUBLISHED
from models.samplers.code_diffusion import diffused, posterior, posterior_states, schedule
from tests.golden.make_vspbfr import FILE, SHAPE, outputs, small_networks


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As workers have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def method(mixing: float = 0.0) -> Vspbfr:
    return Vspbfr(small_networks(), VspbfrParameters(mixing=mixing), "cpu", "float32")


def faces(count: int) -> torch.Tensor:
    return torch.rand(count, 3, SHAPE.side, SHAPE.side, generator=torch.Generator().manual_seed(1839))


def restored(vspbfr: Vspbfr, crops: torch.Tensor, seeds: list[int]) -> torch.Tensor:
    return vspbfr.restore(Faces.plain(crops, seeds)).faces


def tensors_of(draws: Draws) -> list[torch.Tensor]:
    return [draws.start, *draws.maps, draws.codes, *draws.noise]


def test_networks_and_chain_compute_the_recorded_outputs() -> None:
    with np.load(FILE) as golden:
        for name, found in outputs(small_networks()).items():
            error = np.linalg.norm(found - golden[name]) / np.linalg.norm(golden[name])
            assert error < 1e-4, name


@pytest.mark.parametrize("order", [[0], [4], [3, 2, 1, 0], [5, 5, 1], [1, 2, 3, 4, 5, 0]])
def test_a_face_has_the_same_bytes_in_any_batch(order: list[int]) -> None:
    crops, seeds, vspbfr = faces(6), list(range(100, 106)), method(mixing=0.5)
    together = restored(vspbfr, crops, seeds)
    apart = restored(vspbfr, crops[order], [seeds[index] for index in order])
    assert torch.equal(apart, together[order])


def test_shape_type_and_range_stay_and_crops_are_not_written_to() -> None:
    crops, vspbfr = faces(2), method()
    before = crops.clone()
    found = restored(vspbfr, crops, [1, 2])
    assert found.shape == crops.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(crops, before)
    assert restored(vspbfr, crops[:0], []).shape == (0, 3, SHAPE.side, SHAPE.side)


def test_the_seed_decides_every_draw_of_a_face() -> None:
    crops, vspbfr = faces(1), method()
    assert torch.equal(restored(vspbfr, crops, [5]), restored(vspbfr, crops, [5]))
    assert not torch.equal(restored(vspbfr, crops, [5]), restored(vspbfr, crops, [6]))


def test_the_style_prompt_is_kept_on_request_and_changes_no_face() -> None:
    crops, vspbfr = faces(2), method()
    kept = vspbfr.restore(Faces.plain(crops, [5, 6], frozenset({PROMPT})))
    assert torch.equal(kept.faces, restored(vspbfr, crops, [5, 6]))
    assert kept.kept[PROMPT].shape == crops.shape
    assert kept.kept[PROMPT].min() >= 0
    assert kept.kept[PROMPT].max() <= 1
    assert kept.kept[PROMPT].std() > 0.01
    assert not vspbfr.restore(Faces.plain(crops, [5, 6])).kept
    assert METHOD.keeps == (PROMPT,)


def test_draws_do_not_depend_on_mixing_or_on_the_picture() -> None:
    plain = draws_of(5, SHAPE, 0.0)
    others = [draws_of(5, SHAPE, 1.0), draws_of(5, SHAPE, 0.0, picture=True)]
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(tensors_of(plain), tensors_of(other), strict=True))
    assert not plain.picture_maps
    assert [one.shape[-1] for one in others[1].picture_maps] == [64, 128, 128]


def test_mixing_splits_the_rows_of_some_faces() -> None:
    rows = SHAPE.rows - 2
    splits = [int(draws_of(seed, SHAPE, 0.5).split) for seed in range(200)]
    assert 60 < sum(split < rows for split in splits) < 140
    assert {split for split in splits if split < rows} == set(range(1, rows))
    assert all(int(draws_of(seed, SHAPE, 0.0).split) == rows for seed in range(20))


def test_a_split_takes_the_second_code_from_its_row_on() -> None:
    vspbfr, low = method(), faces(1) * 2 - 1
    draws = replace(draws_of(5, SHAPE, 0.0), split=torch.tensor([4]))
    once = replace(draws, codes=draws.codes[:, :1].expand(-1, 2, -1))
    assert not torch.equal(vspbfr.steps(low, draws).restored, vspbfr.steps(low, once).restored)
    unmixed = vspbfr.steps(low, replace(draws, split=torch.tensor([SHAPE.rows - 2]))).restored
    assert torch.allclose(vspbfr.steps(low, once).restored, unmixed, atol=1e-5)


def test_noise_maps_have_the_published_sides() -> None:
    assert noise_sides(1024) == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    encoder = [512, 256, 256, 128, 128, 64, 64, 32, 32, 16, 16, 8, 8, 4]
    assert noise_sides_of(PUBLISHED) == [*encoder, *noise_sides(512)]


def test_noise_is_standard_normal_for_the_largest_seed_too() -> None:
    noise = draws_of(2**63 - 1, PUBLISHED, 0.0).noise[0]
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)


def test_a_face_of_which_nothing_finite_comes_is_not_hidden() -> None:
    crops = faces(1)
    crops[0, 0, 0, 0] = torch.nan
    assert not torch.isfinite(restored(method(), crops, [1])).all()


def test_in_bfloat16_a_face_comes_near() -> None:
    lower = Vspbfr(small_networks(), VspbfrParameters(), "cpu", "bfloat16")
    found = restored(lower, faces(1), [5])
    assert found.dtype == torch.float32
    assert (found - restored(method(), faces(1), [5])).abs().mean() < 0.05


def test_defaults_are_one_noise_code_and_512_pixels() -> None:
    defaults = VspbfrParameters()
    assert (defaults.size, defaults.mixing) == (512, 0.0)


@pytest.mark.parametrize("wrong", [{"size": 256}, {"size": 1024}, {"mixing": -0.1}, {"mixing": 1.1}, {"steps": 4}])
def test_parameters_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        VspbfrParameters.model_validate(wrong)


def test_the_licence_tells_of_stylegan2_and_ffhq() -> None:
    assert METHOD.commercial is False
    assert "StyleGAN2" in METHOD.licence
    assert "FFHQ" in METHOD.licence
    assert all(file.commercial is False for file in METHOD.checkpoints)
    assert "Arcface.pth" not in {file.name for file in METHOD.checkpoints}


def test_the_schedule_is_the_published_one() -> None:
    plan = schedule()
    assert plan.clean == pytest.approx((1, 0.765186906, 0.636269748, 0.505926788), rel=1e-7)
    assert plan.state == pytest.approx((0, 0.230245799, 0.315255642, 0.0742124319), rel=1e-7)
    assert (plan.kept, plan.noise) == pytest.approx((0.0509709492, 0.998700142), rel=1e-7)


def test_the_last_state_is_the_last_prediction_and_no_noise_is_added() -> None:
    def predict(state: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return (state * 0.3 + step[:, None, None]).tanh()

    start, plan = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)), schedule()
    steps = list(posterior_states(predict, start, plan))
    assert len(steps) == 4
    assert torch.equal(steps[-1][0], steps[-1][1])
    assert torch.equal(posterior(predict, start, plan), steps[-1][1])
    assert torch.equal(posterior(predict, start, plan), posterior(predict, start, plan))


def test_training_starts_from_a_code_with_noise() -> None:
    plan, codes, noise = schedule(), torch.ones(1, 2, 3), torch.full((1, 2, 3), 2.0)
    assert torch.allclose(diffused(codes, noise, plan), torch.full((1, 2, 3), 0.0509709492 + 2 * 0.998700142))
