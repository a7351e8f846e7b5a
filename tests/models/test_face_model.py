"""The morphable face: its file in the forms that are about, how it is made, and the shape, light and pose of faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.face_model_file import BASEL, FACE_MODELS, FaceModelUnusable, face_arrays, read_face_model
from models.face_model_make import SOURCES, make_face_model
from models.nets.face_model import COEFFICIENTS, FaceModel, parted, rotation
from models.nets.face_model_picture import SIDE, Picture, in_crop, landmarks, picture
from pipeline import cli
from pipeline.exits import OK, OPERATOR
from tests.golden.make_sgpn import ball

Array = NDArray[Any]
Arrays = dict[str, Array]
WHOLE, BASEL_COUNT, COMPONENTS = 420, 400, 199  # vertices with and without those that are cut off, and of bases


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return ball()


@pytest.fixture(scope="module")
def model(arrays: Arrays) -> FaceModel:
    return FaceModel(face_arrays(arrays, "the ball"))


def coefficients(count: int) -> torch.Tensor:
    """Different faces in different poses and lights, all in view."""
    drawn = 0.5 * torch.randn(count, COEFFICIENTS, generator=torch.Generator().manual_seed(5))
    drawn[:, 254:] *= 0.3
    return drawn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_in_either_precision(dtype: type, packed: bool, arrays: Arrays, tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {k: v.astype(dtype) for k, v in arrays.items()}, do_compression=packed)
    found = read_face_model(tmp_path / "a.mat")
    assert found.mean_shape.dtype == found.shape_basis.dtype == torch.float32
    np.testing.assert_array_equal(found.shape_basis[:, 80:], arrays["exBase"])
    np.testing.assert_array_equal(found.triangles, arrays["tri"] - 1)
    assert found.around.max() == len(arrays["tri"])
    assert tensor_shapes(tmp_path / "a.mat")["idBase"] == arrays["idBase"].shape


def without_texture(arrays: Arrays) -> None:
    del arrays["texBase"]


def of_another_mesh(arrays: Arrays) -> None:
    arrays["exBase"] = arrays["exBase"][:-3]


def from_zero(arrays: Arrays) -> None:
    arrays["tri"] = arrays["tri"] - 1


def beyond_the_last(arrays: Arrays) -> None:
    arrays["point_buf"] = arrays["point_buf"] + 1


def between_two(arrays: Arrays) -> None:
    arrays["keypoints"] = arrays["keypoints"] + np.float32(0.5)


def not_finite(arrays: Arrays) -> None:
    arrays["meantex"] = arrays["meantex"] * np.float32(np.nan)


def a_word(arrays: Arrays) -> None:
    arrays["tri"] = np.array(["none"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_texture, "it has no texBase"),
        (of_another_mesh, r"exBase is \(861, 64\) for \(864, 64\)"),
        (from_zero, "tri must hold whole numbers from 1 to 288"),
        (beyond_the_last, "point_buf must hold whole numbers from 1 to 529"),
        (between_two, "keypoints must hold whole numbers"),
        (not_finite, "meantex has values that are not finite"),
        (a_word, "tri holds no numbers"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    damage: Callable[[Arrays], None], message: str, arrays: Arrays, tmp_path: Path
) -> None:
    damaged = dict(arrays)
    damage(damaged)
    savemat(tmp_path / "a.mat", damaged)
    with pytest.raises(FaceModelUnusable, match=message):
        read_face_model(tmp_path / "a.mat")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    with pytest.raises(CheckpointUnreadable, match=r"a\.mat cannot be read"):
        read_face_model(tmp_path / "a.mat")


@pytest.mark.parametrize("file", FACE_MODELS)
def test_both_known_files_are_known_by_name_and_shapes(file: Any, tmp_path: Path) -> None:
    savemat(tmp_path / file.name, {key: np.zeros(shape, np.uint8) for key, shape in BASEL.items()}, do_compression=True)
    assert recognise(tmp_path / file.name, FACE_MODELS) is file


def publishers_files(folder: Path) -> Arrays:
    """What a user gets from three places, for a small mesh, and the facts that are copied from one of them."""
    random, count = np.random.default_rng(3), len(ball()["point_buf"])
    trimmed = random.permutation(WHOLE)[:count].reshape(-1, 1) + 1
    expression = random.integers(1, BASEL_COUNT, (WHOLE, 1))
    basel = {
        f"{kind}{part}": random.normal(size=shape).astype(np.float32)
        for kind in ("shape", "tex")
        for part, shape in SIZES
    }
    savemat(folder / "01_MorphableModel.mat", basel)
    savemat(folder / "BFM_front_idx.mat", {"idx": trimmed})
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": expression})
    savemat(
        folder / "facemodel_info.mat",
        {key: ball()[key] for key in ("tri", "point_buf", "keypoints")} | {"skinmask": np.ones((1, count))},
    )
    pca = random.normal(size=(80, 3 * WHOLE)).astype("<f4")
    (folder / "Exp_Pca.bin").write_bytes(np.int32(79).tobytes() + pca.tobytes())
    deviations = random.uniform(1, 2, 79)
    (folder / "std_exp.txt").write_text(" ".join(f"{value:.6e}" for value in deviations))
    return basel | {"trimmed": trimmed.ravel() - 1, "expression": expression.ravel() - 1, "pca": pca, "std": deviations}


SIZES = (("PC", (3 * BASEL_COUNT, COMPONENTS)), ("EV", (COMPONENTS, 1)), ("MU", (3 * BASEL_COUNT, 1)))


def test_the_file_is_made_of_what_the_publishers_give(tmp_path: Path) -> None:
    given = publishers_files(tmp_path)
    make_face_model(tmp_path, tmp_path / "made.mat")
    made = read_face_model(tmp_path / "made.mat")
    vertex, component, axis = 17, 41, 2
    whole = given["trimmed"][vertex]
    basel = given["expression"][whole]
    shape = given["shapePC"][3 * basel + axis, component] * given["shapeEV"][component, 0] / 1e5
    smile = given["pca"][1 + component, 3 * whole + axis] * given["std"][component] / 1e5
    skin = given["texPC"][3 * basel + axis, component] * given["texEV"][component, 0]
    row = 3 * vertex + axis
    np.testing.assert_allclose(made.shape_basis[row, [component, 80 + component]], [shape, smile], rtol=1e-5)
    np.testing.assert_allclose(made.colour_basis[row, component], skin, rtol=1e-6)
    np.testing.assert_allclose(made.mean_shape[vertex, axis], given["shapeMU"][3 * basel + axis, 0] / 1e5, rtol=1e-6)
    np.testing.assert_array_equal(made.triangles, ball()["tri"] - 1)


@pytest.mark.parametrize("name", SOURCES)
def test_a_publishers_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    publishers_files(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FaceModelUnusable, match=f"it has no {name}"):
        make_face_model(tmp_path, tmp_path / "made.mat")


def test_expressions_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    publishers_files(tmp_path)
    (tmp_path / "Exp_Pca.bin").write_bytes((tmp_path / "Exp_Pca.bin").read_bytes()[:-400])
    with pytest.raises(CheckpointUnreadable, match=r"Exp_Pca\.bin cannot be read .* 79 expressions"):
        make_face_model(tmp_path, tmp_path / "made.mat")


def test_the_command_line_makes_it_and_takes_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DAGUERRE_WEIGHTS", raising=False)
    folder = tmp_path / "given"
    folder.mkdir()
    publishers_files(folder)
    assert cli.run(["weights", "face-model", str(folder)]) == OK
    assert read_face_model(tmp_path / "cache" / "weights" / "BFM09_model_info.mat").keypoints.shape == (68,)
    assert "BFM09_model_info.mat: " in capsys.readouterr().out
    (folder / "std_exp.txt").unlink()
    assert cli.run(["weights", "face-model", str(folder)]) == OPERATOR
    said = capsys.readouterr().err
    assert "it has no std_exp.txt" in said
    assert "hint: register at https://faces.dmi.unibas.ch/bfm" in said


def test_a_face_model_whose_arrays_do_not_fit_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "BFM_model_front.mat"
    savemat(file, {key: np.zeros(shape, np.uint8) for key, shape in BASEL.items()}, do_compression=True)
    assert cli.run(["weights", "add", str(file)]) == OPERATOR
    assert "it has no meantex, texBase, point_buf, keypoints" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "weights" / file.name).exists()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_faces_of_a_batch_are_those_of_each_by_itself(count: int, model: FaceModel) -> None:
    """Three is the number at which the original's normals are wrong."""
    given = coefficients(count)
    together = model(given)
    for index in range(count):
        for all_of, one in zip(together, model(given[index : index + 1]), strict=True):
            assert (all_of[index] - one[0]).norm() / one.norm() < 1e-5


def test_normals_of_a_ball_point_outwards(model: FaceModel) -> None:
    shape = model.mean_shape[None]
    cosine = (model.normals(shape) * shape).sum(-1) / shape.norm(dim=-1)
    assert cosine.min() > 0.97


def test_a_vertex_without_triangles_has_no_normal_and_no_light_of_its_own(arrays: Arrays) -> None:
    lone = arrays["point_buf"].copy()
    lone[5] = len(arrays["tri"]) + 1
    model = FaceModel(face_arrays(arrays | {"point_buf": lone}, "the ball"))
    head = model(coefficients(1))
    assert not head.normals[0, 5].any()
    assert head.colours.isfinite().all()


def test_rotations_are_about_x_then_y_then_z() -> None:
    quarter = torch.pi / 2
    point = torch.tensor([0.0, 0, 1])
    for angles, expected in (([quarter, 0, 0], [0, -1, 0]), ([0, quarter, 0], [1, 0, 0]), ([0, 0, quarter], [0, 0, 1])):
        turned = point @ rotation(torch.tensor([angles]))[0]
        torch.testing.assert_close(turned, torch.tensor(expected).float(), atol=1e-6, rtol=0)
    both = point @ rotation(torch.tensor([[quarter, quarter, 0.0]]))[0]
    torch.testing.assert_close(both, torch.tensor([0.0, -1, 0]), atol=1e-6, rtol=0)


def test_a_face_that_moves_right_and_up_does_so_in_the_picture(model: FaceModel) -> None:
    given = torch.zeros(2, COEFFICIENTS)
    given[1, 254:256] = torch.tensor([0.3, 0.2])
    head = model(given)
    middle, moved = landmarks(model, head).mean(1)
    assert moved[0] > middle[0] + 20
    assert moved[1] < middle[1] - 10
    covered = picture(model, head).covered
    columns, rows = torch.arange(SIDE).float(), torch.arange(SIDE).float()[:, None]
    for index, expected in enumerate(((112, 112), (112 + 30, 112 - 20))):
        one = covered[index, 0]
        centre = float((one * columns).sum() / one.sum()) + 0.5, float((one * rows).sum() / one.sum()) + 0.5
        assert np.allclose(centre, expected, atol=6)


def test_a_turned_head_shows_its_near_side(model: FaceModel) -> None:
    """The ball's colours are its places: what is seen is what has the largest z."""
    given = torch.zeros(1, COEFFICIENTS)
    given[:, 227:254] = 0
    colour = picture(model, model(given)).colour[0]
    lit = colour[:, 112, 112] / (0.8 * 0.886226925)
    torch.testing.assert_close(lit, torch.tensor([208.0, 128, 128]), atol=3, rtol=0)


def test_nothing_is_behind_a_face_and_its_outline_counts_twice() -> None:
    covered = torch.zeros(1, 1, SIDE, SIDE)
    covered[..., 100:] = 1
    half_a_pixel = torch.tensor([[[1.0, 0, 0.5], [0, 1.0, 0]]])
    placed = in_crop(Picture(255 * covered.expand(-1, 3, -1, -1), covered), half_a_pixel, 512)
    assert placed[0, :, 50, [99, 100, 101]].T.tolist() == [[-1] * 3, [2 * 0.5 * 0.5 - 1] * 3, [1] * 3]
    assert (placed[..., SIDE + 1 :] == -1).all()


def test_coefficients_that_are_not_finite_cover_nothing(model: FaceModel) -> None:
    given = coefficients(2)
    given[0, 3] = torch.nan
    seen = picture(model, model(given))
    assert not seen.covered[0].any()
    assert seen.covered[1].any()


def test_parts_stand_in_the_published_order() -> None:
    parts = parted(torch.arange(257.0)[None])
    assert [int(part[0, 0]) for part in parts] == [0, 80, 144, 224, 227, 254]
