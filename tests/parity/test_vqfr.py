"""VQFR through this project's code against the original."""

import json

import numpy as np
import pytest
import torch
from kit import Case

from models.load import Tensors, fill
from models.nets.vqfr_v1 import VQFRv1
from models.nets.vqfr_v2 import VQFRv2
from models.signed_restorer import at_side, signed, unsigned

KNOWN = ("v1*", "v2*", "interface*")

LIMIT = 2e-5
SMALLEST_TIE = 1e-3  # levels of 255: between two, OpenCV takes the higher one

OUTPUTS = {
    "v1": {
        "z": "quantizer.quantize_dict.Level_32.quant_conv",
        "quant": "quantizer.quantize_dict.Level_32.post_quant_conv",
        "decoder.Level_4": "decoder.decoder_dict.Level_4",
        "warp16": "main_decoder.align_func_dict.Level_16.dcn",
        "offset1": "main_decoder.align_func_dict.Level_1.dcn.conv_offset",
        "main_dec": "",
    },
    "v2": {
        "enc_feat": "encoder",
        "decoder.blocks.3": "decoder.blocks.3",
        "warp16": "main_branch.align_func_dict.Level_16.dcn",
        "offset1": "main_branch.align_func_dict.Level_1.dcn.conv_offset",
        "main_dec": "",
    },
}


@pytest.mark.timeout(900)  # half a minute of computing, which other work may stretch
def test_it_computes_what_the_original_computes(case: Case) -> None:
    (check_interface if case.name.startswith("interface") else check_network)(case)


def check_network(case: Case) -> None:
    """The published names and shapes, the codes, and the outputs."""
    network = (VQFRv1() if case.part == "v1" else VQFRv2()).eval()
    check_tensors(case, network)
    fill(network, {name: torch.from_numpy(value) for name, value in case.weights().items()}, case.name)
    outputs = everything(case, network)
    np.testing.assert_array_equal(outputs.pop("codes").numpy(), case.outputs["codes"])
    assert outputs.keys() | {"codes"} == case.outputs.keys()
    for name, output in outputs.items():
        assert case.relative_error(name, output.numpy()) < LIMIT, name


def check_tensors(case: Case, network: VQFRv1 | VQFRv2) -> None:
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["parts"][case.part]["tensors"]
    found = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert found == {entry["name"]: tuple(entry["shape"]) for entry in entries}


def everything(case: Case, network: VQFRv1 | VQFRv2) -> Tensors:
    """What ``OUTPUTS`` names, the codes of the one face, and the image of the texture decoder alone."""
    wanted, seen = OUTPUTS[case.part], {}
    for name, module in network.named_modules():
        if name in {*wanted.values(), "decoder"}:
            module.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output}))
    faces = torch.from_numpy(case.inputs["x"])
    with torch.inference_mode():
        if isinstance(network, VQFRv1):
            network(faces)
            codes = network.quantizer.only.codes(seen[wanted["z"]])
        else:
            network(faces, [float(case.inputs["fidelity_ratio"])])
            codes = network.codes(seen[wanted["enc_feat"]])
        texture = network.decoder.conv_out(seen["decoder"]["Level_1"])
    found = {name: seen[module] for name, module in wanted.items()}
    return found | {"codes": codes[0], "texture_dec": texture}


def check_interface(case: Case) -> None:
    """From and to 8 bits. The original rounds after its resize; ours is not rounded."""
    image = torch.from_numpy(case.inputs["image"].transpose(2, 0, 1).copy())[None] / 255
    enlarged = at_side(image, 512)
    rounded = (enlarged * 255 + 0.5 + SMALLEST_TIE).floor() / 255
    assert case.relative_error("tensor", signed(rounded, 512).numpy()) < LIMIT
    assert (enlarged - rounded).abs().max() <= (0.5 + SMALLEST_TIE) / 255
    result = unsigned(torch.from_numpy(case.inputs["y"]), case.inputs["y"].shape[-1])[0].mul(255).round().numpy()
    expected = case.outputs["y_u8"].astype(np.float64)
    assert np.abs(case.thinned("y_u8", result) - expected).max() <= 1
