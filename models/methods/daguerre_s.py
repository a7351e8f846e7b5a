"""Daguerre's own restorer: small, blind, with weights that come with the package.

It takes grain, blocks, rings, small scratches and some blur from faces and leaves tone and colour as they are. It was
trained without an adversary, on fidelity, and on fine detail being as strong as in the truth: an edge that it half
believes in is drawn with full contrast, so of a destroyed face some is a guess (docs/models/daguerre-s.md).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.load import fill, read_tensors
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.daguerre_s import MULTIPLE, DaguerreS
from models.torch_scale import full_float32

# The network takes some hair for grain. Of its change a little is not made, which brings back more of the one than of
# the other (docs/models/daguerre-s.md), and less than shows of a scratch.
HELD_BACK = 0.05  # of the change
MOST = 0.01  # of the range

LICENCE = "Apache-2.0; trained on public-domain portraits"

WEIGHTS = Checkpoint(
    name="daguerre-s.safetensors",
    url=None,
    licence=LICENCE,
    commercial=True,
    size=9_838_232,
    sha256="d6390257e9ec80d9e8b811eca3150e762f9166f8e831c5f9fe59ce9cd876107f",
    packaged=True,
)


class DaguerreSParameters(Parameters):
    """The network was trained on faces of 128 and of 256 pixels."""

    size: int = Field(default=256, ge=64, le=1024, multiple_of=MULTIPLE)


class DaguerreSRestorer:
    """The network; weights are float32, sums of products as ``dtype`` says."""

    def __init__(self, network: DaguerreS, device: Device, dtype: Dtype) -> None:
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._device: Device = device
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``. Nothing is drawn at random."""
        return apart_on_cpu(faces, self._device, lambda part: Restored(self._restored(part.crops)))

    def _restored(self, crops: torch.Tensor) -> torch.Tensor:
        mixed = self._dtype != torch.float32
        with full_float32(), torch.inference_mode(), torch.autocast(self._device, self._dtype, enabled=mixed):
            change = self._network(crops).float() - crops
            restored = crops + change - (HELD_BACK * change).clamp(-MOST, MOST)
        return torch.where(restored.isfinite(), restored.clamp(0, 1), restored)


def load_network(path: Path) -> DaguerreS:
    """The network with the weights in the file ``path``, ready for inference.

    Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    network = DaguerreS()
    fill(network, {name: tensor.float() for name, tensor in read_tensors(path).items()}, str(path))
    return network.eval().requires_grad_(False)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> DaguerreSRestorer:
    return DaguerreSRestorer(load_network(weights[WEIGHTS.name]), device, dtype)


METHOD = MethodSpec(
    name="daguerre-s",
    summary="Daguerre's own small restorer, the default: trained on public-domain portraits that were aged as archives "
    "age them, weights in the package; where a face is destroyed its detail is in part a guess",
    paper="none; a small U-Net after Zhang, Li, Zuo, Zhang, Van Gool, Timofte: Plug-and-Play Image Restoration with "
    "Deep Denoiser Prior, IEEE TPAMI 2021, trained by us",
    code="this repository",
    licence=LICENCE,
    commercial=True,
    template="ffhq",
    parameters=DaguerreSParameters,
    checkpoints=(WEIGHTS,),
    build=_build,
)
