"""The face parser: which pixels of a restored crop are face, and the soft mask that follows from it.

Parsing and mask are those of ``xinntao/facexlib:facexlib/utils/face_restoration_helper.py`` with ``use_parse``.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from models.checkpoint import Checkpoint, Device
from models.load import load
from models.nets.parsenet import ParseNet

Labels = NDArray[np.uint8]
Mask = NDArray[np.float32]

PARSER = Checkpoint(
    name="parsing_parsenet.pth",
    url="https://github.com/xinntao/facexlib/releases/download/v0.2.2/parsing_parsenet.pth",
    licence="not stated for the file; facexlib (MIT) refers to each source's own licence: the network is PSFRGAN's "
    "(CC BY-NC-SA 4.0), trained there on CelebAMask-HQ (non-commercial research)",
    commercial=False,
    size=85331193,
    sha256="3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
    tensors={
        "encoder.1.shortcut_func.conv2d.weight": (128, 64, 3, 3),
        "body.9.conv2.norm.norm.running_var": (256,),
        "out_mask_conv.conv2d.weight": (19, 64, 3, 3),
    },
)

CLASS_NAMES = (
    *("background", "skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "hat", "earring", "necklace", "neck", "cloth"),
)
PASTED = (*range(1, 14), 15)  # the classes of the mask: skin to hair, and earring

SIDE = 512  # of the picture that is parsed, and of the labels
KERNEL, SIGMA = 101, 11  # of each of the two blurs, in pixels
FRAME = 10  # pixels without mask along each edge


class Parser:
    """A parser that is loaded and ready."""

    def __init__(self, network: nn.Module, device: Device) -> None:
        """Take a network that maps RGB in [-1, 1] to logits and a second output, as ``ParseNet`` does."""
        self._network = network.to(device).eval()
        self._device = device

    def labels(self, crops: torch.Tensor) -> Labels:
        """The class of each pixel, (B, 512, 512), of ``crops`` (B, 3, S, S), float32 RGB in [0, 1].

        Crops of another size are resized bilinearly first. Faces go through the network one by one, so that a face has
        the same labels in any batch and memory stays bounded.
        """
        with torch.inference_mode():
            found = [self._classes(face[None]).cpu().numpy() for face in crops]
        return np.concatenate([np.zeros((0, SIDE, SIDE), np.uint8), *found])

    def _classes(self, face: torch.Tensor) -> torch.Tensor:
        face = face.to(self._device, torch.float32)
        if face.shape[-2:] != (SIDE, SIDE):
            face = functional.interpolate(face, (SIDE, SIDE), mode="bilinear", align_corners=False)
        logits, _ = self._network(face * 2 - 1)
        return logits.argmax(1).to(torch.uint8)


def face_mask(labels: Labels, size: int) -> Mask:
    """The soft mask of one crop of side ``size``, (size, size) in [0, 1], from its ``labels`` (512, 512).

    It is cut hard where a face reaches the frame, as the original's is.
    """
    mask = np.isin(labels, PASTED).astype(np.float32)
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, (KERNEL, KERNEL), SIGMA)
    framed = np.zeros_like(mask, np.float32)
    inside = slice(FRAME, -FRAME)
    framed[inside, inside] = mask[inside, inside]
    return np.asarray(cv2.resize(framed, (size, size)), np.float32).clip(0, 1)


def build_parser(path: Path, device: Device) -> Parser:
    """Load the published file strictly; raises ``CheckpointUnreadable`` or ``CheckpointMismatch`` for any other."""
    return Parser(load(ParseNet(), path), device)
