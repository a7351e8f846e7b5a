"""Training ELSFace as published: bicubic reduction to 32 x 32 pixels, L1 and Sharp Loss, nothing else.

Facts from ``FVL2020/ELSFace:main_train.py``, see ``models.training.elsface``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save_file
from torch import nn

from models.losses.sharp import elsface_loss
from models.nets.elsface import ELSFace
from models.training.elsface import BATCH, BETAS, EPOCHS, LEARNING_RATE, WEIGHT_DECAY, pair
from models.training.recipe import TrainRecipe
from models.training.task import Example, Face, TrainingSpec, Validation

EPOCH = 162_770 // BATCH  # steps: CelebA's training split, its last, incomplete batch dropped
UNCLIPPED = 1e9  # a bound of the gradients that none reaches
SHOWN = 4  # faces in the picture


class ElsfaceRecipe(TrainRecipe):
    """The defaults are the published training: 40 passes over CelebA's 162,770 faces, no averaged weights.

    ``factor`` 4 gives faces of 128 pixels, 8 of 256; ``size`` is best the same.
    """

    steps: int = Field(default=EPOCHS * EPOCH, gt=0)
    batch: int = Field(default=BATCH, gt=0)
    size: int = Field(default=128, ge=32)
    learning_rate: float = Field(default=LEARNING_RATE, gt=0)
    final_rate: float = Field(default=0, ge=0)
    warmup: int = Field(default=0, ge=0)
    schedule: Literal["cosine", "line"] = "line"
    hold: int = Field(default=EPOCH, gt=0)
    optimiser: Literal["adamw", "adam"] = "adam"
    betas: tuple[float, float] = BETAS
    weight_decay: float = Field(default=WEIGHT_DECAY, ge=0)
    clip: float = Field(default=UNCLIPPED, gt=0)
    ema: float = Field(default=0, ge=0, lt=1)
    factor: Literal[4, 8] = 4


class ElsfaceTask:
    """See ``models.training.task.Task``."""

    def __init__(self, recipe: ElsfaceRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.network = ELSFace(recipe.factor)

    def example(self, face: Face, rng: np.random.Generator) -> Example:
        """Arrays ``target`` (3, T, T) and ``reduced`` (3, 32, 32), BGR in [0, 1]; nothing is drawn at random."""
        target, reduced = pair(np.ascontiguousarray(face[..., ::-1]), self.network.output_side)
        return {"target": target, "reduced": reduced}

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return elsface_loss(network(batch["reduced"]).float(), batch["target"])

    @torch.inference_mode()
    def validate(self, network: nn.Module, faces: Sequence[Face]) -> Validation:
        """PSNR in dB of the network and of cubic enlargement; a row of reduced, restored and true face each."""
        figures: dict[str, list[float]] = {"psnr": [], "bicubic": []}
        rows: list[NDArray[np.uint8]] = []
        device = next(network.parameters()).device
        for face in faces:
            example = self.example(face, np.random.default_rng(0))
            reduced = torch.from_numpy(example["reduced"])[None].to(device)
            restored = network(reduced)[0].float().clamp(0, 1).cpu().numpy()
            side = self.network.output_side
            small = np.ascontiguousarray(example["reduced"].transpose(1, 2, 0))
            enlarged = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1).transpose(2, 0, 1)
            figures["psnr"].append(psnr(restored, example["target"]))
            figures["bicubic"].append(psnr(enlarged, example["target"]))
            if len(rows) < SHOWN:
                rows.append(np.hstack([levels(picture) for picture in (enlarged, restored, example["target"])]))
        return Validation({name: float(np.mean(values)) for name, values in figures.items()}, np.vstack(rows))


def psnr(picture: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """In dB, at most 100."""
    return -10 * float(np.log10(max(float(((picture - truth) ** 2).mean()), 1e-10)))


def levels(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(3, S, S) BGR in [0, 1] as (S, S, 3) RGB uint8."""
    return np.rint(picture[::-1].transpose(1, 2, 0) * 255).astype(np.uint8)


def _build(recipe: TrainRecipe) -> ElsfaceTask:
    return ElsfaceTask(ElsfaceRecipe.model_validate(recipe.model_dump()))


def _export(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, path)


TRAINING = TrainingSpec(
    name="elsface",
    summary="super-resolution from 32 x 32 pixels as published: L1 and Sharp Loss on bicubic reduction",
    recipe=ElsfaceRecipe,
    build=_build,
    export=_export,
)
