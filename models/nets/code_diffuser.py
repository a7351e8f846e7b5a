"""VSPBFR's code diffuser: predicts the clean style code of a face from a noisy one and that of the degraded face.

Lu et al., "Visual Style Prompt Learning Using Diffusion Models for Blind Face Restoration", Pattern Recognition 161,
2025, section 3.2. Facts from ``LonglongaaaGo/VSPBFR:models/CodeDiffuser.py``; tensors have the published names.
"""

import math

import torch
from torch import nn
from torch.nn import functional

ROWS, WIDTH = 18, 512  # of a code in w+
BLOCKS, STEPS = 4, 4
SLOPE = 0.2
EPS = 1e-8


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

    def forward(self, codes: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B, R, C) and a condition (B, R, C + 1) to (B, R, C)."""
        width = codes.shape[-1]
        scores = self.k_matrix(condition).transpose(1, 2) @ self.q_matrix(codes) / math.sqrt(width)
        mixed = self.v_matrix(codes) @ scores.softmax(1)
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

    def forward(self, codes: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B, R, C) and a condition (B, R, C + 1) to (B, R, C)."""
        codes = codes * torch.rsqrt(codes.square().mean(1, keepdim=True) + EPS)  # over the rows, as trained
        scores = self.k_matrix(codes) @ self.q_matrix(condition).transpose(1, 2) / math.sqrt(self.rows)
        mixed = scores.softmax(-1) @ self.v_matrix(codes) + self.attention_layer(codes, condition)
        mixed = functional.layer_norm(mixed, (self.width,))
        return mixed * (1 + self.gamma_(condition)) + self.beta_(condition)


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
        time = (step.to(state.dtype) / self.steps)[:, None, None].expand(-1, degraded.shape[1], 1)
        condition = torch.cat([degraded, time], -1)
        for block in self.att_mapper:
            state = block(state, condition)
        return state
