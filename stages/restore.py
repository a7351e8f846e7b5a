"""Restore: one method, the faces of many photos in micro-batches."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from models.method import Faces, Restored, Restorer
from models.parser import Parser, face_mask
from stages.microbatch import MicroBatches
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels
from stages.stage import counted, spent

NONE: Mapping[str, Any] = MappingProxyType({})


class Restore:
    """Runs ``restorer`` on every crop that was cut for the method called ``method``.

    With a ``parser`` each restored face gets its mask. ``settings`` are the parameters of rules by the rule's name,
    ``keep`` the middle results that are wanted, ``samples`` how many results of a face are compared. A face whose
    result is not finite fails and is never pasted; an exception of the network is our bug and raises.
    """

    name = "restore"

    def __init__(
        self,
        method: str,
        restorer: Restorer,
        batch_size: int,
        device: str = "cpu",
        parser: Parser | None = None,
        settings: Mapping[str, Mapping[str, Any]] = NONE,
        keep: frozenset[str] = frozenset(),
        samples: int = 1,
    ) -> None:
        self.method = method
        self.restorer = restorer
        self.batches = MicroBatches(batch_size, self.release)
        self.device = device
        self.parser = parser
        self.settings = settings
        self.keep = keep
        self.samples = samples

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        waiting = [face for photo in photos for face in self.mine(photo)]
        started, before, batches = time.perf_counter(), self.batches.events, self.batches.batches
        done = self.batches.run(waiting, self.restore, too_large)
        share = (time.perf_counter() - started) / max(1, len(waiting))
        results = iter(done)
        ended = [self.with_results(photo, [next(results) for _ in self.mine(photo)], share) for photo in photos]
        if ended:
            ended[0] = counted(ended[0], "out_of_memory", self.batches.events - before)
            ended[0] = counted(ended[0], "batches", self.batches.batches - batches)
            ended[0] = counted(ended[0], "batch_faces", len(waiting))
        return ended

    def release(self) -> None:
        """Give back what torch's allocator holds on the GPU."""
        if self.device != "cpu":
            torch.cuda.empty_cache()

    def mine(self, photo: Photo) -> list[Face]:
        return [face for face in photo.faces if photo.open and face.method == self.method and face.crop is not None]

    def with_results(self, photo: Photo, faces: Sequence[Face], share: float) -> Photo:
        """``photo`` with its restored faces in their places, and their share of the batch's seconds."""
        if not faces:
            return photo
        by_index = {face.index: face for face in faces}
        changed = replace(photo, faces=tuple(by_index.get(face.index, face) for face in photo.faces))
        return spent(changed, self.name, share * len(faces))

    def restore(self, faces: Sequence[Face]) -> list[Face]:
        """One micro-batch."""
        batch = self.batch(faces)
        with torch.inference_mode():
            restored = self.restorer.restore(batch)
        if restored.faces.shape != batch.crops.shape:
            raise RuntimeError(f"{self.method} returned {tuple(restored.faces.shape)} for {tuple(batch.crops.shape)}")
        finite = torch.isfinite(restored.faces).flatten(1).all(1).tolist()
        pixels = levels(restored.faces)
        done = [finished(face, ok, made) for face, ok, made in zip(faces, finite, pixels.numpy(), strict=True)]
        done = with_facts(done, restored)
        return done if self.parser is None else self.masked(done, pixels, self.parser)

    def batch(self, faces: Sequence[Face]) -> Faces:
        """``faces`` as the method gets them."""
        crops = np.stack([face.crop for face in faces if face.crop is not None])
        tensor = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous().to(self.device, torch.float32).div(255)
        landmarks = np.stack([in_crop(face) for face in faces]).astype(np.float32)
        return Faces(
            crops=tensor,
            seeds=[face.seed or 0 for face in faces],
            landmarks=torch.from_numpy(landmarks).to(self.device),
            measures=[face.before for face in faces],
            settings=[self.settings.get(face.rule or "", NONE) for face in faces],
            keep=self.keep,
            samples=self.samples,
        )

    def masked(self, faces: Sequence[Face], levels: torch.Tensor, parser: Parser) -> list[Face]:
        """The restored ones of ``faces`` with the masks that the parser finds in ``levels`` (B, S, S, 3) uint8."""
        labels = parser.labels(levels.permute(0, 3, 1, 2).float().div(255))
        masks = [np.rint(face_mask(one, levels.shape[1]) * 255).astype(np.uint8) for one in labels]
        return [
            replace(face, mask=mask) if face.status is FaceStatus.RESTORED else face
            for face, mask in zip(faces, masks, strict=True)
        ]


def levels(pictures: torch.Tensor) -> torch.Tensor:
    """``pictures`` (B, 3, H, W) in [0, 1] as (B, H, W, 3) uint8 on the CPU."""
    return pictures.float().nan_to_num().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().cpu()


def in_crop(face: Face) -> Matrix:
    """The landmarks (5, 2) in pixels of the face's crop, not a number where there are none."""
    if face.landmarks is None or face.matrix is None:
        return np.full((5, 2), np.nan)
    return face.landmarks @ face.matrix[:, :2].T + face.matrix[:, 2]


def with_facts(faces: Sequence[Face], restored: Restored) -> list[Face]:
    """The restored ones of ``faces`` with their figures and middle results."""
    figures = restored.figures or [NONE] * len(faces)
    kept = {name: levels(pictures).numpy() for name, pictures in restored.kept.items()}
    return [
        replace(face, figures=dict(figures[index]), kept={name: made[index] for name, made in kept.items()})
        if face.status is FaceStatus.RESTORED
        else face
        for index, face in enumerate(faces)
    ]


def too_large(face: Face) -> Face:
    return face.failed("out of memory at batch size 1")


def finished(face: Face, finite: bool, pixels: Pixels) -> Face:
    """``face`` restored, or failed if the network gave numbers that are none."""
    if not finite:
        return face.failed("the result is not finite")
    return replace(face, status=FaceStatus.RESTORED, restored=pixels)
