"""PMRF through this project's code against the original: networks, chains, objective, degradations, evaluation."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from kit import Array, Case
from torch import nn

from models.controlled import SCHEMES, Restoration, Scheme
from models.degradations.controlled import colorization, denoising, inpainting, super_resolution
from models.degradations.difface import Draws, degrade
from models.landmark_maps import points
from models.load import fill
from models.nets.fan import FAN
from models.nets.hdit import IMAGENET_256_SP4, XL2, HDiT, HDiTShape
from models.nets.resnet_face import ResNetFace, degrees_between
from models.nets.swinir import L, M, SwinIR, SwinIRShape
from models.samplers.rectified_flow import euler_states, noisy
from models.training.pmrf import Line, flow_loss, stratified

KNOWN = ("flow_*", "mmse_*", "pipeline_*", "objective_*", "degradation_*", "eval_*")
BIG = ("flow_512", "pipeline_512")
RELATIVE = 1e-5
LEVEL = 1 / 255
CODED = ("jpeg", "y")  # their bytes depend on the build of libjpeg
ROUNDED = "y_without_jpeg"
OFF_BY_ONE = 0.002  # share of the values that may round to the next level

TINY_FLOW = HDiTShape((32, 64, 128), (2, 1, 2), head_width=16, mapping_width=48)
TINY_MMSE = SwinIRShape(width=24, groups=2, depth=2, heads=3)
NETWORKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "mmse": ("mmse_model.", partial(SwinIR, L)),
    "mmse_m": ("mmse_model.", partial(SwinIR, M)),
    "mmse_tiny": ("mmse_model.", partial(SwinIR, TINY_MMSE)),
    "flow": ("model.", partial(HDiT, IMAGENET_256_SP4)),
    "flow_xl2": ("model.", partial(HDiT, XL2)),
    "flow_xl2_cond4": ("model.", partial(HDiT, XL2, 4)),
    "flow_xl2_cond6": ("model.", partial(HDiT, XL2, 6)),
    "flow_tiny": ("model.", partial(HDiT, TINY_FLOW)),
    "flow_tiny_cond4": ("model.", partial(HDiT, TINY_FLOW, 4)),
    "flow_tiny_cond6": ("model.", partial(HDiT, TINY_FLOW, 6)),
    "eval_identity": ("module.", ResNetFace),
    "eval_landmarks": ("", FAN),
}
FLOW_PLACES = {
    "patches": "patch_in",
    "cond": "mapping",
    "attn0": "down_levels.0.0.self_attn",
    "ff0": "down_levels.0.0.ff",
    "down0": "down_levels.0",
    "down1": "down_levels.1",
    "mid_attn0": "mid_level.0.self_attn",
    "mid": "mid_level",
    "split0": "splits.0",
    "up0": "up_levels.0",
}
MMSE_PLACES = {
    "first": "conv_first",
    "block0": "layers.0.residual_group.blocks.0",
    "block1": "layers.0.residual_group.blocks.1",
    "body": "conv_after_body",
    "up1": "conv_up1",
}
IN_NCHW = ("first", "body", "up1")  # and what is no map at all


@pytest.fixture(autouse=True)
def big_ones_are_slow(request: pytest.FixtureRequest, case: Case) -> None:
    if case.name in BIG and not request.config.getoption("--slow"):
        pytest.skip("slow: run with --slow")


@pytest.fixture(autouse=True)
def _threads(case: Case) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """One for small networks: two that wait for each other beside other work take seconds for milliseconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if "tiny" in case.name else 2)
    yield
    torch.set_num_threads(before)


def test_it_computes_what_the_original_computes(case: Case) -> None:
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    with torch.inference_mode():
        found = check(case)
    assert case.outputs
    assert set(found) >= set(case.outputs)
    close = {name: is_close(case, name, found[name]) for name in case.outputs}
    assert all(close.values()), close


def is_close(case: Case, name: str, value: Array) -> bool:
    """Whether an output is the original's, with the looser bounds of the kit where a file's bytes come in."""
    if not case.name.startswith("degradation_blind"):
        return case.relative_error(name, value) < RELATIVE
    apart = np.abs(value.astype(np.float64) - case.outputs[name])
    if name in CODED:
        return float(apart.mean()) < LEVEL
    if name == ROUNDED:
        return float(apart.max()) < 1.5 * LEVEL and float((apart > LEVEL / 2).mean()) <= OFF_BY_ONE
    return float(apart.max()) < RELATIVE


def flow(case: Case) -> dict[str, Array]:
    network = loaded(case, case.part)
    with recorded(network, {name: FLOW_PLACES[name] for name in case.outputs if name != "v"}) as found:
        v = network(tensor(case, "x"), tensor(case, "t"))
    return {name: maps(name, value) for name, value in found.items()} | {"v": v.numpy()}


def mmse(case: Case) -> dict[str, Array]:
    network = loaded(case, case.part)
    places = MMSE_PLACES | {name: f"layers.{name[5:]}" for name in case.outputs if name.startswith("layer")}
    with recorded(network, places) as found:
        x = network(tensor(case, "y"))
    return {name: maps(name, value) for name, value in found.items()} | {"x": x.numpy()}


def pipeline(case: Case) -> dict[str, Array]:
    """PMRF and its baselines: the source of the flow and what else the flow sees follow from the case's name."""
    y, noise, parts = tensor(case, "y"), tensor(case, "noise"), case.part.split("+")
    network = loaded(case, parts[-1])
    found: dict[str, torch.Tensor] = {}
    if len(parts) == 2:
        found["mmse"] = loaded(case, parts[0])(y).clamp(0, 1)
    conditions = [found.get("mmse", y)] if "_cond_" in case.name else []
    start = torch.zeros_like(noise) if conditions else found.get("mmse", y).expand_as(noise)
    found["source"] = noisy(start, noise, 1.0 if conditions else float(case.inputs["sigma"]))

    def velocity(state: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return network(torch.cat([state, *conditions], 1), times)

    states = list(euler_states(velocity, found["source"], int(case.inputs["steps"])))
    found |= {f"x{index}": state for index, state in enumerate(states, 1)}
    found["xhat"] = states[-1].clamp(0, 1)
    if "tiny" in case.name:  # at full size it would only take twice as long
        regressor = loaded(case, parts[0]) if len(parts) == 2 else None
        assert isinstance(network, HDiT)
        assert regressor is None or isinstance(regressor, SwinIR)
        ours = Restoration(scheme_of(case.name), network, regressor, float(case.inputs["sigma"]))
        torch.testing.assert_close(ours.restore(y, noise, len(states)).restored, found["xhat"])
    return {name: value.numpy() for name, value in found.items()}


def scheme_of(name: str) -> Scheme:
    """The scheme of the controlled experiments that a chain's name stands for."""
    kinds = {"cond_mmse": "conditioned-on-mean", "cond_y": "conditioned-on-input", "naive": "flow-from-input"}
    return SCHEMES[next((scheme for kind, scheme in kinds.items() if kind in name), "pmrf")]


def objective(case: Case) -> dict[str, Array]:
    """One step of training: the times, what the flow says there, and how far off it is."""
    regressor, network = (loaded(case, part) for part in case.part.split("+"))
    clean = tensor(case, "x")
    times = stratified(tensor(case, "u"), int(case.inputs["rank"]), int(case.inputs["world"]))
    mean = regressor(tensor(case, "y")).clamp(0, 1)
    line = Line.between(noisy(mean, tensor(case, "noise"), float(case.inputs["sigma"])), clean, times)
    v = network(line.points, times)
    loss = flow_loss(v, line)[None]
    found = {"t": times, "v": v, "target": line.velocity, "loss": loss}
    return {name: value.numpy() for name, value in found.items()}


def blind(case: Case) -> dict[str, Array]:
    drawn = Draws(
        flip=bool(case.inputs["flip"]),
        sigmas=(float(case.inputs["sigma_x"]), float(case.inputs["sigma_y"])),
        theta=float(case.inputs["theta"]),
        factor=float(case.inputs["scale"]),
        noise=float(case.inputs["noise_sigma"]),
        quality=int(case.inputs["quality"]),
        grey=bool(case.inputs["grey"]),
    )
    image, noise = (case.inputs[name].transpose(1, 2, 0) for name in ("x", "noise"))
    steps, uncoded = (degrade(image, drawn, noise, coded=coded) for coded in (True, False))
    pictures = {
        "down": steps.small,
        "noisy": steps.noisy,
        "jpeg": steps.coded,
        "y": steps.aged.photo,
        "x": steps.aged.truth,
        ROUNDED: uncoded.aged.photo,
    }
    return {name: value.transpose(2, 0, 1) for name, value in pictures.items()} | {"kernel": steps.kernel}


def controlled(case: Case) -> dict[str, Array]:
    image = tensor(case, "x")
    found = {
        "denoising": denoising(image, tensor(case, "noise_denoising")),
        "sr": super_resolution(image, tensor(case, "noise_sr")),
        "inpainting": inpainting(image, tensor(case, "noise_inpainting"), tensor(case, "dropped")),
        "colorization": colorization(image, tensor(case, "noise_colorization")),
    }
    return {name: value.numpy() for name, value in found.items()}


def identity(case: Case) -> dict[str, Array]:
    network = loaded(case, case.part)
    with recorded(network, {"layer1": "layer1", "layer4": "layer4"}) as found:
        embedding = network(tensor(case, "x"))
    degrees = degrees_between(embedding[:1], embedding[1:])
    return found | {"embedding": embedding.numpy(), "degrees": degrees.numpy()}


def landmarks(case: Case) -> dict[str, Array]:
    network = loaded(case, case.part)
    with recorded(network, {"stem": "conv4"}) as found:
        maps = network(tensor(case, "x"))
    return found | {f"heatmaps{index}": value.numpy() for index, value in enumerate(maps)}


def decoded(case: Case) -> dict[str, Array]:
    """As the original reads its maps; where no maximum lies at a border, ours are the same."""
    ordinary = case.inputs["heatmaps"]
    np.testing.assert_array_equal(points(ordinary), points(ordinary, as_published=True))
    found = {"ordinary": points(ordinary, as_published=True)}
    for name in ("last_row", "first_row"):
        edited = ordinary.copy()
        edited[tuple(case.inputs[f"edit_{name}"])] = 2
        found[name] = points(edited, as_published=True)
    return found


def loaded(case: Case, part: str) -> nn.Module:
    """The network of ``part`` with the kit's weights; constants keep the values that the constructor gives them."""
    prefix, build = NETWORKS[part]
    network = build().eval()
    weights = {name: torch.from_numpy(value) for name, value in alone(case, part).weights().items()}
    ours = {name.removeprefix(prefix): value for name, value in weights.items()}
    fill(network, network.state_dict() | ours, case.name)
    return network


def alone(case: Case, part: str) -> Case:
    return Case(case.name, case.method, part, case.seed, case.inputs, case.outputs, case.strides, case.kit)


def tensor(case: Case, name: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(case.inputs[name]))


@contextmanager
def recorded(network: nn.Module, places: dict[str, str]) -> Generator[dict[str, Array]]:
    """What the modules at ``places`` give, by name, once the network has run."""
    found: dict[str, Array] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        found[name] = output.clone().numpy()

    hooks = [network.get_submodule(place).register_forward_hook(partial(keep, name)) for name, place in places.items()]
    yield found
    for hook in hooks:
        hook.remove()


def maps(name: str, value: Array) -> Array:
    """Tokens (B, H, W, C) as the kit stores them, (B, C, H, W)."""
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 and name not in IN_NCHW else value


CHECKS = {
    "flow": flow,
    "mmse": mmse,
    "pipeline": pipeline,
    "objective": objective,
    "degradation_blind": blind,
    "degradation_controlled": controlled,
    "eval_identity": identity,
    "eval_landmarks": landmarks,
    "eval_points": decoded,
}
