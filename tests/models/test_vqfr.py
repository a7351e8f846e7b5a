"""VQFR: the published files, the arithmetic of the originals, and what the fidelity ratio does."""

import hashlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.checkpoint import Dtype
from models.checkpoint_file import recognise
from models.load import CheckpointMismatch
from models.method import Faces
from models.methods.vqfr import METHOD, WEIGHTS, Version, VqfrParameters, as_network, load_network
from models.nets.vqfr_v1 import VQFRv1
from models.nets.vqfr_v2 import VQFRv2
from models.signed_restorer import SignedRestorer
from tests.golden.make_vqfr import FIDELITY, FILE, SMALL, filled

TENSORS: dict[Version, str] = {
    "v1": "b5c68865713bd1e1ac32165a5fffa9c44727c7c020088d85732dd66b155b5b71",
    "v2": "c1d5f4cad9a18a623fecf260ae893f2784efa6f4c8ef96aa7af528f36ac60371",
}
VERSIONS: tuple[Version, ...] = ("v1", "v2")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def v2() -> VQFRv2:
    return filled(VQFRv2(SMALL))


def crops(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def hollow(version: Version) -> dict[str, torch.Tensor]:
    """Tensors of the published names and shapes that take no room."""
    with torch.device("meta"):
        network = VQFRv1() if version == "v1" else VQFRv2()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_names_and_shapes_of_the_tensors_are_the_originals(version: Version) -> None:
    """The digests are those of the kit's manifest, which was taken from the original networks."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in hollow(version).items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == TENSORS[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_networks_compute_the_recorded_outputs(version: Version, v2: VQFRv2) -> None:
    with np.load(FILE) as golden:
        faces, expected = torch.from_numpy(golden["input"]), golden[version]
    found = (filled(VQFRv1(SMALL))(faces) if version == "v1" else v2(faces, FIDELITY)).numpy()
    assert np.linalg.norm(found - expected) < 2e-5 * np.linalg.norm(expected)


def test_version_2_is_known_by_its_tensors(tmp_path: Path) -> None:
    torch.save({"params_ema": hollow("v2")}, tmp_path / "a.pth")
    assert recognise(tmp_path / "a.pth", METHOD.checkpoints) is WEIGHTS["v2"]


def test_version_1_is_not_taken_for_a_file_with_another_hash_than_its_name_says(tmp_path: Path) -> None:
    torch.save({"params_ema": hollow("v1")}, tmp_path / "a.pth")
    assert recognise(tmp_path / "a.pth", METHOD.checkpoints) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_chooses_the_file(version: Version) -> None:
    assert METHOD.checkpoints_for(VqfrParameters(version=version)) == (WEIGHTS[version],)


def test_version_1_has_no_fidelity_ratio() -> None:
    with pytest.raises(ValidationError, match="version v1 has no fidelity_ratio"):
        VqfrParameters(version="v1", fidelity_ratio=0.5)
    assert VqfrParameters(version="v2", fidelity_ratio=0.5).fidelity_ratio == 0.5


def test_averaged_weights_go_before_others(tmp_path: Path) -> None:
    extra = {"params_ema": hollow("v2") | {"ema.bias": torch.zeros(1)}, "params": hollow("v2")}
    torch.save(extra, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=r"extra: ema\.bias$"):
        load_network(tmp_path / "a.pth", "v2")
    torch.save({"params": hollow("v2") | {"plain.bias": torch.zeros(1)}}, tmp_path / "b.pth")
    with pytest.raises(CheckpointMismatch, match=r"extra: plain\.bias$"):
        load_network(tmp_path / "b.pth", "v2")


def test_the_other_versions_file_is_refused(tmp_path: Path) -> None:
    torch.save({"params_ema": hollow("v1")}, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=r"VQFRv2; missing: .*; extra: .*; of another shape: "):
        load_network(tmp_path / "a.pth", "v2")


def test_without_fidelity_the_other_branch_does_not_run(v2: VQFRv2) -> None:
    ran: list[str] = []
    handle = v2.inpfeat_extraction.register_forward_hook(lambda *_: ran.append("inputs"))
    faces = 2 * crops(1) - 1
    texture = v2(faces, [0.0])
    assert not ran
    almost = v2(faces, [1e-6])
    handle.remove()
    assert ran == ["inputs"]
    torch.testing.assert_close(almost, texture, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(v2(faces, [1.0]), texture, rtol=1e-2)


def test_a_rule_sets_the_fidelity_of_a_face(v2: VQFRv2) -> None:
    restorer = SignedRestorer(as_network(v2, 0.25), 32, "cpu", "float32")
    faces = replace(Faces.plain(crops(2), [1, 2]), settings=[{}, {"fidelity_ratio": 1.0}])
    restored = restorer.restore(faces).faces
    expected = (v2(2 * crops(2) - 1, FIDELITY) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(restored, expected, rtol=1e-4, atol=1e-5)
    assert METHOD.per_face == {"fidelity_ratio"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_face_has_the_same_bytes_in_any_batch(version: Version, v2: VQFRv2) -> None:
    network = filled(VQFRv1(SMALL)) if version == "v1" else v2
    restorer = SignedRestorer(as_network(network, 0.5), 32, "cpu", "float32")
    together = restorer.restore(Faces.plain(crops(4), range(4))).faces
    for order in ([3], [2, 0], [1, 1, 3]):
        assert torch.equal(restorer.restore(Faces.plain(crops(4)[order], order)).faces, together[order])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_comes_close(version: Version, dtype: Dtype, limit: float, v2: VQFRv2) -> None:
    """A code that is chosen otherwise changes a whole face, so the median over several tells."""
    network = as_network(filled(VQFRv1(SMALL)) if version == "v1" else v2, 0.5)
    faces = Faces.plain(crops(4), range(4))
    exact, mixed = (SignedRestorer(network, 32, "cpu", one).restore(faces).faces for one in ("float32", dtype))
    assert 0 < float((mixed - exact).abs().flatten(1).mean(1).median()) < limit
