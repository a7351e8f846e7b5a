"""Face restorers through spandrel: strict loading, the faces' own noise, and arguments that reach the network."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from spandrel.architectures.RestoreFormer import RestoreFormer
from torch import nn

from models.load import CheckpointMismatch
from models.method import Faces, MethodSpec, all_methods
from models.methods import codeformer, gfpgan, restoreformer
from models.methods.codeformer import CodeFormerParameters, as_network
from models.methods.gfpgan import SeededGfpgan
from models.signed_restorer import SignedRestorer
from models.spandrel_method import CORE, NON_COMMERCIAL, load_architecture
from models.upscaler import MissingPackage

METHODS = (gfpgan.METHOD, restoreformer.METHOD, codeformer.METHOD)


def crops(count: int, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def identity(spec: MethodSpec) -> str:
    return spec.name


@pytest.fixture(scope="module")
def small() -> RestoreFormer:
    """A network of the published kind that is quick."""
    torch.manual_seed(4)
    return RestoreFormer(n_embed=64, embed_dim=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=64)


@pytest.fixture
def file(small: RestoreFormer, tmp_path: Path) -> Path:
    torch.save({"state_dict": small.state_dict()}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


@pytest.mark.parametrize("spec", METHODS, ids=identity)
def test_methods_are_listed_and_say_which_extra_they_need(spec: MethodSpec) -> None:
    assert all_methods()[spec.name] is spec
    assert spec.extra is (NON_COMMERCIAL if spec.name == "codeformer" else CORE)


@pytest.mark.parametrize("extra", [CORE, NON_COMMERCIAL], ids=["core", "non-commercial"])
def test_without_the_package_one_line_says_what_to_install(
    extra: object, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"spandrel": CORE, "spandrel_extra_arches": NON_COMMERCIAL}
    [(module, wanted)] = [(name, one) for name, one in known.items() if one is extra]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=rf"needs the package {module}: pip install 'daguerre\[{wanted.name}\]'$"):
        load_architecture(file, "RestoreFormer", wanted, restoreformer.CONTAINERS)


def test_a_file_of_the_architecture_loads_as_it_is(small: RestoreFormer, file: Path) -> None:
    network = load_architecture(file, "RestoreFormer", CORE, restoreformer.CONTAINERS)
    expected = small.state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def without(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["post_quant_conv.bias"]


def with_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["decoder.more"] = torch.zeros(1)


def of_another_kind(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["quantize.embedding.weight"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without, r'Missing key\(s\) in state_dict: "post_quant_conv\.bias"'),
        (with_more, r'Unexpected key\(s\) in state_dict: "decoder\.more"'),
        (of_another_kind, "holds no RestoreFormer"),
    ],
)
def test_other_tensors_are_refused_by_name(
    damage: Callable[[dict[str, torch.Tensor]], None], message: str, small: RestoreFormer, tmp_path: Path
) -> None:
    tensors = dict(small.state_dict())
    damage(tensors)
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=message):
        load_architecture(tmp_path / "a.pth", "RestoreFormer", CORE, restoreformer.CONTAINERS)


def test_a_face_has_the_same_bytes_in_any_batch(file: Path) -> None:
    network = load_architecture(file, "RestoreFormer", CORE, restoreformer.CONTAINERS)
    restorer = SignedRestorer(lambda faces, _: network(faces)[0], 64, "cpu", "float32")
    together = restorer.restore(Faces.plain(crops(3), [1, 2, 3])).faces
    for order in ([2], [1, 0]):
        assert torch.equal(restorer.restore(Faces.plain(crops(3)[order], order)).faces, together[order])
    assert not torch.equal(together[0], together[1])


class Noises(nn.Module):
    """The part of a generator that holds its noise, as GFPGAN has it, and an output that is this noise."""

    def __init__(self) -> None:
        super().__init__()
        self.stylegan_decoder = nn.Module()
        self.stylegan_decoder.noises = nn.Module()
        for index, side in enumerate((4, 8)):
            self.stylegan_decoder.noises.register_buffer(f"noise{index}", torch.zeros(1, 1, side, side))

    def forward(self, faces: torch.Tensor, return_rgb: bool, randomize_noise: bool) -> tuple[torch.Tensor, None]:
        assert not return_rgb
        assert not randomize_noise
        found = self.stylegan_decoder.get_submodule("noises").get_buffer("noise1")
        return faces * 0 + found / 10, None


def test_gfpgans_noise_comes_from_each_faces_own_seed() -> None:
    network = SeededGfpgan(Noises())
    batch = Faces.plain(crops(2, 8), [7, 8])
    together = network(batch.crops, batch)
    apart = [network(one.crops, one) for one in batch.split(1)]
    assert torch.equal(together, torch.cat(apart))
    assert not torch.equal(together[0], together[1])
    assert 0.5 < float(together.std()) * 10 < 1.5


def test_gfpgans_version_chooses_the_file() -> None:
    names = [gfpgan.METHOD.checkpoints_for(gfpgan.GfpganParameters(version=one))[0].name for one in gfpgan.FILES]
    assert names == ["GFPGANv1.4.pth", "GFPGANv1.3.pth", "GFPGANCleanv1-NoCE-C2.pth"]


class Weighed(nn.Module):
    """Gives what CodeFormer's argument says."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, float]] = []

    def forward(self, faces: torch.Tensor, weight: float = 0.5) -> tuple[torch.Tensor, None]:
        self.calls.append((len(faces), weight))
        return torch.full_like(faces, 2 * weight - 1), None


def test_w_reaches_the_network_and_a_rule_sets_that_of_a_face() -> None:
    network = Weighed()
    restorer = SignedRestorer(as_network(network, 0.75), 64, "cpu", "float32")
    faces = replace(Faces.plain(crops(3), [1, 2, 3]), settings=[{}, {"w": 0.0}, {"w": 1}])
    assert restorer.restore(faces).faces.flatten(1).mean(1).tolist() == [0.75, 0.0, 1.0]
    assert network.calls == [(1, 0.75), (1, 0.0), (1, 1.0)]
    assert codeformer.METHOD.per_face == {"w"}


def test_faces_with_one_w_go_through_together_where_batches_do() -> None:
    network = Weighed()
    batch = Faces.plain(crops(3), [1, 2, 3])
    as_network(network, 0.25)(batch.crops, batch)
    as_network(network, 0.25)(batch.crops, replace(batch, settings=[{}, {"w": 1.0}, {}]))
    assert network.calls == [(3, 0.25), (1, 0.25), (1, 1.0), (1, 0.25)]


def test_the_packages_network_takes_w_under_that_name() -> None:
    arches = pytest.importorskip("spandrel_extra_arches.architectures.CodeFormer", reason="daguerre[codeformer]")
    assert inspect.signature(arches.CodeFormer.forward).parameters["weight"].default == 0.5


@pytest.mark.slow
def test_w_changes_what_codeformer_makes(tmp_path: Path) -> None:
    """The network itself, at its size, through the method; and the range is not cut to [0, 1] before it is mapped."""
    arches = pytest.importorskip("spandrel_extra_arches.architectures.CodeFormer", reason="daguerre[codeformer]")
    torch.manual_seed(5)
    published = arches.CodeFormer().eval()
    for blend in published.fuse_convs_dict.values():
        nn.init.normal_(blend.scale[-1].weight, std=0.1)
    torch.save({"params_ema": published.state_dict()}, tmp_path / "codeformer.pth")
    weights, faces = {"codeformer.pth": tmp_path / "codeformer.pth"}, Faces.plain(crops(1, 512), [1])
    for w in (0.0, 1.0):
        restorer = codeformer.METHOD.build(weights, CodeFormerParameters(w=w), "cpu", "float32")
        with torch.inference_mode():
            expected = (published(2 * faces.crops - 1, weight=w)[0] / 2 + 0.5).clamp(0, 1)
            other = (published(2 * faces.crops - 1, weight=1 - w)[0] / 2 + 0.5).clamp(0, 1)
        restored = restorer.restore(faces).faces
        torch.testing.assert_close(restored, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(restored, other, atol=1e-3)
