"""YuNet in torch: the faces of ``yunet``, found in batches on any device. For actors with a GPU.

The same network and the same published file, read by this project instead of OpenCV.
"""

from collections.abc import Mapping
from pathlib import Path

from models.detector import DetectorSettings, DetectorSpec
from models.detectors.yunet import WEIGHTS
from models.pyramid import Pyramid


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    from models.torch_scale import batch_pixels
    from models.yunet_detector import TorchScale, load_yunet

    scale = TorchScale(load_yunet(weights[WEIGHTS.name]), settings.score, settings.device)
    return Pyramid(scale, settings.pyramid, batch_pixels(settings.device))


DETECTOR = DetectorSpec(
    name="yunet-torch",
    summary="YuNet (n) in torch over a pyramid of scales, batched, for GPUs: boxes and five landmarks",
    code="https://github.com/ShiqiYu/libfacedetection.train",
    licence="Apache-2.0",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
