"""From what RetinaFace gives to faces: priors, decoding, suppression.

The anchors and variances are those of SSD (Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016) at the sizes
that ``ternaus/retinaface`` and ``xinntao/facexlib`` share.
"""

from functools import lru_cache

import numpy as np
import torch

from models.pyramid import Rows
from models.torch_scale import best_of_each

STRIDES = (8, 16, 32)
SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # of the priors in a cell, in pixels
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
OVERLAP = 0.4  # intersection over union, the published setting


@lru_cache(maxsize=64)
def priors(height: int, width: int, device: torch.device) -> torch.Tensor:
    """The priors of a network image of this size, (P, 4) float32: centre x, centre y, width, height in shares of it.

    Stride 8 first; row by row; the two priors of a cell together. The tensor is kept: do not write to it.
    """
    levels = [_level(height, width, stride) for stride in STRIDES]
    return torch.from_numpy(np.concatenate(levels).astype(np.float32)).to(device)


def _level(height: int, width: int, stride: int) -> Rows:
    rows, columns = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)].reshape(2, -1, 1)
    sides = np.array(SIDES[stride], dtype=np.float64)
    parts = [(columns + 0.5) * stride / width, (rows + 0.5) * stride / height, sides / width, sides / height]
    return np.stack(np.broadcast_arrays(*parts), axis=-1).reshape(-1, 4)


def faces_of(
    boxes: torch.Tensor, classes: torch.Tensor, landmarks: torch.Tensor, size: tuple[int, int], lowest: float
) -> list[Rows]:
    """The faces of each photo, best first, as rows (n, 15) of ``models.pyramid`` in pixels of the network image.

    The first three are the outputs of ``RetinaFace`` for a batch of network images of ``size``, height and width; faces
    that score more than ``lowest`` are kept.
    """
    scores = classes.softmax(dim=-1)[..., 1]
    photo, prior = (scores > lowest).nonzero(as_tuple=True)
    anchors = priors(*size, boxes.device)[prior]
    rows = torch.cat([_decoded(anchors, boxes[photo, prior], landmarks[photo, prior]), scores[photo, prior, None]], 1)
    shares = torch.tensor([*[size[1], size[0]] * 7, 1], dtype=rows.dtype, device=rows.device)
    rows, photo = (rows * shares).cpu(), photo.cpu()
    return [_suppressed(rows[photo == index]) for index in range(len(boxes))]


def _decoded(anchors: torch.Tensor, box: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """x, y, width, height and five landmarks (n, 14), in shares of the image."""
    centre, size = anchors[:, :2], anchors[:, 2:]
    extent = size * (box[:, 2:] * SIZE_VARIANCE).exp()
    corner = centre + box[:, :2] * CENTRE_VARIANCE * size - extent / 2
    points = centre.repeat(1, 5) + landmarks * CENTRE_VARIANCE * size.repeat(1, 5)
    return torch.cat([corner, extent, points], dim=1)


def _suppressed(rows: torch.Tensor) -> Rows:
    boxes = torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:4]], dim=1)
    return rows[best_of_each(boxes, rows[:, -1], OVERLAP)].numpy().astype(np.float64)
