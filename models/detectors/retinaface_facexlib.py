"""RetinaFace with ResNet-50 and the weights that facexlib hands on (from ``biubug6/Pytorch_Retinaface``).

The detector of GFPGAN, CodeFormer and most face restoration since. Deng et al., "RetinaFace: Single-Shot Multi-Level
Face Localisation in the Wild", CVPR 2020.
"""

from collections.abc import Mapping
from pathlib import Path

from models.checkpoint import Checkpoint
from models.detector import DetectorSettings, DetectorSpec
from models.pyramid import Pyramid

WEIGHTS = Checkpoint(
    name="detection_Resnet50_Final.pth",
    url="https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_Resnet50_Final.pth",
    licence="MIT",
    commercial=True,
    size=109497761,
    sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    from models.retinaface_detector import BGR_MEAN, build

    return build(WEIGHTS, weights[WEIGHTS.name], "resnet50", BGR_MEAN, settings)


DETECTOR = DetectorSpec(
    name="retinaface-facexlib",
    summary="RetinaFace, ResNet-50, weights of facexlib, over a pyramid of scales: boxes and five landmarks",
    code="https://github.com/xinntao/facexlib",
    licence="MIT",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
