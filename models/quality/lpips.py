"""LPIPS: the distance of two pictures in the features of a network, weighted as people judge.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018; version 0.1 of the weights. PMRF takes VGG16. ELSFace takes AlexNet and gives it BGR levels of 0 to 255 where RGB
in [-1, 1] is expected: its figures are comparable with no others.
"""

from __future__ import annotations

import numpy as np

from models.checkpoint import Checkpoint, Device
from models.quality_metric import Measured, PictureMetric, Pixels, Protocol, Weights, mean_as

LINEAR = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
TORCHVISION = "BSD-3-Clause by torchvision; trained on ImageNet"
VGG = Checkpoint(
    name="vgg16-397923af.pth",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    licence=TORCHVISION,
    commercial=None,
    tensors={"features.28.weight": (512, 512, 3, 3), "classifier.6.weight": (1000, 4096)},
)
VGG_LINEAR = Checkpoint(
    name="lpips-0.1-vgg.pth",
    url=f"{LINEAR}/vgg.pth",
    licence="BSD-2-Clause",
    commercial=True,
    tensors={"lin0.model.1.weight": (1, 64, 1, 1), "lin4.model.1.weight": (1, 512, 1, 1)},
)
ALEX = Checkpoint(
    name="alexnet-owt-7be5be79.pth",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    licence=TORCHVISION,
    commercial=None,
    tensors={"features.0.weight": (64, 3, 11, 11), "classifier.6.weight": (1000, 4096)},
)
ALEX_LINEAR = Checkpoint(
    name="lpips-0.1-alex.pth",
    url=f"{LINEAR}/alex.pth",
    licence="BSD-2-Clause",
    commercial=True,
    tensors={"lin0.model.1.weight": (1, 64, 1, 1), "lin4.model.1.weight": (1, 256, 1, 1)},
)


def chosen(protocol: Protocol) -> tuple[Checkpoint, Checkpoint]:
    """The classifier whose features are compared, and the weights of its channels."""
    return (ALEX, ALEX_LINEAR) if protocol.lpips == "alex-levels" else (VGG, VGG_LINEAR)


def _build(weights: Weights, device: Device, protocol: Protocol) -> Measured:
    import torch

    from models.nets.lpips import load_lpips

    raw = protocol.lpips == "alex-levels"
    backbone, linear = (weights[file.name] for file in chosen(protocol))
    network = load_lpips("alex" if raw else "vgg", backbone, linear).to(device)

    def planes(picture: Pixels) -> torch.Tensor:
        levels = torch.from_numpy(np.ascontiguousarray(picture[..., ::-1] if raw else picture)).to(device)
        floats = levels.permute(2, 0, 1)[None].float()
        return floats if raw else floats.div(127.5).sub(1)

    def measured(restored: Pixels, truth: Pixels | None) -> float:
        if truth is None:
            raise TypeError("a second picture is needed")
        with torch.inference_mode():
            return float(network(planes(restored), planes(truth)))

    return measured


METRIC = PictureMetric(
    name="lpips",
    summary="perceptual distance",
    better="lower",
    source="Zhang et al., CVPR 2018, version 0.1",
    against="truth",
    checkpoints=(VGG, VGG_LINEAR, ALEX, ALEX_LINEAR),
    choose=chosen,
    build=_build,
    whole=mean_as("lpips"),
)
