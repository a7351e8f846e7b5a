"""RetinaFace with ResNet-50 and the weights of retinaface-pytorch (Vladimir Iglovikov), for RGB photos.

Deng, Guo, Ververas, Kotsia, Zafeiriou, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020.
"""

from collections.abc import Mapping
from pathlib import Path

from models.checkpoint import Checkpoint
from models.detector import DetectorSettings, DetectorSpec
from models.pyramid import Pyramid

WEIGHTS = Checkpoint(
    name="retinaface_resnet50_2020-07-20-f168fae3c.zip",
    url="https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip",
    licence="MIT",
    commercial=True,
    tensors={  # facexlib's file has the same: the start of the hash in this name tells the two apart
        "body.layer4.2.conv3.weight": (2048, 512, 1, 1),
        "fpn.output3.0.weight": (256, 2048, 1, 1),
        "ssh1.conv7x7_3.0.weight": (64, 64, 3, 3),
        "LandmarkHead.2.conv1x1.bias": (20,),
    },
)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    from models.retinaface_detector import RGB_IMAGENET, build

    return build(WEIGHTS, weights[WEIGHTS.name], "resnet50", RGB_IMAGENET, settings)


DETECTOR = DetectorSpec(
    name="retinaface",
    summary="RetinaFace, ResNet-50, weights of retinaface-pytorch, over a pyramid of scales: boxes and five landmarks",
    code="https://github.com/ternaus/retinaface",
    licence="MIT",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
