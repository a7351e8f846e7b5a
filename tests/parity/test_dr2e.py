"""DR2 and SPARNetHD through this project's code against the originals: networks, tables, filter, steps, whole runs."""

import importlib.util
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kit import Array, Case
from torch import nn

from models.handover import resized
from models.load import Tensors, fill
from models.losses.p2 import hybrid_loss, p2_weights
from models.methods.dr2e import at_256
from models.nets.adm_unet import AdmUNet
from models.nets.adm_unet_cpu import CpuUNet
from models.nets.sparnet import SparnetHD
from models.nets.sparnet_cpu import CpuSparnet
from models.samplers.diffusion import Process, linear, respaced
from models.samplers.dr2 import Draw, dr2, dr2_states, predicted
from models.samplers.lowpass import low_pass, reduced
from models.spectral_norm import folded

KNOWN = ("unet", "sparnethd", "schedule", "lowpass", "sampler_step", "preprocess", "p2_loss", "e2e*")
BIG = ("sparnethd", "e2e_n1")  # slow: e2e_short runs both networks too
LONG = 5  # evaluations of the U-Net; a case with more is slow

NETWORK, TABLES, FILTER, STEP, PICTURE, LOSS = 2e-5, 1e-12, 1e-6, 2e-6, 1e-6, 5e-6
LIMITS = {"schedule": TABLES, "lowpass": FILTER, "sampler_step": STEP, "preprocess": PICTURE, "p2_loss": LOSS}
NOISE = (1, 3, 256, 256)
LARGEST_STEP = 1  # grey levels between files


@pytest.fixture(autouse=True)
def long_ones_are_slow(request: pytest.FixtureRequest, case: Case) -> None:
    evaluations = int(case.inputs.get("start", 0)) - int(case.inputs.get("output", 0)) + 1
    # a marker cannot do it: cases are made parameters in conftest.py, and how long one takes stands inside it
    if (case.name in BIG or evaluations > LONG) and not request.config.getoption("--slow"):
        pytest.skip("slow: run with --slow")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As in a run's workers; two wait for each other when other work is on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_computes_what_the_original_computes(case: Case) -> None:
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    limit = next((limit for start, limit in LIMITS.items() if case.name.startswith(start)), NETWORK)
    with torch.inference_mode():
        found = check(case)
    assert set(found) >= set(case.outputs)
    assert case.outputs
    for name, expected in case.outputs.items():
        if expected.dtype == np.uint8:
            apart = case.thinned(name, found[name]).astype(int) - expected
            assert np.abs(apart).max() <= LARGEST_STEP, name
        elif expected.dtype.kind == "i":
            np.testing.assert_array_equal(found[name], expected)
        else:
            assert case.relative_error(name, found[name]) < limit, name


def unet(case: Case) -> dict[str, Array]:
    """As it is defined, with its parts; and as it runs on the CPU, face by face."""
    network, images, steps = unet_of(case), tensor(case, "x"), tensor(case, "timesteps")
    check_names(case, network.state_dict())
    places = [name for name in case.outputs if name not in ("out", "time_embed")]
    with recorded(network, places) as found:
        found |= {"out": network(images, steps).numpy(), "time_embed": network.embedded(steps).numpy()}
    assert case.relative_error("out", CpuUNet(network)(images, steps).numpy()) < NETWORK
    return found


def sparnethd(case: Case) -> dict[str, Array]:
    network, faces = sparnet_of(case), tensor(case, "x")
    check_names(case, network.state_dict())
    maps = {name: name.replace("att_map", "att_func") for name in case.outputs if name != "out"}
    with recorded(network, list(maps.values())) as seen_at:
        out = network(faces).numpy()
    assert case.relative_error("out", CpuSparnet(network)(faces).numpy()) < NETWORK
    return {name: seen_at[place] for name, place in maps.items()} | {"out": out}


def schedule(case: Case) -> dict[str, Array]:
    process = process_of()
    tables = {
        "betas": process.betas,
        "alphas_cumprod": process.signal,
        "sqrt_alphas_cumprod": process.signal.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - process.signal).sqrt(),
        "sqrt_recip_alphas_cumprod": process.signal.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / process.signal - 1).sqrt(),
        "posterior_variance": process.posterior_variance,
        "posterior_log_variance_clipped": process.posterior_log_variance,
        "posterior_mean_coef1": process.of_clean,
        "posterior_mean_coef2": process.of_state,
    }
    return {name: table.numpy() for name, table in tables.items()} | {"timestep_map": process.steps.numpy()}


def lowpass(case: Case) -> dict[str, Array]:
    x = tensor(case, "x")
    factors = {int(name.removeprefix("low")) for name in case.outputs if name.startswith("low")}
    small = {f"down{factor}": reduced(x, factor).numpy() for factor in factors}
    return small | {f"low{factor}": low_pass(x, factor).numpy() for factor in factors}


def sampler_step(case: Case) -> dict[str, Array]:
    """One index of the sampler, from its parts and as the sampler itself goes to the next one."""
    index, factor, process = int(case.inputs["index"]), int(case.inputs["N"]), process_of()
    x, ref, at = tensor(case, "x"), tensor(case, "ref"), torch.tensor([index])
    asked: list[int] = []

    def denoise(_state: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        asked.extend(steps.tolist())
        return torch.cat([tensor(case, "eps"), tensor(case, "var")], dim=1)

    clean, log_variance = predicted(denoise, process, x, index)
    mean = process.mean(clean, x, at)
    sample = mean + (0.5 * log_variance).exp() * tensor(case, "noise_p")
    guide = process.noised(ref, at - 1, tensor(case, "noise_q"))
    found = {
        "pred_xstart": clean,
        "mean": mean,
        "log_variance": log_variance,
        "sample": sample,
        "y_prev": guide,
        "refined": sample - low_pass(sample, factor) + low_pass(guide, factor),
        "x_start": process.noised(ref, at, tensor(case, "noise_init")),
    }
    return {name: value.numpy() for name, value in found.items()} | {"model_timestep": np.array(asked[:1])}


def preprocess(case: Case) -> dict[str, Array]:
    clean = tensor(case, "x0")
    pictures = {name.removeprefix("image_"): image for name, image in case.inputs.items() if name.startswith("image")}
    found = {f"tensor_{name}": seen(image).numpy() for name, image in pictures.items()}
    averaged = nn.functional.interpolate(clean.clamp(-1, 1), (512, 512), mode="bicubic", antialias=True)
    return found | {
        "up512": resized(clean.clamp(-1, 1), 512).numpy(),
        "up512_antialias": averaged.numpy(),
        "x0_u8": levels(clean),
    }


def p2_loss(case: Case) -> dict[str, Array]:
    process, clean, index, noise = linear(), tensor(case, "x_start"), tensor(case, "t"), tensor(case, "noise")
    loss = hybrid_loss(process, clean, index, noise, torch.cat([tensor(case, "eps"), tensor(case, "var")], dim=1))
    found = {
        "x_t": process.noised(clean, index, noise),
        "mse": loss.mse,
        "vb": loss.bound,
        "loss": loss.total,
        "weight": p2_weights(process, index),
    }
    return {name: value.numpy() for name, value in found.items()}


def e2e(case: Case) -> dict[str, Array]:
    """From the file's picture to both results, with the original's noise, by the networks as they run on the CPU."""
    reference, network = seen(case.inputs["image"]), CpuUNet(unet_of(case))
    factor, start, stop = (int(case.inputs[name]) for name in ("N", "start", "output"))
    process, draw = process_of(), drawing(case)
    found: dict[str, torch.Tensor] = {}
    if factor == 1:
        found[f"x_{stop}"] = process.noised(reference, torch.tensor([stop]), draw(f"q{stop + 1}"))
        clean = dr2(network, process, reference, factor, start, stop, draw)
    else:
        states = dr2_states(network, process, reference, factor, start, stop, draw)
        for index, (state, clean) in zip(range(start, stop - 1, -1), states, strict=True):
            found |= {f"x_{index}": state, f"x0_{index}": clean}
        clean = found[f"x0_{stop}"]
    enhanced = CpuSparnet(sparnet_of(case))(resized(clean, 512))
    files = {"dr2_u8": levels(clean), "enhanced_u8": levels(enhanced)}
    found |= {"x0_hat": clean, "enhanced": enhanced}
    return files | {name: value.numpy() for name, value in found.items()}


def seen(image: Array) -> torch.Tensor:
    """A picture (H, W, 3) uint8 as DR2 sees it; the original squashes what is not square, and so does this."""
    return at_256(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)


def levels(pictures: torch.Tensor) -> Array:
    """(1, 3, H, W) in [-1, 1] as the original writes it: (3, H, W) uint8."""
    return np.rint((pictures[0].double().numpy() * 0.5 + 0.5) * 255).clip(0, 255).astype(np.uint8)


def drawing(case: Case) -> Draw:
    """The original's noise, which depends on the seed and its own name alone, as the kit draws it."""
    spec = importlib.util.spec_from_file_location("parity_noise", case.kit / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    parity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parity)

    def draw(name: str) -> torch.Tensor:
        return torch.from_numpy(parity.noise(case.seed, "e2e", name, NOISE))

    return draw


@cache
def process_of() -> Process:
    return respaced(linear(), 100)


def unet_of(case: Case) -> AdmUNet:
    return network_of("unet", case.seed, case.kit)  # pyright: ignore[reportReturnType]


def sparnet_of(case: Case) -> SparnetHD:
    return network_of("sparnethd", case.seed, case.kit)  # pyright: ignore[reportReturnType]


@cache
def network_of(part: str, seed: int, kit: Path) -> nn.Module:
    """The network with the kit's weights; they are the same in nearly all cases and take seconds to draw."""
    case = Case("weights", "dr2e", part, seed, {}, {}, {}, kit)
    weights = {name: torch.from_numpy(value) for name, value in case.weights().items()}
    network = AdmUNet() if part == "unet" else SparnetHD()
    fill(network, folded(weights), part)
    return network.eval().requires_grad_(False)


def tensor(case: Case, name: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(case.inputs[name]))


@contextmanager
def recorded(network: nn.Module, places: list[str]) -> Generator[dict[str, Array]]:
    """What the modules at ``places`` give, by place, once the network has run."""
    found: dict[str, Array] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        found[name] = output.clone().numpy()

    hooks = [network.get_submodule(place).register_forward_hook(partial(keep, place)) for place in places]
    yield found
    for hook in hooks:
        hook.remove()


def check_names(case: Case, state: Tensors) -> None:
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["parts"][case.part]["tensors"]
    shapes = {entry["name"].replace("weight_orig", "weight"): tuple(entry["shape"]) for entry in entries}
    expected = {name: shape for name, shape in shapes.items() if not name.endswith(("weight_u", "weight_v"))}
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


CHECKS: dict[str, Callable[[Case], dict[str, Array]]] = {
    "unet": unet,
    "sparnethd": sparnethd,
    "schedule": schedule,
    "lowpass": lowpass,
    "sampler_step": sampler_step,
    "preprocess": preprocess,
    "p2_loss": p2_loss,
    "e2e": e2e,
}
