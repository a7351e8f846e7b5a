"""DR2's U-Net: its definition, and the same for one face on the CPU."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import Checkpoint
from models.checkpoint_file import recognise
from models.load import CheckpointMismatch, load
from models.methods.dr2e import FORMS
from models.nets.adm_unet import AdmUNet, UNetShape, sinusoids
from models.nets.adm_unet_cpu import CpuUNet
from tests.golden.make_dr2e import FILE, UNET, outputs, unet

OTHER = UNetShape(width=32, multiples=(1, 2, 4), attention=2, head_width=32)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As workers have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def found() -> dict[str, np.ndarray]:
    return outputs()


@pytest.mark.parametrize("name", ["noise", "sharp", "clean"])
def test_networks_and_chain_compute_the_recorded_outputs(found: dict[str, np.ndarray], name: str) -> None:
    with np.load(FILE) as golden:
        assert np.linalg.norm(found[name] - golden[name]) / np.linalg.norm(golden[name]) < 1e-5


def test_the_published_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        network = AdmUNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 93_563_910
    assert len(network.state_dict()) == 362


@pytest.mark.parametrize("shape", [UNET, OTHER], ids=["four levels", "three levels"])
@pytest.mark.parametrize("side", [32, 64, 72])
def test_rows_on_the_cpu_give_what_the_definition_gives(shape: UNetShape, side: int) -> None:
    torch.manual_seed(3)
    network = AdmUNet(shape).eval().requires_grad_(False)
    images, steps = torch.randn(2, 3, side, side), torch.tensor([424, 10])
    expected, fast = network(images, steps), CpuUNet(network)
    assert (fast(images, steps) - expected).norm() / expected.norm() < 1e-5


def test_a_face_has_the_same_bytes_in_any_batch() -> None:
    fast, images, steps = CpuUNet(unet()), torch.randn(3, 3, 64, 64), torch.tensor([424, 10, 0])
    together = fast(images, steps)
    assert torch.equal(fast(images[[2, 0]], steps[[2, 0]]), together[[2, 0]])


def test_the_time_is_embedded_by_cosines_then_sines() -> None:
    found = sinusoids(torch.tensor([3]), 128)[0]
    assert float(found[0]) == pytest.approx(math.cos(3))
    assert float(found[64]) == pytest.approx(math.sin(3))
    assert float(found[1]) == pytest.approx(math.cos(3 * 10_000 ** (-1 / 64)), abs=1e-6)


def test_in_bfloat16_norms_stay_in_float32_and_the_result_comes_near() -> None:
    images, steps = torch.randn(1, 3, 64, 64), torch.tensor([424])
    expected = unet()(images, steps)
    lower = unet().compute_in(torch.bfloat16)
    assert lower.input_blocks[0][0].weight.dtype == torch.bfloat16  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]
    assert lower.time_embed[0].weight.dtype == torch.float32
    found = lower(images, steps)
    assert found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 0.05


def test_gradients_reach_every_weight() -> None:
    network = unet().requires_grad_(True).train()
    torch.autograd.backward(network(torch.randn(2, 3, 32, 32), torch.tensor([5, 900])).square().mean())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_published_file_is_loaded_whole_or_not_at_all(tmp_path: Path, form: Checkpoint) -> None:
    state = {name: value.clone() for name, value in unet().state_dict().items()}
    torch.save(state, tmp_path / form.name)
    loaded = load(AdmUNet(UNET), tmp_path / form.name).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    state["further.weight"] = state.pop("out.2.bias")
    torch.save(state, tmp_path / form.name)
    with pytest.raises(CheckpointMismatch, match=r"missing: out\.2\.bias; extra: further\.weight"):
        load(AdmUNet(UNET), tmp_path / form.name)


def test_both_published_files_are_known_by_their_tensors(tmp_path: Path) -> None:
    for form in FORMS:
        torch.save({name: torch.zeros(1).expand(shape) for name, shape in form.tensors.items()}, tmp_path / form.name)
        assert recognise(tmp_path / form.name, [form]) is form
        with torch.device("meta"):
            state = AdmUNet().state_dict()
        assert form.tensors.items() <= {name: tuple(value.shape) for name, value in state.items()}.items()
