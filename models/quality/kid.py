"""KID: the squared maximum mean discrepancy between restored and reference pictures in Inception's features.

Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018; computed by torch-fidelity 0.4: polynomial
kernel of degree 3, gamma 1/D, coefficient 1; the mean over 100 subsets.
"""

from __future__ import annotations

from models.feature_networks import INCEPTION, INCEPTION_WEIGHTS
from models.quality_metric import FIDELITY, Features, SetMetric

SUBSETS, SUBSET, SEED = 100, 1000, 2020


def kid(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D). A subset has 1000 pictures, or as many as the smaller set; at least 2."""
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(reference),
        torch.from_numpy(restored),
        kid_subsets=SUBSETS,
        kid_subset_size=min(SUBSET, len(restored), len(reference)),
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1.0,
        rng_seed=SEED,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


METRIC = SetMetric(
    name="kid",
    summary="kernel inception distance to the reference set",
    better="lower",
    source="Binkowski et al., ICLR 2018; torch-fidelity",
    against="reference",
    checkpoints=(INCEPTION_WEIGHTS,),
    extra=FIDELITY,
    smallest=(2, 2),
    features=INCEPTION,
    compare=kid,
)
