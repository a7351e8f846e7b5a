"""RestoreFormer through spandrel: a dictionary of facial parts, attended to by the degraded face's features.

Wang, Zhang, Chen, Wang, Luo, "RestoreFormer: High-Quality Blind Face Restoration from Undegraded Key-Value Pairs", CVPR
2022.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from models.checkpoint import Checkpoint, Device, Dtype
from models.method import MethodSpec, Parameters
from models.signed_restorer import SignedRestorer
from models.spandrel_method import CORE, SIDE, load_architecture

LICENCE = "Apache-2.0; trained on FFHQ (non-commercial)"
WEIGHTS = Checkpoint(
    name="RestoreFormer.pth",
    url="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.4/RestoreFormer.pth",
    licence=LICENCE,
    commercial=None,
)
CONTAINERS = ("params_ema", "params", "state_dict")


class RestoreFormerParameters(Parameters):
    """It was trained at 512 pixels."""

    size: int = Field(default=SIDE, ge=SIDE, le=SIDE)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SignedRestorer:
    network = load_architecture(weights[WEIGHTS.name], "RestoreFormer", CORE, CONTAINERS).to(device)
    return SignedRestorer(lambda faces, _: network(faces)[0], SIDE, device, dtype)


METHOD = MethodSpec(
    name="restoreformer",
    summary="Attention between the degraded face's features and a dictionary of facial parts",
    paper="Wang, Zhang, Chen, Wang, Luo: RestoreFormer, CVPR 2022 (arXiv 2201.06374)",
    code="https://github.com/wzhouxiff/RestoreFormer",
    licence=LICENCE,
    commercial=None,
    template="ffhq",
    parameters=RestoreFormerParameters,
    checkpoints=(WEIGHTS,),
    build=_build,
    extra=CORE,
)
