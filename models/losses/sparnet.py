"""What SPARNetHD is trained with: pixels, VGG's features, the discriminators' features, and their judgement.

Chen et al., "Learning Spatial Attention for Face Super-Resolution", TIP 2021. Facts from
``chaofengc/Face-SPARNet:models/sparnethd_model.py`` and ``loss.py``.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from models.nets.sparnet_discriminator import Judgement

PIXELS, PERCEPTUAL, FEATURES, ADVERSARIAL = 100.0, 1.0, 10.0, 1.0  # what each term counts
VGG_LAYERS = (2, 7, 16, 25, 34)  # conv1_2, 2_2, 3_4, 4_4 and 5_4 of VGG19
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GENERATOR_RATE, DISCRIMINATOR_RATE, BETAS = 1e-4, 4e-4, (0.5, 0.99)  # of Adam
BATCH, AVERAGE = 2, 0.999  # the average of all weights is what was published

Perceptual = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class VggDistance:
    """How far two batches are apart in five maps of VGG19, given as torchvision's ``features``.

    Its rectifiers work in place, so that the first four maps are seen after theirs and the last one before.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self._layers = layers[: VGG_LAYERS[-1] + 1].eval().requires_grad_(False)

    def __call__(self, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Of (B, 3, H, W) RGB in [-1, 1]: the sum of the maps' mean absolute differences, a scalar."""
        pairs = zip(self.features(found), self.features(wanted), strict=True)
        return torch.stack([functional.l1_loss(ours, theirs) for ours, theirs in pairs]).sum()

    def features(self, faces: torch.Tensor) -> list[torch.Tensor]:
        """The five maps."""
        mean, std = (faces.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        hidden, found = ((faces + 1) / 2 - mean) / std, list[torch.Tensor]()
        for index, layer in enumerate(self._layers):
            rectified = isinstance(layer, nn.ReLU)
            hidden = functional.relu(hidden) if rectified else layer(hidden)
            if index in (*(place + 1 for place in VGG_LAYERS[:-1]), VGG_LAYERS[-1]):
                found.append(hidden)
        return found


def generator_loss(
    found: torch.Tensor,
    wanted: torch.Tensor,
    judged: Sequence[Judgement],
    judged_real: Sequence[Judgement],
    perceptual: Perceptual,
) -> torch.Tensor:
    """All terms for ``found`` and ``wanted`` (B, 3, H, W) RGB in [-1, 1], as they are judged: a scalar."""
    pixels = PIXELS * functional.l1_loss(found, wanted)
    features = FEATURES * feature_loss(judged, judged_real)
    adversarial = ADVERSARIAL * -torch.stack([score.mean() for score, _ in judged]).mean()
    return pixels + PERCEPTUAL * perceptual(found, wanted) + features + adversarial


def feature_loss(judged: Sequence[Judgement], judged_real: Sequence[Judgement]) -> torch.Tensor:
    """How far the discriminators' maps are from those of real faces, which get no gradient: a scalar."""
    apart = [
        torch.stack([functional.l1_loss(ours, real.detach()) for ours, real in zip(maps, real_maps, strict=True)]).sum()
        for (_, maps), (_, real_maps) in zip(judged, judged_real, strict=True)
    ]
    return torch.stack(apart).mean()


def discriminator_loss(judged: Sequence[Judgement], judged_real: Sequence[Judgement]) -> torch.Tensor:
    """The hinge loss of the discriminators, their mean: a scalar."""
    each = [
        (functional.relu(1 + score).mean() + functional.relu(1 - real).mean()) / 2
        for (score, _), (real, _) in zip(judged, judged_real, strict=True)
    ]
    return torch.stack(each).mean()
