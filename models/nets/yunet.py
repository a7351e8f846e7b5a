"""YuNet: a face detector of 54 to 74 thousand parameters, made of separable convolutions.

Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023; the networks are
those of ``ShiqiYu/libfacedetection.train:onnx``, with BatchNorm folded into the convolutions as it is there.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

STRIDES = (8, 16, 32)
OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}  # channels
STEM = 16
WIDE = 64


class Unit(nn.Module):
    """A convolution taken apart: 1 x 1 across channels, then 3 x 3 within each, without a nonlinearity between."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(channels, out, 1)
        self.depth = nn.Conv2d(out, out, 3, padding=1, groups=out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        return self.depth(self.point(features))


class Stem(nn.Module):
    """The photo at a quarter of its sides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, STEM, 3, stride=2, padding=1)
        self.unit = Unit(STEM, STEM)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, 16, H / 4, W / 4)."""
        return _halved(self.unit(self.conv(photos).relu()).relu())


class Stage(nn.Module):
    """Two units at one resolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.a = Unit(channels, channels)
        self.b = Unit(channels, out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        return self.b(self.a(features).relu()).relu()


class YuNet(nn.Module):
    """The network ``n`` (width 64, shared units) or ``s`` (width 32, none)."""

    def __init__(self, width: int = WIDE, shared: bool = True) -> None:
        super().__init__()
        self.stem = Stem()
        self.stage1 = Stage(STEM, width)
        self.stage2 = Stage(width, WIDE)
        self.stage3 = Stage(WIDE, WIDE)
        self.stage4 = Stage(WIDE, WIDE)
        self.stage5 = Stage(WIDE, WIDE)
        self.neck = _level_units(WIDE)
        self.share = _level_units(WIDE) if shared else nn.ModuleDict()
        self.cls, self.obj, self.bbox, self.kps = (_level_units(channels) for channels in OUTPUTS.values())

    @classmethod
    def fitting(cls, tensors: Mapping[str, torch.Tensor]) -> "YuNet":
        """The variant that has these tensors, still without them."""
        first = tensors.get("stage1.b.point.weight")
        width = WIDE if first is None else first.shape[0]
        return cls(width, any(name.startswith("share.") for name in tensors))

    def forward(self, photos: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3, H, W) BGR in [0, 255], H and W multiples of 32, to what the published graph gives.

        ``cls_S`` and ``obj_S`` (B, cells, 1) are probabilities, ``bbox_S`` (B, cells, 4) and ``kps_S`` (B, cells, 10)
        offsets in units of the stride S in 8, 16, 32. Cells go row by row.
        """
        outputs: dict[str, torch.Tensor] = {}
        for stride, features in self.levels(photos).items():
            for kind in OUTPUTS:
                raw: torch.Tensor = getattr(self, kind)[stride](features).permute(0, 2, 3, 1).flatten(1, 2)
                outputs[f"{kind}_{stride}"] = raw.sigmoid() if kind in ("cls", "obj") else raw
        return outputs

    def levels(self, photos: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features (B, 64, H / S, W / S) that the heads see, by stride."""
        c3 = self.stage3(_halved(self.stage2(self.stage1(self.stem(photos)))))
        c4 = self.stage4(_halved(c3))
        c5 = self.stage5(_halved(c4))
        p5 = self.neck["32"](c5).relu()
        p4 = self.neck["16"](c4 + _doubled(p5)).relu()
        p3 = self.neck["8"](c3 + _doubled(p4)).relu()
        levels = {"8": p3, "16": p4, "32": p5}
        return {stride: self.share[stride](level).relu() for stride, level in levels.items()} if self.share else levels


def _level_units(channels: int) -> nn.ModuleDict:
    return nn.ModuleDict({str(stride): Unit(WIDE, channels) for stride in STRIDES})


def _halved(features: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(features, 2)


def _doubled(features: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(features, scale_factor=2, mode="nearest")
