"""Daguerre's own face detector: YuNet's network, trained from scratch on public-domain portraits.

Its weights come with the package. What it was trained on and what it misses: docs/models/daguerre-d.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.checkpoint import Checkpoint
from models.detector import DetectorSettings, DetectorSpec
from models.pyramid import Pyramid

if TYPE_CHECKING:
    from models.nets.yunet import YuNet

LICENCE = "Apache-2.0; trained on public-domain portraits"

WEIGHTS = Checkpoint(
    name="daguerre-d.safetensors",
    url=None,
    licence=LICENCE,
    commercial=True,
    size=305_176,
    sha256="775f7871a6435adf51042ded314a69f8df3c8dbb8e8656055807ae695a84598a",
    packaged=True,
)

SHIFT = -0.35  # of both scores' logits: 0.85 becomes 0.8; one false face in a hundred held-out pictures, or fewer


def load_network(path: Path) -> "YuNet":
    """The network with the weights in the file ``path``, ready for inference.

    Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    from models.load import fill, read_tensors
    from models.nets.yunet import STRIDES, YuNet

    network, tensors = YuNet(), read_tensors(path)
    names = [f"{kind}.{stride}.depth.bias" for kind in ("cls", "obj") for stride in STRIDES]
    fill(network, tensors | {name: tensors[name] + SHIFT for name in names if name in tensors}, str(path))
    return network.eval().requires_grad_(False)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    from models.torch_scale import batch_pixels
    from models.yunet_detector import TorchScale

    scale = TorchScale(load_network(weights[WEIGHTS.name]), settings.score, settings.device)
    return Pyramid(scale, settings.pyramid, batch_pixels(settings.device))


DETECTOR = DetectorSpec(
    name="daguerre-d",
    summary="Daguerre's own: YuNet's network, trained on public-domain portraits, over a pyramid of scales; boxes and "
    "five landmarks, weights in the package",
    code="this repository",
    licence=LICENCE,
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
