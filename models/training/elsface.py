"""ELSFace's published training, piece by piece: pairs, optimiser, learning rate, one step.

Facts from ``FVL2020/ELSFace:main_train.py`` and ``data.py``, as the code runs, not as its options are called: batches
of 16 CelebA faces, 40 epochs, float32, no augmentation, no clipping of gradients, no averaged weights.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.losses.sharp import elsface_loss
from models.nets.elsface import INPUT_SIDE, ELSFace

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

TARGET_SIDE = 128
BATCH, EPOCHS = 16, 40
LEARNING_RATE = 1e-4
BETAS, EPS = (0.9, 0.999), 1e-8
WEIGHT_DECAY = 1e-5  # Adam's own (L2), on every parameter


def pair(photo: Pixels, side: int = TARGET_SIDE) -> tuple[Floats, Floats]:
    """Target (3, ``side``, ``side``) and input (3, 32, 32), BGR in [0, 1], of an aligned ``photo`` (H, W, 3) BGR uint8.

    Both are cubic and rounded to 8 bits; a photo that is not square is distorted.
    """
    target = cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC)
    reduced = cv2.resize(target, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_CUBIC)
    return _planes(target), _planes(reduced)


def optimiser(network: ELSFace) -> torch.optim.Adam:
    """Adam at the first epoch's rate."""
    return torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS, EPS, WEIGHT_DECAY)


def learning_rate(epoch: int) -> float:
    """For ``epoch`` 0 to 39: a straight line that would reach 0 at 40."""
    return LEARNING_RATE * (1 - epoch / EPOCHS)


def step(network: ELSFace, adam: torch.optim.Adam, reduced: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One step on (B, 3, 32, 32) and (B, 3, 128, 128), BGR in [0, 1]; gives the loss before it."""
    adam.zero_grad()
    loss = elsface_loss(network(reduced), target)
    torch.autograd.backward(loss)
    adam.step()
    return loss.detach()


def _planes(levels: NDArray[np.generic]) -> Floats:
    return np.ascontiguousarray((levels.astype(np.float32) / np.float32(255)).transpose(2, 0, 1))
