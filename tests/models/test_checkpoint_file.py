"""Files are known by what is in them, and no file runs code."""

import hashlib
import os
import pickle
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import Checkpoint, Shapes
from models.checkpoint_file import CheckpointUnreadable, check_hash_start, hash_start, recognise, tensor_shapes

TENSORS = {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4), "step": torch.tensor(7)}
SHAPES: Shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "step": ()}


class Hostile:
    """A pickle that would run a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.witness), 0o700)


def checkpoint(name: str, sha256: str | None = None, tensors: Shapes | None = None) -> Checkpoint:
    return Checkpoint(name, None, "MIT", True, sha256=sha256, tensors=tensors or {})


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    torch.save(TENSORS, tmp_path / "plain.pth")
    return tmp_path / "plain.pth"


def test_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert tensor_shapes(tmp_path / "a.safetensors") == SHAPES


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weight=np.zeros((4, 3, 3, 3)), step=np.array(7))
    assert tensor_shapes(tmp_path / "a.npz") == {"weight": (4, 3, 3, 3), "step": ()}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".PTH"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_old_and_new(tmp_path: Path, suffix: str, zipped: bool) -> None:
    torch.save(TENSORS, tmp_path / f"a{suffix}", _use_new_zipfile_serialization=zipped)
    assert tensor_shapes(tmp_path / f"a{suffix}") == SHAPES


def zipped(folder: Path, *files: Path) -> Path:
    """A plain zip archive with these files."""
    with ZipFile(folder / "packed.zip", "w") as archive:
        for file in files:
            archive.write(file, f"folder/{file.name}")
    return folder / "packed.zip"


def test_a_plain_zip_with_one_torch_file(tmp_path: Path, plain: Path) -> None:
    assert tensor_shapes(zipped(tmp_path, plain)) == SHAPES


def test_a_zip_with_two_torch_files_is_no_checkpoint(tmp_path: Path, plain: Path) -> None:
    torch.save(TENSORS, tmp_path / "other.pt")
    with pytest.raises(CheckpointUnreadable, match=r"packed\.zip .* holds 2 files"):
        tensor_shapes(zipped(tmp_path, plain, tmp_path / "other.pt"))


def test_containers_become_prefixes_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    content = {"params_ema": TENSORS, "epoch": 3, "nested": {"state_dict": {"w": torch.zeros(2)}}}
    torch.save(content, tmp_path / "a.pth")
    expected = {f"params_ema.{name}": shape for name, shape in SHAPES.items()} | {"nested.state_dict.w": (2,)}
    assert tensor_shapes(tmp_path / "a.pth") == expected


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz", "a.zip", "a.onnx", "none"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_other_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointUnreadable, match=name):
        tensor_shapes(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnreadable, match=r"gone\.pth"):
        tensor_shapes(tmp_path / "gone.pth")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(CheckpointUnreadable, match="no tensors"):
        tensor_shapes(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, zipped: bool) -> None:
    witness = tmp_path / "ran"
    content = {"state_dict": Hostile(witness)}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(content))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(CheckpointUnreadable, match=name):
            tensor_shapes(tmp_path / name)
    assert not witness.exists()


def test_a_file_is_recognised_by_its_hash(plain: Path) -> None:
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    wanted = checkpoint("b.pth", sha256=digest)
    assert recognise(plain, [checkpoint("a.pth", sha256="0" * 64), wanted]) is wanted


def test_a_file_is_recognised_by_names_and_shapes_where_no_hash_is_known(plain: Path) -> None:
    other = checkpoint("a.pth", tensors={"conv.weight": (8, 3, 3, 3)})
    renamed = checkpoint("b.pth", tensors={"module.conv.weight": (4, 3, 3, 3)})
    wanted = checkpoint("c.pth", tensors={"conv.weight": (4, 3, 3, 3)})
    assert recognise(plain, [checkpoint("d.pth"), other, renamed, wanted]) is wanted


def test_another_hash_outweighs_fitting_tensors(plain: Path) -> None:
    assert recognise(plain, [checkpoint("a.pth", sha256="0" * 64, tensors=SHAPES)]) is None


def test_a_file_of_another_kind_is_recognised_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"graph")
    assert recognise(path, [checkpoint("a.pth", tensors=SHAPES)]) is None


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("retinaface_resnet50_2020-07-20-f168fae3c.zip", "f168fae3c"),
        ("resnet50-0676ba61.pth", "0676ba61"),
        ("model-20200720.pth", ""),
        ("v1.pth", ""),
        ("detection_Resnet50_Final.pth", ""),
    ],
)
def test_a_name_may_hold_the_start_of_the_hash(name: str, start: str) -> None:
    assert hash_start(name) == start


def test_a_hash_that_begins_otherwise_outweighs_fitting_tensors(tmp_path: Path, plain: Path) -> None:
    """Two published files with the same tensors in different containers are told apart so."""
    path = zipped(tmp_path, plain)
    start = hashlib.sha256(path.read_bytes()).hexdigest()
    other, wanted = (checkpoint(f"a-{begins}.zip", tensors=SHAPES) for begins in ("abc012345", start))
    assert recognise(path, [other, checkpoint("b.pth", sha256="0" * 64)]) is None
    assert recognise(path, [other, wanted]) is wanted


def test_a_zip_is_not_taken_for_the_file_in_it(tmp_path: Path, plain: Path) -> None:
    path, inner, whole = zipped(tmp_path, plain), checkpoint("a.pth", tensors=SHAPES), checkpoint("a.zip", None, SHAPES)
    assert recognise(path, [inner]) is None
    assert recognise(path, [inner, whole]) is whole
    assert recognise(plain, [whole, inner]) is inner


def test_a_file_must_begin_its_hash_as_its_name_says(plain: Path) -> None:
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    check_hash_start(plain, f"a-{digest}.pth")
    check_hash_start(plain, "says_nothing.pth")
    with pytest.raises(CheckpointUnreadable, match=r"plain\.pth .* but a-abc01234\.pth says abc01234"):
        check_hash_start(plain, "a-abc01234.pth")
