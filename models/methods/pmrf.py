"""PMRF: a regressor estimates the posterior mean of the face, a rectified flow carries it to a sharp one.

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow: Towards Minimum MSE Photo-Realistic Image Restoration", ICLR
2025. Facts from ``ohayonguy/PMRF:inference.py`` and ``lightning_models/mmse_rectified_flow.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.load import CheckpointMismatch
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.hdit import IMAGENET_256_SP4, HDiT
from models.nets.swinir import MULTIPLE, L, SwinIR
from models.pmrf_checkpoint import FlowNetworks, load_flow
from models.samplers.rectified_flow import euler, noisy

LICENCE = "MIT, but the SwinIR inside was trained by DifFace: S-Lab License 1.0, non-commercial"
HUB = Checkpoint(
    name="pmrf_blind_face_image_restoration.safetensors",
    url="https://huggingface.co/ohayonguy/PMRF_blind_face_image_restoration/resolve/main/model.safetensors",
    licence=LICENCE,
    commercial=False,
    role="pmrf",
    tensors={"model.patch_in.proj.weight": (256, 48), "mmse_model.conv_first.1.weight": (180, 192, 3, 3)},
)
LIGHTNING = Checkpoint(
    name="blind_face_restoration_pmrf.ckpt",
    url=None,
    licence=LICENCE,
    commercial=False,
    steps="download it from https://drive.google.com/drive/folders/1dfjZATcQ451uhvFH42tKnfMNHRkL6N_A in a browser",
    role="pmrf",
    tensors={
        "state_dict.model.patch_in.proj.weight": (256, 48),
        "state_dict.mmse_model.conv_first.1.weight": (180, 192, 3, 3),
    },
)
KEEPS = ("posterior-mean", "departure")
NEXT = 0x1E3779B97F4A7C15  # from a face's seed to that of its next sample; odd, so that no seed comes twice
FORMS = (HUB, LIGHTNING)  # of the same model; one is enough
ARGUMENTS: Mapping[str, object] = {
    "stage": "flow",
    "arch": "hdit_ImageNet256Sp4",
    "conditional": False,
    "mmse_model_arch": "swinir_L",
    "mmse_noise_std": 0.1,
    "eps": 0.0,
}
TYPES: Mapping[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class PmrfParameters(Parameters):
    """``steps`` is the paper's K; ``sigma_s`` the noise on the posterior mean, 0.1 in training.

    The published model was trained at 512 pixels.
    """

    size: int = Field(default=512, ge=64, le=1024, multiple_of=MULTIPLE)
    steps: int = Field(default=25, ge=1, le=1000)
    sigma_s: float = Field(default=0.1, ge=0, le=1)


class Pmrf:
    """The two networks and the way from one to the other.

    What the flow adds to the posterior mean is invention: each face's figure ``departure`` says how much, the root
    mean square of its difference to the mean in levels of 255. With several samples, ``sample_spread`` says how far
    results from different noise lie apart: the flow's own spread, which is small where the flow is deterministic but
    for its start, and not that of the faces that the photo leaves possible.
    """

    def __init__(self, networks: FlowNetworks, parameters: PmrfParameters, device: Device, dtype: Dtype) -> None:
        if networks.mmse_model is None:
            raise CheckpointMismatch("PMRF needs a regressor beside its flow")
        self._regressor = networks.mmse_model.compute_in(TYPES[dtype]).to(device)
        self._flow = networks.model.compute_in(TYPES[dtype]).to(device)
        self._parameters = parameters
        self._device: Device = device

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``."""
        return apart_on_cpu(faces, self._device, self._restored)

    def _restored(self, faces: Faces) -> Restored:
        mean = self.posterior_mean(faces.crops)
        results = [self.sample(mean, noise_of(faces.crops, seeds)) for seeds in several(faces.seeds, faces.samples)]
        restored = results[0]
        departure = (restored - mean).abs()
        kept = {"posterior-mean": mean, "departure": departure}
        figures = [{"departure": value} for value in rms(departure).tolist()]
        if len(results) > 1:
            spreads = spread(torch.stack(results)).tolist()
            figures = [told | {"sample_spread": value} for told, value in zip(figures, spreads, strict=True)]
        return Restored(restored, figures, {name: kept[name] for name in KEEPS if name in faces.keep})

    def posterior_mean(self, crops: torch.Tensor) -> torch.Tensor:
        """The regressor's estimate (B, 3, S, S) for ``crops``, float32 RGB in [0, 1], clipped to that range."""
        with torch.inference_mode():
            return self._regressor(crops).clamp(0, 1)

    def sample(self, mean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Carry posterior means (B, 3, S, S) with standard normal ``noise`` of that shape to faces in [0, 1]."""
        with torch.inference_mode():
            source = noisy(mean, noise, self._parameters.sigma_s)
            return euler(self._velocity, source, self._parameters.steps).clamp(0, 1)

    def _velocity(self, state: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return self._flow(state, times).float()


def rms(departure: torch.Tensor) -> torch.Tensor:
    """The root mean square of each face's ``departure`` (B, 3, S, S), in levels of 255: (B,)."""
    return departure.square().flatten(1).mean(1).sqrt() * 255


def spread(results: torch.Tensor) -> torch.Tensor:
    """The standard deviation over ``results`` (N, B, 3, S, S), N at least 2, in levels of 255, as root mean square over
    each face: (B,).
    """
    return results.var(0).flatten(1).mean(1).sqrt() * 255


def several(seeds: Sequence[int], samples: int) -> list[list[int]]:
    """The seeds of each sample, the faces' own first; the others follow from a face's own alone."""
    return [[(seed + index * NEXT) % 2**63 for seed in seeds] for index in range(samples)]


def noise_of(crops: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
    """Standard normal noise of the shape of ``crops`` (B, 3, S, S), each face's from its own seed.

    It is drawn on the CPU, so that it does not depend on the device.
    """
    drawn = [torch.randn(crops.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(drawn).to(crops.device)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> Pmrf:
    path = next(weights[form.name] for form in FORMS if form.name in weights)
    networks = load_flow(FlowNetworks(HDiT(IMAGENET_256_SP4), SwinIR(L)), path, arguments=ARGUMENTS)
    return Pmrf(networks, PmrfParameters.model_validate(parameters.model_dump()), device, dtype)


METHOD = MethodSpec(
    name="pmrf",
    summary="Posterior mean by SwinIR, carried to a sharp face by a rectified flow (HDiT) in pixel space",
    paper="Ohayon, Michaeli, Elad: Posterior-Mean Rectified Flow, ICLR 2025 (arXiv 2410.00418)",
    code="https://github.com/ohayonguy/PMRF",
    licence=LICENCE,
    commercial=False,
    template="ffhq",
    parameters=PmrfParameters,
    checkpoints=FORMS,
    version=2,
    build=_build,
    keeps=KEEPS,
    samples=True,
)
