"""DR2: from a degraded face to a clean, smooth one, by a diffusion that keeps to the degraded face's low frequencies.

Wang, Zhang, Zhang, Zheng, Zhou, Wang, "DR2: Diffusion-based Robust Degradation Remover for Blind Face Restoration",
CVPR 2023, algorithm 1. Facts from ``Kaldwin0106/DR2_Drgradation_Remover:DRDR/diffusion.py`` (``dr2_sample_loop``).
"""

from collections.abc import Callable, Iterator

import torch

from models.samplers.diffusion import Process
from models.samplers.lowpass import low_pass

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From states (B, 3, H, W) and steps (B,) of 0 to 999 to (B, 6, H, W): the noise, and where its variance lies."""

Draw = Callable[[str], torch.Tensor]
"""Standard normal noise (B, 3, H, W) for a purpose: "init", "p42" for the sample from index 42, "q42" for the reference
beside it. It is asked in the order of the algorithm, and for nothing that is not used."""


def dr2(
    denoise: Denoiser, process: Process, reference: torch.Tensor, factor: int, start: int, stop: int, draw: Draw
) -> torch.Tensor:
    """The clean face (B, 3, H, W) in [-1, 1] for a ``reference``, RGB in that range.

    ``factor`` is the paper's N, ``start`` its omega and ``stop`` its tau, indices of ``process`` with ``start`` >=
    ``stop``. With N = 1 each state is the reference under fresh noise, so that only the last one has to be denoised.
    """
    if factor == 1:
        name = "init" if start == stop else f"q{stop + 1}"
        return predicted(denoise, process, process.noised(reference, for_all(stop), draw(name)), stop)[0]
    *_, (_, clean) = dr2_states(denoise, process, reference, factor, start, stop, draw)
    return clean


def dr2_states(
    denoise: Denoiser, process: Process, reference: torch.Tensor, factor: int, start: int, stop: int, draw: Draw
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The state at each index from ``start`` to ``stop``, and the clean face that is seen in it."""
    state = process.noised(reference, for_all(start), draw("init"))
    for index in range(start, stop - 1, -1):
        clean, log_variance = predicted(denoise, process, state, index)
        yield state, clean
        if index > stop:
            sample = process.mean(clean, state, for_all(index)) + (0.5 * log_variance).exp() * draw(f"p{index}")
            guide = process.noised(reference, for_all(index - 1), draw(f"q{index}"))
            state = sample - low_pass(sample, factor) + low_pass(guide, factor)


def predicted(
    denoise: Denoiser, process: Process, state: torch.Tensor, index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clean face in [-1, 1] that the network sees in ``state``, and the log variance of a step from there."""
    steps = process.steps[[index]].to(state.device).expand(len(state))
    noise, between = denoise(state, steps).chunk(2, dim=1)
    return process.clean(state, for_all(index), noise).clamp(-1, 1), process.log_variance(between, for_all(index))


def for_all(index: int) -> torch.Tensor:
    """One index for the whole batch."""
    return torch.tensor([index])
