"""RetinaFace with MobileNet-0.25 and the weights that facexlib hands on (from ``biubug6/Pytorch_Retinaface``).

45 times fewer operations than with ResNet-50, and fewer small faces found (WIDER hard, as published: 73.8 % against
84.4 %). Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020.
"""

from collections.abc import Mapping
from pathlib import Path

from models.checkpoint import Checkpoint
from models.detector import DetectorSettings, DetectorSpec
from models.pyramid import Pyramid

WEIGHTS = Checkpoint(
    name="detection_mobilenet0.25_Final.pth",
    url="https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_mobilenet0.25_Final.pth",
    licence="MIT",
    commercial=True,
    size=1789735,
    sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    from models.retinaface_detector import BGR_MEAN, build

    return build(WEIGHTS, weights[WEIGHTS.name], "mobile0.25", BGR_MEAN, settings)


DETECTOR = DetectorSpec(
    name="retinaface-mobile",
    summary="RetinaFace, MobileNet-0.25, weights of facexlib, over a pyramid of scales: boxes and five landmarks",
    code="https://github.com/xinntao/facexlib",
    licence="MIT",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
