"""Writes ``pmrf.npz``: what PMRF's networks and chain compute of a drawing, small and with synthetic weights. Run it if
their arithmetic is changed on purpose, after ``pytest tests/parity -k pmrf`` has passed against the original.

    python tests/golden/make_pmrf.py

``input`` is (64, 64, 3) uint8 RGB. ``velocity`` is the flow's at t = 0.3, ``mean`` the regressor's estimate and
``restored`` what the chain makes of it for the seed 7 in three steps: every third pixel in both directions, (3, 22, 22)
float32.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.method import Faces
from models.methods.pmrf import Pmrf, PmrfParameters
from models.nets.hdit import HDiT, HDiTShape
from models.nets.swinir import SwinIR, SwinIRShape
from models.pmrf_checkpoint import FlowNetworks
from tests.golden.make_parsenet import face_like

FILE = Path(__file__).with_name("pmrf.npz")
SEED, FACE_SEED, STEPS, SIDE, STRIDE, TIME = 1839, 7, 3, 64, 3, 0.3
FLOW = HDiTShape((16, 32), (1, 2), head_width=16, mapping_width=16)
REGRESSOR = SwinIRShape(width=12, groups=1, depth=2, heads=2)

Tensors = dict[str, torch.Tensor]


def synthetic(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Noise that depends on the tensor's name alone, scaled so that activations neither vanish nor explode."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/pmrf/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(tuple(tensor.shape), dtype=np.float32)
    drawn = torch.from_numpy(noise)
    if tensor.ndim > 1 and "emb.weight" not in name:
        return drawn / float(np.prod(tensor.shape[1:])) ** 0.5
    return tensor + drawn / 10


def constant(name: str) -> bool:
    return name.endswith(("attn_mask", "relative_position_index", "pos_emb.freqs"))


def weights(networks: torch.nn.Module) -> Tensors:
    """Every tensor of ``networks`` by its published name; constants keep their values."""
    state = networks.state_dict()
    ones = {name: torch.ones_like(tensor) if name.endswith("scale") else tensor * 0 for name, tensor in state.items()}
    return {name: tensor if constant(name) else synthetic(name, ones[name]) for name, tensor in state.items()}


def small_networks() -> FlowNetworks:
    """The published architecture in a small size, with synthetic weights."""
    networks = FlowNetworks(HDiT(FLOW), SwinIR(REGRESSOR))
    networks.load_state_dict(weights(networks))
    return networks.eval().requires_grad_(False)


def crops() -> torch.Tensor:
    """The drawing, (1, 3, 64, 64) RGB in [0, 1]."""
    return torch.from_numpy(face_like().astype(np.float32) / 255).permute(2, 0, 1)[None]


def outputs(networks: FlowNetworks) -> dict[str, NDArray[np.float32]]:
    """What the file holds, but for the input."""
    method = Pmrf(networks, PmrfParameters(size=SIDE, steps=STEPS), "cpu", "float32")
    with torch.inference_mode():
        velocity = networks.model(crops(), torch.tensor([TIME]))
    found = {
        "velocity": velocity,
        "mean": method.posterior_mean(crops()),
        "restored": method.restore(Faces.plain(crops(), [FACE_SEED])).faces,
    }
    return {name: value[0, :, ::STRIDE, ::STRIDE].numpy() for name, value in found.items()}


def main() -> None:
    found = outputs(small_networks())
    np.savez_compressed(
        FILE, input=face_like(), velocity=found["velocity"], mean=found["mean"], restored=found["restored"]
    )


if __name__ == "__main__":
    main()
