"""``models.nets.adm_unet`` for one face on the CPU in float32, faster: pictures as rows, see ``models.ops.rows``.

A ResBlock reads its input twice, for the statistics of its norm and for its convolution, and writes each result once;
what it concatenates is never joined.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from models.nets.adm_unet import AdmUNet, Attention, ResBlock, Steps
from models.ops.rows import Convolver, Source, known, norm_of

Pictures = Sequence[torch.Tensor]
"""Pictures (H, W, C_i) that stand for one whose channels are theirs, one after another."""

silu_ = partial(functional.silu, inplace=True)


class CpuUNet:
    """Runs ``network`` face by face, so that a face's bits do not depend on its batch."""

    def __init__(self, network: AdmUNet) -> None:
        self._network = network
        self._convolve = Convolver()
        (self._first,) = known(network.input_blocks[0], Steps)

    def __call__(self, images: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """As ``AdmUNet.forward``, to its tolerance. float32 only, and no gradients."""
        with torch.inference_mode():
            return torch.cat([self._face(image, step) for image, step in zip(images, steps, strict=True)])

    def _face(self, image: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        embedding = functional.silu(self._network.embedded(step[None]))
        hidden = self._convolve(known(self._first, nn.Conv2d), Source([image.permute(1, 2, 0).contiguous()]))
        skips = [hidden]
        for block in self._network.input_blocks[1:]:
            hidden = self._steps(block, [hidden], embedding)
            skips.append(hidden)
        hidden = self._steps(self._network.middle_block, [hidden], embedding)
        for block in self._network.output_blocks:
            hidden = self._steps(block, [hidden, skips.pop()], embedding)
        norm, _, convolution = self._network.out
        return self._convolve(known(convolution, nn.Conv2d), normed(norm, [hidden])).permute(2, 0, 1)[None].contiguous()

    def _steps(self, blocks: nn.Module, parts: Pictures, embedding: torch.Tensor) -> torch.Tensor:
        for block in known(blocks, Steps):
            parts = [
                self._residual(block, parts, embedding)
                if isinstance(block, ResBlock)
                else attend(known(block, Attention), parts)
            ]
        return parts[0]

    def _residual(self, block: ResBlock, parts: Pictures, embedding: torch.Tensor) -> torch.Tensor:
        first_norm, _, first = block.in_layers
        source = normed(first_norm, parts, doubled=block.resample == "up")
        if block.resample == "down":
            source, parts = Source([halved(source.whole())]), [halved(part) for part in parts]
        hidden = self._convolve(known(first, nn.Conv2d), source)
        norm, _, _, last = block.out_layers
        scale, shift = functional.linear(embedding, *block.emb_layers[1].parameters())[0].chunk(2)
        source = normed(norm, [hidden], scale=1 + scale.double(), shift=shift.double())
        return self._convolve(known(last, nn.Conv2d), source, partial(add_skip, block, parts))


def normed(
    norm: nn.Module,
    parts: Pictures,
    scale: torch.Tensor | float = 1,
    shift: torch.Tensor | float = 0,
    doubled: bool = False,
) -> Source:
    """``parts`` under a group norm, ``scale`` and ``shift`` (C,) and SiLU."""
    factors, offsets = norm_of(known(norm, nn.GroupNorm), parts)
    return Source(parts, (factors * scale).float(), (offsets * scale + shift).float(), silu_, doubled)


def add_skip(block: ResBlock, parts: Pictures, rows: torch.Tensor, first: int) -> None:
    """Add what the block's skip connection makes of ``parts`` to ``rows`` (R, W, K) from row ``first`` on."""
    if block.resample == "up":
        small = parts[0][first // 2 : (first + len(rows)) // 2, None, :, None]
        rows.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).add_(small)
    elif isinstance(block.skip_connection, nn.Conv2d):
        weights = block.skip_connection.weight.flatten(1).split([part.shape[2] for part in parts], dim=1)
        flat = rows.flatten(0, 1)
        for part, weight in zip(parts, weights, strict=True):
            flat.addmm_(part[first : first + len(rows)].flatten(0, 1), weight.T)
        rows += block.skip_connection.bias if block.skip_connection.bias is not None else 0
    else:
        rows += parts[0][first : first + len(rows)]


def attend(block: Attention, parts: Pictures) -> torch.Tensor:
    """``block`` on one picture (H, W, C)."""
    factors, offsets = norm_of(block.norm, parts)
    tokens = Source(parts, factors.float(), offsets.float()).whole().flatten(0, 1)
    heads = functional.linear(tokens, block.qkv.weight[..., 0], block.qkv.bias).unflatten(1, (block.heads, 3, -1))
    query, key, value = heads.permute(2, 1, 0, 3)[:, None]
    mixed = functional.scaled_dot_product_attention(query, key, value)[0].transpose(0, 1).flatten(1)
    projected = functional.linear(mixed, block.proj_out.weight[..., 0], block.proj_out.bias)
    return parts[0] + projected.view_as(parts[0])


def halved(picture: torch.Tensor) -> torch.Tensor:
    """(H, W, C) to (H / 2, W / 2, C), the mean of four."""
    return picture.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).mean((1, 3))
