"""ELSFace through this project's code against the original."""

import json
from collections.abc import Generator

import numpy as np
import pytest
import torch
from kit import Case
from numpy.typing import NDArray
from torch.nn import functional

from models.load import Tensors, fill, renamed
from models.losses.sharp import elsface_loss, sharp_loss, sharpened
from models.method import Faces
from models.methods.elsface import RENAMES, ELSFaceRestorer, factor_of, reduced
from models.nets.elsface import ELSFace
from models.training.elsface import optimiser, pair, step

KNOWN = ("net", "net_x8", "restore*", "loss*", "train_data*", "train_step*")

INTERMEDIATE, RESULT, LOSS = 1e-5, 5e-6, 1e-6
STEP_LOSS, STEP_GRADIENT, STEP_RESULT = 1e-4, 1e-5, 2e-3
NEAR_HALF = 1e-3  # grey levels to a rounding boundary, where a pixel may come out one level off
BLOCK = "model.layers_1.0.residual_group.blocks.0"
GRADIENTS = (
    "model.head_x2.0.0.weight",
    "model.encoder.encoder.4.3.weight",
    "model.cnn_x2_1.0.1.body.0.weight",
    f"{BLOCK}.attn.qkv.weight",
    f"{BLOCK}.attn.relative_position_bias_table",
    "model.conv_after_body_1.weight",
    "model.t_tail_x2.0.0.hf_block.upsample.0.weight",
    "model.t_tail_x2.0.3.main.0.4.body.2.bias",
    "model.tail_x2.0.1.weight",
)


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_it_computes_what_the_original_computes(case: Case) -> None:
    [check] = [check for start, check in CHECKS.items() if case.name.startswith(start)]
    check(case)


def network_of(case: Case) -> ELSFace:
    """With the case's weights; what the kit calls fixed keeps the constructor's values."""
    weights = renamed({name: torch.from_numpy(value) for name, value in case.weights().items()}, RENAMES)
    network = ELSFace(factor_of(weights))
    fixed: Tensors = {name: value for name, value in network.state_dict().items() if name not in weights}
    fill(network, fixed | weights, case.name)
    return network.eval()


def check_network(case: Case) -> None:
    """Outputs and the parts on the way to them, and the published names and shapes."""
    network = network_of(case)
    check_tensors(case, network)
    outputs = everything(network, torch.from_numpy(case.inputs["lr"]))
    for name in case.outputs:
        limit = RESULT if name == "sr" else INTERMEDIATE
        assert case.relative_error(name, outputs[name].numpy()) < limit, name


def check_tensors(case: Case, network: ELSFace) -> None:
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["parts"][case.part]["tensors"]
    expected = {entry["name"]: (tuple(entry["shape"]), entry["dtype"]) for entry in entries}
    found = {
        f"model.{name}": (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in network.state_dict().items()
    }
    assert found == expected


def everything(network: ELSFace, faces: torch.Tensor) -> Tensors:
    with torch.inference_mode():
        head, style = network.head_x2(faces), network.encoder(faces)
        cnn, transformer = network.prepared(faces).chunk(2, dim=1)
        cnn = network.cnn_stream(cnn * style[:, 0, :, None, None])
        guided = transformer * style[:, 1, :, None, None]
        rstb = network.layers_1(network.patch_embed_1(guided.permute(0, 2, 3, 1).contiguous()))
        transformer = network.transformer_stream(guided)
        hfeb = network.t_tail_x2(transformer)
        return {
            "head": head,
            "style": style,
            "cnn": cnn,
            "rstb_1": rstb.permute(0, 3, 1, 2),
            "transformer": transformer,
            "hfeb": hfeb,
            "sr": network(faces),
        }


def check_restoring(case: Case) -> None:
    """The released test, end to end: reduce, enlarge, round to 8 bits, PSNR."""
    network = network_of(case)
    image = case.inputs["image"]
    rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))[None] / 255
    small = reduced(rgb, network.output_side)
    assert case.relative_error("lr", small.numpy()) < RESULT
    restorer = ELSFaceRestorer(network, "cpu", "float32")
    output = restorer.enlarged(small)
    assert case.relative_error("sr", output.numpy()) < RESULT
    check_levels(case, output[0].permute(1, 2, 0).numpy() * np.float32(255))
    restored = restorer.restore(Faces.plain(rgb, [1])).faces[0].permute(1, 2, 0).numpy()[..., ::-1]
    check_levels(case, np.ascontiguousarray(restored) * np.float32(255))
    error = np.sqrt(np.mean((output[0].permute(1, 2, 0).numpy().astype(np.float64) * 255 - image) ** 2))
    assert abs(20 * np.log10(255 / error) - case.outputs["psnr"]) < 1e-4


def check_levels(case: Case, unrounded: NDArray[np.float32]) -> None:
    """Whole grey levels (H, W, 3) are the original's, apart from values that lie between two."""
    off = np.clip(np.rint(unrounded), 0, 255) != case.outputs["image"]
    between = np.abs(unrounded - np.floor(unrounded) - 0.5) < NEAR_HALF
    assert not (off & ~between).any()


def check_loss(case: Case) -> None:
    found = torch.from_numpy(case.inputs["output"]).requires_grad_()
    wanted = torch.from_numpy(case.inputs["target"])
    total = elsface_loss(found, wanted)
    torch.autograd.backward(total)
    assert found.grad is not None
    outputs = {
        "l1": functional.l1_loss(found, wanted),
        "sharp": sharp_loss(found, wanted),
        "total": total,
        "sharpened_target": sharpened(wanted),
        "grad": found.grad,
    }
    for name in case.outputs:
        assert case.relative_error(name, outputs[name].detach().numpy()) < LOSS, name


def check_data(case: Case) -> None:
    """The 8-bit pair that training sees, exactly."""
    target, small = pair(case.inputs["image"].astype(np.uint8))
    np.testing.assert_array_equal(target, case.outputs["hr"])
    np.testing.assert_array_equal(small, case.outputs["lr"])


def check_step(case: Case) -> None:
    """Three steps of Adam."""
    network = network_of(case).train()
    small, target = (torch.from_numpy(case.inputs[name]) for name in ("lr", "hr"))
    adam = optimiser(network)
    losses = [step(network, adam, small, target)]
    parameters = dict(network.named_parameters())
    gradients = [parameters[name.removeprefix("model.")].grad for name in GRADIENTS]
    norms = [float(gradient.norm()) for gradient in gradients if gradient is not None]
    losses += [step(network, adam, small, target) for _ in range(2)]
    assert case.relative_error("grad_norm", np.array(norms)) < STEP_GRADIENT
    assert case.relative_error("loss", torch.stack(losses).numpy()) < STEP_LOSS
    with torch.inference_mode():
        assert case.relative_error("sr", network.eval()(small).numpy()) < STEP_RESULT


CHECKS = {
    "net": check_network,
    "restore": check_restoring,
    "loss": check_loss,
    "train_data": check_data,
    "train_step": check_step,
}
