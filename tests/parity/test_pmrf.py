"""PMRF's networks, sampler and chains through this project's code against the originals.

``test_networks_and_chains`` takes every case; those of parts that are not built here yet are skipped by name.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from kit import Array, Case
from torch import nn

from models.load import fill
from models.nets.hdit import IMAGENET_256_SP4, XL2, HDiT, HDiTShape
from models.nets.swinir import L, M, SwinIR, SwinIRShape
from models.samplers.rectified_flow import euler_states, noisy

BUILT = ("flow_*", "mmse_*", "pipeline_*")
NOT_BUILT = ("objective_*", "degradation_*", "eval_*")
KNOWN = (*BUILT, *NOT_BUILT)
BIG = ("flow_512", "pipeline_512")
RELATIVE = 1e-5

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


def test_networks_and_chains_compute_what_the_originals_compute(case: Case) -> None:
    if case.name.startswith(tuple(pattern.rstrip("*") for pattern in NOT_BUILT)):
        pytest.skip(f"not built yet: {case.name}")
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    with torch.inference_mode():
        found = check(case)
    errors = {name: case.relative_error(name, found[name]) for name in case.outputs}
    assert errors
    assert max(errors.values()) < RELATIVE, errors


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
    return {name: value.numpy() for name, value in found.items()}


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


CHECKS = {"flow": flow, "mmse": mmse, "pipeline": pipeline}
