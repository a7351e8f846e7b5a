"""PMRF as a method: the record of its arithmetic, each published form of its weights, and one face in any batch."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.load import CheckpointMismatch, Tensors
from models.method import Faces
from models.methods.pmrf import ARGUMENTS, FORMS, HUB, LIGHTNING, METHOD, Pmrf, PmrfParameters, noise_of, several
from models.nets.hdit import IMAGENET_256_SP4, HDiT
from models.nets.swinir import L as LARGE
from models.nets.swinir import SwinIR
from models.pmrf_checkpoint import FlowNetworks, Weights, load_flow, load_regressor
from tests.golden.make_pmrf import FILE, FLOW, REGRESSOR, SIDE, outputs, small_networks

METRICS = {
    "fid.inception.Conv2d_1a_3x3.conv.weight": torch.zeros(2),
    "inception_score.inception.fc.bias": torch.zeros(3),
}
Spoil = Callable[[Tensors], object]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As workers have it; for small networks two threads wait for each other more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def empty() -> FlowNetworks:
    return FlowNetworks(HDiT(FLOW), SwinIR(REGRESSOR))


def method(steps: int = 2, sigma_s: float = 0.1) -> Pmrf:
    return Pmrf(small_networks(), PmrfParameters(size=SIDE, steps=steps, sigma_s=sigma_s), "cpu", "float32")


def faces(count: int) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1839))


def tensors() -> Tensors:
    """As a file of the hub has them."""
    return {name: value.clone() for name, value in small_networks().state_dict().items()}


def lightning(
    networks: FlowNetworks, *, arguments: Mapping[str, object] = ARGUMENTS, ema: object = None
) -> dict[str, object]:
    """A Lightning checkpoint of ``networks``; unless ``ema`` is given, the averaged weights are the raw ones plus 1."""
    shadow = [parameter + 1 for parameter in networks.model.parameters()]
    averages = {"decay": 0.9999, "num_updates": 9, "shadow_params": shadow, "collected_params": None}
    state = dict(networks.state_dict()) | METRICS
    return {"epoch": 3849, "state_dict": state, "ema": ema or averages, "hyper_parameters": dict(arguments)}


def same(actual: torch.nn.Module, expected: Tensors) -> bool:
    state = actual.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)


def test_networks_and_chain_compute_the_recorded_outputs() -> None:
    with np.load(FILE) as golden:
        for name, found in outputs(small_networks()).items():
            error = np.linalg.norm(found - golden[name]) / np.linalg.norm(golden[name])
            assert error < 1e-5, name


@pytest.mark.parametrize("order", [[0], [7], [3, 2, 1, 0], [5, 5, 1], [1, 2, 3, 4, 5, 6, 7, 0]])
def test_a_face_has_the_same_bytes_in_any_batch(order: list[int]) -> None:
    crops, seeds = faces(8), list(range(100, 108))
    together = method().restore(Faces.plain(crops, seeds)).faces
    apart = method().restore(Faces.plain(crops[order], [seeds[index] for index in order])).faces
    assert torch.equal(apart, together[order])


def test_shape_type_and_range_stay_and_crops_are_not_written_to() -> None:
    crops = faces(2)
    before = crops.clone()
    restored = method().restore(Faces.plain(crops, [1, 2])).faces
    assert restored.shape == crops.shape
    assert restored.dtype == torch.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert torch.equal(crops, before)
    assert method().restore(Faces.plain(crops[:0], [])).faces.shape == (0, 3, SIDE, SIDE)


def test_the_seed_decides_the_noise_and_sigma_its_strength() -> None:
    crops = faces(1)
    assert torch.equal(method().restore(Faces.plain(crops, [5])).faces, method().restore(Faces.plain(crops, [5])).faces)
    assert not torch.equal(
        method().restore(Faces.plain(crops, [5])).faces, method().restore(Faces.plain(crops, [6])).faces
    )
    assert torch.equal(
        method(sigma_s=0).restore(Faces.plain(crops, [5])).faces,
        method(sigma_s=0).restore(Faces.plain(crops, [6])).faces,
    )


def test_noise_is_standard_normal_for_the_largest_seed_too() -> None:
    noise = noise_of(torch.empty(1, 3, 128, 128), [2**63 - 1])
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


def test_the_posterior_mean_is_clipped_and_the_start_of_every_sample() -> None:
    pmrf, crops = method(), faces(1)
    mean = pmrf.posterior_mean(crops)
    assert mean.min() >= 0
    assert mean.max() <= 1
    sampled = pmrf.sample(mean, noise_of(crops, [5]))
    assert torch.equal(sampled, pmrf.restore(Faces.plain(crops, [5])).faces)


def test_samples_tell_their_spread_and_leave_the_result() -> None:
    crops, pmrf = faces(2), method()
    alone, told = (pmrf.restore(replace(Faces.plain(crops, [5, 6]), samples=count)) for count in (1, 3))
    assert torch.equal(told.faces, alone.faces)
    assert all("sample_spread" not in figures for figures in alone.figures)
    mean = pmrf.posterior_mean(crops)
    results = [pmrf.sample(mean, noise_of(crops, seeds)) for seeds in several([5, 6], 3)]
    middle = torch.stack(results).mean(0)
    squares = torch.stack([(result - middle).square() for result in results]).sum(0) / 2
    expected = (255 * squares.mean((1, 2, 3)).sqrt()).tolist()
    assert [figures["sample_spread"] for figures in told.figures] == pytest.approx(expected, rel=1e-5)
    assert min(expected) > 0


def test_the_spread_of_a_face_does_not_depend_on_its_batch() -> None:
    crops, pmrf = faces(2), method()
    together = pmrf.restore(replace(Faces.plain(crops, [5, 6]), samples=2)).figures
    apart = pmrf.restore(replace(Faces.plain(crops[1:], [6]), samples=2)).figures
    assert together[1] == apart[0]


def test_the_samples_of_a_face_have_seeds_of_their_own() -> None:
    found = several([2**63 - 1, 0], 50)
    assert found[0] == [2**63 - 1, 0]
    assert len({seed for seeds in found for seed in seeds}) == 100
    assert all(0 <= seed < 2**63 for seeds in found for seed in seeds)


def test_the_departure_from_the_posterior_mean_is_told_and_shown_on_request() -> None:
    pmrf, crops = method(), faces(2)
    plain = pmrf.restore(Faces.plain(crops, [5, 6]))
    assert plain.kept == {}
    told = pmrf.restore(Faces.plain(crops, [5, 6], frozenset({"posterior-mean", "departure"})))
    assert torch.equal(told.kept["departure"], (told.faces - told.kept["posterior-mean"]).abs())
    squares = told.kept["departure"].square().mean((1, 2, 3))
    assert [face["departure"] for face in plain.figures] == pytest.approx((255 * squares.sqrt()).tolist())


def test_a_face_of_which_nothing_finite_comes_is_not_hidden() -> None:
    crops = faces(1)
    crops[0, 0, 0, 0] = torch.nan
    assert not torch.isfinite(method().restore(Faces.plain(crops, [1])).faces).all()


def test_in_bfloat16_a_face_comes_near() -> None:
    crops = faces(1)
    lower = Pmrf(small_networks(), PmrfParameters(size=SIDE, steps=2), "cpu", "bfloat16")
    found = lower.restore(Faces.plain(crops, [5])).faces
    assert found.dtype == torch.float32
    assert (found - method().restore(Faces.plain(crops, [5])).faces).abs().mean() < 0.02


def test_defaults_are_the_papers() -> None:
    defaults = PmrfParameters()
    assert (defaults.size, defaults.steps, defaults.sigma_s) == (512, 25, 0.1)


@pytest.mark.parametrize("wrong", [{"size": 500}, {"size": 32}, {"steps": 0}, {"sigma_s": -1}, {"K": 25}])
def test_parameters_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PmrfParameters.model_validate(wrong)


def test_the_licence_tells_of_the_regressor_inside() -> None:
    assert METHOD.commercial is False
    assert "S-Lab" in METHOD.licence
    assert all(form.commercial is False for form in FORMS)


def test_the_hubs_file_is_loaded_without_the_networks_of_its_validation(tmp_path: Path) -> None:
    save_file(tensors() | METRICS, tmp_path / HUB.name)
    loaded = load_flow(empty(), tmp_path / HUB.name, arguments=ARGUMENTS)
    assert same(loaded, tensors())
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(
    ("name", "beside"), [(HUB.name, "pmrf_blind_face_image_restoration.json"), ("model.safetensors", "config.json")]
)
def test_a_config_beside_the_hubs_file_must_agree(tmp_path: Path, name: str, beside: str) -> None:
    save_file(tensors(), tmp_path / name)
    (tmp_path / beside).write_text(json.dumps(dict(ARGUMENTS) | {"lr": 0.0005}))
    load_flow(empty(), tmp_path / name, arguments=ARGUMENTS)
    (tmp_path / beside).write_text(json.dumps(dict(ARGUMENTS) | {"conditional": True, "mmse_noise_std": 0.3}))
    with pytest.raises(CheckpointMismatch, match=r"conditional True for False, mmse_noise_std 0\.3 for 0\.1"):
        load_flow(empty(), tmp_path / name, arguments=ARGUMENTS)
    (tmp_path / beside).write_text("{")
    with pytest.raises(CheckpointUnreadable, match=beside):
        load_flow(empty(), tmp_path / name, arguments=ARGUMENTS)


@pytest.mark.parametrize(("weights", "offset"), [("averaged", 1), ("raw", 0)])
def test_a_lightning_file_gives_the_averaged_flow_or_the_raw_one(tmp_path: Path, weights: Weights, offset: int) -> None:
    source = small_networks()
    torch.save(lightning(source), tmp_path / LIGHTNING.name)
    loaded = load_flow(empty(), tmp_path / LIGHTNING.name, weights=weights, arguments=ARGUMENTS)
    for (name, parameter), other in zip(loaded.model.named_parameters(), source.model.parameters(), strict=True):
        assert torch.equal(parameter, other + offset), name
    assert torch.equal(loaded.model.time_emb.weight, source.model.time_emb.weight)
    assert loaded.mmse_model is not None
    assert source.mmse_model is not None
    assert same(loaded.mmse_model, source.mmse_model.state_dict())


def test_a_lightning_file_with_other_arguments_is_refused(tmp_path: Path) -> None:
    other = dict(ARGUMENTS) | {"stage": "naive_flow"}
    torch.save(lightning(small_networks(), arguments=other), tmp_path / "a.ckpt")
    with pytest.raises(CheckpointMismatch, match="stage 'naive_flow' for 'flow'"):
        load_flow(empty(), tmp_path / "a.ckpt", arguments=ARGUMENTS)


def test_averaged_weights_that_are_missing_or_in_another_order_are_told(tmp_path: Path) -> None:
    source, path = small_networks(), tmp_path / "a.ckpt"
    values = [parameter.clone() for parameter in source.model.parameters()]
    wrong: dict[str, object] = {
        "no averaged weights": {"decay": 0.9},
        f"has {len(values) - 1} averaged tensors for {len(values)}": {"shadow_params": values[1:]},
        r"another order: model\.patch_in\.proj\.weight": {"shadow_params": values[::-1]},
    }
    for message, ema in wrong.items():
        torch.save(lightning(source, ema=ema), path)
        with pytest.raises((CheckpointMismatch, CheckpointUnreadable), match=message):
            load_flow(empty(), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: found.pop("model.splits.0.fac"), r"missing: model\.splits\.0\.fac"),
        (lambda found: found.update({"model.extra": torch.zeros(1)}), r"extra: model\.extra"),
        (lambda found: found.update({"model.splits.0.fac": torch.zeros(2)}), r"fac \(2,\) for \(1,\)"),
    ],
)
def test_a_file_that_does_not_fit_says_what_is_missing_and_extra(tmp_path: Path, spoil: Spoil, message: str) -> None:
    found = tensors()
    spoil(found)
    save_file(found, tmp_path / HUB.name)
    with pytest.raises(CheckpointMismatch, match=message):
        load_flow(empty(), tmp_path / HUB.name)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    for name in (HUB.name, LIGHTNING.name):
        (tmp_path / name).write_bytes(b"no checkpoint")
        with pytest.raises(CheckpointUnreadable, match=name):
            load_flow(empty(), tmp_path / name)


def regressor() -> SwinIR:
    found = small_networks().mmse_model
    assert found is not None
    return found


@pytest.mark.parametrize("container", ["params_ema", "state_dict", ""])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_difface_s_regressor_is_loaded_in_every_form(tmp_path: Path, container: str, prefix: str) -> None:
    state = {prefix + name: value for name, value in regressor().state_dict().items()}
    torch.save({container: state, "epoch": 1} if container else state, tmp_path / "swinir.pth")
    assert same(load_regressor(SwinIR(REGRESSOR), tmp_path / "swinir.pth"), regressor().state_dict())


@pytest.mark.parametrize(("weights", "offset"), [("averaged", 1), ("raw", 0)])
def test_the_regressor_of_a_controlled_experiment_has_an_average_too(
    tmp_path: Path, weights: Weights, offset: int
) -> None:
    source = regressor()
    state = {f"model.{name}": value for name, value in source.state_dict().items()}
    ema = {"shadow_params": [parameter + 1 for parameter in source.parameters()]}
    torch.save({"state_dict": state, "ema": ema, "hyper_parameters": {"stage": "mmse"}}, tmp_path / "mmse.ckpt")
    loaded = load_regressor(SwinIR(REGRESSOR), tmp_path / "mmse.ckpt", weights=weights)
    for (name, parameter), other in zip(loaded.named_parameters(), source.parameters(), strict=True):
        assert torch.equal(parameter, other + offset), name


def test_a_flow_without_a_regressor_is_loaded(tmp_path: Path) -> None:
    source = FlowNetworks(HDiT(FLOW, 6), None)
    torch.save(lightning(source), tmp_path / "epoch=999-step=273000.ckpt")
    found = load_flow(FlowNetworks(HDiT(FLOW, 6), None), tmp_path / "epoch=999-step=273000.ckpt", weights="raw")
    assert same(found, source.state_dict())


@pytest.mark.slow
def test_the_method_works_from_each_form_of_its_weights(tmp_path: Path) -> None:
    """At the published sizes of the networks, with synthetic weights."""
    torch.manual_seed(1839)
    networks = FlowNetworks(HDiT(IMAGENET_256_SP4), SwinIR(LARGE))
    torch.nn.init.normal_(networks.model.patch_out.proj.weight, std=0.01)
    save_file({name: value.clone() for name, value in networks.state_dict().items()}, tmp_path / HUB.name)
    ema = {"shadow_params": [parameter.detach() for parameter in networks.model.parameters()]}
    torch.save(lightning(networks, ema=ema), tmp_path / LIGHTNING.name)
    restored: list[torch.Tensor] = []
    for form in FORMS:
        path = tmp_path / form.name
        assert recognise(path, FORMS) is form
        assert form.tensors.items() <= tensor_shapes(path).items()
        built = METHOD.build({form.name: path}, PmrfParameters(size=SIDE, steps=2), "cpu", "float32")
        restored.append(built.restore(Faces.plain(faces(1), [5])).faces)
    assert torch.equal(restored[0], restored[1])
    assert torch.isfinite(restored[0]).all()
