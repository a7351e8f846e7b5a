"""Checkpoints load strictly, from every container, or an error says what does not fit."""

import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.checkpoint_file import CheckpointUnreadable
from models.load import CheckpointMismatch, Tensors, fill, load, read_tensors, renamed


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def tensors() -> Tensors:
    torch.manual_seed(7)
    drawn = network().state_dict()
    return {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in drawn.items()}


def same(actual: nn.Module, expected: Tensors) -> bool:
    state = actual.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "old.pth", "a.safetensors", "a.npz", "a.zip", "a.ZIP"])
def test_a_network_gets_the_tensors_of_any_kind_of_file(tmp_path: Path, tensors: Tensors, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **{key: value.numpy() for key, value in tensors.items()})
    elif path.suffix.lower() == ".zip":
        torch.save(tensors, tmp_path / "inner.pth")
        with ZipFile(path, "w") as archive:
            archive.write(tmp_path / "inner.pth", "folder/inner.pth")
            archive.writestr("LICENSE", "MIT")
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization="old" not in name)
    loaded = load(network(), path)
    assert same(loaded, tensors)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_container_is_opened_by_its_name(tmp_path: Path, tensors: Tensors) -> None:
    torch.save({"params": {}, "state": {"params_ema": tensors}, "epoch": 3}, tmp_path / "a.pth")
    assert same(load(network(), tmp_path / "a.pth", container="state.params_ema"), tensors)
    with pytest.raises(CheckpointUnreadable, match=r"has no state\.params, but params_ema"):
        read_tensors(tmp_path / "a.pth", "state.params")
    with pytest.raises(CheckpointUnreadable, match="not all of it are tensors: params, state, epoch"):
        read_tensors(tmp_path / "a.pth")


def test_a_prefix_is_cut_where_it_stands(tmp_path: Path, tensors: Tensors) -> None:
    torch.save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "a.pth")
    assert same(load(network(), tmp_path / "a.pth", renames={"module.": ""}), tensors)
    assert renamed(tensors, {"module.": ""}) == tensors


def test_the_first_start_that_fits_is_replaced_and_no_other() -> None:
    one = torch.zeros(1)
    names = {"net.a.w": one, "net.b": one, "other.net.a.w": one}
    assert list(renamed(names, {"net.a.": "x.", "net.": "y."})) == ["x.w", "y.b", "other.net.a.w"]


def test_two_tensors_of_one_name_are_refused() -> None:
    one = torch.zeros(1)
    with pytest.raises(CheckpointMismatch, match="w comes twice"):
        renamed({"module.w": one, "w": one}, {"module.": ""})


def test_what_does_not_fit_is_listed_and_nothing_is_changed(tensors: Tensors) -> None:
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    wrong = tensors | {"0.weight": torch.zeros(4, 3, 1, 1), "2.weight": torch.zeros(1)}
    del wrong["1.running_var"]
    with pytest.raises(CheckpointMismatch) as caught:
        fill(target, wrong, "wrong.pth")
    assert str(caught.value) == (
        "wrong.pth does not fit Sequential; missing: 1.running_var; extra: 2.weight; "
        "of another shape: 0.weight (4, 3, 1, 1) for (4, 3, 3, 3)"
    )
    assert same(target, before)


def test_a_long_list_is_cut_short_and_counted() -> None:
    with pytest.raises(CheckpointMismatch, match=r"extra: t0, t1, t10, .*t15 and 12 more$"):
        fill(nn.Sequential(), {f"t{index}": torch.zeros(1) for index in range(20)}, "x")


@pytest.mark.parametrize("inside", [[], ["a.pth", "b.pth"], ["readme.txt"]])
def test_a_zip_must_hold_one_checkpoint(tmp_path: Path, inside: list[str]) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in inside:
            archive.writestr(name, b"x")
    with pytest.raises(CheckpointUnreadable, match=r"a\.zip .* not one"):
        read_tensors(tmp_path / "a.zip")


class Hostile:
    """A pickle that would run a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("name", ["a.pth", "a.zip"])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, name: str) -> None:
    torch.save({"w": Hostile(tmp_path / "ran")}, tmp_path / "a.pth")
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.pth", "a.pth")
    with pytest.raises(CheckpointUnreadable, match=name):
        read_tensors(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz", "a.zip", "a.onnx", "none"])
def test_a_damaged_or_unknown_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointUnreadable, match=name):
        read_tensors(tmp_path / name)


def test_a_file_without_a_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "b.pth")
    with pytest.raises(CheckpointUnreadable, match="no dictionary"):
        read_tensors(tmp_path / "b.pth")
