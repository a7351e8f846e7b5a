"""How damaged a face is, as a preset of DR2. The thresholds are this project's: the paper searched for (N, tau) on each
test set.

They were found on six portraits under the paper's degradations (blur, reduction by r, noise, JPEG), enlarged to 512
pixels: sharpness was 0.51 +- 0.06 (mild, r = 4), 0.21 to 0.30 (r = 8) and 0.10 to 0.12 (r = 16), whatever else was
done. At r = 4 noise and blocks look sharp: there blockiness was 0.26 +- 0.12 (mild), 0.74 +- 0.39 and 1.03 +- 0.35.
Noise is seen only where a face was not enlarged; its bounds lie between the paper's levels.
"""

from collections.abc import Mapping

import torch

from models.dr2_parameters import Preset
from models.quality_measure import measure

BLURRED, LOST = 0.4, 0.16  # sharpness below which a face is medium, and heavy
BLOCKS = 0.5  # blockiness from which on it is medium
GRAIN, SNOW = 15.0, 40.0  # noise from which on it is medium, and heavy
NEEDED = ("sharpness", "noise", "blockiness")


def preset_for(crop: torch.Tensor, measures: Mapping[str, float]) -> Preset:
    """The preset for ``measures`` of a face; where one is missing, all are taken of ``crop`` (3, S, S) in [0, 1]."""
    if any(name not in measures for name in NEEDED):
        levels = crop.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()
        measures = measure(levels.cpu().numpy())
    sharpness, noise, blockiness = (measures[name] for name in NEEDED)
    if sharpness < LOST or noise >= SNOW:
        return "heavy"
    return "medium" if sharpness < BLURRED or noise >= GRAIN or blockiness >= BLOCKS else "mild"
