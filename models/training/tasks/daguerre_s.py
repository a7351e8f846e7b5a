"""Training ``daguerre-s``: faces that have grown old, and the same faces before.

L1 and the Sharp Loss of ELSFace, and where much was destroyed the energy of fine detail (``models.losses.detail``). No
adversarial loss: with under a thousand sitters a discriminator would teach the network to invent features, and an
archive wants fidelity.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.degradations.archival import Strength, judged, toned, training
from models.degradations.chain import Image
from models.load import fill, read_tensors
from models.losses.detail import detail_loss
from models.losses.sharp import elsface_loss
from models.nets.daguerre_s import ELSEWHERE, GLANCE, DaguerreS
from models.training.recipe import TrainRecipe
from models.training.squares import Square
from models.training.task import Example, TrainingSpec, Validation

WHOLE_SIDE = 128  # of a whole face that is reduced to a patch's size
STRENGTHS: tuple[Strength, ...] = ("mild", "medium", "heavy")
FEATURES = ((0.38, 0.47), (0.62, 0.47), (0.5, 0.73))  # eyes and mouth of a face on FFHQ's template, of its side
NEAR = 0.06  # of the side that a patch is off the middle of a feature, at most
UNSURE = 0.02  # of the side: the standard deviation of a face's place, as of the landmarks that it is aligned by
LATER = ("place", "glance.", "told.")  # what the network of earlier weights had not
SHOWN = 4  # faces in the picture
VALIDATION_SEED = 1839


class DaguerreSRecipe(TrainRecipe):
    """``patch`` is the side of what is trained on; of ``whole`` of the examples the face is reduced to 128 pixels
    first. ``sharp`` weighs the Sharp Loss beside L1. ``gentle`` of the examples are damaged a little only, ``harsh`` of
    the others severely. ``features`` of the patches have an eye or the mouth of an aligned face in their middle. In
    ``others`` of the examples the face is replaced by a square that is none; of ``placed`` of the faces the network is
    told which part a patch is. ``glance`` weighs L1 on the whole faces, reduced. ``detail`` weighs the energy of fine
    detail: none of it where the damage is below the first of ``harmed``, root mean squares of the range, all of it
    above the second. ``start`` is a file of weights, as they are in the package, that the training begins with; it may
    be from before there was a map of the face or a glance at it.
    """

    patch: int = Field(default=64, ge=32, multiple_of=16)
    whole: float = Field(default=0.3, ge=0, le=1)
    sharp: float = Field(default=0.1, ge=0)
    gentle: float = Field(default=0.0, ge=0, le=1)
    harsh: float = Field(default=0.0, ge=0, le=1)
    features: float = Field(default=0.0, ge=0, le=1)
    others: float = Field(default=0.0, ge=0, le=1)
    placed: float = Field(default=0.0, ge=0, le=1)
    glance: float = Field(default=0.0, ge=0)
    detail: float = Field(default=0.0, ge=0)
    harmed: tuple[float, float] = (0.03, 0.09)
    start: Path | None = None

    @field_validator("start")
    @classmethod
    def from_the_folder_of_the_command(cls, path: Path | None) -> Path | None:
        """Workers run elsewhere."""
        return path.absolute() if path else None


class DaguerreSTask:
    """See ``models.training.task.Task``."""

    def __init__(self, recipe: DaguerreSRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.network = DaguerreS()
        if recipe.start:
            own = self.network.state_dict()
            later = {name: tensor for name, tensor in own.items() if name.startswith(LATER)}
            fill(self.network, later | read_tensors(recipe.start), str(recipe.start))
        self._recipe = recipe

    def example(self, face: Square, rng: np.random.Generator) -> Example:
        """Arrays ``given`` and ``wanted`` (3, P, P), RGB in [0, 1]; ``window`` (4,) as the network takes it; and
        ``whole`` and ``whole_wanted`` (3, GLANCE, GLANCE), all of the face or other square before and after.
        """
        other = len(face.others) > 0 and rng.random() < self._recipe.others
        image: Image = (face.other(rng) if other else face.face).astype(np.float32) / np.float32(255)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        if rng.random() < self._recipe.whole:
            image = cv2.resize(image, (WHOLE_SIDE, WHOLE_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        side, patch = image.shape[0], self._recipe.patch
        placed = self._recipe.placed and not other and rng.random() < self._recipe.placed
        if placed:
            down, right = np.rint(rng.normal(0, UNSURE * side, 2)).astype(int)
            image = moved(image, down, right)
        aged = training(side, self._recipe.gentle, self._recipe.harsh).apply(image, rng)
        x, y = self.corner(side, rng)
        window = (slice(y, y + patch), slice(x, x + patch))
        place = np.array([x, y, x + patch, y + patch]) / side if placed else np.array(ELSEWHERE)
        return {
            "given": planes(aged.photo[window]),
            "wanted": planes(aged.truth[window]),
            "window": place.astype(np.float32),
            "whole": planes(reduced(aged.photo)),
            "whole_wanted": planes(reduced(aged.truth)),
        }

    def corner(self, side: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Of a patch, in even pixels."""
        last = side - self._recipe.patch
        if not (self._recipe.features and rng.random() < self._recipe.features):
            return rng.integers(0, last // 2 + 1, 2) * 2
        middle = side * (np.array(FEATURES[rng.integers(len(FEATURES))]) + rng.uniform(-NEAR, NEAR, 2))
        return np.rint((middle - self._recipe.patch / 2).clip(0, last) / 2).astype(np.int64) * 2

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        restored, whole = (found.float() for found in network(batch["given"], batch["window"], batch["whole"]))
        loss = elsface_loss(restored, batch["wanted"], self._recipe.sharp)
        loss = loss + self._recipe.glance * functional.l1_loss(whole, batch["whole_wanted"])
        if self._recipe.detail:
            weights = self._recipe.detail * harm(batch["given"], batch["wanted"], *self._recipe.harmed)
            loss = loss + (weights * detail_loss(restored, batch["wanted"])).mean()
        return loss

    def validate(self, network: nn.Module, faces: Sequence[Square]) -> Validation:
        """PSNR before and after in dB at each strength, and for faces without damage; a row of pictures a face."""
        figures: dict[str, list[float]] = {}
        rows: list[NDArray[np.uint8]] = []
        for index, face in enumerate(faces):
            rng = np.random.default_rng([VALIDATION_SEED, index])
            truth = toned()(face.face.astype(np.float32) / np.float32(255), rng)
            shown = [truth]
            for strength in STRENGTHS:
                photo = judged(strength, truth.shape[0])(truth, rng)
                restored = restore(network, photo)
                figures.setdefault(f"{strength}.before", []).append(psnr(photo, truth))
                figures.setdefault(f"{strength}.after", []).append(psnr(restored, truth))
                shown += [photo, restored]
            figures.setdefault("clean", []).append(psnr(restore(network, truth), truth))
            if index < SHOWN:
                rows.append(np.hstack([np.rint(picture * 255).astype(np.uint8) for picture in shown]))
        return Validation({name: float(np.mean(values)) for name, values in figures.items()}, np.vstack(rows))


def moved(image: Image, down: int, right: int) -> Image:
    """``image`` (S, S, 3) as if the face had been aligned by landmarks that are a little off. Whole pixels keep it as
    sharp as it is; what comes in at a border is mirrored.
    """
    last = len(image) - 1
    rows, columns = (last - np.abs(last - np.abs(np.arange(last + 1) - step)) for step in (down, right))
    return np.ascontiguousarray(image[rows][:, columns])


def reduced(image: Image) -> Image:
    """``image`` (S, S, 3) as the network looks at it from afar."""
    return np.asarray(cv2.resize(image, (GLANCE, GLANCE), interpolation=cv2.INTER_AREA), np.float32)


def harm(given: torch.Tensor, wanted: torch.Tensor, none: float, full: float) -> torch.Tensor:
    """(B,) from 0 at a damage of ``none`` to 1 at ``full``: how much of each patch was destroyed. What was hardly
    damaged keeps its detail by itself.
    """
    apart = (given - wanted).square().mean(dim=(1, 2, 3)).sqrt()
    return ((apart - none) / (full - none)).clamp(0, 1)


@torch.inference_mode()
def restore(network: nn.Module, photo: Image) -> Image:
    """One face (S, S, 3) in [0, 1], sides multiples of 8, through the network."""
    device = next(network.parameters()).device
    tensor = torch.from_numpy(planes(photo))[None].to(device)
    restored = network(tensor)[0].float().clamp(0, 1)
    return restored.permute(1, 2, 0).cpu().numpy()


def planes(image: Image) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def psnr(picture: Image, truth: Image) -> float:
    """In dB, at most 100."""
    return -10 * math.log10(max(float(((picture - truth) ** 2).mean()), 1e-10))


def _build(recipe: TrainRecipe) -> DaguerreSTask:
    return DaguerreSTask(DaguerreSRecipe.model_validate(recipe.model_dump()))


def _export(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """In float16, which halves the file."""
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    save_file({name: value.contiguous().cpu() for name, value in halves.items()}, path)


TRAINING = TrainingSpec(
    name="daguerre-s",
    summary="the small blind restorer, on aged portraits; L1, Sharp Loss and the energy of fine detail",
    recipe=DaguerreSRecipe,
    build=_build,
    export=_export,
    takes="squares",
)
