"""GPEN through this project's code against the original."""

import json

import numpy as np
import torch
from kit import Case

from models.load import Tensors, fill
from models.methods.gpen import SIZES
from models.nets.gpen import GPEN
from models.signed_restorer import at_side, signed, unsigned

KNOWN = ("gpen*", "interface*")

LIMIT = 1e-5
SMALLEST_TIE = 1e-3  # levels of 255: between two, OpenCV takes the higher one


def test_it_computes_what_the_original_computes(case: Case) -> None:
    (check_interface if case.name.startswith("interface") else check_network)(case)


def check_network(case: Case) -> None:
    """The published names and shapes, and the outputs."""
    network = GPEN(SIZES[case.inputs["x"].shape[-1]]).eval()
    check_tensors(case, network)
    weights = {name: torch.from_numpy(value) for name, value in case.weights().items()}
    fixed = {name: value for name, value in network.state_dict().items() if name not in weights}
    assert all(name.endswith(".kernel") for name in fixed)
    fill(network, fixed | weights, case.name)
    outputs = everything(network, torch.from_numpy(case.inputs["x"]))
    for name in case.outputs:
        assert case.relative_error(name, outputs[name].numpy()) < LIMIT, name


def check_tensors(case: Case, network: GPEN) -> None:
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["parts"][case.part]["tensors"]
    found = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert found == {entry["name"]: tuple(entry["shape"]) for entry in entries}


def everything(network: GPEN, faces: torch.Tensor) -> Tensors:
    """Every intermediate by its module's name, and the result; the generator's parts without their prefix."""
    seen: Tensors = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output}))
    with torch.inference_mode():
        seen["out"] = network(faces)
    return seen | {name.removeprefix("generator."): tensor for name, tensor in seen.items()}


def check_interface(case: Case) -> None:
    """From and to 8 bits. The original rounds after its resize; ours is not rounded, and a result is not cut off."""
    image = torch.from_numpy(case.inputs["image"].transpose(2, 0, 1).copy())[None] / 255
    enlarged = at_side(image, 512)
    rounded = (enlarged * 255 + 0.5 + SMALLEST_TIE).floor() / 255
    assert case.relative_error("tensor", signed(rounded, 512).numpy()) < LIMIT
    assert (enlarged - rounded).abs().max() <= (0.5 + SMALLEST_TIE) / 255
    result = unsigned(torch.from_numpy(case.inputs["y"]), case.inputs["y"].shape[-1])[0].mul(255).round().numpy()
    expected = case.outputs["y_u8"].astype(np.float64)
    assert np.abs(case.thinned("y_u8", result) - expected).max() <= 1
