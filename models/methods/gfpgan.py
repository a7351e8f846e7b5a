"""GFPGAN through spandrel: a U-Net's features bend those of a StyleGAN2 generator.

Wang, Li, Zhang, Shan, "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021. The
generator's noise, which the original draws anew at each call, comes from each face's own seed here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from models.checkpoint import Checkpoint, Device, Dtype
from models.method import Faces, MethodSpec, Parameters
from models.signed_restorer import SignedRestorer
from models.spandrel_method import CORE, SIDE, load_architecture

Version = Literal["1.2", "1.3", "1.4"]

LICENCE = (
    "Apache-2.0, but its LICENSE lists StyleGAN2 (NVIDIA, non-commercial) and DFDNet (CC BY-NC-SA) among its parts"
)
RELEASES = "https://github.com/TencentARC/GFPGAN/releases/download"
FILES: Mapping[Version, str] = {
    "1.4": "v1.3.0/GFPGANv1.4.pth",
    "1.3": "v1.3.0/GFPGANv1.3.pth",
    "1.2": "v0.2.0/GFPGANCleanv1-NoCE-C2.pth",
}
WEIGHTS: Mapping[Version, Checkpoint] = {
    version: Checkpoint(name=file.partition("/")[2], url=f"{RELEASES}/{file}", licence=LICENCE, commercial=None)
    for version, file in FILES.items()
}
CONTAINERS = ("params_ema", "params")


class GfpganParameters(Parameters):
    """``version`` chooses among the published models of one architecture, all for 512 pixels."""

    size: int = Field(default=SIDE, ge=SIDE, le=SIDE)
    version: Version = "1.4"


class SeededGfpgan:
    """The network with noise that depends on the faces' seeds alone."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._noises = network.get_submodule("stylegan_decoder.noises")
        self._sides = {name: buffer.shape[-1] for name, buffer in self._noises.named_buffers()}

    def __call__(self, faces: torch.Tensor, known: Faces) -> torch.Tensor:
        for name, maps in noise_of(known.seeds, self._sides).items():
            setattr(self._noises, name, maps.to(faces.device))
        return self._network(faces, return_rgb=False, randomize_noise=False)[0]


def noise_of(seeds: Sequence[int], sides: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Standard normal maps (B, 1, side, side) by name, each face's from its own seed, drawn on the CPU."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return {
        name: torch.stack([torch.randn(1, side, side, generator=generator) for generator in generators])
        for name, side in sides.items()
    }


def _needs(parameters: Parameters) -> tuple[Checkpoint, ...]:
    return (WEIGHTS[_known(parameters).version],)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SignedRestorer:
    path = weights[WEIGHTS[_known(parameters).version].name]
    network = load_architecture(path, "GFPGAN", CORE, CONTAINERS).to(device)
    return SignedRestorer(SeededGfpgan(network), SIDE, device, dtype)


def _known(parameters: Parameters) -> GfpganParameters:
    return GfpganParameters.model_validate(parameters.model_dump())


METHOD = MethodSpec(
    name="gfpgan",
    summary="A U-Net's features bend those of a StyleGAN2 generator",
    paper="Wang, Li, Zhang, Shan: Towards Real-World Blind Face Restoration with Generative Facial Prior, CVPR 2021 "
    "(arXiv 2101.04061)",
    code="https://github.com/TencentARC/GFPGAN",
    licence=LICENCE,
    commercial=None,
    template="ffhq",
    parameters=GfpganParameters,
    checkpoints=tuple(WEIGHTS.values()),
    build=_build,
    needs=_needs,
    extra=CORE,
)
