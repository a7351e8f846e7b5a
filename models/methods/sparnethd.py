"""SPARNetHD: a smooth 512 x 512 face to a sharp one. The enhancer of DR2E, and a method of its own.

Chen, Gong, Wang, Li, Wong, "Learning Spatial Attention for Face Super-Resolution", IEEE Transactions on Image
Processing 30, 2021. DR2's weights expect what DR2 leaves of a face: clean and soft. Face-SPARNet's own were trained on
blurred, reduced, noisy and compressed faces, and are the ones for the method by itself.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import Field

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.load import fill, read_tensors
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.sparnet import PUBLISHED, SparnetHD
from models.nets.sparnet_cpu import CpuSparnet
from models.spectral_norm import folded
from models.torch_scale import full_float32

LICENCE = "CC BY-NC-SA 4.0, non-commercial (Face-SPARNet); the repository of DR2 that ships a copy says MIT"
SHAPES = {
    "encoder.0.conv2d.weight_orig": (102, 3, 3, 3),
    "res_layers.8.conv2.conv2d.weight_v": (4608,),
    "decoder.3.att_func.b1_5.conv2d.weight_orig": (64, 102, 3, 3),
}
FROM_DR2 = Checkpoint(
    name="SPARNetHD_FFHQ_DR2aug.pth",
    url=None,
    licence=LICENCE,
    commercial=False,
    steps="download it from https://pan.baidu.com/s/1g8cz0hbd3wByfP9Q9bSHCQ?pwd=dr2e in a browser",
    role="sparnethd",
    tensors=SHAPES,
)
OWN = Checkpoint(
    name="SPARNetHD_V4_Attn2D_net_H-epoch10.pth",
    url="https://github.com/chaofengc/Face-SPARNet/releases/download/v0.1.0/SPARNetHD_V4_Attn2D_net_H-epoch10.pth",
    licence=LICENCE,
    commercial=False,
    role="sparnethd",
    tensors=SHAPES,
)
FORMS = (FROM_DR2, OWN)  # names and shapes are the same: only the file's name tells them apart
TYPES: Mapping[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class SparnetHDParameters(Parameters):
    """The published model was trained at 512 pixels."""

    size: int = Field(default=512, ge=64, le=2048, multiple_of=PUBLISHED.multiple)


class SparnetHDRestorer:
    """The network in its own range. ``unclipped``: it may be given what a cubic enlargement makes of [0, 1]."""

    unclipped = True

    def __init__(self, network: SparnetHD, device: Device, dtype: Dtype) -> None:
        self._device: Device = device
        self._dtype = TYPES[dtype]
        fast = device == "cpu" and self._dtype == torch.float32
        moved = network.to(device)
        self._network: Callable[[torch.Tensor], torch.Tensor] = CpuSparnet(moved) if fast else moved

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``. Nothing is drawn at random."""
        return apart_on_cpu(faces, self._device, self._restored)

    def _restored(self, faces: Faces) -> Restored:
        return Restored(self.enhanced(faces.crops * 2 - 1).add(1).div(2).clamp(0, 1))

    def enhanced(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, S, S) RGB in [-1, 1] to the same shape, not clipped, float32."""
        mixed = self._dtype != torch.float32
        with full_float32(), torch.inference_mode(), torch.autocast(self._device, self._dtype, enabled=mixed):
            return self._network(faces).float()


def load_network(network: SparnetHD, path: Path) -> SparnetHD:
    """``network`` with the tensors of ``path``, their spectral norm folded in, ready for inference.

    Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    fill(network, folded(read_tensors(path)), str(path))
    return network.eval().requires_grad_(False)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SparnetHDRestorer:
    path = next(weights[form.name] for form in FORMS if form.name in weights)
    return SparnetHDRestorer(load_network(SparnetHD(), path), device, dtype)


METHOD = MethodSpec(
    name="sparnethd",
    summary="Residual network with spatial attention for smooth 512 x 512 faces; DR2E's enhancer",
    paper="Chen, Gong, Wang, Li, Wong: Learning Spatial Attention for Face Super-Resolution, TIP 2021",
    code="https://github.com/chaofengc/Face-SPARNet",
    licence=LICENCE,
    commercial=False,
    template="ffhq",
    parameters=SparnetHDParameters,
    checkpoints=FORMS,
    build=_build,
)
