"""GPEN: the published files, the arithmetic of the original, and the way of a crop through the method."""

import hashlib
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.checkpoint import Dtype
from models.checkpoint_file import recognise
from models.load import CheckpointMismatch
from models.method import Faces
from models.methods.gpen import METHOD, SIZES, WEIGHTS, GpenParameters, load_network
from models.nets.gpen import GPEN, GpenSizes
from models.signed_restorer import SignedRestorer
from tests.golden.make_gpen import FILE, SMALL, network, weights

TENSORS = {
    512: "371b3b0623a7b5aca93745560cc8bd72bd804d25a8fea2f8a5c84aec742417e6",
    256: "91628129cd8ee4e44d39b247fab22b208e5073285f8a9c92679898d8c7a47397",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def hollow(side: int) -> dict[str, torch.Tensor]:
    """Tensors of the published names and shapes that take no room."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in GPEN(SIZES[side]).state_dict().items()}
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("side", SIZES)
def test_names_and_shapes_of_the_tensors_are_the_originals(side: int) -> None:
    """The digests are those of the kit's manifest, which was taken from the original network."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in hollow(side).items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == TENSORS[side]


def test_the_model_for_1024_pixels_has_as_many_parameters_as_published() -> None:
    with torch.device("meta"):
        large = GPEN(GpenSizes(side=1024))
    assert len(large.state_dict()) == 182
    assert sum(parameter.numel() for parameter in large.parameters()) == 71_210_540


def test_the_network_computes_the_recorded_outputs() -> None:
    with np.load(FILE) as golden:
        found, expected = network()(torch.from_numpy(golden["input"])).numpy(), golden["output"]
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("side", SIZES)
def test_the_published_files_are_known_by_their_tensors(side: int, tmp_path: Path) -> None:
    torch.save(hollow(side), tmp_path / "a.pth")
    assert recognise(tmp_path / "a.pth", METHOD.checkpoints) is WEIGHTS[side]


@pytest.mark.parametrize("side", SIZES)
def test_the_size_chooses_the_file(side: int) -> None:
    assert METHOD.checkpoints_for(GpenParameters(size=side)) == (WEIGHTS[side],)


@pytest.mark.parametrize("size", [128, 384, 1024])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        GpenParameters(size=size)


@pytest.mark.parametrize("container", ["", "g_ema"])
def test_tensors_load_bare_or_as_the_training_script_leaves_them(container: str, tmp_path: Path) -> None:
    tensors = weights()
    other = {"g": {"a": torch.zeros(2)}, "g_optim": {"state": {0: torch.zeros(2)}, "lr": 0.002}}
    torch.save({container: tensors, **other} if container else tensors, tmp_path / "a.pth")
    state = load_network(tmp_path / "a.pth", SMALL).state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)


def test_the_kernels_are_needed_too(tmp_path: Path) -> None:
    tensors = weights()
    del tensors["ecd1.0.0.kernel"]
    torch.save(tensors | {"ecd9.bias": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=r"missing: ecd1\.0\.0\.kernel; extra: ecd9\.bias$"):
        load_network(tmp_path / "a.pth", SMALL)


def test_the_features_take_the_place_of_the_noise() -> None:
    """Without the encoder's features the face changes, and twice the same features give the same face."""
    small = network()
    features = small.encoded(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32))
    codes = small.final_linear(features[-1].flatten(1))
    image = small.generator(codes, features[::-1])
    assert torch.equal(image, small.generator(codes, features[::-1]))
    for index in range(len(features)):
        changed = [feature * (position != index) for position, feature in enumerate(features)]
        assert not torch.allclose(image, small.generator(codes, changed[::-1]), rtol=1e-3)


def test_a_face_has_the_same_bytes_in_any_batch() -> None:
    small = network()
    restorer = SignedRestorer(lambda faces, _: small(faces), 32, "cpu", "float32")
    crops = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    together = restorer.restore(Faces.plain(crops, range(6))).faces
    for order in ([5], [3, 0], [2, 2, 1]):
        assert torch.equal(restorer.restore(Faces.plain(crops[order], order)).faces, together[order])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.01), ("float16", 0.001)])
def test_half_precision_comes_close(dtype: Dtype, limit: float) -> None:
    small, faces = network(), Faces.plain(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(7)), [1])
    exact, mixed = (
        SignedRestorer(lambda crops, _: small(crops), 32, "cpu", one).restore(faces).faces for one in ("float32", dtype)
    )
    assert 0 < float((mixed - exact).abs().mean()) < limit
