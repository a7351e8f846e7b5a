"""Batches on the CPU: face by face, where the same face must come out the same in any batch.

The kernels that torch picks on the CPU depend on the shapes, and so do the last bits (docs/decisions/0010).
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from models.checkpoint import Device
from models.method import Faces, Restored


def apart_on_cpu(faces: Faces, device: Device, work: Callable[[Faces], Restored]) -> Restored:
    """``work`` on each face by itself on the CPU, on the whole batch elsewhere; on no faces it is not called."""
    if not len(faces):
        return Restored(faces.crops.clone())
    return joined([work(part) for part in faces.split(1 if device == "cpu" else len(faces))])


def joined(parts: Sequence[Restored]) -> Restored:
    """The results of the parts of a batch, in their order."""
    figures: list[Mapping[str, float]] = [figures for part in parts for figures in part.figures]
    kept = {name: torch.cat([part.kept[name] for part in parts]) for name in parts[0].kept}
    return Restored(torch.cat([part.faces for part in parts]), figures, kept)
