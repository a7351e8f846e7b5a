"""SGPN through this project's code against the original: each part, and both uses of the whole."""

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from kit import Array, Case

from models.face_model_file import face_arrays
from models.load import Tensors, fill
from models.nets.face_model import FaceModel, Head, parted, rotation
from models.nets.face_model_picture import in_crop, landmarks, picture
from models.nets.face_reconstruction import FaceReconstruction, fused
from models.nets.face_reconstruction_warp import warped
from models.nets.sgpn import SGPN

KNOWN = ("d3dfr*", "bfm*", "sgpn*", "e2e_crop*", "e2e_real*")
DATA = ("bfm_standin*",)  # the mesh of the cases beside it

WHOLE, WARPED = 1e-5, 2e-5
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
        limit = WARPED if name in ("im_3DRec", "mask_512", "d3dfr_input", "result") else WHOLE
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


def watch(outputs: dict[str, torch.Tensor], name: str, module: torch.nn.Module) -> None:
    """Keep what ``module`` computes."""

    def keep(module: torch.nn.Module, given: object, found: torch.Tensor) -> None:
        outputs[name] = found

    module.register_forward_hook(keep)


CHECKS = {
    "d3dfr": check_reconstruction,
    "bfm": check_face_model,
    "sgpn": check_network,
}
