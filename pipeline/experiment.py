"""A controlled experiment: aligned photos are degraded in a known way, restored by several schemes, and judged.

OUT/truth/NAME.png                 the photos as they were, at the experiment's size
OUT/degraded/NAME.png              as the networks saw them
OUT/SCHEME/source/NAME.png         where the flow started, clipped for the file
OUT/SCHEME/mean/NAME.png           the posterior mean, for schemes that take it
OUT/SCHEME/restored/NAME.png
OUT/evaluation.md, .parquet        all schemes, and the degraded photos themselves
"""

import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from infra.errors import ConfigError, WeightsError
from infra.storage import Storage, join
from models.checkpoint import Device
from models.checkpoint_file import CheckpointUnreadable
from models.controlled import PAPER, SCHEMES, Restoration, Scheme, Shapes, load
from models.degradations.controlled import EXPERIMENTS, Experiment
from models.load import CheckpointMismatch
from models.pmrf_checkpoint import Weights
from pipeline.evaluation import Evaluation, Row
from pipeline.test_sets import TestSet
from stages.portraits import Portraits

log = logging.getLogger(__name__)

INPUT = "degraded"  # what stands in the table for no method at all


@dataclass(frozen=True, slots=True)
class ExperimentJob:
    """``weights`` gives the file of each scheme by its name; ``out`` is an absolute URI.

    ``averaged`` takes the averaged weights of a Lightning file; published figures were made with the raw ones. All
    draws for a photo come from ``seed`` and its name, so they do not depend on the other photos.
    """

    experiment: Experiment
    photos: Portraits
    out: str
    weights: Mapping[str, Path]
    evaluation: Evaluation
    steps: int = 100
    seed: int = 0
    averaged: bool = False
    shapes: Shapes = PAPER

    @property
    def storage(self) -> Storage:
        return self.evaluation.storage

    @property
    def device(self) -> Device:
        return self.evaluation.device

    def names(self) -> list[str]:
        """The photos' paths below their folder without suffix. Raises ``ConfigError`` where two have the same."""
        found = [str(PurePosixPath(name).with_suffix("")) for name in self.photos.names]
        if twice := sorted({name for name in found if found.count(name) > 1}):
            raise ConfigError(f"two photos are called {twice[0]}", "only their suffixes differ: rename one")
        return found

    def run(self) -> list[Row]:
        """Everything; gives the rows of the table."""
        names = self.names()
        for index, name in enumerate(names):
            self.put("truth", name, planes(self.photos[index]))
            self.put(INPUT, name, self.degraded(index, name))
        means = {scheme: self.restore(SCHEMES[scheme], names) for scheme in self.weights}
        return self.evaluation.run([self.test_set(INPUT, INPUT, False), *self.sets(means)])

    def restore(self, scheme: Scheme, names: Sequence[str]) -> bool:
        """All photos by one scheme; gives whether it has posterior means."""
        log.info("%s: %d photos by %s", self.experiment.name, len(names), scheme.name)
        restorer, with_mean = self.restorer(scheme), False
        for index, name in enumerate(names):
            given = self.degraded(index, name)[None].to(self.device)
            noise = torch.randn(1, 3, *given.shape[-2:], generator=self.generator(name, scheme.start))
            results = restorer.restore(given, noise.to(self.device), self.steps)
            self.put(f"{scheme.name}/restored", name, results.restored[0])
            if results.source is not None:
                self.put(f"{scheme.name}/source", name, results.source[0])
            if results.mean is not None:
                with_mean = True
                self.put(f"{scheme.name}/mean", name, results.mean[0])
        return with_mean

    def restorer(self, scheme: Scheme) -> Restoration:
        """A scheme with its weights. Raises ``WeightsError`` for a file that does not fit."""
        path, kind = self.weights[scheme.name], self.kind
        try:
            given = self.experiment.channels
            return load(scheme, path, given, self.experiment.sigma_s, kind, self.shapes).to(self.device)
        except (CheckpointUnreadable, CheckpointMismatch) as error:
            hint = f"give the checkpoint of {scheme.published}, or one of daguerre train"
            raise WeightsError(str(error), hint) from error

    @property
    def kind(self) -> Weights:
        return "averaged" if self.averaged else "raw"

    def sets(self, means: Mapping[str, bool]) -> list[TestSet]:
        return [self.test_set(scheme, f"{scheme}/restored", mean) for scheme, mean in means.items()]

    def test_set(self, method: str, folder: str, mean: bool) -> TestSet:
        return TestSet(
            name=self.experiment.name,
            method=method,
            restored=join(self.out, folder),
            truth=join(self.out, "truth"),
            mean=join(self.out, f"{method}/mean") if mean else None,
        )

    def degraded(self, index: int, name: str) -> torch.Tensor:
        """Photo number ``index`` as the networks see it, (3 or 1, S, S) in [0, 1]."""
        return self.experiment.degrade(planes(self.photos[index]), self.generator(name, "degradation"))

    def generator(self, name: str, what: str) -> torch.Generator:
        key = hashlib.sha256(f"{self.seed}/{self.experiment.name}/{what}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)

    def put(self, folder: str, name: str, picture: torch.Tensor) -> None:
        """Store ``picture`` (3 or 1, H, W), rounded half up as torchvision does."""
        levels = picture.float().cpu().mul(255).add(0.5).clamp(0, 255).byte().numpy()
        file, pixels = io.BytesIO(), levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
        self.storage.write(join(self.out, f"{folder}/{name}.png"), file.getvalue())


def planes(photo: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    """(S, S, 3) levels as (3, S, S) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1))).float().div(255)


def experiment_called(name: str) -> Experiment:
    """Raises ``ConfigError`` for an unknown one."""
    if name not in EXPERIMENTS:
        raise ConfigError(f"there is no experiment {name}", f"known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def weights_from(given: Sequence[str]) -> dict[str, Path]:
    """The files by scheme from ``SCHEME=FILE``. Raises ``ConfigError``."""
    found: dict[str, Path] = {}
    for text in given:
        scheme, equals, file = text.partition("=")
        if not equals or scheme not in SCHEMES:
            raise ConfigError(f"'{text}' is no SCHEME=FILE", f"schemes: {', '.join(SCHEMES)}")
        if not Path(file).is_file():
            raise ConfigError(f"there is no file {file}", "docs/experiments.md says where checkpoints come from")
        found[scheme] = Path(file)
    if not found:
        raise ConfigError("no scheme was given", f"--weights SCHEME=FILE; schemes: {', '.join(SCHEMES)}")
    return found
