"""VSPBFR: a face's style code, cleaned by a short diffusion, prompts the network that restores the face.

Lu, Wang, Wang, Zhang, Jiang, Zhao, "Visual Style Prompt Learning Using Diffusion Models for Blind Face Restoration",
Pattern Recognition 161, 2025, 111312. Facts from ``LonglongaaaGo/VSPBFR:restoration_test.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch.nn import functional

from models.batches import apart_on_cpu
from models.checkpoint import Checkpoint, Device, Dtype
from models.method import Faces, MethodSpec, Parameters, Restored
from models.nets.style_decoder import noise_sides, pooled
from models.nets.vspbfr import noise_sides_of
from models.nets.vspbfr_shape import VspbfrShape
from models.samplers.code_diffusion import posterior, schedule
from models.vspbfr_checkpoint import DIFFUSER, RESTORATION, STYLE, VspbfrNetworks, load_networks

HUB = "https://huggingface.co/Wanglong2/VSPBFR/resolve/main"
LICENCE = (
    "MIT by its model card, but the style decoder descends from NVIDIA's StyleGAN2 (Source Code License-NC) and FFHQ "
    "(CC BY-NC-SA 4.0)"
)
PROMPT = "style-prompt"
FILES = (
    Checkpoint(
        name=STYLE,
        url=f"{HUB}/{STYLE}",
        licence=LICENCE,
        commercial=False,
        tensors={
            "latent_avg": (18, 512),
            "state_dict.encoder.latlayer1.weight": (512, 256, 1, 1),
            "state_dict.decoder.convs.15.conv.weight": (1, 32, 32, 3, 3),
        },
    ),
    Checkpoint(
        name=DIFFUSER,
        url=f"{HUB}/{DIFFUSER}",
        licence=LICENCE,
        commercial=False,
        tensors={"att_mapper.att_mapper.0.attention_layer.k_matrix.weight": (512, 513)},
    ),
    Checkpoint(
        name=RESTORATION,
        url=f"{HUB}/{RESTORATION}",
        licence=LICENCE,
        commercial=False,
        tensors={
            "g_ema.convs.13.ModulatedConv2ds.0.weight": (1, 16, 64, 3, 3),
            "g_ema.final_transfer.weight": (8192, 1024),
        },
    ),
)
TYPES: Mapping[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class VspbfrParameters(Parameters):
    """``mixing`` is the probability that a face's rows come from two draws of noise: 0.5 in the original's test script,
    which decides for a whole batch at once.
    """

    size: int = Field(default=512, ge=512, le=512)
    mixing: float = Field(default=0.0, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Draws:
    """All that is random about B faces.

    ``start`` (B, R, C) begins the diffusion; ``maps`` are the style decoder's noise, (B, 1, s, s) up to its last map
    that is used, and ``picture_maps`` the others, which only its picture needs; ``codes`` (B, 2, C) are mapped, the
    first of the two for the rows before ``split`` (B,), the other for those from there on; ``noise`` is the restoration
    network's.
    """

    start: torch.Tensor
    maps: Sequence[torch.Tensor]
    codes: torch.Tensor
    split: torch.Tensor
    noise: Sequence[torch.Tensor]
    picture_maps: Sequence[torch.Tensor] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """What the networks give on the way: codes in w+ (B, R, C), the decoder's maps, the picture about [-1, 1]."""

    degraded: torch.Tensor
    prompt: torch.Tensor
    features: Sequence[torch.Tensor]
    restored: torch.Tensor
    sample: torch.Tensor | None = None


class Vspbfr:
    """The four networks. The diffusion runs in float32 whatever ``dtype`` says: it amplifies roundings 20 times."""

    def __init__(self, networks: VspbfrNetworks, parameters: VspbfrParameters, device: Device, dtype: Dtype) -> None:
        kind = TYPES[dtype]
        self._encoder = networks.encoder.to(device, kind)
        self._diffuser = networks.diffuser.to(device)
        self._decoder = networks.decoder.to(device, kind)
        self._restoration = networks.restoration.to(device, kind)
        self._device: Device = device
        self._mixing, self._kind = parameters.mixing, kind
        self._plan = schedule(self._diffuser.steps)
        self._shape = networks.restoration.shape

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``."""
        return apart_on_cpu(faces, self._device, self._restored)

    def _restored(self, faces: Faces) -> Restored:
        picture = PROMPT in faces.keep
        draws = together([draws_of(seed, self._shape, self._mixing, picture=picture) for seed in faces.seeds])
        steps = self.steps(faces.crops * 2 - 1, draws)
        kept = {} if steps.sample is None else {PROMPT: _unit(steps.sample)}
        return Restored(_unit(steps.restored), kept=kept)

    def steps(self, low: torch.Tensor, draws: Draws) -> Steps:
        """Restore ``low`` (B, 3, S, S), float32 RGB in [-1, 1]. The style decoder's picture is made where ``draws``
        have noise for it.
        """
        with torch.inference_mode():
            draws, low = _on(draws, self._device), low.to(self._kind)
            seen = functional.interpolate(low, (self._shape.seen,) * 2, mode="bilinear", align_corners=False)
            degraded = self._encoder(seen).float()
            prompt = posterior(self._diffuser.guided(degraded), draws.start, self._plan)
            codes, sample = prompt.to(self._kind), None
            if draws.picture_maps:
                sample, features = self._decoder(codes, self._typed([*draws.maps, *draws.picture_maps]))
                sample = pooled(sample, self._shape.side).float()
            else:
                features = self._decoder.features(codes, self._typed(draws.maps), self._shape.side)
            styles = self._restoration.rows(codes, self._mapped(draws))
            restored = self._restoration(low, features, styles, self._typed(draws.noise)).float()
            return Steps(degraded, prompt, features, restored, sample)

    def _mapped(self, draws: Draws) -> torch.Tensor:
        """(B, R - 2, C): the mapped code of each row."""
        batch, both, width = draws.codes.shape
        mapped = self._restoration.style(draws.codes.to(self._kind).flatten(0, 1)).view(batch, both, width)
        rows = torch.arange(self._shape.rows - 2, device=mapped.device)
        second = (rows >= draws.split[:, None])[..., None]
        return torch.where(second, mapped[:, 1:], mapped[:, :1])

    def _typed(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [one.to(self._kind) for one in maps]


def draws_of(seed: int, shape: VspbfrShape, mixing: float, *, picture: bool = False) -> Draws:
    """One face's draws, on the CPU, from its own seed. Neither ``mixing`` nor ``picture`` changes the other draws."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> torch.Tensor:
        return torch.randn(1, *sizes, generator=generator)

    rows, count = shape.rows - 2, len(noise_sides(shape.side)) - 1
    sides = noise_sides(shape.decoded)
    start = normal(shape.rows, shape.style)
    maps = [normal(1, side, side) for side in sides[:count]]
    codes = normal(2, shape.style)
    mixed = float(torch.rand((), generator=generator)) < mixing
    split = torch.randint(1, rows, (1,), generator=generator)
    noise = [normal(1, side, side) for side in noise_sides_of(shape)]
    others = [normal(1, side, side) for side in sides[count:]] if picture else []
    return Draws(start, maps, codes, split if mixed else torch.full((1,), rows), noise, others)


def together(draws: Sequence[Draws]) -> Draws:
    """The draws of several faces as those of a batch."""
    return Draws(
        start=torch.cat([one.start for one in draws]),
        maps=_stacked([one.maps for one in draws]),
        codes=torch.cat([one.codes for one in draws]),
        split=torch.cat([one.split for one in draws]),
        noise=_stacked([one.noise for one in draws]),
        picture_maps=_stacked([one.picture_maps for one in draws]),
    )


def _stacked(maps: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    return [torch.cat(list(same)) for same in zip(*maps, strict=True)]


def _on(draws: Draws, device: Device) -> Draws:
    return Draws(
        start=draws.start.to(device),
        maps=[one.to(device) for one in draws.maps],
        codes=draws.codes.to(device),
        split=draws.split.to(device),
        noise=[one.to(device) for one in draws.noise],
        picture_maps=[one.to(device) for one in draws.picture_maps],
    )


def _unit(images: torch.Tensor) -> torch.Tensor:
    """From [-1, 1] to [0, 1], clipped."""
    return (images / 2 + 0.5).clamp(0, 1)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> Vspbfr:
    own = VspbfrParameters.model_validate(parameters.model_dump())
    return Vspbfr(load_networks(weights), own, device, dtype)


METHOD = MethodSpec(
    name="vspbfr",
    summary="A StyleGAN2 code of the face, cleaned by a short diffusion, prompts a style-modulated U-Net",
    paper="Lu et al.: Visual Style Prompt Learning for Blind Face Restoration, Pattern Recognition 161, 2025 "
    "(arXiv 2412.21042)",
    code="https://github.com/LonglongaaaGo/VSPBFR",
    licence=LICENCE,
    commercial=False,
    template="ffhq",
    parameters=VspbfrParameters,
    checkpoints=FILES,
    build=_build,
    keeps=(PROMPT,),
)
