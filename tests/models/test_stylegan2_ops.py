"""StyleGAN2's operations beside plain definitions, in float64."""

from collections.abc import Generator

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.ops.stylegan2 import (
    Blur,
    ConstantInput,
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    FusedLeakyReLU,
    ModulatedConv2d,
    NoiseInjection,
    PixelNorm,
    Resample,
    ResBlock,
    ScaledLeakyReLU,
    StyledConv,
    ToRGB,
    Upsample,
    fir_kernel,
    fused_leaky_relu,
    mapping,
    modulated_conv2d,
    upfirdn2d,
    with_deviation,
)

STYLE = 5


@pytest.fixture(autouse=True)
def in_float64() -> Generator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2020)
    yield
    torch.set_default_dtype(before)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def filled(module: nn.Module) -> nn.Module:
    """With parameters that are neither zero nor one."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def plain_upfirdn(image: torch.Tensor, kernel: torch.Tensor, up: int, down: int, pad: tuple[int, int]) -> torch.Tensor:
    """Of one channel (H, W), sample by sample."""
    height, width = image.shape
    room = 8
    spread = torch.zeros(height * up + 2 * room, width * up + 2 * room)
    spread[room : room + height * up : up, room : room + width * up : up] = image
    spread = spread[room - pad[0] : height * up + room + pad[1], room - pad[0] : width * up + room + pad[1]]
    taps = len(kernel)
    rows, columns = (side - taps + 1 for side in spread.shape)
    found = torch.zeros(rows, columns)
    for i in range(taps):
        for j in range(taps):
            found += kernel[taps - 1 - i, taps - 1 - j] * spread[i : i + rows, j : j + columns]
    return found[::down, ::down]


def plain_modulated(
    image: torch.Tensor, conv: ModulatedConv2d, style: torch.Tensor, demodulate: bool = True
) -> torch.Tensor:
    """Of one face (C, H, W), by a weight of its own."""
    inputs = image.shape[0]
    styles = conv.modulation.weight @ style / STYLE**0.5 + conv.modulation.bias
    weight = conv.weight[0] * styles[:, None, None] / (inputs * conv.weight.shape[-1] ** 2) ** 0.5
    if demodulate:
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    kernel = fir_kernel()
    if conv.resample == "up":
        large = functional.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2)[0]
        return torch.stack([plain_upfirdn(plane, 4 * kernel, 1, 1, (1, 1)) for plane in large])
    if conv.resample == "down":
        blurred = torch.stack([plain_upfirdn(plane, kernel, 1, 1, (2, 2)) for plane in image])
        return functional.conv2d(blurred[None], weight, stride=2)[0]
    return functional.conv2d(image[None], weight, padding=weight.shape[-1] // 2)[0]


@pytest.mark.parametrize(
    ("up", "down", "pad"), [(1, 1, (2, 2)), (2, 1, (2, 1)), (1, 2, (1, 1)), (3, 2, (4, 0)), (1, 1, (-1, -1))]
)
def test_upfirdn_is_zeros_a_flipped_kernel_and_every_nth_sample(up: int, down: int, pad: tuple[int, int]) -> None:
    images, kernel = torch.randn(2, 3, 7, 8), torch.randn(4, 4)
    expected = [[plain_upfirdn(plane, kernel, up, down, pad) for plane in image] for image in images]
    close(upfirdn2d(images, kernel, up, down, pad), torch.stack([torch.stack(planes) for planes in expected]))


def test_the_kernel_is_the_binomial_one_of_its_gain() -> None:
    kernel = fir_kernel()
    assert kernel.tolist()[1] == [3 / 64, 9 / 64, 9 / 64, 3 / 64]
    assert float(Blur((1, 1), 4.0).kernel.sum()) == float(Upsample().kernel.sum()) == 4


def test_the_stored_kernel_is_used() -> None:
    blur, images = Blur((2, 1)), torch.randn(1, 2, 6, 6)
    blur.kernel.copy_(torch.randn(4, 4))
    close(blur(images)[0, 1], plain_upfirdn(images[0, 1], blur.kernel, 1, 1, (2, 1)))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 4)])
def test_the_activation_adds_its_bias_and_scales(shape: tuple[int, ...]) -> None:
    values, bias = torch.randn(shape), torch.randn(3)
    shifted = values + bias.view(1, 3, *[1] * (len(shape) - 2))
    expected = torch.where(shifted > 0, shifted, 0.2 * shifted) * 2**0.5
    layer = FusedLeakyReLU(3)
    layer.bias.data.copy_(bias)
    close(fused_leaky_relu(values, bias), expected)
    close(layer(values), expected)
    close(ScaledLeakyReLU()(shifted), expected)


def test_the_activation_has_the_gradient_of_its_plain_form() -> None:
    values, bias = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(3, requires_grad=True)
    assert torch.autograd.gradcheck(fused_leaky_relu, (values, bias))
    assert torch.autograd.gradgradcheck(fused_leaky_relu, (values, bias))


def test_pixel_norm_brings_dimension_1_to_mean_square_1() -> None:
    values = torch.randn(2, 7, 3)
    close(PixelNorm()(values).square().mean(1), torch.ones(2, 3) / (1 + 1e-8 / values.square().mean(1)))


def test_linear_layers_scale_weight_and_bias_when_they_are_used() -> None:
    plain, activated = EqualLinear(4, 6, lr_mul=0.1, bias=1.0), EqualLinear(4, 6, lr_mul=0.1, activated=True)
    assert plain.bias.unique().tolist() == [1.0]
    filled(plain)
    activated.load_state_dict(plain.state_dict())
    values = torch.randn(3, 4)
    expected = values @ plain.weight.T * 0.1 / 2 + plain.bias * 0.1
    close(plain(values), expected)
    close(activated(values), fused_leaky_relu(expected, torch.zeros(6)))


def test_convolutions_scale_their_weight_when_they_are_used() -> None:
    layer = EqualConv2d(3, 5, 3, stride=2, padding=2, dilation=2)
    filled(layer)
    images = torch.randn(2, 3, 9, 9)
    expected = functional.conv2d(images, layer.weight / 27**0.5, layer.bias, stride=2, padding=2, dilation=2)
    close(layer(images), expected)


def test_the_mapping_network_normalises_and_then_activates() -> None:
    network = mapping(4, 6, 3)
    assert list(network.state_dict()) == [f"{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")]
    codes = torch.randn(2, 4)
    expected = codes * (codes.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for layer in list(network.children())[1:]:
        assert isinstance(layer, EqualLinear)
        scale = 0.01 / layer.weight.shape[1] ** 0.5
        expected = fused_leaky_relu(expected @ layer.weight.T * scale, 0.01 * layer.bias)
    close(network(codes), expected)


@pytest.mark.parametrize("resample", [None, "up", "down"])
@pytest.mark.parametrize(("kernel", "demodulate"), [(3, True), (3, False)])
def test_scaling_faces_is_scaling_each_faces_weight(resample: Resample | None, kernel: int, demodulate: bool) -> None:
    conv = ModulatedConv2d(3, 4, kernel, STYLE, demodulate=demodulate, resample=resample)
    filled(conv)
    images, styles = torch.randn(3, 3, 6, 8), torch.randn(3, STYLE)
    found = conv(images, styles)
    side = {None: (6, 8), "up": (12, 16), "down": (3, 4)}[resample]
    assert found.shape == (3, 4, *side)
    expected = [plain_modulated(*face, demodulate) for face in zip(images, [conv] * 3, styles, strict=True)]
    close(found, torch.stack(expected))


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_dilated_modulated_convolution_keeps_the_size(dilation: int) -> None:
    images, weight, styles = torch.randn(2, 3, 9, 9), torch.randn(4, 3, 3, 3), torch.randn(2, 3)
    found = modulated_conv2d(images, weight, styles, dilation=dilation)
    for image, style, face in zip(images, styles, found, strict=True):
        own = weight * style[:, None, None] / 27**0.5
        own = own * (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        close(face, functional.conv2d(image[None], own, padding=dilation, dilation=dilation)[0])


def test_a_modulated_convolution_has_the_gradients_of_its_plain_form() -> None:
    conv = ModulatedConv2d(2, 3, 3, STYLE, resample="up")
    images, styles = torch.randn(2, 2, 4, 4, requires_grad=True), torch.randn(2, STYLE, requires_grad=True)
    weights = torch.randn(2, 3, 8, 8)
    found = torch.autograd.grad((conv(images, styles) * weights).sum(), (conv.weight, images, styles))
    plain = torch.stack([plain_modulated(image, conv, style) for image, style in zip(images, styles, strict=True)])
    expected = torch.autograd.grad((plain * weights).sum(), (conv.weight, images, styles))
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_noise_is_added_or_becomes_channels() -> None:
    features, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 1, 4, 4)
    add, concat = NoiseInjection(), NoiseInjection("concat")
    close(add(features, noise), features)
    for layer in (add, concat):
        layer.weight.data.fill_(0.5)
    close(add(features, noise), features + 0.5 * noise)
    close(concat(features, features), torch.cat([features, 0.5 * features], 1))


def test_a_styled_convolution_is_convolution_noise_activation() -> None:
    layer = StyledConv(3, 4, 3, STYLE, resample="up", join="concat")
    filled(layer)
    features, style, noise = torch.randn(2, 3, 4, 4), torch.randn(2, STYLE), torch.randn(2, 4, 8, 8)
    expected = torch.cat([layer.conv(features, style), layer.noise.weight * noise], 1)
    close(layer(features, style, noise), fused_leaky_relu(expected, layer.activate.bias))
    assert StyledConv(3, 4, 3, STYLE).activate.bias.shape == (4,)


def test_an_image_is_added_to_the_enlarged_one_before_it() -> None:
    layer = ToRGB(4, STYLE)
    filled(layer)
    features, style, skip = torch.randn(1, 4, 8, 8), torch.randn(1, STYLE), torch.randn(1, 3, 4, 4)
    own = plain_modulated(features[0], layer.conv, style[0], demodulate=False) + layer.bias[0]
    large = torch.stack([plain_upfirdn(plane, 4 * fir_kernel(), 2, 1, (2, 1)) for plane in skip[0]])
    close(layer(features, style)[0], own)
    close(layer(features, style, skip)[0], own + large)


def test_the_constant_is_the_same_for_every_face() -> None:
    constant = ConstantInput(3)
    assert constant(2).shape == (2, 3, 4, 4)
    close(constant(2)[1], constant.input[0])


@pytest.mark.parametrize(("kernel", "pad"), [(3, (2, 2)), (1, (1, 1))])
def test_a_layer_that_halves_blurs_first(kernel: int, pad: tuple[int, int]) -> None:
    layer = ConvLayer(3, 4, kernel, down=True)
    filled(layer)
    assert list(layer.state_dict()) == ["0.kernel", "1.weight", "2.bias"]
    images = torch.randn(2, 3, 8, 8)
    blurred = upfirdn2d(images, fir_kernel(), pad=pad)
    weight, bias = layer.get_parameter("1.weight"), layer.get_parameter("2.bias")
    expected = functional.conv2d(blurred, weight / (3 * kernel**2) ** 0.5, stride=2)
    close(layer(images), fused_leaky_relu(expected, bias))


@pytest.mark.parametrize(
    ("activated", "bias", "names"),
    [(True, True, ["0.weight", "1.bias"]), (False, True, ["0.weight", "0.bias"]), (False, False, ["0.weight"])],
)
def test_a_layers_bias_is_in_its_activation_if_it_has_one(activated: bool, bias: bool, names: list[str]) -> None:
    layer = ConvLayer(3, 4, 3, activated=activated, bias=bias)
    assert list(layer.state_dict()) == names
    assert layer(torch.randn(1, 3, 5, 5)).shape == (1, 4, 5, 5)


def test_a_block_of_the_discriminator_is_the_scaled_sum_of_both_ways() -> None:
    block = ResBlock(3, 4)
    images = torch.randn(2, 3, 8, 8)
    close(block(images) * 2**0.5, block.conv2(block.conv1(images)) + block.skip(images))
    assert block(images).shape == (2, 4, 4, 4)


def test_the_deviation_is_that_of_every_second_face_in_a_batch_of_eight() -> None:
    features = torch.randn(8, 3, 4, 4)
    found = with_deviation(features)
    assert found.shape == (8, 4, 4, 4)
    for start in (0, 1):
        expected = (features[start::2].var(0, correction=0) + 1e-8).sqrt().mean()
        close(found[start::2, 3], expected.expand(4, 4, 4))
    close(with_deviation(features[:1])[:, 3], torch.full((1, 4, 4), 1e-4))
