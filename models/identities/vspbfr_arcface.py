"""VSPBFR's ArcFace: the network that its training compares persons with, a ResNet-101 on FFHQ-aligned faces.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.checkpoint import Checkpoint, Device
from models.identity import IdentitySpec

if TYPE_CHECKING:
    import torch

    from models.nets.arcface import ArcFace

LICENCE = "MIT by VSPBFR's model card; which faces it was trained on is not said"
WEIGHTS = Checkpoint(
    name="Arcface.pth",
    url="https://huggingface.co/Wanglong2/VSPBFR/resolve/main/Arcface.pth",
    licence=LICENCE,
    commercial=None,
    tensors={"fc.weight": (256, 2048), "layer3.22.conv1.weight": (256, 1024, 1, 1)},
)


class ArcFaceIdentity:
    """The network on a device. On the CPU it takes face by face (docs/decisions/0010)."""

    def __init__(self, network: ArcFace, device: Device) -> None:
        self._network = network.to(device)
        self._device: Device = device

    def embed(self, faces: torch.Tensor) -> torch.Tensor:
        """See ``models.identity.Identity``."""
        import torch

        size = 1 if self._device == "cpu" else max(1, len(faces))
        with torch.inference_mode():
            parts = [self._network(part.to(self._device) * 2 - 1) for part in faces.split(size)]
        return torch.cat(parts).float().cpu()


def _build(weights: Mapping[str, Path], device: Device) -> ArcFaceIdentity:
    from models.vspbfr_checkpoint import load_arcface

    return ArcFaceIdentity(load_arcface(weights[WEIGHTS.name]), device)


IDENTITY = IdentitySpec(
    name="vspbfr-arcface",
    summary="VSPBFR's ArcFace: ResNet-101, 256 numbers a face",
    code="https://github.com/LonglongaaaGo/VSPBFR",
    licence=LICENCE,
    commercial=None,
    template="ffhq",
    checkpoints=(WEIGHTS,),
    build=_build,
)
