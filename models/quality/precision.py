"""Precision: the share of restored pictures that lie among the reference pictures, in VGG16's features.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019; computed by torch-fidelity 0.4, whose first side is what was generated (before 0.4 it was the second).
"""

from __future__ import annotations

import numpy as np

from models.feature_networks import VGG16
from models.quality.lpips import VGG
from models.quality_metric import FIDELITY, Features, SetMetric

NEIGHBOURS = 3
BATCH = 10_000


def precision(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D), M at least 4: the share within reach of any reference picture, that is no further
    from it than its third neighbour in the reference.
    """
    import torch
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    # The library counts the neighbours among the restored, too, for the recall; repeating all keeps the share.
    repeated = np.tile(restored, (1 if len(restored) > NEIGHBOURS else NEIGHBOURS + 1, 1))
    sides = [torch.from_numpy(side) for side in (repeated, reference)]
    return float(calculate_precision_recall_part(sides[0], sides[1], NEIGHBOURS, BATCH)[0])


METRIC = SetMetric(
    name="precision",
    summary="share of the pictures that lie among the reference's",
    better="higher",
    source="Kynkäänniemi et al., NeurIPS 2019; torch-fidelity",
    against="reference",
    checkpoints=(VGG,),
    extra=FIDELITY,
    smallest=(1, NEIGHBOURS + 1),
    features=VGG16,
    compare=precision,
)
