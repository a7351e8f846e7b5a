"""FID: the Fréchet distance between restored and reference pictures, as Gaussians in Inception's features.

Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017;
computed by torch-fidelity 0.4.
"""

from __future__ import annotations

from models.feature_networks import INCEPTION, INCEPTION_WEIGHTS
from models.quality_metric import FIDELITY, Features, SetMetric


def fid(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D), N and M at least 2."""
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(torch.from_numpy(side).double()) for side in (reference, restored)]
    return float(fid_statistics_to_metric(sides[0], sides[1], verbose=False)[KEY_METRIC_FID])


METRIC = SetMetric(
    name="fid",
    summary="Fréchet inception distance to the reference set",
    better="lower",
    source="Heusel et al., NeurIPS 2017; torch-fidelity",
    against="reference",
    checkpoints=(INCEPTION_WEIGHTS,),
    extra=FIDELITY,
    smallest=(2, 2),
    features=INCEPTION,
    compare=fid,
)
