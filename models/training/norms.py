"""BatchNorm while YuNet is trained; folded into the convolutions before it, as published, once it is done."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.nets.yunet import OUTPUTS, Stem, Unit, YuNet

MOMENTUM = 0.03  # as YOLOX: the statistics follow over some thirty batches


def with_norms(network: YuNet) -> YuNet:
    """``network`` with a BatchNorm after its first convolution and after each unit but the heads'; changed in place."""
    for module, name in _places(network):
        convolution = module.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        setattr(module, name, nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, momentum=MOMENTUM)))
    return network


def folded(network: YuNet) -> YuNet:
    """A copy of a network of ``with_norms``, in eval mode, that computes the same without any BatchNorm."""
    copy = deepcopy(network).eval()
    for module, name in _places(copy):
        convolution, norm = module.get_submodule(name).children()
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        setattr(module, name, fuse_conv_bn_eval(convolution, norm))
    return copy


def _places(network: YuNet) -> list[tuple[nn.Module, str]]:
    """Each module with the name of its convolution that a BatchNorm follows."""
    places: list[tuple[nn.Module, str]] = []
    for path, module in network.named_modules():
        if isinstance(module, Stem):
            places.append((module, "conv"))
        if isinstance(module, Unit) and path.split(".")[0] not in OUTPUTS:
            places.append((module, "depth"))
    return places
