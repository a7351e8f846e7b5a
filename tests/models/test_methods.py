"""What every method in the registry promises, with or without published weights."""

import hashlib
from pathlib import Path

import pytest
import torch

from models import methods
from models.method import Faces, MethodSpec, Restorer, all_methods

FOLDER = Path(methods.__path__[0])
SIDE = 64
READY = [spec for spec in all_methods().values() if all(file.packaged for file in spec.checkpoints)]


def identity(spec: MethodSpec) -> str:
    return spec.name


def build(spec: MethodSpec) -> Restorer:
    weights = {file.name: file.place for file in spec.checkpoints if file.place}
    return spec.build(weights, spec.parameters.model_validate({"size": SIDE}), "cpu", "float32")


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """Four different crops (4, 3, 64, 64): smooth shapes under a grain."""
    generator = torch.Generator().manual_seed(1839)
    shapes = torch.rand(4, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(shapes, (SIDE, SIDE), mode="bicubic", align_corners=True)
    return (smooth + 0.04 * torch.randn(4, 3, SIDE, SIDE, generator=generator)).clamp(0, 1)


def test_every_method_is_named_after_its_file() -> None:
    assert sorted(all_methods()) == sorted(file.stem.replace("_", "-") for file in FOLDER.glob("[!_]*.py"))


def test_two_methods_need_no_download() -> None:
    assert {spec.name for spec in READY} == {"classic", "daguerre-s"}


def test_packaged_weights_are_here_as_declared_and_small() -> None:
    files = [file for spec in READY for file in spec.checkpoints]
    for file in files:
        assert file.place is not None
        content = file.place.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    assert sum(file.size or 0 for file in files) < 12_000_000


@pytest.mark.parametrize("spec", all_methods().values(), ids=identity)
def test_a_method_says_where_it_comes_from(spec: MethodSpec) -> None:
    assert spec.summary
    assert spec.paper
    assert spec.code
    assert spec.licence


@pytest.mark.parametrize("spec", READY, ids=identity)
def test_shape_type_and_range_stay(spec: MethodSpec, faces: torch.Tensor) -> None:
    before = faces.clone()
    restored = build(spec).restore(Faces.plain(faces, [1, 2, 3, 4])).faces
    assert restored.shape == faces.shape
    assert restored.dtype == torch.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert torch.equal(faces, before)


@pytest.mark.parametrize("spec", READY, ids=identity)
@pytest.mark.parametrize("order", [[0], [3, 2, 1, 0], [2, 0], [1, 1, 3]])
def test_a_face_has_the_same_bytes_in_any_batch(spec: MethodSpec, faces: torch.Tensor, order: list[int]) -> None:
    seeds = [11, 12, 13, 14]
    together = build(spec).restore(Faces.plain(faces, seeds)).faces
    apart = build(spec).restore(Faces.plain(faces[order], [seeds[index] for index in order])).faces
    assert torch.equal(apart, together[order])
