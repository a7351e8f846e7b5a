"""The objective of DR2's diffusion model: noise, weighted towards the steps where a picture's content is decided, and
the bound that trains the variances.

Choi, Lee, Shin, Kim, Kim, Yoon, "Perception Prioritized Training of Diffusion Models", CVPR 2022; Nichol, Dhariwal,
"Improved Denoising Diffusion Probabilistic Models", ICML 2021. Facts from
``jychoi118/P2-weighting:guided_diffusion/gaussian_diffusion.py`` and ``losses.py``.
"""

import math
from dataclasses import dataclass

import torch

from models.samplers.diffusion import Process, at

HALF_LEVEL = 1 / 255  # half a grey level in [-1, 1]
EDGE = 0.999  # beyond it a grey level is open to one side
SMALLEST = 1e-12  # probability whose logarithm is still taken


@dataclass(frozen=True, slots=True)
class HybridLoss:
    """The terms of each picture, (B,): weighted squared error and variational bound in bits a value."""

    mse: torch.Tensor
    bound: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.mse + self.bound


def hybrid_loss(
    process: Process,
    clean: torch.Tensor,
    index: torch.Tensor,
    noise: torch.Tensor,
    output: torch.Tensor,
    *,
    k: float = 1.0,
    gamma: float = 1.0,
) -> HybridLoss:
    """The loss for ``clean`` pictures (B, 3, H, W) in [-1, 1] that ``noise`` was added to at ``index`` (B,).

    ``output`` (B, 6, H, W) is what the network gives for them. ``gamma`` = 0 is the plain, unweighted objective. The
    bound has no gradient with regard to the noise: it trains the variances alone.
    """
    found, between = output.chunk(2, dim=1)
    weights = p2_weights(process, index, k, gamma).to(clean)
    mse = weights * (noise - found).square().flatten(1).mean(1)
    state = process.noised(clean, index, noise)
    return HybridLoss(mse, bound(process, clean, state, index, found.detach(), between))


def p2_weights(process: Process, index: torch.Tensor, k: float = 1.0, gamma: float = 1.0) -> torch.Tensor:
    """What the squared error at ``index`` (B,) counts, (B,) float64: 1 / (k + signal-to-noise ratio) ** gamma."""
    signal = process.signal[index.cpu()]
    return (k + signal / (1 - signal)) ** -gamma


def bound(
    process: Process,
    clean: torch.Tensor,
    state: torch.Tensor,
    index: torch.Tensor,
    noise: torch.Tensor,
    between: torch.Tensor,
) -> torch.Tensor:
    """The term (B,) of the variational bound at ``index``, in bits a value; the picture seen is not clipped."""
    mean = process.mean(process.clean(state, index, noise), state, index)
    log_variance = process.log_variance(between, index)
    true_mean = process.mean(clean, state, index)
    true_log_variance = at(process.posterior_log_variance, index, clean)
    divergence = normal_divergence(true_mean, true_log_variance, mean, log_variance).flatten(1).mean(1)
    likelihood = -level_log_likelihood(clean, mean, 0.5 * log_variance).flatten(1).mean(1)
    return torch.where(index.to(clean.device) == 0, likelihood, divergence) / math.log(2)


def normal_divergence(
    mean: torch.Tensor, log_variance: torch.Tensor, other: torch.Tensor, other_log_variance: torch.Tensor
) -> torch.Tensor:
    """Kullback and Leibler's divergence of one normal distribution from another, value by value, in nats."""
    shift = (mean - other).square() * (-other_log_variance).exp()
    return 0.5 * (other_log_variance - log_variance + (log_variance - other_log_variance).exp() + shift - 1)


def level_log_likelihood(clean: torch.Tensor, mean: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """The logarithm of the probability of each grey level of ``clean`` in [-1, 1] under a normal distribution."""
    away, sharpness = clean - mean, (-log_scale).exp()
    up_to, below = _cumulated(sharpness * (away + HALF_LEVEL)), _cumulated(sharpness * (away - HALF_LEVEL))
    inside = torch.where(clean > EDGE, 1 - below, up_to - below)
    return torch.where(clean < -EDGE, up_to, inside).clamp(min=SMALLEST).log()


def _cumulated(z: torch.Tensor) -> torch.Tensor:
    """The standard normal distribution's, by the usual approximation with tanh."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
