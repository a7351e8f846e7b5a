"""The face parser: the published tensors, the arithmetic of the original, and the mask that follows from the labels."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.load import CheckpointMismatch
from models.nets.parsenet import ParseNet
from models.parser import CLASS_NAMES, PARSER, Parser, build_parser, face_mask
from tests.golden.make_parsenet import FILE, outputs, weights

Labels = NDArray[np.uint8]
TENSORS = "ae412d4f0f2047836858d14a5473d9173dd0ceb9f9b5bda05230bf976aeeae17"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published one is, a flat state dict in torch's old format, with synthetic weights."""
    path = tmp_path_factory.mktemp("weights") / PARSER.name
    torch.save(weights(), path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def parser(published: Path) -> Parser:
    return build_parser(published, "cpu")


def network_of(parser: Parser) -> ParseNet:
    return cast("ParseNet", parser._network)  # pyright: ignore[reportPrivateUsage]


def test_the_network_computes_the_recorded_outputs(parser: Parser) -> None:
    with np.load(FILE) as golden:
        for name, found in outputs(network_of(parser), golden["input"]).items():
            error = np.linalg.norm(found - golden[name]) / np.linalg.norm(golden[name])
            assert error < 1e-5, name


def test_names_shapes_and_order_of_the_tensors_are_the_originals() -> None:
    """The digest is that of facexlib's own network."""
    listed = "\n".join(f"{name} {tuple(tensor.shape)}" for name, tensor in ParseNet().state_dict().items())
    assert hashlib.sha256(listed.encode()).hexdigest() == TENSORS


def test_the_telling_tensors_are_the_networks(published: Path) -> None:
    assert PARSER.tensors.items() <= tensor_shapes(published).items()


def test_synthetic_weights_are_not_taken_for_the_published_ones(published: Path) -> None:
    assert recognise(published, [PARSER]) is None


def test_sides_need_not_be_equal_and_faces_do_not_mix(parser: Parser) -> None:
    faces = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        together, _ = network_of(parser)(faces)
        alone, _ = network_of(parser)(faces[1:])
    assert together.shape == (2, 19, 32, 48)
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-4 * float(together.abs().max()))


def without(tensors: Tensors) -> None:
    del tensors["encoder.2.conv1.conv2d.weight"]


def with_more(tensors: Tensors) -> None:
    tensors["encoder.5.bias"] = torch.zeros(3)


def with_another_head(tensors: Tensors) -> None:
    tensors["out_mask_conv.conv2d.weight"] = torch.zeros(11, 64, 3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without, r"missing: encoder\.2\.conv1\.conv2d\.weight$"),
        (with_more, r"extra: encoder\.5\.bias$"),
        (with_another_head, r"of another shape: out_mask_conv\.conv2d\.weight \(11, 64, 3, 3\) for \(19, 64, 3, 3\)$"),
    ],
)
def test_another_set_of_tensors_is_refused_by_name(
    damage: Callable[[Tensors], None], message: str, tmp_path: Path
) -> None:
    shapes = {name: tensor.shape for name, tensor in ParseNet().state_dict().items()}
    tensors = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}  # small on disk
    damage(tensors)
    torch.save(tensors, tmp_path / PARSER.name)
    with pytest.raises(CheckpointMismatch, match=message):
        build_parser(tmp_path / PARSER.name, "cpu")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PARSER.name).write_bytes(content)
    with pytest.raises(CheckpointUnreadable, match=r"parsing_parsenet\.pth cannot be read"):
        build_parser(tmp_path / PARSER.name, "cpu")


class Brightness(nn.Module):
    """In place of the network: the class is 18 where the red channel is above 0, else 3."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(faces)
        logits = torch.full((faces.shape[0], 19, *faces.shape[-2:]), -9.0)
        logits[:, 3] = 0
        logits[:, 18] = faces[:, 0]
        return logits, faces


def half_bright(size: int) -> torch.Tensor:
    """(1, 3, size, size): the right half red, the rest black."""
    crop = torch.zeros(1, 3, size, size)
    crop[:, 0, :, size // 2 :] = 1
    return crop


@pytest.mark.parametrize("size", [64, 512, 1024])
def test_labels_are_the_likeliest_classes_at_512_whatever_the_crops_size(size: int) -> None:
    labels = Parser(Brightness(), "cpu").labels(half_bright(size))
    assert labels.shape == (1, 512, 512)
    assert labels.dtype == np.uint8
    expected = np.where(np.arange(512) < 256, 3, 18)
    assert (labels == expected).all()


def test_the_network_sees_rgb_from_minus_one_to_one() -> None:
    network = Brightness()
    Parser(network, "cpu").labels(half_bright(512))
    (seen,) = network.seen
    assert seen[0, 0].unique().tolist() == [-1, 1]
    assert seen[0, 1:].unique().tolist() == [-1]


def test_faces_are_parsed_in_their_order_and_none_gives_none() -> None:
    crops = torch.stack([torch.full((3, 512, 512), value) for value in (0.9, 0.1, 0.6)])
    labels = Parser(Brightness(), "cpu").labels(crops)
    assert labels[:, 0, 0].tolist() == [18, 3, 18]
    assert Parser(Brightness(), "cpu").labels(crops[:0]).shape == (0, 512, 512)


def test_each_face_goes_through_the_network_alone() -> None:
    """So that its labels are the same in any batch: for a batch torch may choose another way to convolve."""
    network = Brightness()
    Parser(network, "cpu").labels(torch.rand(3, 3, 512, 512))
    assert [len(seen) for seen in network.seen] == [1, 1, 1]


def plain(label: int) -> Labels:
    return np.full((512, 512), label, np.uint8)


@pytest.mark.parametrize("label", range(19))
def test_skin_features_hair_and_earrings_are_pasted_and_nothing_else(label: int) -> None:
    outside = {"background", "hat", "necklace", "neck", "cloth"}
    expected = 0 if CLASS_NAMES[label] in outside else 1
    mask = face_mask(plain(label), 512)
    assert mask[256, 256] == pytest.approx(expected)
    assert mask.max() == pytest.approx(expected)


@pytest.mark.parametrize("size", [64, 256, 512, 1000, 1024])
def test_a_mask_is_soft_within_range_and_without_its_frame(size: int) -> None:
    labels = plain(0)
    labels[100:, :300] = 13
    mask = face_mask(labels, size)
    frame = 10 * size // 512 - (size > 512)
    inner = mask[frame:-frame, frame:-frame] if frame else mask
    assert mask.shape == (size, size)
    assert mask.dtype == np.float32
    assert 0 <= mask.min() < mask.max() <= 1
    assert mask.sum() == pytest.approx(inner.sum())
    edge = 300 * size / 512 - 0.5
    assert float(np.interp(edge, np.arange(size), mask[size // 2])) == pytest.approx(0.5, abs=0.02)
    assert len(np.unique(mask[size // 2].round(2))) > 10


def test_the_masks_blur_is_a_gaussian_of_the_two_sigmas_together() -> None:
    """11 and 11 px in a row make the root of 2 times 11: the flank holds 15.87 % at one such distance."""
    labels = plain(0)
    labels[:, :256] = 1
    mask = face_mask(labels, 512)
    sigma = 11 * 2**0.5
    assert float(np.interp(255.5 + sigma, np.arange(512), mask[256])) == pytest.approx(0.1587, abs=0.002)


@pytest.mark.parametrize("name", ["facexlib_group", "facexlib_pair", "facexlib_portrait"])
def test_the_mask_is_facexlibs(name: str, request: pytest.FixtureRequest) -> None:
    path = Path(str(request.config.getoption("--kit"))) / "geometry" / f"{name}.npz"
    if not path.is_file():  # the kit is not in the repository: it holds crops of other people's photos
        pytest.skip(f"no {name}.npz in the parity kit")
    with np.load(path) as case:
        stride, expected = int(case["stride.parse_mask"]), case["output.parse_mask"]
        found = face_mask(case["input.labels"][0], 512)[::stride, ::stride]
    np.testing.assert_allclose(found, expected / 255, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_loaded_parser_labels_a_whole_crop(parser: Parser) -> None:
    crop = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(2))
    labels = parser.labels(crop)
    assert labels.shape == (1, 512, 512)
    assert len(np.unique(labels)) > 3
