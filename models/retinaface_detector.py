"""RetinaFace in torch: a published checkpoint as a detector, and how each line of weights wants its photos.

Facts from ``ternaus/retinaface:retinaface`` and ``xinntao/facexlib:facexlib/detection``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from models.checkpoint import Checkpoint, Device
from models.checkpoint_file import check_hash_start
from models.detector import DetectorSettings
from models.load import load
from models.nets.retinaface import BodyName, RetinaFace
from models.pyramid import Pixels, Pyramid, Rows
from models.retinaface_boxes import faces_of
from models.torch_scale import as_batch, batch_pixels, full_float32

RENAMES = {"module.": ""}  # torch's DataParallel


@dataclass(frozen=True, slots=True)
class Preparation:
    """How pixels become the network's input: ``(pixel - mean) / spread`` in the order RGB or BGR, from [0, 255]."""

    bgr: bool
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 RGB to (B, 3, H, W) float32, in channels_last order."""
        ordered = batch.flip(-1) if self.bgr else batch
        mean, spread = (torch.tensor(values, device=batch.device) for values in (self.mean, self.spread))
        return ((ordered.float() - mean) / spread).permute(0, 3, 1, 2)


RGB_IMAGENET = Preparation(
    bgr=False,
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    spread=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
BGR_MEAN = Preparation(bgr=True, mean=(104, 117, 123), spread=(1, 1, 1))


class TorchScale:
    """The network at one scale. Only faces that score more than ``score`` are kept.

    Photos are never padded: the network sees the edge of the padding, and priors are shares of the whole image.
    """

    multiple = 1

    def __init__(self, network: RetinaFace, prepare: Preparation, score: float, device: Device = "cpu") -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._prepare = prepare
        self._score = score

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        """See ``models.pyramid.OneScale``."""
        batch = as_batch(photos, self.multiple, self._device)
        with torch.inference_mode(), full_float32():
            boxes, classes, landmarks = self._network(self._prepare(batch))
            return faces_of(boxes, classes, landmarks, (batch.shape[1], batch.shape[2]), self._score)


def build(
    checkpoint: Checkpoint, path: Path, body: BodyName, prepare: Preparation, settings: DetectorSettings
) -> Pyramid:
    """The detector with the file ``path``, which must begin its SHA-256 as the published name says, if it says so."""
    check_hash_start(path, checkpoint.name)
    network = load(RetinaFace(body), path, renames=RENAMES)
    scale = TorchScale(network, prepare, settings.score, settings.device)
    return Pyramid(scale, settings.pyramid, batch_pixels(settings.device))


def ternaus_view(photo: Pixels, longer: int) -> Pixels:
    """The photo as retinaface-pytorch 0.0.8 resizes it: the longer side to ``longer``, upwards too, no smoothing."""
    height, width = photo.shape[:2]
    factor = longer / max(height, width)
    size = (round(width * factor), round(height * factor))
    return cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def facexlib_size(height: int, width: int, shorter: int = 1600, longest: int = 2150) -> tuple[int, int, float]:
    """Height, width and factor of facexlib's resized photo: shorter side to ``shorter``, longer at most ``longest``."""
    factor = shorter / min(height, width)
    if round(factor * max(height, width)) > longest:
        factor = longest / max(height, width)
    return round(height * factor), round(width * factor), factor
