"""Writes ``vspbfr.npz``: what VSPBFR's networks and chain compute of a drawing, small and with synthetic weights.

Run it if their arithmetic is changed on purpose, after ``pytest tests/parity -k vspbfr --slow`` has passed against the
original.

    python tests/golden/make_vspbfr.py

``input`` is (64, 64, 3) uint8 RGB. ``degraded`` and ``prompt`` are the style codes (12, 16) before and after the
diffusion for the seed 7, ``sample`` is the style prompt's picture and ``restored`` what the chain makes of the face:
every third pixel in both directions, (3, 22, 22) float32.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.methods.vspbfr import Vspbfr, VspbfrParameters, draws_of
from models.nets.code_diffuser import CodeDiffuser
from models.nets.style_decoder import StyleDecoder
from models.nets.style_encoder import StyleEncoder
from models.nets.vspbfr import RestorationNet
from models.nets.vspbfr_layers import DilatedWeight
from models.nets.vspbfr_shape import VspbfrShape
from models.ops.stylegan2 import EqualConv2d, EqualLinear, ModulatedConv2d
from models.vspbfr_checkpoint import VspbfrNetworks
from tests.golden.make_parsenet import face_like

FILE = Path(__file__).with_name("vspbfr.npz")
SEED, FACE_SEED, STRIDE = 1839, 7, 3
SHAPE = VspbfrShape(
    side=64, style=16, widest=16, channel_area=512, backbone=(8, 8, 8, 16, 16), units=(1, 1, 1, 1), reduction=4
)
EQUALISED = (EqualLinear, EqualConv2d, ModulatedConv2d, DilatedWeight)

Tensors = dict[str, torch.Tensor]


def noise(part: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal numbers that depend on the tensor's name alone."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/{part}/{name}".encode()).digest()[:16], "little")
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32))


def filled(network: nn.Module) -> nn.Module:
    """``network`` with synthetic weights of the size that training begins with; constants keep their values."""
    scales = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, EQUALISED)}
    state: Tensors = {}
    for name, tensor in network.state_dict().items():
        drawn = noise(type(network).__name__, name, tuple(tensor.shape))
        if name.endswith(("kernel", "num_batches_tracked")):
            state[name] = tensor
        elif (module := scales.get(name)) is not None:
            state[name] = drawn / (module.lr_mul if isinstance(module, EqualLinear) else 1)
        elif tensor.ndim > 1 and "input.input" not in name:
            state[name] = drawn / float(np.prod(tensor.shape[1:])) ** 0.5
        elif name.endswith("running_var") or (name.endswith("weight") and "noise" not in name):
            state[name] = 1 + drawn.abs() / 10
        else:
            state[name] = drawn / 10
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def small_networks() -> VspbfrNetworks:
    """The published architecture in a small size, with synthetic weights."""
    networks = VspbfrNetworks(
        StyleEncoder(SHAPE), CodeDiffuser(SHAPE.rows, SHAPE.style), StyleDecoder(SHAPE), RestorationNet(SHAPE)
    )
    for network in (networks.encoder, networks.diffuser, networks.decoder, networks.restoration):
        filled(network)
    return networks


def crops() -> torch.Tensor:
    """The drawing, (1, 3, 64, 64) RGB in [0, 1]."""
    return torch.from_numpy(face_like().astype(np.float32) / 255).permute(2, 0, 1)[None]


def outputs(networks: VspbfrNetworks) -> dict[str, NDArray[np.float32]]:
    """What the file holds, but for the input."""
    method = Vspbfr(networks, VspbfrParameters(), "cpu", "float32")
    steps = method.steps(crops() * 2 - 1, draws_of(FACE_SEED, SHAPE, 0.0, picture=True))
    if steps.sample is None:
        raise RuntimeError("the picture of the style prompt was asked for")
    pictures = {"sample": steps.sample, "restored": steps.restored}
    return {
        "degraded": steps.degraded[0].numpy(),
        "prompt": steps.prompt[0].numpy(),
        **{name: picture[0, :, ::STRIDE, ::STRIDE].numpy() for name, picture in pictures.items()},
    }


def main() -> None:
    found = outputs(small_networks())
    np.savez_compressed(
        FILE,
        input=face_like(),
        degraded=found["degraded"],
        prompt=found["prompt"],
        sample=found["sample"],
        restored=found["restored"],
    )


if __name__ == "__main__":
    main()
