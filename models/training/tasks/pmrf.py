"""Training PMRF: the blind restorer, and the four controlled experiments with their five schemes.

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025, sections 5.1 and 5.2; facts from
``ohayonguy/PMRF:train.py`` and ``scripts/train``, for the blind regressor from ``zsyOAOA/DifFace``.

A regressor is trained first (``scheme = "mean"``), then frozen: a flow's recipe names its file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, FilePath, model_validator
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.controlled import PAPER, SCHEMES, Results, Shapes, networks, restoration
from models.degradations.controlled import EXPERIMENTS
from models.degradations.difface import age
from models.nets.hdit import IMAGENET_256_SP4, HDiTShape
from models.nets.swinir import L, SwinIRShape
from models.pmrf_checkpoint import FlowNetworks, load_regressor
from models.training.pmrf import Line, flow_loss, mean_loss, standing, stratified
from models.training.recipe import TrainRecipe
from models.training.task import Example, Face, TrainingSpec, Validation

BLIND_SIGMA = 0.1
BLIND = Shapes(IMAGENET_256_SP4, L)
TINY = Shapes(HDiTShape((32, 64), (1, 1), head_width=16, mapping_width=48), SwinIRShape(24, 1, 2, 3))
UNCLIPPED = 1e9  # a bound of the gradients that none reaches
RATE = 5e-4
SHOWN = 4  # faces in the picture
VALIDATION_SEED = 1839


class PmrfRecipe(TrainRecipe):
    """The defaults are those of the controlled experiments. The blind flow was trained for 1,051,050 steps at 512
    pixels; its regressor with ``batch = 32``, 300,000 steps, rates 5e-5 to 5e-6 and no weight decay.

    ``regressor`` is the file of the frozen regressor, for a scheme that takes it; ``sigma_s`` the noise on the source,
    the paper's for the experiment if left out. ``validation_steps`` is K in validation. ``network = "tiny"`` is for
    trials.
    """

    steps: int = Field(default=273_000, gt=0)
    batch: int = Field(default=256, gt=0)
    size: int = Field(default=256, ge=64, multiple_of=64)
    learning_rate: float = Field(default=RATE, gt=0)
    final_rate: float = Field(default=RATE, ge=0)
    warmup: int = Field(default=0, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=1e-2, ge=0)
    clip: float = Field(default=UNCLIPPED, gt=0)
    ema: float = Field(default=0.9999, ge=0, lt=1)
    experiment: Literal["blind", "denoising", "super-resolution", "inpainting", "colorization"] = "blind"
    scheme: Literal["pmrf", "conditioned-on-input", "conditioned-on-mean", "flow-from-input", "mean"] = "pmrf"
    regressor: FilePath | None = None
    sigma_s: float | None = Field(default=None, ge=0, le=1)
    validation_steps: int = Field(default=50, gt=0)
    network: Literal["published", "tiny"] = "published"

    @model_validator(mode="after")
    def _regressor_is_given(self) -> "PmrfRecipe":
        scheme = SCHEMES[self.scheme]
        if scheme.flow and scheme.regressor and self.regressor is None:
            raise ValueError(f"scheme {self.scheme} needs regressor, the file of a trained one")
        return self

    @property
    def sigma(self) -> float:
        if self.sigma_s is not None:
            return self.sigma_s
        return BLIND_SIGMA if self.experiment == "blind" else EXPERIMENTS[self.experiment].sigma_s

    @property
    def channels(self) -> int:
        """Of the degraded images."""
        return 3 if self.experiment == "blind" else EXPERIMENTS[self.experiment].channels

    @property
    def shapes(self) -> Shapes:
        if self.network == "tiny":
            return TINY
        return BLIND if self.experiment == "blind" else PAPER


class PmrfTask:
    """See ``models.training.task.Task``."""

    def __init__(self, recipe: PmrfRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self._scheme = SCHEMES[recipe.scheme]
        self.network = networks(self._scheme, recipe.channels, recipe.shapes)
        if isinstance(self.network, FlowNetworks) and self.network.mmse_model and recipe.regressor:
            load_regressor(self.network.mmse_model, Path(recipe.regressor))  # without gradients from here on
        self._restoration = restoration(self._scheme, self.network, recipe.sigma)

    def example(self, face: Face, rng: np.random.Generator) -> Example:
        """Arrays ``clean`` (3, S, S) and ``given`` (3 or 1, S, S), RGB in [0, 1]; for a flow ``noise`` (3, S, S) and
        ``draw`` (), too.
        """
        clean, given = self.pair(face, rng)
        found: Example = {"clean": clean.numpy(), "given": given.numpy()}
        if self._scheme.flow:
            found["noise"] = rng.standard_normal(clean.shape, np.float32)
            found["draw"] = np.asarray(rng.random(), np.float32)
        return found

    def pair(self, face: Face, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The face as it should come out, (3, S, S) in [0, 1], and as it is given."""
        image = face.astype(np.float32) / np.float32(255)
        if self._recipe.experiment == "blind":
            aged = age(image, rng)
            return _planes(aged.truth), _planes(aged.photo)
        clean = _planes(image)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return clean, EXPERIMENTS[self._recipe.experiment].degrade(clean, generator)

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The flow's squared error at stratified times; for a regressor alone its squared error, blind its absolute."""
        clean, given = batch["clean"], batch["given"]
        if not self._scheme.flow:
            estimate = network(given).float()
            blind = self._recipe.experiment == "blind"
            return functional.l1_loss(estimate, clean) if blind else mean_loss(estimate, clean)
        times = stratified(batch["draw"], *standing())
        with torch.no_grad():
            mean = self._restoration.mean(given)
            source = self._restoration.source(given, mean, batch["noise"])
            seen = self._restoration.seen(given, mean)
        line = Line.between(source.float(), clean, times)
        return flow_loss(network(torch.cat([line.points, *seen], 1), times).float(), line)

    def validate(self, network: nn.Module, faces: Sequence[Face]) -> Validation:
        """PSNR in dB of what is given, of the mean and of the result; pictures of each beside the truth."""
        restorer = restoration(self._scheme, network, self._recipe.sigma)
        device = next(network.parameters()).device
        figures: dict[str, list[float]] = {}
        rows: list[NDArray[np.uint8]] = []
        for index, face in enumerate(faces):
            rng = np.random.default_rng([VALIDATION_SEED, index])
            clean, given = self.pair(face, rng)
            noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
            results = restorer.restore(given[None].to(device), noise[None].to(device), self._recipe.validation_steps)
            shown = {"given": given.expand_as(clean)} | _shown(results)
            for name, picture in shown.items():
                figures.setdefault(f"{name}.psnr", []).append(_psnr(picture, clean))
            if index < SHOWN:
                rows.append(np.hstack([_levels(picture) for picture in (clean, *shown.values())]))
        return Validation({name: float(np.mean(values)) for name, values in figures.items()}, np.vstack(rows))


def _shown(results: Results) -> dict[str, torch.Tensor]:
    found = {"mean": results.mean, "restored": results.restored}
    return {name: value[0].float().cpu() for name, value in found.items() if value is not None}


def _planes(image: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _levels(picture: torch.Tensor) -> NDArray[np.uint8]:
    return (picture * 255).round().byte().permute(1, 2, 0).numpy()


def _psnr(picture: torch.Tensor, clean: torch.Tensor) -> float:
    """In dB, at most 100."""
    return -10 * float((picture - clean).square().mean().clamp(1e-10).log10())


def _build(recipe: TrainRecipe) -> PmrfTask:
    return PmrfTask(PmrfRecipe.model_validate(recipe.model_dump()))


def _export(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """As the hub's file has them: the flow below ``model.``, the regressor below ``mmse_model.``."""
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, path)


TRAINING = TrainingSpec(
    name="pmrf",
    summary="PMRF and the schemes of its controlled experiments: a regressor first, then a flow from its mean",
    recipe=PmrfRecipe,
    build=_build,
    export=_export,
)
