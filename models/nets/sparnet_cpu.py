"""``models.nets.sparnet`` for one face on the CPU in float32, faster: pictures as rows, see ``models.ops.rows``."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from models.nets.sparnet import SLOPE, Conv, Hourglass, Norm, Residual, SparnetHD
from models.ops.rows import Activation, Convolver, Source, instance_norm_of, known

leaky_: Activation = partial(functional.leaky_relu, negative_slope=SLOPE, inplace=True)
Picture = torch.Tensor  # (H, W, C)


class CpuSparnet:
    """Runs ``network`` face by face, so that a face's bits do not depend on its batch."""

    def __init__(self, network: SparnetHD) -> None:
        self._network = network
        self._convolve = Convolver()

    def __call__(self, faces: torch.Tensor) -> torch.Tensor:
        """As ``SparnetHD.forward``, to its tolerance. float32 only, and no gradients."""
        with torch.inference_mode():
            return torch.cat([self._face(face) for face in faces])

    def _face(self, face: torch.Tensor) -> torch.Tensor:
        network = self._network
        first, *descent = network.encoder
        hidden = self._through(known(first, Conv), Source([face.permute(1, 2, 0).contiguous()])).whole()
        for block in (*descent, *network.res_layers, *network.decoder):
            hidden = self._residual(known(block, Residual), hidden)
        return self._through(network.out_conv, Source([hidden])).whole().permute(2, 0, 1)[None].contiguous()

    def _through(self, layer: Conv, source: Source, finish: Callable[[Picture, int], None] | None = None) -> Source:
        """``layer`` on ``source``; its norm and activation are left to whoever reads the result."""
        doubled = Source(
            source.parts, source.factors, source.offsets, source.activation, layer.scale == "up", border="mirror"
        )
        found = self._convolve(layer.conv2d, doubled, finish)
        activation = leaky_ if layer.activation else None
        return Source([found], activation=activation) if layer.norm is None else normed(layer.norm, found, activation)

    def _residual(self, block: Residual, picture: Picture) -> Picture:
        norm, _ = block.preact_func
        hidden = self._through(block.conv1, normed(known(norm, Norm), picture, leaky_))
        hidden = self._through(block.conv2, hidden).whole()
        weighted = hidden.mul_(self._attention(block.att_func, hidden))
        if isinstance(block.shortcut_func, Conv):
            return self._through(block.shortcut_func, Source([picture]), partial(add_rows, weighted)).parts[0]
        return weighted.add_(picture)

    def _attention(self, block: Hourglass, picture: Picture) -> Picture:
        """(H, W, C) to the map (H, W, 1)."""
        (last,) = block.out_block
        mixed = self._mixed(block, Source([picture]), block.depth)
        return self._through(known(last, Conv), mixed).whole().sigmoid_()

    def _mixed(self, block: Hourglass, source: Source, level: int) -> Source:
        lower = self._through(block.at("b2", level), source)
        lower = self._mixed(block, lower, level - 1) if level > 1 else self._through(block.b2_plus_1, lower)
        beside = self._through(block.at("b1", level), source).whole()
        return Source([self._through(block.at("b3", level), lower).whole().add_(beside)])


def normed(norm: Norm, picture: Picture, activation: Activation | None) -> Source:
    """``picture`` under ``norm`` and ``activation``, not written out."""
    factors, offsets = instance_norm_of(norm.norm, picture)
    return Source([picture], factors.float(), offsets.float(), activation)


def add_rows(other: Picture, rows: Picture, first: int) -> None:
    """Add to ``rows`` (R, W, C) those of ``other`` from row ``first`` on."""
    rows += other[first : first + len(rows)]
