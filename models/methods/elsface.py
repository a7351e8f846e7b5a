"""ELSFace: super-resolution of small faces, 32 x 32 to 128 x 128, or to 256 x 256 with weights of the x8 variant.

The network sees 32 x 32 pixels of a face whatever its size in the photo: what a larger face has beyond that is lost.
It was trained on bicubic reduction alone, so grain, blocks and scratches stay or grow. Use it for the smallest faces.

Qi, Qiu, Luo, Jin, "An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution", IEEE
Transactions on Multimedia 26, 2024.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch.nn import functional

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.checkpoint_file import tensor_shapes
from models.load import Tensors, fill, read_tensors, renamed
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.elsface import INPUT_SIDE, ELSFace, Factor
from models.torch_scale import full_float32

CONTAINER = "state_dict"
RENAMES = {"module.model.": "", "model.": "", "module.": ""}
ONLY_IN_X8 = "tail_x2.0.0.2.weight"  # the second doubling of the tail

LICENCE = (
    "unclear: the README names the MIT licence and, beside it, non-commercial use alone; the LICENSE file that it "
    "refers to does not exist; trained on CelebA (non-commercial research)"
)

WEIGHTS = Checkpoint(
    name="elsface.pth",
    url="https://github.com/FVL2020/ELSFace/raw/main/ckpt/train/checkpoint.pth",
    licence=LICENCE,
    commercial=None,
    tensors={
        "state_dict.model.head_x2.0.0.weight": (120, 3, 3, 3),
        "state_dict.model.encoder.encoder.4.3.weight": (120, 960),
        "state_dict.model.t_tail_x2.0.3.main.0.4.body.2.weight": (60, 60, 5, 5),
        "state_dict.model.tail_x2.0.0.0.weight": (240, 60, 3, 3),
    },
)


class ELSFaceParameters(Parameters):
    """``size`` is best the side of what the network gives: 128, or 256 with x8 weights."""

    size: int = Field(default=128, ge=INPUT_SIDE, le=2048)


class ELSFaceRestorer:
    """The network with its resizing before and after."""

    def __init__(self, network: ELSFace, device: Device, dtype: Dtype) -> None:
        self._network = network.to(device)
        self._device: Device = device
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``. Nothing is drawn at random."""
        return apart_on_cpu(faces, self._device, lambda part: Restored(self._restored(part.crops)))

    def _restored(self, crops: torch.Tensor) -> torch.Tensor:
        output = self.enlarged(reduced(crops, self._network.output_side))
        restored = at_side(output.flip(1), crops.shape[-1])
        return torch.where(restored.isfinite(), restored.clamp(0, 1), restored)

    def enlarged(self, faces: torch.Tensor) -> torch.Tensor:
        """(B, 3, 32, 32) BGR in [0, 1] to (B, 3, 128, 128), or 256, BGR, unbounded float32."""
        mixed = self._dtype != torch.float32
        with full_float32(), torch.inference_mode(), torch.autocast(self._device, self._dtype, enabled=mixed):
            return self._network(faces).float()


def reduced(crops: torch.Tensor, output_side: int) -> torch.Tensor:
    """``crops`` (B, 3, S, S) RGB in [0, 1] as the network takes them: (B, 3, 32, 32) BGR, not clipped.

    As published, by OpenCV's cubic (a = -0.75) without a low pass from the size of the network's output. A larger crop
    is brought to that size first, with a low pass.
    """
    crops = at_side(crops, output_side) if crops.shape[-1] > output_side else crops
    small = functional.interpolate(crops, (INPUT_SIDE, INPUT_SIDE), mode="bicubic", align_corners=False)
    return small.flip(1)


def at_side(images: torch.Tensor, side: int) -> torch.Tensor:
    """``images`` (B, 3, S, S) at (B, 3, ``side``, ``side``): cubic, with a low pass where they shrink."""
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True)


def load_network(path: Path) -> ELSFace:
    """The network of the checkpoint ``path``, x4 or x8 as its tensors say, ready for inference.

    The tensors may lie in the published container or bare, with or without the published prefix. Raises
    ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    tensors = published_tensors(path)
    network = ELSFace(factor_of(tensors))
    fill(network, tensors, str(path))
    return network.eval().requires_grad_(False)


def published_tensors(path: Path) -> Tensors:
    """The tensors of the file by our names."""
    nested = any(name.startswith(f"{CONTAINER}.") for name in tensor_shapes(path))
    return renamed(read_tensors(path, CONTAINER if nested else ""), RENAMES)


def factor_of(tensors: Mapping[str, torch.Tensor]) -> Factor:
    """How much a network with these tensors enlarges."""
    return 8 if ONLY_IN_X8 in tensors else 4


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> ELSFaceRestorer:
    return ELSFaceRestorer(load_network(weights[WEIGHTS.name]), device, dtype)


METHOD = MethodSpec(
    name="elsface",
    summary="Super-resolution from 32 x 32 pixels by a CNN and a Transformer stream; for the smallest faces",
    paper="Qi, Qiu, Luo, Jin: An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution, "
    "IEEE Transactions on Multimedia 2024",
    code="https://github.com/FVL2020/ELSFace",
    licence=LICENCE,
    commercial=None,
    template="ffhq",
    parameters=ELSFaceParameters,
    checkpoints=(WEIGHTS,),
    build=_build,
)
