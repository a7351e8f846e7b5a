"""VSPBFR's published training, piece by piece: what its three stages minimise, and with which settings.

Facts from ``LonglongaaaGo/e4e_trainer:training/Restore_coach.py`` (style encoder),
``LonglongaaaGo/VSPBFR:code_diffuser_train.py`` and ``restoration_train.py``, as the code runs. Faces are (B, 3, S, S)
RGB in [-1, 1], codes (B, R, C) in w+. Perceptual distances and identity embeddings are given: their networks are frozen
and not part of this method (LPIPS with AlexNet for the encoder, with VGG16 for the others; IR-SE-50 for the encoder,
``models.nets.arcface`` for the others).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.losses.logistic import generator_loss
from models.nets.code_diffuser import CodeDiffuser
from models.samplers.code_diffusion import Schedule, diffused, posterior

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From two batches of faces to a distance for each pair, (B,)."""
Embed = Callable[[torch.Tensor], torch.Tensor]
"""From faces to embeddings (B, D) of length 1."""

CODE_POOL = 50  # of the encoder's training, for real and for made codes


@dataclass(frozen=True, slots=True)
class StageSettings:
    """``side`` is that of the faces; ``r1`` the weight of the penalty, which comes every ``r1_every`` steps times as
    much.
    """

    side: int
    batch: int
    steps: int
    learning_rate: float
    betas: tuple[float, float]
    discriminator_rate: float = 0.0
    discriminator_betas: tuple[float, float] = (0.0, 0.0)
    r1: float = 10.0
    r1_every: int = 16
    average: float = 0.0  # decay of the averaged weights; 0: none


def lazily(betas: tuple[float, float], every: int) -> tuple[float, float]:
    """Adam's betas where one step in ``every`` + 1 is left to a regularisation (StyleGAN2, appendix B)."""
    ratio = every / (every + 1)
    return betas[0] ** ratio, betas[1] ** ratio


ENCODER = StageSettings(256, 8, 200_000, 1e-4, (0.95, 0.999), 2e-5, (0.9, 0.999))  # with models.training.ranger
DIFFUSER = StageSettings(256, 16, 200_000, 0.002 * 4 / 5, lazily((0.0, 0.99), 4))
RESTORATION = StageSettings(
    512,
    4,
    500_000,
    0.002 * 4 / 5,
    lazily((0.0, 0.99), 4),
    0.002 * 16 / 17,
    lazily((0.0, 0.99), 16),
    average=0.5 ** (32 / 10_000),
)


def identity_loss(found: torch.Tensor, wanted: torch.Tensor, embed: Embed) -> torch.Tensor:
    """Mean of |1 - cosine| of two batches of faces: a scalar."""
    return (1 - (embed(found) * embed(wanted)).sum(1)).abs().mean()


def encoder_loss(
    images: torch.Tensor,
    wanted: torch.Tensor,
    codes: torch.Tensor,
    scores: torch.Tensor,
    last: int,
    distance: Distance,
    embed: Embed,
) -> torch.Tensor:
    """Of the pictures that the decoder made of ``codes``, reduced to the size of ``wanted``: a scalar.

    ``scores`` are the code discriminator's of the rows up to ``last``, (B x (last + 1), 1).
    """
    pixels = functional.mse_loss(images, wanted)
    likeness = 0.8 * distance(images, wanted).mean() + 0.5 * identity_loss(images, wanted, embed)
    return pixels + likeness + 0.1 * generator_loss(scores) + 2e-4 * offset_loss(codes, last)


def offset_loss(codes: torch.Tensor, last: int) -> torch.Tensor:
    """The sum over the rows up to ``last`` of the mean length of their offsets from row 0: a scalar."""
    return (codes[:, 1 : last + 1] - codes[:, :1]).norm(dim=2).mean(0).sum()


def last_row(step: int, rows: int = 18) -> int:
    """The last row of the encoder that is trained at ``step``: row 0 alone until 20,000, then one more each 2,000."""
    return 0 if step < 20_000 else min(rows - 1, 1 + (step - 20_000) // 2_000)


class CodePool:
    """Codes of earlier steps, so that the code discriminator does not only see the last ones."""

    def __init__(self, size: int = CODE_POOL) -> None:
        self.size = size
        self.codes: list[torch.Tensor] = []

    def exchanged(self, codes: Sequence[torch.Tensor], generator: torch.Generator) -> list[torch.Tensor]:
        """``codes``; once the pool is full, each is put back for an older one with a chance of one half."""
        return [self._exchanged(code.detach(), generator) for code in codes]

    def _exchanged(self, code: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if len(self.codes) < self.size:
            self.codes.append(code)
            return code
        if float(torch.rand((), generator=generator)) < 0.5:
            return code
        place = int(torch.randint(self.size, (), generator=generator))
        older, self.codes[place] = self.codes[place], code
        return older


def diffuser_prompt(
    diffuser: CodeDiffuser, degraded: torch.Tensor, noise: torch.Tensor, plan: Schedule, start: torch.Tensor
) -> torch.Tensor:
    """The prompt in training, with gradients through every step, from ``start`` under ``noise``.

    The published weights started from the degraded code; the paper's text would start from the target's.
    """
    state = diffused(start, noise, plan)
    return posterior(diffuser.guided(degraded), state, plan)


def diffuser_loss(
    prompt: torch.Tensor,
    target: torch.Tensor,
    images: torch.Tensor,
    wanted: torch.Tensor,
    distance: Distance,
    embed: Embed,
) -> torch.Tensor:
    """Of a prompt beside the target's code, and of the decoder's picture of it beside ``wanted``: a scalar."""
    likeness = distance(images, wanted).mean() + identity_loss(images, wanted, embed)
    return functional.l1_loss(prompt, target) + 0.1 * likeness


def restoration_loss(
    restored: torch.Tensor,
    wanted: torch.Tensor,
    scores: torch.Tensor,
    distance: Distance,
    embed: Embed,
    *,
    summed: bool = False,
) -> torch.Tensor:
    """Of restored faces and the discriminator's ``scores`` of them: a scalar. No pixels are compared.

    The original adds the distances of a batch up (``summed``, 4 a GPU), so that their weight grows with it; here their
    mean counts four times, which is the same at its batch size.
    """
    distances = distance(restored, wanted)
    perceptual = distances.sum() if summed else distances.mean() * RESTORATION.batch
    return generator_loss(scores) + 0.5 * perceptual + 0.1 * identity_loss(restored, wanted, embed)


def penalised(penalty: torch.Tensor, settings: StageSettings) -> torch.Tensor:
    """R1 as its own step weighs it."""
    return settings.r1 / 2 * settings.r1_every * penalty


def optimiser(network: nn.Module, settings: StageSettings) -> torch.optim.Adam:
    """Adam for the code diffuser or the restoration network."""
    return torch.optim.Adam(network.parameters(), settings.learning_rate, settings.betas)


def discriminator_optimiser(network: nn.Module, settings: StageSettings) -> torch.optim.Adam:
    """Adam for a discriminator, of pictures or of codes."""
    return torch.optim.Adam(network.parameters(), settings.discriminator_rate, settings.discriminator_betas)
