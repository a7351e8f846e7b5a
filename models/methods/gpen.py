"""GPEN: a StyleGAN2 generator that is fed with an encoder's features of the degraded face; 256 or 512 pixels.

Yang, Ren, Xie, Zhang, "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021. Facts from
``yangxy/GPEN:face_enhancement.py`` and ``face_model/face_gan.py``.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from models.checkpoint import Checkpoint, Device, Dtype, Shapes
from models.load import load
from models.method import MethodSpec, Parameters
from models.nets.gpen import GPEN, GPEN_256, GPEN_512, GpenSizes
from models.published import container_of
from models.signed_restorer import SignedRestorer

LICENCE = (
    "none is given; the README said that it is for academic and non-commercial use only until that section was removed"
)
SIZES: Mapping[int, GpenSizes] = {512: GPEN_512, 256: GPEN_256}
TRAINED = "g_ema"  # where the original's training script keeps the averaged weights


def checkpoint(side: int, tensors: Shapes) -> Checkpoint:
    """The published file of the model for ``side`` pixels."""
    name = f"GPEN-BFR-{side}.pth"
    url = f"https://public-vigen-video.oss-cn-shanghai.aliyuncs.com/robin/models/{name}"
    return Checkpoint(name=name, url=url, licence=LICENCE, commercial=False, tensors=tensors)


WEIGHTS: Mapping[int, Checkpoint] = {
    512: checkpoint(512, {"ecd7.0.1.weight": (512, 512, 3, 3), "generator.to_rgbs.6.conv.weight": (1, 3, 128, 1, 1)}),
    256: checkpoint(256, {"ecd6.0.1.weight": (256, 256, 3, 3), "generator.to_rgbs.5.conv.weight": (1, 3, 64, 1, 1)}),
}


class GpenParameters(Parameters):
    """``size`` chooses the model: 256 or 512."""

    size: int = Field(default=512, ge=256, le=512, multiple_of=256)


def load_network(path: Path, sizes: GpenSizes) -> GPEN:
    """The network of the checkpoint ``path``, ready for inference.

    The file is the published one, or one that the original's training script wrote. Raises ``CheckpointUnreadable`` and
    ``CheckpointMismatch``.
    """
    return load(GPEN(sizes), path, container=container_of(path, (TRAINED,)))


def _needs(parameters: Parameters) -> tuple[Checkpoint, ...]:
    return (WEIGHTS[parameters.size],)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SignedRestorer:
    side = parameters.size
    network = load_network(weights[WEIGHTS[side].name], SIZES[side]).to(device)
    return SignedRestorer(lambda faces, _: network(faces), side, device, dtype)


METHOD = MethodSpec(
    name="gpen",
    summary="A StyleGAN2 generator led by an encoder's features of the degraded face",
    paper="Yang, Ren, Xie, Zhang: GAN Prior Embedded Network for Blind Face Restoration in the Wild, CVPR 2021 "
    "(arXiv 2105.06070)",
    code="https://github.com/yangxy/GPEN",
    licence=LICENCE,
    commercial=False,
    template="arcface",
    parameters=GpenParameters,
    checkpoints=tuple(WEIGHTS.values()),
    build=_build,
    needs=_needs,
)
