"""FID: the Fréchet distance between restored and reference pictures, as Gaussians in Inception's features.

Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017.
"""

from __future__ import annotations

import numpy as np

from models.feature_networks import INCEPTION, INCEPTION_WEIGHTS
from models.quality_metric import FIDELITY, Features, SetMetric


def fid(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D), N and M at least 2, in float64.

    The trace of the root of the product of both covariances is the sum of the roots of its eigenvalues.
    """
    sides = [side.astype(np.float64) for side in (restored, reference)]
    apart = sides[0].mean(0) - sides[1].mean(0)
    one, other = (np.atleast_2d(np.cov(side, rowvar=False)) for side in sides)
    shared = float(np.real(np.sqrt(np.linalg.eigvals(one @ other).astype(np.complex128))).sum())
    return float(apart @ apart + np.trace(one) + np.trace(other) - 2 * shared)


METRIC = SetMetric(
    name="fid",
    summary="Fréchet inception distance to the reference set",
    better="lower",
    source="Heusel et al., NeurIPS 2017",
    against="reference",
    checkpoints=(INCEPTION_WEIGHTS,),
    extra=FIDELITY,
    smallest=(2, 2),
    features=INCEPTION,
    compare=fid,
)
