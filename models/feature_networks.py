"""The two networks whose features FID, KID and precision compare, with torch-fidelity's preparation of pictures.

Both take pictures of any size and reduce them by TensorFlow's old bilinear resize. Importing this module imports
neither torch nor torch-fidelity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import Checkpoint, Device
from models.quality.lpips import VGG
from models.quality_metric import Extract, Features, FeatureSpec, Pixels, Weights

if TYPE_CHECKING:
    import torch

INCEPTION_WEIGHTS = Checkpoint(
    name="weights-inception-2015-12-05-6726825d.pth",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    licence="Apache-2.0 by TensorFlow; trained on ImageNet",
    commercial=None,
    tensors={"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
)
VGG_SIDE = 224  # pixels
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
LAST = 5  # layers of VGG16's classifier up to the second ReLU, fc2_relu


def _inception(weights: Weights, device: Device) -> Extract:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch.load reads nothing but tensors unless it is told to, and torch-fidelity does not tell it to
    network = FeatureExtractorInceptionV3("inception", ["2048"], str(weights[INCEPTION_WEIGHTS.name])).to(device)
    return _extract(lambda levels: network(levels)[0], device)


def _vgg(weights: Weights, device: Device) -> Extract:
    import torch
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    from torchvision.models import vgg16

    from models.load import load

    network = load(vgg16(), weights[VGG.name])
    network.classifier = network.classifier[:LAST]
    network = network.to(device)
    mean, spread = (torch.tensor(part, device=device).view(1, 3, 1, 1) * 255 for part in (MEAN, SPREAD))

    def features(levels: torch.Tensor) -> torch.Tensor:
        side = VGG_SIDE, VGG_SIDE
        small = interpolate_bilinear_2d_like_tensorflow1x(levels.float(), size=side, align_corners=False)
        return network((small - mean) / spread)

    return _extract(features, device)


def _extract(features: Callable[[torch.Tensor], torch.Tensor], device: Device) -> Extract:
    import torch

    def extract(pictures: Sequence[Pixels]) -> Features:
        levels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            return features(levels).float().cpu().numpy()

    return extract


INCEPTION = FeatureSpec("inception", _inception)
VGG16 = FeatureSpec("vgg16", _vgg)
