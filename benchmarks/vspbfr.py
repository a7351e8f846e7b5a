"""VSPBFR's networks, timed, and beside the original's code where it is at hand.

    python benchmarks/vspbfr.py WEIGHTS --original CHECKOUT
    python benchmarks/vspbfr.py WEIGHTS --device cuda --dtype bfloat16 --batch 1 8 32

``WEIGHTS`` holds the published files, ``CHECKOUT`` is one of ``LonglongaaaGo/VSPBFR``; its compiled kernels are left
out, so that its own pure-PyTorch fall-backs run. Ours and the original's runs alternate; what is told is the median of
each: on the CPU of the process's CPU seconds, which other work on the machine disturbs less, and of the wall. Both get
the same numbers; noise is drawn by each in its own way, so that pictures are not compared here (the parity tests do).
"""

import argparse
import importlib
import importlib.util
import os
import platform
import statistics
import sys
import time
import types
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from models.checkpoint import Device, Dtype
from models.load import read_tensors
from models.method import Faces
from models.methods.vspbfr import TYPES, Vspbfr, VspbfrParameters, draws_of, together
from models.nets.vspbfr_shape import PUBLISHED
from models.samplers.code_diffusion import posterior, schedule
from models.vspbfr_checkpoint import DIFFUSER, RESTORATION, STYLE, VspbfrNetworks, load_networks

Work = Callable[[], object]
PARTS = ("style encoder", "code diffuser, 4 steps", "style decoder", "restoration network")


def ours(networks: VspbfrNetworks, inputs: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, Work]:
    """Each part on the same inputs as the original's."""
    seeds = range(len(inputs["low"]))
    draws = together([draws_of(seed, PUBLISHED, 0.0) for seed in seeds])
    low, code = inputs["low"].to(dtype), inputs["code"]
    device = low.device
    maps = [one.to(device, dtype) for one in draws.maps]
    noise = [one.to(device, dtype) for one in draws.noise]
    start = draws.start.to(device)
    net, decoder = networks.restoration, networks.decoder
    features = decoder.features(code.to(dtype), maps, PUBLISHED.side)

    def restoration() -> object:
        styles = net.rows(code.to(dtype), net.style(inputs["z"].to(dtype)))
        return net(low, features, styles, noise)

    work: Sequence[Work] = (
        lambda: networks.encoder(functional.interpolate(low, (256, 256), mode="bilinear", align_corners=False)),
        lambda: posterior(networks.diffuser.guided(code), start, schedule()),
        lambda: decoder.features(code.to(dtype), maps, PUBLISHED.side),
        restoration,
    )
    return dict(zip(PARTS, work, strict=True))


def original(checkout: Path, weights: Path, inputs: Mapping[str, torch.Tensor]) -> dict[str, Work]:
    """The original's classes with the same weights, as its test script calls them."""
    modules = imported(checkout)
    style = read_tensors(weights / STYLE, "state_dict")
    encoder = modules["encoder"].Encoder4Editing(50, "ir_se", Namespace(stylegan_size=1024, input_channel=3))
    decoder = modules["decoder"].Generator(1024, 512, 8, channel_multiplier=2)
    diffuser = modules["diffuser"].Code_diffuser(timesteps=4)
    restoration = modules["restoration"].Restoration_net(512, 512, 8)
    for network, tensors in (
        (encoder, {k.removeprefix("encoder."): v for k, v in style.items() if k.startswith("encoder.")}),
        (decoder, {k.removeprefix("decoder."): v for k, v in style.items() if k.startswith("decoder.")}),
        (diffuser, read_tensors(weights / DIFFUSER, "att_mapper")),
        (restoration, read_tensors(weights / RESTORATION, "g_ema")),
    ):
        network.load_state_dict(tensors)
        network.eval().to(inputs["low"].device)
    low, code, z = inputs["low"], inputs["code"], inputs["z"]

    def decoded() -> Any:
        return decoder([code], input_is_latent=True, randomize_noise=True, return_features=True)[1]

    features = decoded()

    def diffused() -> torch.Tensor:
        plan, state = schedule(), torch.randn_like(code)
        for step in reversed(range(4)):
            clean = diffuser(state, code, torch.full((len(code),), step, device=code.device))
            state = plan.clean[step] * clean + plan.state[step] * state
        return state

    work: Sequence[Work] = (
        lambda: encoder(functional.interpolate(low, (256, 256), mode="bilinear")),
        diffused,
        decoded,
        lambda: restoration(low, features, code, [z]),
    )
    return dict(zip(PARTS, work, strict=True))


def imported(checkout: Path) -> dict[str, Any]:
    """The original's modules; what would compile CUDA is left out."""
    from torch.utils import cpp_extension

    sys.path.insert(0, str(checkout))
    cpp_extension.load = lambda *_names, **_options: None
    package = types.ModuleType("op")
    package.__path__ = [str(checkout / "op")]
    sys.modules["op"] = package
    parts = {name: importlib.import_module(f"op.{name}") for name in ("fused_act", "upfirdn2d", "conv2d_gradfix")}
    sys.modules |= {"op.fused_act_cpu": parts["fused_act"], "op.upfirdn2d_cpu": parts["upfirdn2d"]}
    package.__dict__.update(
        FusedLeakyReLU=parts["fused_act"].FusedLeakyReLU,
        fused_leaky_relu=parts["fused_act"].fused_leaky_relu,
        upfirdn2d=parts["upfirdn2d"].upfirdn2d,
        conv2d_gradfix=parts["conv2d_gradfix"],
    )
    return {
        "encoder": importlib.import_module("e4e.models.encoders.psp_encoders"),
        "decoder": importlib.import_module("e4e.models.stylegan2.model"),
        "diffuser": loaded(checkout / "models" / "CodeDiffuser.py"),
        "restoration": loaded(checkout / "models" / "RestoreNet.py"),
    }


def loaded(path: Path) -> types.ModuleType:
    """A module by its file: the original's package ``models`` is called like ours."""
    spec = importlib.util.spec_from_file_location(f"original_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timed(work: Work, device: Device) -> tuple[float, float]:
    """CPU and wall seconds."""
    if device == "cuda":
        torch.cuda.synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time() - cpu, time.perf_counter() - wall


def side_by_side(sides: Sequence[Mapping[str, Work]], repeat: int, device: Device) -> None:
    """A table of the parts and their sum; with two sides their ratio."""
    sums = [[0.0, 0.0] for _ in sides]
    print("| Part | " + " | ".join(("ours: CPU s, wall s", "original: CPU s, wall s")[: len(sides)]) + " | ratio |")
    print("|---|" + "---|" * (len(sides) + 1))
    for part in PARTS:
        rounds = [[timed(side[part], device) for side in sides] for _ in range(repeat)]
        medians = [
            [statistics.median(one[side][kind] for one in rounds) for kind in (0, 1)] for side in range(len(sides))
        ]
        for total, median in zip(sums, medians, strict=True):
            total[:] = [total[0] + median[0], total[1] + median[1]]
        print(row(part, medians, device), flush=True)
    print(row("sum", sums, device))


def row(part: str, medians: Sequence[Sequence[float]], device: Device) -> str:
    kind = 1 if device == "cuda" else 0
    ratio = f"{medians[1][kind] / medians[0][kind]:.2f}" if len(medians) > 1 else ""
    return f"| {part} | " + " | ".join(f"{cpu:.2f}, {wall:.2f}" for cpu, wall in medians) + f" | {ratio} |"


def whole(method: Vspbfr, batch: int, device: Device, repeat: int) -> float:
    """Faces a second of the method as a run calls it."""
    crops = torch.rand(batch, 3, 512, 512, generator=torch.Generator().manual_seed(1)).to(device)
    faces = Faces.plain(crops, list(range(batch)))
    seconds = [timed(partial(method.restore, faces), device)[1] for _ in range(repeat + 1)][1:]
    return batch / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=tuple(TYPES), default="float32")
    parser.add_argument("--batch", type=int, nargs="*", default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    device: Device = options.device
    dtype: Dtype = options.dtype
    torch.set_num_threads(options.threads)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {options.threads} threads, {device}, {dtype}\n"
    )
    paths = {name: options.weights / name for name in (STYLE, DIFFUSER, RESTORATION)}
    method = Vspbfr(networks := load_networks(paths), VspbfrParameters(), device, dtype)
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "low": torch.rand(1, 3, 512, 512, generator=generator) * 2 - 1,
        "code": torch.randn(1, 18, 512, generator=generator),
        "z": torch.randn(1, 512, generator=generator),
    }
    inputs = {name: value.to(device) for name, value in inputs.items()}
    with torch.inference_mode():
        sides = [ours(networks, inputs, TYPES[dtype])]
        if options.original is not None:
            sides.append(original(options.original, options.weights, inputs))
        side_by_side(sides, options.repeat, device)
    for batch in options.batch:
        print(f"\nbatch {batch}: {whole(method, batch, device, options.repeat):.2f} faces/s")


if __name__ == "__main__":
    main()
