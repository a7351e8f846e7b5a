"""The two networks whose features FID, KID and precision compare, as torch-fidelity computes them.

Both take pictures of any size and reduce them by TensorFlow's old bilinear resize. Importing this module imports
neither torch nor torch-fidelity.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import Checkpoint, Device
from models.quality.lpips import VGG
from models.quality_metric import Extract, Features, FeatureSpec, Pixels, Weights

if TYPE_CHECKING:
    from torch import nn

INCEPTION_WEIGHTS = Checkpoint(
    name="weights-inception-2015-12-05-6726825d.pth",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    licence="Apache-2.0 by TensorFlow; trained on ImageNet",
    commercial=None,
    tensors={"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
)


def _inception(weights: Weights, device: Device) -> Extract:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = weights[INCEPTION_WEIGHTS.name]
    with tempfile.TemporaryDirectory() as folder:
        return _extract(FeatureExtractorInceptionV3("inception", ["2048"], _safe(path, folder)), device)


def _vgg(weights: Weights, device: Device) -> Extract:
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    with tempfile.TemporaryDirectory() as folder:
        return _extract(FeatureExtractorVGG16("vgg16", ["fc2_relu"], _safe(weights[VGG.name], folder)), device)


def _safe(path: Path, folder: str) -> str:
    """A copy of a weights file with nothing but its tensors: torch-fidelity would run code that a file holds."""
    import torch

    from models.load import read_tensors

    copy = Path(folder) / path.name
    torch.save(read_tensors(path), copy)
    return str(copy)


def _extract(network: nn.Module, device: Device) -> Extract:
    import torch

    network = network.to(device)

    def extract(pictures: Sequence[Pixels]) -> Features:
        levels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            return network(levels)[0].cpu().numpy()

    return extract


INCEPTION = FeatureSpec("inception", _inception)
VGG16 = FeatureSpec("vgg16", _vgg)
