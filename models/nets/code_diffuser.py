"""VSPBFR's code diffuser: predicts the clean style code of a face from a noisy one and that of the degraded face.

Lu et al., "Visual Style Prompt Learning Using Diffusion Models for Blind Face Restoration", Pattern Recognition 161,
2025, section 3.2. Facts from ``LonglongaaaGo/VSPBFR:models/CodeDiffuser.py``; tensors have the published names.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

ROWS, WIDTH = 18, 512  # of a code in w+
BLOCKS, STEPS = 4, 4
SLOPE = 0.2
EPS = 1e-8


class Guide(NamedTuple):
    """What a block takes from the condition alone, each (..., R, C): it does not change with the state."""

    query: torch.Tensor
    channel_key: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor

    def at(self, step: torch.Tensor) -> "Guide":
        """Of guides (S, B, R, C) those of each face at its step (B,): (B, R, C)."""
        faces = torch.arange(len(step), device=step.device)
        return Guide(*(values[step, faces] for values in self))


class Scaled(nn.Module):
    """Leaky ReLU times the square root of 2."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Any shape, kept."""
        return functional.leaky_relu(values, SLOPE) * math.sqrt(2)


class ChannelAttention(nn.Module):
    """Mixes a code's channels: the attention matrix is width x width, and its rows, the condition's channels, sum to
    1 for each column.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_matrix = nn.Linear(width, width, bias=False)
        self.k_matrix = nn.Linear(width + 1, width, bias=False)
        self.v_matrix = nn.Linear(width, width, bias=False)

    def forward(self, codes: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """(B, R, C) and the condition's keys (B, R, C) to (B, R, C)."""
        width = codes.shape[-1]
        scores = self.q_matrix(codes).transpose(1, 2) @ (key / math.sqrt(width))
        mixed = self.v_matrix(codes) @ scores.softmax(-1).transpose(1, 2)
        return functional.layer_norm(mixed, (width,))


class Block(nn.Module):
    """Attention over a code's rows and over its channels, then scale and shift by the condition."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.q_matrix = nn.Linear(width + 1, width, bias=False)
        self.k_matrix = nn.Linear(width, width, bias=False)
        self.v_matrix = nn.Linear(width, width, bias=False)
        self.gamma_ = _from_condition(width, nn.Sigmoid())
        self.beta_ = _from_condition(width, Scaled())
        self.attention_layer = ChannelAttention(width)
        self.rows, self.width = rows, width

    def guide(self, condition: torch.Tensor) -> Guide:
        """From a condition (..., R, C + 1)."""
        key = self.attention_layer.k_matrix(condition)
        return Guide(self.q_matrix(condition), key, 1 + self.gamma_(condition), self.beta_(condition))

    def forward(self, codes: torch.Tensor, guide: Guide) -> torch.Tensor:
        """(B, R, C) to (B, R, C)."""
        codes = codes * torch.rsqrt(codes.square().mean(1, keepdim=True) + EPS)  # over the rows, as trained
        scores = self.k_matrix(codes) @ guide.query.transpose(1, 2) / math.sqrt(self.rows)
        mixed = scores.softmax(-1) @ self.v_matrix(codes) + self.attention_layer(codes, guide.channel_key)
        mixed = functional.layer_norm(mixed, (self.width,))
        return mixed * guide.scale + guide.shift


def _from_condition(width: int, last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width + 1, width), nn.LayerNorm([width]), Scaled(), nn.Linear(width, width), last)


class CodeDiffuser(nn.Module):
    """Four blocks, which all see the degraded face's code and the time."""

    def __init__(self, rows: int = ROWS, width: int = WIDTH, steps: int = STEPS) -> None:
        super().__init__()
        self.att_mapper = nn.ModuleList(Block(rows, width) for _ in range(BLOCKS))
        self.steps = steps

    def forward(self, state: torch.Tensor, degraded: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The clean codes (B, R, C) that noisy ones ``state`` (B, R, C) at the integer steps (B,) came from.

        ``degraded`` (B, R, C) are the degraded faces' codes.
        """
        return self._clean(state, [block.guide(self._condition(degraded, step)) for block in self._blocks])

    def guided(self, degraded: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """``forward`` for these ``degraded`` codes, from a state and steps; what depends on them alone, more than half
        of the work, is computed here for all steps at once.
        """
        faces = len(degraded)
        steps = torch.arange(self.steps, device=degraded.device)[:, None].expand(-1, faces)
        conditions = torch.stack([self._condition(degraded, step) for step in steps])
        guides = [block.guide(conditions) for block in self._blocks]
        return lambda state, step: self._clean(state, [guide.at(step) for guide in guides])

    @property
    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.att_mapper))

    def _condition(self, degraded: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The degraded codes, each with its face's time beside it: (B, R, C + 1)."""
        time = (step.to(degraded.dtype) / self.steps)[:, None, None].expand(-1, degraded.shape[1], 1)
        return torch.cat([degraded, time], -1)

    def _clean(self, state: torch.Tensor, guides: list[Guide]) -> torch.Tensor:
        for block, guide in zip(self._blocks, guides, strict=True):
            state = block(state, guide)
        return state
