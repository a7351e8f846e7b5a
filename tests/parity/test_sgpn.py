"""SGPN through this project's code against the original: each part, and both uses of the whole."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import opencv4
import pytest
import torch
from kit import Array, Case

from models.face_model_file import face_arrays
from models.load import Tensors, fill
from models.method import Faces
from models.methods.sgpn import KEEP, Sgpn, SgpnParts
from models.nets.face_model import FaceModel, Head, parted, rotation
from models.nets.face_model_picture import in_crop, landmarks, picture
from models.nets.face_reconstruction import FaceReconstruction, fused
from models.nets.face_reconstruction_warp import matrices, placed, warped
from models.nets.sgpn import SGPN
from stages.compat import sgpn as compat
from stages.geometry import inverse

KNOWN = ("d3dfr*", "bfm*", "sgpn*", "e2e_crop*", "e2e_real*")
DATA = ("bfm_standin*",)  # the mesh of the cases beside it

WHOLE, WARPED, MATRIX = 1e-5, 2e-5, 1e-6
FAR = ("im_3DRec", "mask_512", "d3dfr_input", "result")
MASK_PIXELS = 2


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def mesh(pytestconfig: pytest.Config) -> Path:
    """The file of the stand-in's geometry: that beside the cases, else the kit's."""
    folders = [pytestconfig.getoption(name) for name in ("--cases", "--kit")]
    files = [folder / "sgpn" / "bfm_standin.npz" for folder in folders if folder]
    return next((file for file in files if file.is_file()), files[-1])


def test_it_computes_what_the_original_computes(case: Case, mesh: Path) -> None:
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    check(case, mesh)


def weights_of(case: Case, part: str) -> Tensors:
    found = Case(case.name, case.method, part, case.seed, {}, {}, {}, case.kit).weights()
    return {name: torch.from_numpy(value) for name, value in found.items()}


def filled(network: torch.nn.Module, case: Case, part: str) -> None:
    """With the case's weights, and constants as built. Names and shapes are checked against the published ones."""
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["parts"][part]["tensors"]
    expected = {entry["name"]: (tuple(entry["shape"]), entry["dtype"]) for entry in entries}
    state = network.state_dict()
    assert {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()} == expected
    fill(network, state | weights_of(case, part), case.name)
    network.eval().requires_grad_(False)


def face_model(case: Case, mesh: Path) -> FaceModel:
    """The stand-in: a mesh, and bases that are drawn for some of its points and carried to the others."""
    with np.load(mesh) as stored:
        arrays: dict[str, Array] = {name: stored[name] for name in stored.files} | case.inputs
    control = arrays["control_weights"]
    for name, drawn in weights_of(case, "bfm").items():
        basis = np.einsum("vp,pck->vck", control, drawn.numpy())
        arrays[name.removesuffix("_control")] = basis.reshape(-1, basis.shape[-1])
    return FaceModel(face_arrays(arrays, mesh.name))


def check(case: Case, outputs: dict[str, torch.Tensor], *, names: tuple[str, ...] = ()) -> None:
    """Every output of the case, or those of ``names``, is there and near enough."""
    for name in names or case.outputs:
        limit = WARPED if name.startswith(FAR) else WHOLE
        assert case.relative_error(name, outputs[name].numpy()) < limit, name


def check_reconstruction(case: Case, mesh: Path) -> None:
    """The network as published, and with its normalisations folded; the pose by itself, where errors show least."""
    network = FaceReconstruction()
    filled(network, case, "d3dfr")
    image = torch.from_numpy(case.inputs["image"])
    with torch.inference_mode():
        body = network.backbone
        start = body.maxpool(body.bn1(body.conv1(image)).relu())
        middle = body.layer2(body.layer1(start))
        last = body.layer4(body.layer3(middle))
        outputs = {"maxpool": start, "layer2": middle, "layer4": last, "pool": body(image), "coeff": network(image)}
        check(case, outputs)
        check_pose(case, network(image))
        check_pose(case, fused(network)(image))


def check_pose(case: Case, coefficients: torch.Tensor) -> None:
    expected = case.outputs["coeff"]
    for part in (np.s_[:, 224:227], np.s_[:, 254:], np.s_[:, :]):
        error = np.linalg.norm(coefficients.numpy()[part] - expected[part]) / np.linalg.norm(expected[part])
        assert error < WHOLE


def check_face_model(case: Case, mesh: Path) -> None:
    """All faces at once, and each by itself."""
    model = face_model(case, mesh)
    coefficients, back = (torch.from_numpy(case.inputs[name]) for name in ("coeff", "inverse_warpmat"))
    outputs = everything(model, coefficients, back)
    covered = outputs.pop("mask").numpy() != case.outputs["mask"]
    assert covered.sum() <= MASK_PIXELS
    check(case, outputs, names=tuple(name for name in case.outputs if name != "mask"))
    for index in range(len(coefficients)):
        alone = everything(model, coefficients[index : index + 1], back[index : index + 1])
        assert all(torch.allclose(alone[name][0], outputs[name][index], atol=1e-3) for name in outputs)


def everything(model: FaceModel, coefficients: torch.Tensor, back: torch.Tensor) -> dict[str, torch.Tensor]:
    parts, head = parted(coefficients), model(coefficients)
    assert isinstance(head, Head)
    seen = picture(model, head)
    return {
        "shape": model.shape(parts),
        "rotation": rotation(parts.angles),
        "normals": head.normals,
        "vertices": head.vertices,
        "color": head.colours,
        "landmarks": landmarks(model, head),
        "mask": seen.covered,
        "render": seen.colour,
        "im_3DRec": in_crop(seen, back, 512),
        "mask_512": warped(seen.covered, back, 512),
    }


def check_network(case: Case, mesh: Path) -> None:
    """Encoder and generator, what comes between them, and layers on the way."""
    network = SGPN()
    filled(network, case, "sgpn")
    crops, shapes, coefficients = (torch.from_numpy(case.inputs[name]) for name in ("im_LR", "im_D3D", "coeff_D3D"))
    outputs: dict[str, torch.Tensor] = {}
    generator = network.netG
    watch(outputs, "conv1", generator.conv1)
    for number in (0, 7, 13):
        watch(outputs, f"convs{number}", generator.convs[number])
    watch(outputs, "mask_logit7", generator.get_submodule("convs.7.convs_mask"))
    watch(outputs, "w", generator.mlp)
    watch(outputs, "skip64", generator.to_rgbs[3])
    with torch.inference_mode():
        outputs["z_LR"], of_photo = network.netE(crops)
        outputs["z_D3D"], of_shape = network.netE(shapes)
        outputs["feat64_LR"], outputs["feat64_D3D"] = of_photo[4], of_shape[4]
        outputs["image"] = network(crops, shapes, coefficients)
    check(case, outputs)


def sgpn_of(case: Case, mesh: Path) -> Sgpn:
    """The whole method with the case's weights."""
    reconstruction, network = FaceReconstruction(), SGPN()
    filled(reconstruction, case, "d3dfr")
    filled(network, case, "sgpn")
    return Sgpn(SgpnParts(fused(reconstruction), face_model(case, mesh), network), "cpu", "float32")


def restored(sgpn: Sgpn, crop: Array, points: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """The result and the picture of the shape, (1, 3, 512, 512) in [-1, 1], of a crop (512, 512, 3) uint8 BGR."""
    plain = Faces.plain(rgb_of(crop), [0], frozenset({KEEP}))
    found = sgpn.restore(replace(plain, landmarks=torch.from_numpy(points)[None]))
    assert found.figures[0]["landmarks"] == 1
    return 2 * found.faces - 1, 2 * found.kept[KEEP] - 1


def rgb_of(crop: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)))[None] / 255


def truncated(result: Array) -> Array:
    """(3, H, W) RGB in [-1, 1] as (3, H, W) uint8 BGR, as the original cuts it off."""
    return (127.5 * result + 127.5).astype(np.uint8)[::-1]


def check_crop(case: Case, mesh: Path) -> None:
    """An aligned crop with landmarks of its own."""
    sgpn, points = sgpn_of(case, mesh), case.inputs["landmarks"].astype(np.float64)
    there, back = matrices(points)
    for name, found in (("d3dfr_5pts", placed(points)), ("warp", there), ("warp_inverse", back)):
        assert case.relative_error(name, found) < MATRIX, name
    crop = 2 * rgb_of(case.inputs["image_bgr"]) - 1
    with torch.inference_mode():
        seen = 0.5 * warped(crop, crop.new_tensor(there)[None], 224) + 0.5
        coefficients = sgpn.shapes(crop, points[None]).coefficients
    check_pose(case, coefficients)
    result, shape = restored(sgpn, case.inputs["image_bgr"], points)
    outputs = {"d3dfr_input": seen, "coeff": coefficients, "im_3DRec": shape, "result": result}
    check(case, outputs, names=tuple(outputs))
    check_bytes(case, "result_bgr_chw", truncated(result[0].numpy()), share=0.001)
    assert case.outputs.keys() == outputs.keys() | {"d3dfr_5pts", "warp", "warp_inverse", "result_bgr_chw"}


def check_bytes(case: Case, name: str, actual: Array, *, share: float) -> None:
    off = np.abs(case.thinned(name, actual).astype(int) - case.outputs[name])
    assert off.max() <= 1, name
    assert (off > 0).mean() <= share, name


def check_photo(case: Case, mesh: Path) -> None:
    """A photo of several faces, each cut from the untouched photo, and pasted as the original does it."""
    sgpn, photo = sgpn_of(case, mesh), case.inputs["image_bgr"].astype(np.uint8)
    pasted = photo
    names = {"image_bgr_chw"}
    for index, given in enumerate(case.inputs["landmarks"].astype(np.float64)):
        matrix = compat.estimate(given)
        assert case.relative_error(f"align{index}", matrix) < MATRIX
        crop, _ = opencv4.warped(photo, inverse(matrix), 512, 512)
        assert np.array_equal(
            case.thinned(f"crop{index}_bgr_chw", crop.transpose(2, 0, 1)), case.outputs[f"crop{index}_bgr_chw"]
        )
        points = compat.crop_points(given, matrix)
        assert case.relative_error(f"crop_landmarks{index}", points) < MATRIX
        result, _ = restored(sgpn, crop, points)
        check(case, {f"result{index}": result}, names=(f"result{index}",))
        pasted = over(pasted, crop, result[0].permute(1, 2, 0).numpy()[..., ::-1], matrix)
        names |= {f"{name}{index}" for name in ("align", "crop_landmarks", "result")} | {f"crop{index}_bgr_chw"}
    check_bytes(case, "image_bgr_chw", pasted.transpose(2, 0, 1), share=0.005)
    assert case.outputs.keys() == names


def over(photo: Array, crop: Array, result: Array, matrix: Array) -> Array:
    """``photo`` under ``result`` (512, 512, 3) in [-1, 1], in the soft mask over its ``crop``."""
    mask = compat.soft_mask()[..., None]
    mixed = mask * result + (1 - mask) * compat.signed(crop)
    levels = (mixed * np.float32(127.5) + np.float32(127.5)).clip(0, 255).astype(np.uint8)
    face, inside = opencv4.warped(levels, matrix, photo.shape[1], photo.shape[0], mirrored=True)
    return np.where(inside[..., None], face, photo)


def watch(outputs: dict[str, torch.Tensor], name: str, module: torch.nn.Module) -> None:
    """Keep what ``module`` computes."""

    def keep(module: torch.nn.Module, given: object, found: torch.Tensor) -> None:
        outputs[name] = found

    module.register_forward_hook(keep)


CHECKS = {
    "d3dfr": check_reconstruction,
    "bfm": check_face_model,
    "sgpn": check_network,
    "e2e_crop": check_crop,
    "e2e_real": check_photo,
}
