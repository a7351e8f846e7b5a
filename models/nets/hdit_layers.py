"""The layers of HDiT: norms, gated feed-forward, attention with cosine scores and axial rotary positions.

Tokens are (B, H, W, C), conditions (B, M). See ``models.nets.hdit``. Facts from
``ohayonguy/PMRF:arch/hourglass/image_transformer_v2.py`` and ``axial_rope.py``.
"""

from math import log, pi

import torch
from torch import nn
from torch.nn import functional

from models.ops.neighbourhood_attention import Way, neighbourhood_attention

EPSILON = 1e-6
FEED_FORWARD = 3  # widths of the token
MAPPING_DEPTH = 2
WAY: Way = "tiled"  # fast everywhere
COSINE = 10.0  # initial factor of the cosine


def rms_norm(tokens: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``tokens`` over their root mean square along the last axis, times ``scale``; computed in float32."""
    square = tokens.float().square().mean(-1, keepdim=True)
    return (tokens * (scale * torch.rsqrt(square + EPSILON))).to(tokens.dtype)


class RMSNorm(nn.Module):
    """Zhang, Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return rms_norm(tokens, self.scale)


class AdaRMSNorm(nn.Module):
    """The same with a scale that follows from the condition, one for all tokens of a face."""

    def __init__(self, width: int, mapping_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(mapping_width, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return rms_norm(tokens, 1 + self.linear(condition)[:, None, None])


def gated(projected: torch.Tensor) -> torch.Tensor:
    """GEGLU: the first half of the channels, times GELU of the second. Shazeer, "GLU Variants", 2020."""
    value, gate = projected.chunk(2, -1)
    return value * functional.gelu(gate)


class MappingBlock(nn.Module):
    """A gated feed-forward block on condition vectors (B, M)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.up_proj = nn.Linear(width, 2 * FEED_FORWARD * width, bias=False)
        self.down_proj = nn.Linear(FEED_FORWARD * width, width, bias=False)
        nn.init.zeros_(self.down_proj.weight)

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        return condition + self.down_proj(gated(self.up_proj(self.norm(condition))))


class Mapping(nn.Module):
    """The condition network, (B, M) to (B, M)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_norm = RMSNorm(width)
        self.blocks = nn.Sequential(*[MappingBlock(width) for _ in range(MAPPING_DEPTH)])
        self.out_norm = RMSNorm(width)

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        return self.out_norm(self.blocks(self.in_norm(condition)))


class FeedForward(nn.Module):
    """A gated feed-forward block on tokens."""

    def __init__(self, width: int, mapping_width: int) -> None:
        super().__init__()
        self.norm = AdaRMSNorm(width, mapping_width)
        self.up_proj = nn.Linear(width, 2 * FEED_FORWARD * width, bias=False)
        self.down_proj = nn.Linear(FEED_FORWARD * width, width, bias=False)
        nn.init.zeros_(self.down_proj.weight)

    def forward(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return tokens + self.down_proj(gated(self.up_proj(self.norm(tokens, condition))))


class AxialRope(nn.Module):
    """Rotary positions in two dimensions on the first half of each head's channels.

    Su, Lu, Pan, Murtadha, Wen, Liu, "RoFormer", 2021. A token's position is its centre in a box of [-1, 1] along the
    longer side of the grid. Frequencies run from pi to 10 pi, over channels and heads together.
    """

    freqs: torch.Tensor

    def __init__(self, heads: int, head_width: int) -> None:
        super().__init__()
        count = head_width // 8
        order = torch.arange(count, dtype=torch.float64) * heads + torch.arange(heads, dtype=torch.float64)[:, None]
        self.register_buffer("freqs", (log(pi) + log(10) * order / (heads * count)).exp().float())

    def forward(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (H, W, heads, head_width / 4) of a grid: the angles by row, then those by column."""
        rows, columns = (_centres(side, max(height, width), self.freqs) for side in (height, width))
        by_row = (rows[:, None, None, None] * self.freqs).expand(-1, width, -1, -1)
        by_column = (columns[None, :, None, None] * self.freqs).expand(height, -1, -1, -1)
        angles = torch.cat([by_row, by_column], -1)
        return angles.cos(), angles.sin()


def rotated(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """``heads`` (B, H, W, heads, D): the first quarter of the channels turned with the second, the rest as it was."""
    quarter = cosines.shape[-1]
    first, second, rest = heads.split([quarter, quarter, heads.shape[-1] - 2 * quarter], -1)
    turned = first * cosines - second * sines, second * cosines + first * sines
    return torch.cat([turned[0].to(rest.dtype), turned[1].to(rest.dtype), rest], -1)


class SelfAttention(nn.Module):
    """Attention over the whole grid, or over each token's 7 x 7 neighbourhood; scores are scaled cosines."""

    def __init__(self, width: int, head_width: int, mapping_width: int, neighbours: bool) -> None:
        super().__init__()
        self.heads, self.neighbours = width // head_width, neighbours
        self.way: Way = WAY
        self.scale = nn.Parameter(torch.full((self.heads,), COSINE))
        self.norm = AdaRMSNorm(width, mapping_width)
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.pos_emb = AxialRope(self.heads, head_width)
        self.out_proj = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out_proj.weight)

    def forward(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        projected = self.qkv_proj(self.norm(tokens, condition)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = projected.unbind(3)
        cosines, sines = self.pos_emb(*tokens.shape[1:3])
        queries, keys = (rotated(self.scaled(part), cosines, sines) for part in (queries, keys))
        if self.neighbours:
            found = neighbourhood_attention(queries, keys, values, way=self.way)
        else:
            found = global_attention(queries, keys, values)
        return tokens + self.out_proj(found.flatten(3))

    def scaled(self, heads: torch.Tensor) -> torch.Tensor:
        """``heads`` (B, H, W, heads, D) with length root of ``scale`` each."""
        square = heads.float().square().sum(-1, keepdim=True)
        return (heads * (self.scale.sqrt()[:, None] * torch.rsqrt(square + EPSILON))).to(heads.dtype)


class Layer(nn.Module):
    """Attention, then feed-forward, each beside a shortcut."""

    def __init__(self, width: int, head_width: int, mapping_width: int, neighbours: bool) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, head_width, mapping_width, neighbours)
        self.ff = FeedForward(width, mapping_width)

    def forward(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.ff(self.self_attn(tokens, condition), condition)


class Level(nn.ModuleList):
    """``depth`` layers on one grid."""

    def __init__(self, width: int, depth: int, head_width: int, mapping_width: int, neighbours: bool) -> None:
        super().__init__([Layer(width, head_width, mapping_width, neighbours) for _ in range(depth)])

    def forward(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        for layer in self:
            tokens = layer(tokens, condition)
        return tokens


def global_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Softmax attention of (B, H, W, heads, D) over all tokens, with scale 1."""
    flat = [part.flatten(1, 2).transpose(1, 2) for part in (queries, keys, values)]
    found = functional.scaled_dot_product_attention(flat[0], flat[1], flat[2], scale=1.0)
    return found.transpose(1, 2).reshape(queries.shape)


def _centres(side: int, longer: int, like: torch.Tensor) -> torch.Tensor:
    return (2 * torch.arange(side, device=like.device, dtype=like.dtype) + 1 - side) / longer
