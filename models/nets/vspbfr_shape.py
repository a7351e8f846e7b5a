"""The sizes of VSPBFR's networks, which all follow from the side of the face."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VspbfrShape:
    """The published sizes; tests take smaller ones.

    ``side`` is that of the face: the style encoder sees half of it, the style decoder draws twice of it. ``style`` is
    the width of a code. A map of resolution r has ``channel_area`` / r channels, and at most ``widest``.
    ``backbone`` are the widths of the style encoder's stem and four stages, ``units`` the blocks of each stage.
    """

    side: int = 512
    style: int = 512
    widest: int = 512
    channel_area: int = 32768
    backbone: tuple[int, int, int, int, int] = (64, 64, 128, 256, 512)
    units: tuple[int, int, int, int] = (3, 4, 14, 3)
    reduction: int = 16

    @property
    def rows(self) -> int:
        """Rows of a w+ code: two for each resolution of the style decoder, from 4 to 2 x ``side``."""
        return 2 * (self.decoded.bit_length() - 2)

    @property
    def decoded(self) -> int:
        """The side of the style decoder's picture."""
        return 2 * self.side

    @property
    def seen(self) -> int:
        """The side of what the style encoder sees."""
        return self.side // 2

    def channels(self, resolution: int) -> int:
        """Of a map of this resolution, in the style decoder and in the restoration network."""
        return min(self.widest, self.channel_area // resolution)


PUBLISHED = VspbfrShape()
