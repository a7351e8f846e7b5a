"""KID: the squared maximum mean discrepancy between restored and reference pictures in Inception's features.

Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018: polynomial kernel of degree 3, gamma 1/D and
coefficient 1, the unbiased estimate, its mean over 100 subsets, which are drawn as torch-fidelity draws them.
"""

from __future__ import annotations

import numpy as np

from models.feature_networks import INCEPTION, INCEPTION_WEIGHTS
from models.quality_metric import FIDELITY, Features, SetMetric

SUBSETS, SUBSET, SEED, DEGREE = 100, 1000, 2020, 3


def kid(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D). A subset has 1000 pictures, or as many as the smaller set; at least 2."""
    size = min(SUBSET, len(restored), len(reference))
    legacy = np.random.RandomState(SEED)  # its stream is the one of published figures
    found: list[float] = []
    for _ in range(SUBSETS):
        real = reference[legacy.choice(len(reference), size, replace=False)]
        made = restored[legacy.choice(len(restored), size, replace=False)]
        found.append(discrepancy(made, real))
    return float(np.mean(found))


def discrepancy(one: Features, other: Features) -> float:
    """The unbiased estimate for two sets (N, D) of one size."""
    count = len(one)
    within = [kernel(side, side) for side in (one, other)]
    pairs = sum((matrix.sum() - np.trace(matrix)) / (count * (count - 1)) for matrix in within)
    return float(pairs - 2 * kernel(one, other).mean())


def kernel(one: Features, other: Features) -> Features:
    return (one @ other.T / one.shape[1] + 1) ** DEGREE


METRIC = SetMetric(
    name="kid",
    summary="kernel inception distance to the reference set",
    better="lower",
    source="Binkowski et al., ICLR 2018",
    against="reference",
    checkpoints=(INCEPTION_WEIGHTS,),
    extra=FIDELITY,
    smallest=(2, 2),
    features=INCEPTION,
    compare=kid,
)
