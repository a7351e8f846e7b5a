"""The adversarial losses of StyleGAN2: non-saturating logistic, and the R1 penalty.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014; Mescheder, Geiger, Nowozin, "Which Training Methods for
GANs do actually Converge?", ICML 2018. Scores are (B, 1), above 0 for real.
"""

import torch
from torch.nn import functional


def generator_loss(made: torch.Tensor) -> torch.Tensor:
    """Of the scores of what the generator made: a scalar."""
    return functional.softplus(-made).mean()


def discriminator_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Of the scores of real inputs and of made ones: a scalar."""
    return functional.softplus(-real).mean() + functional.softplus(made).mean()


def r1_penalty(scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The mean squared norm of the scores' gradient in ``real`` (B, ...), which requires one: a scalar."""
    [gradient] = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
