"""Training ``daguerre-d``: YuNet from scratch on scenes of public-domain portraits.

The losses are YuNet's (cross-entropy for objectness and class, EIoU for boxes, smooth L1 for landmarks); the assignment
of faces to cells is ours (``models.training.face_cells``), and both scores learn the background, too. A ``teacher``
says how much each cell of the background looks like a face; without one, it does not at all.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.load import fill
from models.losses.detection import eiou, landmarks, overlap
from models.nets.yunet import OUTPUTS, STRIDES, YuNet
from models.pyramid import Pixels, Rows
from models.training.album import Album
from models.training.face_cells import BACKGROUND, POSITIVE, assigned, grid
from models.training.mosaic import Scene, scene
from models.training.norms import folded, with_norms
from models.training.recipe import TrainRecipe
from models.training.task import Example, TrainingSpec, Validation
from models.yunet_detector import load_yunet, network_input, rows_of

PRIOR = 0.01  # what a new network gives every cell
CERTAIN = 1e-6  # scores are this far from 0 and 1 at least
LARGEST_LOG = 4.0  # a face's side is at most exp(4) strides
VALIDATION_SEED = 1839
SCENES = 6  # for each held-out portrait
FALSE_FACES = 3  # that the validation allows when it counts faces
FOUND = 0.4  # intersection over union of a face that is found
LOWEST = 0.1  # score that the validation looks at
LANDMARKS_FROM = 32  # pixels of the face
SHOWN = 6


class DaguerreDRecipe(TrainRecipe):
    """``size`` is the longer side that portraits are reduced to, ``scene`` the side of what is trained on.
    ``landmark_beta``, in hundredths of a face, is the error of landmarks below which their loss is quadratic.
    ``teacher`` is a file of YuNet's published weights, ``start`` a checkpoint of an earlier training whose averaged
    weights this one begins with.
    """

    scene: int = Field(default=224, ge=64, multiple_of=32)
    box_weight: float = Field(default=5.0, ge=0)
    landmark_weight: float = Field(default=1.0, ge=0)
    landmark_beta: float = Field(default=3.0, gt=0)
    teacher: Path | None = None
    start: Path | None = None

    @field_validator("teacher", "start")
    @classmethod
    def from_the_folder_of_the_command(cls, path: Path | None) -> Path | None:
        """Workers run elsewhere."""
        return path.absolute() if path else None


class DaguerreDTask:
    """See ``models.training.task.Task``."""

    def __init__(self, recipe: DaguerreDRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.network = with_norms(fresh()).to(memory_format=torch.channels_last)
        if recipe.start:
            state = torch.load(recipe.start, map_location="cpu", weights_only=True)
            fill(self.network, state["average"], str(recipe.start))
        self._recipe = recipe
        self._teacher = load_yunet(recipe.teacher) if recipe.teacher else None
        self._grid = torch.from_numpy(grid(recipe.scene))

    def example(self, face: Album, rng: np.random.Generator) -> Example:
        """A scene around one portrait of an album: ``photo`` (S, S, 3) RGB in [0, 255]; for every cell ``kind`` (n,),
        ``box`` (n, 4), centre x and y, width, height, and ``points`` (n, 10), in pixels of the scene.
        """
        return example_of(scene(face, self._recipe.scene, rng))

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        photos, kind, truth = network_input(batch["photo"]), batch["kind"], batch["box"]
        out = every_level(network(photos))
        boxes, points = decoded(out, self._grid.to(photos.device))
        found = kind == POSITIVE
        soft = torch.zeros_like(kind) if self._teacher is None else scores(every_level(self._teacher(photos)))
        told = torch.where(found, 1.0, soft)
        graded = told.clone()
        graded[found] = overlap(boxes[found], truth[found]).detach()
        counted = (found | (kind == BACKGROUND)).float()
        entropy = functional.binary_cross_entropy
        doubts = entropy(out["obj"][..., 0], told, counted, reduction="sum")
        doubts = doubts + entropy(out["cls"][..., 0], graded, counted, reduction="sum")
        size = truth[found][:, 2:].prod(dim=1).sqrt()
        places = self._recipe.box_weight * eiou(boxes[found], truth[found]).sum()
        marks = landmarks(points[found], batch["points"][found], size, self._recipe.landmark_beta).sum()
        return (doubts + places + self._recipe.landmark_weight * marks) / found.sum().clamp(min=1)

    def validate(self, network: nn.Module, faces: Sequence[Album]) -> Validation:
        """On scenes of held-out portraits: how many faces are found while at most three false ones are, at which
        score, and the median error of the landmarks of faces of 32 pixels and more, in hundredths of a face.
        """
        ready = folded(cast("YuNet", network))
        rngs = [np.random.default_rng([VALIDATION_SEED, number]) for number in range(SCENES * len(faces))]
        scenes = [scene(faces[number % len(faces)], self._recipe.scene, rng) for number, rng in enumerate(rngs)]
        found = [search(ready, one.pixels) for one in scenes]
        figures = judged(found, scenes)
        shown = [drawn(one, rows, figures["score"]) for one, rows in zip(scenes[:SHOWN], found[:SHOWN], strict=True)]
        return Validation(figures, np.hstack(shown))


def fresh() -> YuNet:
    """A new network; every cell gives a score of ``PRIOR``."""
    network = YuNet()
    for heads in (network.cls, network.obj):
        for head in heads.values():
            nn.init.constant_(head.get_parameter("depth.bias"), math.log(PRIOR / (1 - PRIOR)))
    return network


def example_of(one: Scene) -> Example:
    """See ``DaguerreDTask.example``."""
    side = one.pixels.shape[0]
    cells = assigned(one.boxes, side)
    boxes, points = np.zeros((len(cells.kinds), 4)), np.zeros((len(cells.kinds), 10))
    mine = cells.kinds == POSITIVE
    boxes[mine] = np.hstack([one.boxes[:, :2] + one.boxes[:, 2:] / 2, one.boxes[:, 2:]])[cells.faces[mine]]
    points[mine] = one.points.reshape(-1, 10)[cells.faces[mine]]
    arrays = {"photo": one.pixels, "kind": cells.kinds, "box": boxes, "points": points}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def every_level(outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of ``YuNet`` for the cells (B, n, ...) of all levels, by kind; scores a little off 0 and 1."""
    joined = {kind: torch.cat([outputs[f"{kind}_{s}"] for s in STRIDES], dim=1) for kind in OUTPUTS}
    return joined | {kind: joined[kind].clamp(CERTAIN, 1 - CERTAIN) for kind in ("cls", "obj")}


def scores(out: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(B, n)"""
    return (out["cls"] * out["obj"]).sqrt()[..., 0]


def decoded(out: Mapping[str, torch.Tensor], cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (B, n, 4), centre x and y, width, height, and landmarks (B, n, 10), in pixels; ``cells`` as ``grid``."""
    place, stride = cells[:, :2], cells[:, 2:]
    boxes = torch.cat(
        [place + out["bbox"][..., :2] * stride, out["bbox"][..., 2:].clamp(max=LARGEST_LOG).exp() * stride], dim=-1
    )
    return boxes, place.repeat(1, 5) + out["kps"] * stride


@torch.inference_mode()
def search(network: nn.Module, pixels: Pixels) -> Rows:
    """The faces of one scene (S, S, 3) as rows (n, 15) of ``models.pyramid``."""
    device = next(network.parameters()).device
    photo = torch.from_numpy(pixels)[None].to(device)
    return rows_of(network(network_input(photo)), pixels.shape[1], LOWEST)[0]


def judged(found: Sequence[Rows], scenes: Sequence[Scene]) -> dict[str, float]:
    """The figures of ``DaguerreDTask.validate``."""
    hits: list[float] = []
    false: list[float] = []
    errors: list[float] = []
    for rows, one in zip(found, scenes, strict=True):
        for row, match in zip(rows, matched(rows, one.boxes), strict=True):
            (hits if match >= 0 else false).append(float(row[-1]))
            if match >= 0 and (size := math.sqrt(one.boxes[match, 2:].prod())) >= LANDMARKS_FROM:
                away = np.linalg.norm(row[4:14].reshape(5, 2) - one.points[match], axis=1).mean()
                errors.append(100 * float(away) / size)
    lowest = sorted(false, reverse=True)[FALSE_FACES] if len(false) > FALSE_FACES else LOWEST
    faces = sum(len(one.boxes) for one in scenes)
    recall = sum(score > lowest for score in hits) / max(1, faces)
    return {
        "recall": 100 * recall,
        "score": lowest,
        "any": 100 * len(hits) / max(1, faces),
        "landmarks": float(np.median(errors)) if errors else 100.0,
    }


def matched(rows: Rows, boxes: NDArray[np.float64]) -> list[int]:
    """For each row, best first, the number of the face (of boxes (m, 4)) that it found, or -1. No face counts twice."""
    left = set(range(len(boxes)))
    found: list[int] = []
    for row in rows:
        shared = {number: shared_by(row[:4], boxes[number]) for number in left}
        best = max(shared, key=lambda number: shared[number], default=-1)
        found.append(best if best >= 0 and shared[best] >= FOUND else -1)
        left.discard(found[-1])
    return found


def shared_by(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes (4,)."""
    start, end = np.maximum(one[:2], other[:2]), np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    both = float(np.clip(end - start, 0, None).prod())
    return both / (float(one[2:].prod() + other[2:].prod()) - both)


def drawn(one: Scene, rows: Rows, score: float) -> Pixels:
    """A scene with its faces in green and what was found at ``score`` in red."""
    picture = one.pixels.copy()
    for boxes, colour in ((one.boxes, (0, 255, 0)), (rows[rows[:, -1] > score, :4], (255, 0, 0))):
        for x, y, width, height in boxes:
            cv2.rectangle(picture, (round(x), round(y)), (round(x + width), round(y + height)), colour)
    return picture


def _build(recipe: TrainRecipe) -> DaguerreDTask:
    return DaguerreDTask(DaguerreDRecipe.model_validate(recipe.model_dump()))


def _export(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Without BatchNorm, in float32."""
    network = with_norms(YuNet())
    fill(network, tensors, "the training")
    save_file({name: value.contiguous().cpu() for name, value in folded(network).state_dict().items()}, path)


TRAINING = TrainingSpec(
    name="daguerre-d",
    summary="the small face detector, YuNet from scratch on scenes of portraits; pictures without faces beside them",
    recipe=DaguerreDRecipe,
    build=_build,
    export=_export,
    takes="photos",
)
