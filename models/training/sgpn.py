"""A training objective for SGPN. It is ours, in the paper's spirit: no training code was published.

What the abstract and the published code say (Zhu et al., CVPR 2022; ``TencentYoutuResearch/FaceRestoration-sgpn``):
the shape network starts from public weights and is trained together with encoder and generator; losses act on several
levels; the renderer returns vertices, their colours, a picture and a mask without gradient, over which the branch of
the degraded crop can be compared to the same network on the clean one; the discriminator is StyleGAN2's and gives
features to match. The terms below follow that; their weights are ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from models.methods.sgpn import SgpnParts, Shapes, read_shapes
from models.nets.face_reconstruction_warp import Points

Terms = dict[str, torch.Tensor]
Features = Callable[[torch.Tensor], Sequence[torch.Tensor]]
"""(B, 3, S, S) RGB in [-1, 1] to feature maps, or to vectors: a perceptual, an identity or a discriminating network."""

METRES = 10.0  # decimetres a metre: vertices are compared in metres
LEVELS = 255.0  # colours are compared in [0, 1]


@dataclass(frozen=True, slots=True)
class ObjectiveWeights:
    """Of each term in the sum; ours, where SGPN's paper was not at hand."""

    image: float = 1.0
    perceptual: float = 1.0
    identity: float = 10.0
    adversarial: float = 0.1
    matching: float = 0.02
    coefficients: float = 0.1
    vertices: float = 1.0
    colours: float = 1.0
    drawing: float = 1.0


WEIGHTS = ObjectiveWeights()


def shape_terms(found: Shapes, wanted: Shapes) -> Terms:
    """How far shapes read from degraded crops are from those of the clean ones, each an L1.

    The drawing is compared where both faces are; ``wanted`` gets no gradient.
    """
    both = (found.seen.covered * wanted.seen.covered).detach()
    apart = (found.seen.colour - wanted.seen.colour.detach()).abs() * both / LEVELS
    pairs = {
        "coefficients": (found.coefficients, wanted.coefficients, 1.0),
        "vertices": (found.head.vertices, wanted.head.vertices, METRES),
        "colours": (found.head.colours, wanted.head.colours, LEVELS),
    }
    terms = {name: functional.l1_loss(a, b.detach()) / unit for name, (a, b, unit) in pairs.items()}
    return terms | {"drawing": apart.sum() / (both.sum() * apart.shape[1]).clamp(min=1)}


def picture_terms(restored: torch.Tensor, clean: torch.Tensor, networks: Mapping[str, Features]) -> Terms:
    """L1 of pictures (B, 3, S, S) in [-1, 1], and of their features by each of ``networks``, by its name."""
    terms = {"image": functional.l1_loss(restored, clean)}
    for name, network in networks.items():
        with torch.no_grad():
            wanted = network(clean)
        pairs = list(zip(network(restored), wanted, strict=True))
        terms[name] = torch.stack([functional.l1_loss(found, target) for found, target in pairs]).mean()
    return terms


def adversarial(logits: torch.Tensor) -> torch.Tensor:
    """StyleGAN2's term for the generator, of the discriminator's ``logits`` (B, 1) for restored faces."""
    return functional.softplus(-logits).mean()


def total(terms: Mapping[str, torch.Tensor], weights: ObjectiveWeights = WEIGHTS) -> torch.Tensor:
    """The weighted sum of those terms that are there. A name that is no weight is an ``AttributeError``."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def restored_and_shapes(parts: SgpnParts, crops: torch.Tensor, landmarks: Points) -> tuple[torch.Tensor, Shapes]:
    """The way of ``models.methods.sgpn``, with gradients: to pictures (B, 3, 512, 512), not clamped, and shapes."""
    shapes = read_shapes(parts.reconstruction, parts.model, crops, landmarks)
    return parts.network(crops, shapes.pictures, shapes.coefficients), shapes
