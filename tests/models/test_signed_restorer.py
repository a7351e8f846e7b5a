"""The way of a crop to a network of faces in [-1, 1], and back."""

import cv2
import numpy as np
import pytest
import torch

from models.checkpoint import Dtype
from models.method import Faces
from models.signed_restorer import SignedRestorer, at_side, signed


class Seen:
    """In place of a network: it gives its input plus a value, and remembers what it saw."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value
        self.faces: list[torch.Tensor] = []
        self.autocast: list[bool] = []

    def __call__(self, faces: torch.Tensor, known: Faces) -> torch.Tensor:
        self.faces.append(faces)
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return faces + self.value


def crops(count: int, side: int) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(6))


def through(network: Seen, batch: torch.Tensor, side: int = 64, dtype: Dtype = "float32") -> torch.Tensor:
    return SignedRestorer(network, side, "cpu", dtype).restore(Faces.plain(batch, range(len(batch)))).faces


def test_the_network_sees_rgb_between_minus_one_and_one_and_each_face_alone() -> None:
    network, batch = Seen(), crops(3, 64)
    torch.testing.assert_close(through(network, batch), batch)
    assert [len(faces) for faces in network.faces] == [1, 1, 1]
    torch.testing.assert_close(torch.cat(network.faces), 2 * batch - 1)


@pytest.mark.parametrize("side", [32, 100, 128])
def test_a_crop_of_another_size_comes_back_at_its_size(side: int) -> None:
    network = Seen()
    assert through(network, crops(1, side)).shape == (1, 3, side, side)
    assert network.faces[0].shape == (1, 3, 64, 64)


def test_a_crop_is_enlarged_as_opencv_does() -> None:
    [crop] = crops(1, 32)
    expected = cv2.resize(crop.permute(1, 2, 0).numpy(), (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(at_side(crop[None], 64)[0].permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-6)


def test_a_crop_that_shrinks_does_not_alias() -> None:
    assert float(signed(crops(1, 512), 64).std()) < 0.4 * float(signed(crops(1, 512), 512).std())


@pytest.mark.parametrize(("value", "expected"), [(9.0, 1.0), (-9.0, 0.0)])
def test_the_result_is_clipped(value: float, expected: float) -> None:
    assert through(Seen(value), crops(1, 64)).unique().tolist() == [expected]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_none_are_not_hidden(value: float) -> None:
    assert not through(Seen(value), crops(1, 64)).isfinite().any()


@pytest.mark.parametrize(("dtype", "mixed"), [("float32", False), ("bfloat16", True), ("float16", True)])
def test_half_precision_is_mixed_and_the_result_is_float32(dtype: Dtype, mixed: bool) -> None:
    network = Seen()
    assert through(network, crops(1, 64), dtype=dtype).dtype == torch.float32
    assert network.autocast == [mixed]


def test_no_faces_give_none() -> None:
    assert through(Seen(), crops(1, 64)[:0]).shape == (0, 3, 64, 64)
