"""SGPN: the published files, the arithmetic of the original, and the way of a crop through the method."""

import hashlib
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.checkpoint import Checkpoint
from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.load import CheckpointMismatch, Tensors
from models.method import Faces
from models.methods.sgpn import (
    FINETUNED,
    KEEP,
    LICENCE,
    METHOD,
    NETWORK,
    PUBLIC,
    TEMPLATE,
    Sgpn,
    SgpnParameters,
    filled,
    usable,
)
from models.nets.face_model import COEFFICIENTS
from models.nets.face_reconstruction import FaceReconstruction
from models.nets.face_reconstruction_warp import LANDMARKS, matrices, placed, warped
from models.nets.sgpn import SGPN
from stages.geometry import similarity, template
from tests.golden.make_sgpn import FILE, SMALL, WIDTH, outputs, parts, synthetic

DIGESTS = {  # of the kit's manifest, which was taken from the original networks
    "d3dfr": "58c4af6701c4325dd7556346f599bc19f3d4631df565ecb7373af9b181ea2428",
    "sgpn": "e1436badc3dd9df065aa8d549a2763b6c9670d1b1d73c2eee3b09d51a9ccc469",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sgpn() -> Sgpn:
    """With small networks: every kind of layer at every side."""
    return Sgpn(parts(), "cpu", "float32")


def faces_of(count: int) -> Faces:
    """Different crops: smooth shapes under a grain, with landmarks of their own."""
    generator = torch.Generator().manual_seed(1839)
    shapes = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = functional.interpolate(shapes, (512, 512), mode="bicubic", align_corners=True)
    crops = (smooth + 0.04 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    moves = 6 * torch.randn(count, 5, 2, generator=generator)
    faces = Faces.plain(crops, list(range(count)), frozenset({KEEP}))
    return replace(faces, landmarks=torch.from_numpy(TEMPLATE).float() + moves)


def test_the_chain_computes_the_recorded_outputs() -> None:
    with np.load(FILE) as golden:
        found = outputs(golden["input"])
        for name, value in found.items():
            assert np.linalg.norm(value - golden[name]) / np.linalg.norm(golden[name]) < 2e-5, name


@pytest.mark.parametrize(("name", "make"), [("d3dfr", FaceReconstruction), ("sgpn", SGPN)])
def test_names_and_shapes_of_the_tensors_are_the_originals(name: str, make: Callable[[], nn.Module]) -> None:
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in make().state_dict().items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == DIGESTS[name]


def saved(network: nn.Module, path: Path, container: str = "", prefix: str = "") -> Path:
    """All zeros, which take no room, under the published names."""
    state = network.state_dict()
    tensors = {prefix + name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in state.items()}
    torch.save({container: tensors, "epoch": 20} if container else tensors, path)
    return path


@pytest.mark.parametrize(
    ("make", "checkpoint", "container"),
    [
        (SGPN, NETWORK, ""),
        (FaceReconstruction, FINETUNED, ""),
        (FaceReconstruction, PUBLIC[0], ""),
        (FaceReconstruction, PUBLIC[1], "net_recon"),
    ],
)
def test_each_published_file_is_known(
    make: Callable[[], nn.Module], checkpoint: Checkpoint, container: str, tmp_path: Path
) -> None:
    path = saved(make(), tmp_path / checkpoint.name, container)
    assert checkpoint.tensors.items() <= tensor_shapes(path).items()
    assert recognise(path, METHOD.checkpoints) is checkpoint


@pytest.mark.parametrize("container", ["", "net_recon", "state_dict", "params"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_tensors_load_nested_or_bare_with_or_without_a_prefix(container: str, prefix: str, tmp_path: Path) -> None:
    network = FaceReconstruction(WIDTH)
    tensors = {prefix + name: tensor for name, tensor in synthetic(network).items()}
    torch.save({container: tensors} if container else tensors, tmp_path / "a.pth")
    state = filled(network, tmp_path / "a.pth").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in synthetic(network).items())


def test_tensors_load_from_safetensors(tmp_path: Path) -> None:
    tensors = synthetic(SGPN(SMALL))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "a.safetensors")
    state = filled(SGPN(SMALL), tmp_path / "a.safetensors").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())


def without(tensors: Tensors) -> None:
    del tensors["netG.convs.3.noise.weight"]


def with_discriminator(tensors: Tensors) -> None:
    tensors["netD.final_conv.0.weight"] = torch.zeros(1)


def another_width(tensors: Tensors) -> None:
    tensors["netG.conv1.activate.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without, r"missing: netG\.convs\.3\.noise\.weight$"),
        (with_discriminator, r"extra: netD\.final_conv\.0\.weight$"),
        (another_width, r"of another shape: netG\.conv1\.activate\.bias \(3,\) for \(16,\)$"),
    ],
)
def test_another_set_of_tensors_is_refused_by_name(
    damage: Callable[[Tensors], None], message: str, tmp_path: Path
) -> None:
    tensors = synthetic(SGPN(SMALL))
    damage(tensors)
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=message):
        filled(SGPN(SMALL), tmp_path / "a.pth")


def test_a_detector_that_is_a_program_is_refused(tmp_path: Path) -> None:
    """SGPN's yoloface_v5m.pt is TorchScript: an archive with code in it."""
    with ZipFile(tmp_path / "yoloface_v5m.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__/Model.py"):
            archive.writestr(f"yoloface_v5m/{name}", "")
    with pytest.raises(CheckpointUnreadable, match=r"yoloface_v5m\.pt .* it is a TorchScript program"):
        recognise(tmp_path / "yoloface_v5m.pt", METHOD.checkpoints)


def test_the_reconstruction_is_chosen_by_a_parameter() -> None:
    tuned = {file.name for file in METHOD.checkpoints_for(SgpnParameters())}
    public = {file.name for file in METHOD.checkpoints_for(SgpnParameters(reconstruction="public"))}
    assert tuned - public == {FINETUNED.name}
    assert public - tuned == {file.name for file in PUBLIC}
    assert {"sgpn.pth", "BFM09_model_info.mat", "BFM_model_front.mat"} <= tuned & public
    assert METHOD.commercial is False
    assert LICENCE in METHOD.licence


def test_shape_type_and_range_stay_and_the_crops_are_not_touched(sgpn: Sgpn) -> None:
    faces = faces_of(1)
    before = faces.crops.clone()
    restored = sgpn.restore(faces)
    assert restored.faces.shape == restored.kept[KEEP].shape == faces.crops.shape
    assert restored.faces.dtype == torch.float32
    for pictures in (restored.faces, restored.kept[KEEP]):
        assert 0 <= pictures.min() < pictures.max() <= 1
    assert torch.equal(faces.crops, before)
    assert restored.figures[0].keys() == {"pitch", "yaw", "roll", "landmarks"}


def test_a_face_has_the_same_bytes_in_any_batch(sgpn: Sgpn) -> None:
    """Also in a batch of exactly three, which the original gets wrong."""
    faces = faces_of(8)
    together = sgpn.restore(faces)
    for which in (slice(5, 6), slice(0, 3), slice(2, 7)):
        apart = sgpn.restore(faces.part(which))
        assert torch.equal(apart.faces, together.faces[which])
        assert torch.equal(apart.kept[KEEP], together.kept[KEEP][which])
        assert apart.figures == together.figures[which]
    assert not torch.equal(together.faces[0], together.faces[1])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_whole_batch_at_once_differs_by_rounding_alone(count: int, sgpn: Sgpn) -> None:
    """As on a GPU."""
    faces = faces_of(count)
    crops, points = 2 * faces.crops - 1, faces.landmarks.double().numpy()
    with torch.inference_mode():
        together = sgpn.faces(crops, sgpn.shapes(crops, points))
    apart = 2 * sgpn.restore(faces).faces - 1
    assert (together - apart).norm() / apart.norm() < 1e-5


def test_without_landmarks_the_templates_are_taken(sgpn: Sgpn) -> None:
    faces = faces_of(1)
    none = sgpn.restore(replace(faces, landmarks=torch.full((1, 5, 2), torch.nan)))
    one_place = sgpn.restore(replace(faces, landmarks=torch.full((1, 5, 2), 7.0)))
    said = sgpn.restore(replace(faces, landmarks=torch.from_numpy(TEMPLATE)[None]))
    assert torch.equal(none.faces, said.faces)
    assert torch.equal(one_place.faces, said.faces)
    assert not torch.equal(sgpn.restore(faces).faces, said.faces)
    assert [found.figures[0]["landmarks"] for found in (none, one_place, said)] == [0, 0, 1]


def test_some_faces_may_have_landmarks_and_others_none() -> None:
    points = np.stack([TEMPLATE + 3, np.full((5, 2), np.nan)])
    found, given = usable(points)
    assert given == [True, False]
    np.testing.assert_array_equal(found, [TEMPLATE + 3, TEMPLATE])


def test_a_face_that_is_not_finite_stays_so_and_leaves_the_others_alone(sgpn: Sgpn) -> None:
    faces = faces_of(2)
    broken = faces.crops.clone()
    broken[0, :, 250, 250] = torch.nan
    restored = sgpn.restore(replace(faces, crops=broken))
    assert not restored.faces[0].isfinite().all()
    assert torch.equal(restored.faces[1], sgpn.restore(faces.part(slice(1, 2))).faces[0])


def test_no_faces_give_none(sgpn: Sgpn) -> None:
    assert sgpn.restore(faces_of(1).part(slice(0, 0))).faces.shape == (0, 3, 512, 512)


def test_what_nobody_asked_for_is_not_kept(sgpn: Sgpn) -> None:
    assert not sgpn.restore(replace(faces_of(1), keep=frozenset())).kept


def test_bfloat16_keeps_type_and_comes_near(sgpn: Sgpn) -> None:
    half, whole = Sgpn(parts(), "cpu", "bfloat16").restore(faces_of(1)), sgpn.restore(faces_of(1))
    assert half.faces.dtype == torch.float32
    assert 0 < (half.faces - whole.faces).square().mean().sqrt() < 0.05


def test_the_landmarks_go_where_a_similarity_takes_them_and_back() -> None:
    points = TEMPLATE + np.random.default_rng(2).normal(0, 8, (5, 2))
    there, back = matrices(points)
    np.testing.assert_allclose(points @ there[:, :2].T + there[:, 2], placed(points), atol=1e-9)
    np.testing.assert_allclose(similarity(points, placed(points)), there, atol=1e-9)
    np.testing.assert_allclose(similarity(placed(points), points), back, atol=1e-9)


def test_a_head_seen_from_the_front_comes_to_the_middle_of_the_picture_in_its_size() -> None:
    flat = LANDMARKS[:, :2] * [250, -250] + [300, 280]
    found = placed(flat)
    size = np.ptp(found[:, 1]) / np.ptp(LANDMARKS[:, 1])
    assert abs(size - 102) < 1
    np.testing.assert_allclose(found, LANDMARKS[:, :2] * [size, -size] + [112, 112], atol=1.5)


def test_a_warp_moves_pixels_and_is_zero_outside() -> None:
    image = torch.rand(1, 2, 6, 8, generator=torch.Generator().manual_seed(1))
    matrix = torch.tensor([[[1.0, 0, 2], [0, 1, -1]]])
    moved = warped(image, matrix, 7)[0]
    torch.testing.assert_close(moved[:, :5, 2:], image[0, :, 1:, :5])
    assert max(moved[:, :, :2].max(), moved[:, 5:].max()) < 1e-6
    half = warped(image, torch.tensor([[[2.0, 0, 0], [0, 2.0, 0]]]), 10)[0]
    torch.testing.assert_close(half[:, 2, 1], (image[0, :, 1, 0] + image[0, :, 1, 1]) / 2)


def test_the_templates_landmarks_are_those_of_the_crops_template() -> None:
    np.testing.assert_allclose(template("arcface", 512), TEMPLATE, atol=1e-6)


def test_the_latent_is_as_wide_as_published() -> None:
    assert SGPN().netG.mlp.get_submodule("1").get_parameter("weight").shape == (512, 2 * 256 + COEFFICIENTS)
