"""YuNet in torch: the published ONNX file as a network, and faces from what it gives. Batched, on any device.

Decoding and suppression are those of OpenCV's ``cv2.FaceDetectorYN``, so that both find the same faces.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from models.checkpoint import Device
from models.checkpoint_file import CheckpointUnreadable, first_line
from models.load import Tensors, fill, renamed
from models.nets.yunet import STRIDES, YuNet
from models.pyramid import Pixels, Rows
from models.torch_scale import as_batch, best_of_each, full_float32

OVERLAP = 0.3  # intersection over union, the published setting
MOST_BOXES = 5000
PUBLISHED = {
    "backbone.model0.conv1.": "stem.conv.",
    "backbone.model0.conv2.": "stem.unit.",
    **{f"backbone.model{k}.conv1.": f"stage{k}.a." for k in range(1, 6)},
    **{f"backbone.model{k}.conv2.": f"stage{k}.b." for k in range(1, 6)},
    **{f"neck.lateral_convs.{level}.": f"neck.{stride}." for level, stride in enumerate(STRIDES)},
    **{f"bbox_head.multi_level_share_convs.{level}.0.": f"share.{stride}." for level, stride in enumerate(STRIDES)},
    **{
        f"bbox_head.multi_level_{kind}.{level}.": f"{kind}.{stride}."
        for kind in ("cls", "obj", "bbox", "kps")
        for level, stride in enumerate(STRIDES)
    },
}


class TorchScale:
    """The network at one scale. ``score`` is the lowest that is kept, ``strides`` are the levels that are asked."""

    multiple = 32

    def __init__(self, network: YuNet, score: float, device: Device = "cpu", strides: Sequence[int] = STRIDES) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._score = score
        self._strides = strides

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        """See ``models.pyramid.OneScale``."""
        batch = as_batch(photos, self.multiple, self._device)
        with torch.inference_mode(), full_float32():
            outputs = self._network(network_input(batch))
            return rows_of(outputs, batch.shape[2], self._score, self._strides)


def network_input(batch: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 RGB to (B, 3, H, W) float32 BGR in [0, 255], in channels_last order."""
    return batch.flip(-1).permute(0, 3, 1, 2).float()


def rows_of(
    outputs: dict[str, torch.Tensor], width: int, lowest: float, strides: Sequence[int] = STRIDES
) -> list[Rows]:
    """The faces of each photo, best first, as rows (n, 15) of ``models.pyramid``.

    ``outputs`` are those of ``YuNet`` for a batch of ``width`` pixels in width.
    """
    levels = [_candidates(outputs, stride, width // stride, lowest) for stride in strides]
    photos = torch.cat([photo for photo, _ in levels]).cpu()
    rows = torch.cat([row for _, row in levels]).cpu()
    return [_suppressed(rows[photos == index]) for index in range(len(outputs["cls_8"]))]


def _candidates(
    outputs: dict[str, torch.Tensor], stride: int, columns: int, lowest: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The photo's index (n,) and the row (n, 15) of every cell of one level that scores at least ``lowest``."""
    scores = (outputs[f"cls_{stride}"] * outputs[f"obj_{stride}"]).sqrt()[..., 0]
    photo, cell = (scores >= lowest).nonzero(as_tuple=True)
    box, points = outputs[f"bbox_{stride}"][photo, cell], outputs[f"kps_{stride}"][photo, cell]
    place = torch.stack([cell % columns, cell // columns], dim=1)
    size = box[:, 2:].exp() * stride
    corner = (place + box[:, :2]) * stride - size / 2
    landmarks = (place.repeat(1, 5) + points) * stride
    return photo, torch.cat([corner, size, landmarks, scores[photo, cell, None]], dim=1)


def _suppressed(rows: torch.Tensor) -> Rows:
    """The rows (n, 15) that stay; as in OpenCV, boxes are compared with x, y, width and height cut to integers."""
    whole = rows[:, :4].trunc()
    boxes = torch.cat([whole[:, :2], whole[:, :2] + whole[:, 2:]], dim=1)
    return rows[best_of_each(boxes, rows[:, -1], OVERLAP, MOST_BOXES)].numpy().astype(np.float64)


def load_yunet(path: Path) -> YuNet:
    """The network of a published ONNX file (``yunet_n_640_640.onnx`` or ``yunet_s_640_640.onnx``), ready to use."""
    tensors = onnx_tensors(path)
    network = YuNet.fitting(tensors)
    fill(network, tensors, str(path))
    return network.eval().requires_grad_(False)


def onnx_tensors(path: Path) -> Tensors:
    """The tensors of every convolution in a published ONNX file, by our names. Raises ``CheckpointUnreadable``.

    The exporter kept the names of the 1 x 1 convolutions; those that it folded BatchNorm into are numbered. One of
    these belongs to the 1 x 1 convolution whose output it reads, and the one that reads the photo is the stem.
    """
    try:
        graph = onnx.load(path).graph
    except Exception as error:
        # protobuf raises its own errors, which no type of ours knows.
        raise CheckpointUnreadable(path, first_line(error)) from error
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers: dict[str, str] = {}
    tensors: Tensors = {}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        if len(node.input) != 3 or not arrays.keys() >= set(node.input[1:]):
            raise CheckpointUnreadable(path, f"the convolution {node.name} has no weight or bias in the file")
        source, weight, bias = node.input
        name = _convolution(weight, makers.get(source))
        makers[node.output[0]] = name
        tensors |= {f"{name}.weight": _tensor(arrays[weight]), f"{name}.bias": _tensor(arrays[bias])}
    return renamed(tensors, PUBLISHED)


def _convolution(weight: str, before: str | None) -> str:
    """The published name of the convolution with this weight, with ``point`` and ``depth`` for its place in a unit."""
    if before is not None:
        return f"{before.removesuffix('.point')}.depth"
    published = weight.removesuffix(".conv1.weight")
    return f"{published}.point" if published != weight else "backbone.model0.conv1"


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
