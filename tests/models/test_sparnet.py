"""SPARNetHD: its definition, the same for one face on the CPU, its published files, and the method."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from models.checkpoint_file import recognise
from models.load import CheckpointMismatch, Tensors
from models.method import Faces
from models.methods.sparnethd import FORMS, METHOD, SparnetHDRestorer, load_network
from models.nets.sparnet import SparnetHD
from models.nets.sparnet_cpu import CpuSparnet
from models.spectral_norm import folded
from tests.golden.make_dr2e import SPARNET, sparnet

Spoil = Callable[[Tensors], object]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As workers have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def published() -> Tensors:
    """The small network's tensors as its publisher would store them: raw weights beside u and v, not of length 1."""
    found: Tensors = {}
    torch.manual_seed(2)
    for name, value in sparnet().state_dict().items():
        if not name.endswith("conv2d.weight"):
            found[name] = value.clone()
            continue
        left, right = torch.rand(len(value)) + 0.5, torch.rand(value[0].numel()) + 0.5
        sigma = left @ (value.flatten(1) @ right)
        scale = float(torch.sign(sigma)) * 3
        found |= {f"{name}_orig": value * scale, f"{name}_u": left / (sigma * scale) * scale, f"{name}_v": right}
    return found


def plain(count: int) -> Faces:
    generator = torch.Generator().manual_seed(5)
    return Faces.plain(torch.rand(count, 3, 64, 64, generator=generator), list(range(count)))


def test_the_published_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        network = SparnetHD()
    assert sum(parameter.numel() for parameter in network.parameters()) == 85_793_412


@pytest.mark.parametrize("side", [64, 96, 128])
def test_rows_on_the_cpu_give_what_the_definition_gives(side: int) -> None:
    network, faces = sparnet(), torch.rand(2, 3, side, side) * 2 - 1
    expected = network(faces)
    assert (CpuSparnet(network)(faces) - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("order", [[0], [2, 0], [1, 1, 2]])
def test_a_face_has_the_same_bytes_in_any_batch(order: list[int]) -> None:
    faces, method = plain(3), SparnetHDRestorer(sparnet(), "cpu", "float32")
    together = method.restore(faces).faces
    apart = method.restore(Faces.plain(faces.crops[order], [faces.seeds[index] for index in order])).faces
    assert torch.equal(apart, together[order])
    assert together.min() >= 0
    assert together.max() <= 1
    assert not torch.equal(together[0], together[1])


def test_a_published_file_is_loaded_with_its_spectral_norm_folded_in(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / FORMS[0].name)
    loaded = load_network(SparnetHD(SPARNET), tmp_path / FORMS[0].name)
    for name, value in sparnet().state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_u_and_v_are_taken_as_they_are_stored() -> None:
    weight, left, right = torch.ones(2, 3, 1, 1), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0, 2.0])
    found = folded({"a.weight_orig": weight, "a.weight_u": left, "a.weight_v": right, "a.bias": left})
    assert torch.equal(found["a.weight"], weight / 8)
    assert found.keys() == {"a.weight", "a.bias"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: found.pop("out_conv.conv2d.weight_u"), r"missing: out_conv\.conv2d\.weight_u"),
        (lambda found: found.pop("out_conv.conv2d.bias"), r"missing: out_conv\.conv2d\.bias"),
        (lambda found: found.update({"out_conv.conv2d.weight": torch.ones(1)}), "with and without its spectral norm"),
        (lambda found: found.update({"out_conv.conv2d.weight_v": torch.ones(5)}), "have other shapes"),
        (lambda found: found.update({"further.bias": torch.ones(5)}), r"extra: further\.bias"),
    ],
)
def test_a_file_that_does_not_fit_says_why(tmp_path: Path, spoil: Spoil, message: str) -> None:
    found = published()
    spoil(found)
    torch.save(found, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=message):
        load_network(SparnetHD(SPARNET), tmp_path / "a.pth")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_method_works_from_each_published_file(tmp_path: Path, form: object) -> None:
    """At the published size, with synthetic weights."""
    checkpoint = next(known for known in FORMS if known is form)
    tensors: Tensors = {}
    for name, value in SparnetHD().state_dict().items():
        triple = name.endswith("conv2d.weight")
        tensors |= {f"{name}_orig": value, f"{name}_u": torch.rand(len(value))} if triple else {name: value}
        tensors |= {f"{name}_v": torch.rand(value[0].numel())} if triple else {}
    torch.save(tensors, tmp_path / checkpoint.name)
    assert recognise(tmp_path / checkpoint.name, [checkpoint]) is checkpoint
    built = METHOD.build({checkpoint.name: tmp_path / checkpoint.name}, METHOD.parameters(size=64), "cpu", "float32")
    assert torch.isfinite(built.restore(plain(1)).faces).all()
