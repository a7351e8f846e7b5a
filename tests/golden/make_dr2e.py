"""Writes ``dr2e.npz``: what DR2's and SPARNetHD's networks and their chain compute of a drawing, small and with
synthetic weights. Run it if their arithmetic is changed on purpose, after ``pytest tests/parity -k dr2e`` has passed
against the original.

    python tests/golden/make_dr2e.py

``input`` is (64, 64, 3) uint8 RGB. ``noise`` is the U-Net's output for it at step 424, ``sharp`` SPARNetHD's, both
every third pixel in both directions; ``clean`` is DR2's result for the seed 7 with N = 4 from index 24 to 22, every
twelfth.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.dr2_parameters import Removal
from models.methods.dr2e import Dr2e, Dr2eParameters, drawn
from models.methods.sparnethd import SparnetHDRestorer
from models.nets.adm_unet import AdmUNet, UNetShape
from models.nets.adm_unet_cpu import CpuUNet
from models.nets.sparnet import SparnetHD, SparnetShape
from tests.golden.make_parsenet import face_like

FILE = Path(__file__).with_name("dr2e.npz")
SEED, FACE_SEED, STEP, STRIDE = 1839, 7, 424, 3
UNET = UNetShape(width=32, multiples=(1, 1, 1, 2), attention=3, head_width=16)
SPARNET = SparnetShape(widths=(32, 24, 40), middle=1)
REMOVAL = Removal(4, 22, 24)


def synthetic(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Noise that depends on the tensor's name alone, scaled so that activations neither vanish nor explode."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/dr2e/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(tuple(tensor.shape), dtype=np.float32)
    drawn = torch.from_numpy(noise)
    if tensor.ndim > 1:
        return drawn / float(np.prod(tensor.shape[1:])) ** 0.5
    return drawn / 10 + (1 if name.endswith("weight") else 0)


def filled(network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict({name: synthetic(name, value) for name, value in network.state_dict().items()})
    return network.eval().requires_grad_(False)


def unet() -> AdmUNet:
    """The published architecture in a small size, with synthetic weights."""
    network = AdmUNet(UNET)
    filled(network)
    return network


def sparnet() -> SparnetHD:
    """The published architecture in a small size, with synthetic weights."""
    network = SparnetHD(SPARNET)
    filled(network)
    return network


def chain(parameters: Dr2eParameters | None = None) -> Dr2e:
    """DR2 and SPARNetHD by the small networks, on the CPU."""
    enhancer = SparnetHDRestorer(sparnet(), "cpu", "float32")
    return Dr2e(CpuUNet(unet()), enhancer, parameters or Dr2eParameters(size=64), "cpu", drawn)


def crops() -> torch.Tensor:
    """The drawing, (1, 3, 64, 64) RGB in [0, 1]."""
    return torch.from_numpy(face_like().astype(np.float32) / 255).permute(2, 0, 1)[None]


def outputs() -> dict[str, NDArray[np.float32]]:
    """What the file holds, but for the input."""
    with torch.inference_mode():
        noise = unet()(crops() * 2 - 1, torch.tensor([STEP]))
        sharp = sparnet()(crops() * 2 - 1)
    clean = chain().cleaned(crops(), [FACE_SEED], REMOVAL)[..., ::4, ::4]
    found = {"noise": noise, "sharp": sharp, "clean": clean}
    return {name: value[0, :, ::STRIDE, ::STRIDE].numpy() for name, value in found.items()}


def main() -> None:
    found = outputs()
    np.savez_compressed(FILE, input=face_like(), noise=found["noise"], sharp=found["sharp"], clean=found["clean"])


if __name__ == "__main__":
    main()
