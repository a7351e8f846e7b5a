"""VSPBFR's identity network: a ResNet-101 whose 256 outputs, scaled to length 1, are a face's embedding.

Facts from ``LonglongaaaGo/VSPBFR:Loss/id_loss.py`` and ``op/utils.py``; the layers are torchvision's.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

LAYERS = (3, 4, 23, 3)
OUTPUTS = 256
SIDE = 112
RENAMES = {"": "body."}  # the published file is the bare ResNet's


class ArcFace(nn.Module):
    """The network under ``body``."""

    def __init__(self, layers: Sequence[int] = LAYERS, outputs: int = OUTPUTS) -> None:
        super().__init__()
        self.body = ResNet(Bottleneck, list(layers), num_classes=outputs)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, 256) of length 1 of aligned ``faces`` (B, 3, H, W) RGB in [-1, 1], as FFHQ aligns them.

        They are reduced to 112 x 112 bilinearly, without a low pass. The last layer is linear on one vector a face: on
        the CPU its bits depend on the batch.
        """
        return functional.normalize(self.body(resized(faces)))


def resized(faces: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) to (B, 3, 112, 112)."""
    return functional.interpolate(faces, (SIDE, SIDE), mode="bilinear", align_corners=False)
