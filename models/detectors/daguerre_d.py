"""Daguerre's own face detector: YuNet's network, trained from scratch on public-domain portraits.

Its weights come with the package. What it was trained on and what it misses: docs/models/daguerre-d.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.checkpoint import Checkpoint
from models.detector import Detector, DetectorSettings, DetectorSpec
from models.pyramid import Pyramid
from models.second_look import LOWEST, SecondLook, first_score

if TYPE_CHECKING:
    from models.nets.yunet import YuNet

LICENCE = "Apache-2.0; trained on public-domain portraits"

WEIGHTS = Checkpoint(
    name="daguerre-d.safetensors",
    url=None,
    licence=LICENCE,
    commercial=True,
    size=305_176,
    sha256="1c5a748a1ca19bc78f2d7cd9c1f4da2fe49d00593cd55554df99dc57c74cd03b",
    packaged=True,
)

# Of the second look: a face's sizes in pixels, and the level of the network, at which it has the best landmarks.
SIZES = (76, 82, 89, 96)
STRIDE = 16


def load_network(path: Path) -> "YuNet":
    """The network with the weights in the file ``path``, ready for inference.

    Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    from models.load import fill, read_tensors
    from models.nets.yunet import YuNet

    network = YuNet()
    fill(network, read_tensors(path), str(path))
    return network.eval().requires_grad_(False)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Detector:
    from models.torch_scale import batch_pixels
    from models.yunet_detector import TorchScale

    network = load_network(weights[WEIGHTS.name])
    lowest = first_score(settings.score) if settings.again else settings.score
    scale = TorchScale(network, lowest, settings.device)
    first = Pyramid(scale, settings.pyramid, batch_pixels(settings.device))
    second = TorchScale(network, LOWEST, settings.device, (STRIDE,))
    return SecondLook(first, second, SIZES, settings.score) if settings.again else first


DETECTOR = DetectorSpec(
    name="daguerre-d",
    summary="Daguerre's own: YuNet's network, trained on public-domain portraits, over a pyramid of scales; boxes and "
    "five landmarks, weights in the package",
    code="this repository",
    licence=LICENCE,
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
    version=2,
)
