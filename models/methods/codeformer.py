"""CodeFormer through spandrel_extra_arches: a Transformer predicts a face's codes, ``w`` weighs them against the input.

Zhou, Chan, Li, Loy, "Towards Robust Blind Face Restoration with Codebook Lookup Transformer", NeurIPS 2022.
Non-commercial, the code included; hence an extra of its own.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from models.checkpoint import Checkpoint, Device, Dtype
from models.method import Faces, MethodSpec, Parameters
from models.signed_restorer import Network, SignedRestorer
from models.spandrel_method import NON_COMMERCIAL, SIDE, load_architecture

LICENCE = "S-Lab License 1.0 (non-commercial), code and weights"
WEIGHTS = Checkpoint(
    name="codeformer.pth",
    url="https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth",
    licence=LICENCE,
    commercial=False,
    tensors={"params_ema.position_emb": (256, 512), "params_ema.idx_pred_layer.1.weight": (1024, 512)},
)
CONTAINERS = ("params_ema", "params")


class CodeFormerParameters(Parameters):
    """``w`` is 0 for the best quality and 1 for the most fidelity. The network knows faces of 512 pixels alone."""

    size: int = Field(default=SIDE, ge=SIDE, le=SIDE)
    w: float = Field(default=0.5, ge=0, le=1)


def as_network(network: nn.Module, w: float) -> Network:
    """``network`` as a function of the faces, whose settings may have another ``w``; it takes one at a time."""

    def run(faces: torch.Tensor, known: Faces) -> torch.Tensor:
        weights = [float(settings.get("w", w)) for settings in known.settings]
        parts = faces.split(1 if len(set(weights)) > 1 else len(faces))
        # one part with many equal weights where all faces share theirs: the first weight is that of all
        return torch.cat([network(part, weight=one)[0] for part, one in zip(parts, weights, strict=False)])

    return run


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SignedRestorer:
    known = CodeFormerParameters.model_validate(parameters.model_dump())
    network = load_architecture(weights[WEIGHTS.name], "CodeFormer", NON_COMMERCIAL, CONTAINERS).to(device)
    return SignedRestorer(as_network(network, known.w), SIDE, device, dtype)


METHOD = MethodSpec(
    name="codeformer",
    summary="A Transformer predicts the codes of a learnt dictionary; w weighs them against the input",
    paper="Zhou, Chan, Li, Loy: Towards Robust Blind Face Restoration with Codebook Lookup Transformer, NeurIPS 2022 "
    "(arXiv 2206.11253)",
    code="https://github.com/sczhou/CodeFormer",
    licence=LICENCE,
    commercial=False,
    template="ffhq",
    parameters=CodeFormerParameters,
    checkpoints=(WEIGHTS,),
    build=_build,
    per_face=frozenset({"w"}),
    extra=NON_COMMERCIAL,
)
