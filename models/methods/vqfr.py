"""VQFR: the face is put together from a dictionary of high-quality texture; versions 1 and 2.

Gu, Wang, Xie, Dong, Li, Shan, Cheng, "VQFR: Blind Face Restoration with Vector-Quantized Dictionary and Parallel
Decoder", ECCV 2022. Facts from ``TencentARC/VQFR:demo.py`` and ``vqfr/demo_util.py``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from models.checkpoint import Checkpoint, Device, Dtype
from models.load import load
from models.method import Faces, MethodSpec, Parameters
from models.nets.vqfr_v1 import VQFRv1
from models.nets.vqfr_v2 import VQFRv2
from models.published import container_of
from models.signed_restorer import Network, SignedRestorer

Version = Literal["v1", "v2"]

LICENCE = "Apache-2.0, apart from the third-party parts that its LICENSE file lists; trained on FFHQ (non-commercial)"
STEPS = "download it from https://drive.google.com/drive/folders/1lczKYEbARwe27FJlKoFdng7UnffGDjO2 in a browser"
CONTAINERS = ("params_ema", "params")
WEIGHTS: Mapping[Version, Checkpoint] = {
    "v2": Checkpoint(
        name="VQFR_v2.pth",
        url=None,
        licence=LICENCE,
        commercial=None,
        steps=STEPS,
        tensors={
            "params_ema.feat2index.1.weight": (1024, 256),
            "params_ema.main_branch.align_func_dict.Level_1.dcn.weight": (64, 64, 3, 3),
        },
    ),
    "v1": Checkpoint(
        name="VQFR_v1-33a1fac5.pth",
        url=None,
        licence=LICENCE,
        commercial=None,
        steps=STEPS,
        tensors={
            "params_ema.quantizer.quantize_dict.Level_32.embedding.weight": (1024, 256),
            "params_ema.main_decoder.conv_out.0.weight": (3, 131, 3, 3),
        },
    ),
}


class VqfrParameters(Parameters):
    """``fidelity_ratio``, of v2 alone, is 0 for the best texture and 1 for the most of the input.

    The published models were trained at 512 pixels, and know no other size.
    """

    size: int = Field(default=512, ge=512, le=512)
    version: Version = "v2"
    fidelity_ratio: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_version(self) -> "VqfrParameters":
        if self.version == "v1" and self.fidelity_ratio:
            raise ValueError("version v1 has no fidelity_ratio")
        return self


def load_network(path: Path, version: Version) -> VQFRv1 | VQFRv2:
    """The network of the checkpoint ``path``, ready for inference.

    Averaged weights go before others, as published. Raises ``CheckpointUnreadable`` and ``CheckpointMismatch``.
    """
    network = VQFRv1() if version == "v1" else VQFRv2()
    return load(network, path, container=container_of(path, CONTAINERS))


def as_network(network: VQFRv1 | VQFRv2, fidelity_ratio: float) -> Network:
    """``network`` as a function of the faces, whose settings may have another ``fidelity_ratio``."""
    if isinstance(network, VQFRv1):
        return lambda faces, _: network(faces)
    return lambda faces, known: network(faces, ratios(known, fidelity_ratio))


def ratios(faces: Faces, fidelity_ratio: float) -> list[float]:
    """That of each face: what a rule has set, else ``fidelity_ratio``."""
    return [float(settings.get("fidelity_ratio", fidelity_ratio)) for settings in faces.settings]


def _needs(parameters: Parameters) -> tuple[Checkpoint, ...]:
    return (WEIGHTS[_known(parameters).version],)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> SignedRestorer:
    known = _known(parameters)
    network = load_network(weights[WEIGHTS[known.version].name], known.version).to(device)
    return SignedRestorer(as_network(network, known.fidelity_ratio), known.size, device, dtype)


def _known(parameters: Parameters) -> VqfrParameters:
    return VqfrParameters.model_validate(parameters.model_dump())


METHOD = MethodSpec(
    name="vqfr",
    summary="Texture from a vector-quantised dictionary, warped to the face by a second decoder beside the first",
    paper="Gu, Wang, Xie, Dong, Li, Shan, Cheng: VQFR: Blind Face Restoration with Vector-Quantized Dictionary and "
    "Parallel Decoder, ECCV 2022 (arXiv 2205.06803)",
    code="https://github.com/TencentARC/VQFR",
    licence=LICENCE,
    commercial=None,
    template="ffhq",
    parameters=VqfrParameters,
    checkpoints=tuple(WEIGHTS.values()),
    build=_build,
    needs=_needs,
    per_face=frozenset({"fidelity_ratio"}),
)
