"""The tables of a Gaussian diffusion process, whole or respaced, and the arithmetic of one step.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, with the learnt variances of Nichol,
Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021. Facts from
``Kaldwin0106/DR2_Drgradation_Remover:DRDR/diffusion.py`` and ``space_diffusion.py``.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

FIRST_BETA, LAST_BETA, LENGTH = 1e-4, 0.02, 1000


@dataclass(frozen=True)
class Process:
    """A process of n indices. ``steps`` (n,) are the steps that the network knows them by, ``betas`` (n,) float64.

    ``index`` is (B,) everywhere, or (1,) for all, and pictures are (B, C, H, W). Tables are float64 on the CPU; what is
    taken from them has the pictures' type.
    """

    steps: torch.Tensor
    betas: torch.Tensor

    @cached_property
    def signal(self) -> torch.Tensor:
        """The share of the clean picture's variance that is left (n,): the cumulated product of 1 - beta."""
        return torch.cumprod(1 - self.betas, 0)

    @cached_property
    def before(self) -> torch.Tensor:
        """``signal`` one index earlier (n,); 1 before the first."""
        return torch.cat([torch.ones(1).double(), self.signal[:-1]])

    @cached_property
    def posterior_variance(self) -> torch.Tensor:
        """Of the state one index earlier, given this one and the clean picture: (n,)."""
        return self.betas * (1 - self.before) / (1 - self.signal)

    @cached_property
    def posterior_log_variance(self) -> torch.Tensor:
        """Its logarithm (n,); index 0, whose variance is 0, has that of index 1."""
        return torch.cat([self.posterior_variance[1:2], self.posterior_variance[1:]]).log()

    @cached_property
    def of_clean(self) -> torch.Tensor:
        """What the clean picture counts in the posterior mean (n,)."""
        return self.betas * self.before.sqrt() / (1 - self.signal)

    @cached_property
    def of_state(self) -> torch.Tensor:
        """What the state counts in the posterior mean (n,)."""
        return (1 - self.before) * (1 - self.betas).sqrt() / (1 - self.signal)

    def noised(self, clean: torch.Tensor, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The state at ``index`` of a ``clean`` picture."""
        return at(self.signal.sqrt(), index, clean) * clean + at((1 - self.signal).sqrt(), index, clean) * noise

    def clean(self, state: torch.Tensor, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The picture that is left when ``noise`` is taken from ``state``; not clipped."""
        return at(self.signal.rsqrt(), index, state) * state - at((1 / self.signal - 1).sqrt(), index, state) * noise

    def mean(self, clean: torch.Tensor, state: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The mean of the state one index earlier."""
        return at(self.of_clean, index, state) * clean + at(self.of_state, index, state) * state

    def log_variance(self, between: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """From the network's ``between`` (B, C, H, W), -1 at the lower bound and 1 at the upper; not clipped."""
        share = (between + 1) / 2
        low, high = at(self.posterior_log_variance, index, between), at(self.betas.log(), index, between)
        return share * high + (1 - share) * low


def linear() -> Process:
    """The process of 1000 steps with betas on a straight line."""
    return Process(torch.arange(LENGTH), torch.linspace(FIRST_BETA, LAST_BETA, LENGTH, dtype=torch.float64))


def respaced(process: Process, count: int) -> Process:
    """``count`` of its indices (2 or more), evenly spread from first to last; halves of an index go to the even one.

    The spacing is summed up, not multiplied, as the original does it: that decides where it comes near a half.
    """
    kept, place = [0], 0.0
    for _ in range(count - 1):
        place += (len(process.betas) - 1) / (count - 1)
        kept.append(round(place))
    signal = process.signal[kept]
    before = torch.cat([torch.ones(1).double(), signal[:-1]])
    return Process(process.steps[kept], 1 - signal / before)


def at(table: torch.Tensor, index: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Entries of ``table`` (n,) for ``index`` (B,), as (B, 1, 1, 1) of the type and on the device of ``like``."""
    return table[index.cpu()].to(like.device, like.dtype)[:, None, None, None]
