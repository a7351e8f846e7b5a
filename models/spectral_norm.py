"""Spectral norm in published files: each weight is stored raw, with the two vectors that estimate its largest singular
value.

Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, in the form
that ``torch.nn.utils.spectral_norm`` stores.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from models.load import CheckpointMismatch, Tensors

MEAN, STD = 0.0, 0.02  # of SPARNetHD's weights before training
RAW, LEFT, RIGHT = ".weight_orig", ".weight_u", ".weight_v"


def folded(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """``tensors`` with each ``weight_orig``, ``weight_u`` and ``weight_v`` as one ``weight``, divided by u . (W v).

    u and v are taken as they are stored: no step of the power iteration, no length. Raises ``CheckpointMismatch`` where
    one of the three is missing or has another shape.
    """
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith((RAW, LEFT, RIGHT))}
    layers = dict.fromkeys(name.rpartition(".")[0] for name in tensors if name.endswith((RAW, LEFT, RIGHT)))
    for layer in layers:
        if f"{layer}.weight" in tensors:
            raise CheckpointMismatch(f"{layer}.weight is there with and without its spectral norm")
        found[f"{layer}.weight"] = _weight(layer, tensors)
    return found


def _weight(layer: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    missing = [layer + end for end in (RAW, LEFT, RIGHT) if layer + end not in tensors]
    if missing:
        raise CheckpointMismatch(f"a part of a spectral norm is missing: {', '.join(missing)}")
    weight, left, right = (tensors[layer + end] for end in (RAW, LEFT, RIGHT))
    matrix = weight.flatten(1) if weight.ndim > 1 else weight[None]
    if left.shape != matrix.shape[:1] or right.shape != matrix.shape[1:]:
        shapes = f"{tuple(left.shape)} and {tuple(right.shape)} for {tuple(weight.shape)}"
        raise CheckpointMismatch(f"{layer}{LEFT} and {layer}{RIGHT} have other shapes: {shapes}")
    return weight / torch.dot(left, torch.mv(matrix, right))


def under_spectral_norm(network: nn.Module) -> nn.Module:
    """``network`` for training: every 2-D convolution drawn anew, its bias 0, and under a spectral norm."""
    for module in [module for module in network.modules() if isinstance(module, nn.Conv2d)]:
        nn.init.normal_(module.weight, MEAN, STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        spectral_norm(module)
    return network
