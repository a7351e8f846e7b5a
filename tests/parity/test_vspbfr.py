"""VSPBFR's networks, sampler, pictures and training data through this project's code against the original's."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from kit import Array, Case
from torch import nn

from models.load import fill, renamed
from models.methods.vspbfr import Draws, Vspbfr, VspbfrParameters
from models.nets.arcface import RENAMES, ArcFace, resized
from models.nets.code_diffuser import CodeDiffuser
from models.nets.style_decoder import StyleDecoder, pooled
from models.nets.style_encoder import StyleEncoder
from models.nets.vspbfr import RestorationNet, noise_sides_of
from models.nets.vspbfr_discriminator import Discriminator
from models.nets.vspbfr_shape import PUBLISHED
from models.samplers.code_diffusion import posterior_states, schedule
from models.training.ada import augmented
from models.training.vspbfr_data import Degradation, blur_kernel, covering, degraded, levels
from models.vspbfr_checkpoint import VspbfrNetworks

KNOWN = (
    "style_encoder*",
    "style_decoder*",
    "code_diffuser*",
    "diffusion*",
    "restoration_net*",
    "end_to_end*",
    "discriminator*",
    "arcface*",
    "pictures*",
    "degradation*",
    "augment*",
)
TOLERANCES = {"code_diffuser": 5e-5, "diffusion": 1e-4, "end_to_end": 3e-4, "augment": 1e-4, "degradation": 1e-5}
TOLERANCE = 2e-5
SPREAD = 1e-3  # of the mean and the standard deviation of a whole output, in standard deviations
JPEG_MOST, JPEG_MEAN, LANCZOS_MOST = 0.02, 0.002, 0.02
PREFIXES = {"style_encoder": "encoder.", "style_decoder": "decoder."}
BIG = ("restoration_net", "end_to_end")
Network = TypeVar("Network", bound=nn.Module)
Found = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def big_ones_are_slow(request: pytest.FixtureRequest, case: Case) -> Iterator[None]:
    if case.name.startswith(BIG) and not request.config.getoption("--slow"):
        pytest.skip("slow: run with --slow")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.timeout(1200)
def test_it_computes_what_the_original_computes(case: Case) -> None:
    [kind] = [kind for kind in CHECKS if case.name.startswith(kind)]
    with torch.inference_mode():
        found = CHECKS[kind](case)
    errors: dict[str, float] = {}
    for name in case.outputs.keys() - LOOSE.get(kind, set()):
        errors[name] = case.relative_error(name, found[name].numpy())
        check_whole(case, name, found[name])
    assert errors
    assert max(errors.values()) < TOLERANCES.get(kind, TOLERANCE), errors


def check_whole(case: Case, name: str, found: torch.Tensor) -> None:
    """Mean and standard deviation of an output of which only some pixels are stored."""
    if name in case.means:
        std = case.stds[name]
        assert abs(float(found.double().mean()) - case.means[name]) < SPREAD * std, name
        assert abs(float(found.double().std(correction=0)) - std) < SPREAD * std, name


def network_of(case: Case, network: Network, part: str = "") -> Network:
    """``network`` with the synthetic weights of a part; its names and shapes are the manifest's."""
    part = part or case.part
    check_tensors(case, network, part)
    prefix = PREFIXES.get(part, "")
    weights = {name: torch.from_numpy(value) for name, value in replace(case, part=part).weights().items()}
    ours = {name.removeprefix(prefix): value for name, value in weights.items()}
    if part == "arcface":
        ours = renamed(ours, RENAMES)
    fixed = {name: value for name, value in network.state_dict().items() if name.endswith("kernel")}
    fill(network, fixed | ours, case.name)
    return network.eval()


def check_tensors(case: Case, network: nn.Module, part: str) -> None:
    manifest = json.loads((case.kit / case.method / "manifest.json").read_text(encoding="utf-8"))
    expected = {entry["name"]: (tuple(entry["shape"]), entry["dtype"]) for entry in manifest["parts"][part]["tensors"]}
    prefix = PREFIXES.get(part, "")
    found = {
        (
            name
            if name == "latent_avg"
            else prefix + name.removeprefix("body.")
            if part == "arcface"
            else prefix + name
        ): (
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
        )
        for name, tensor in network.state_dict().items()
    }
    assert found == expected


def tensor(case: Case, name: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(case.inputs[name]))


def maps(case: Case, prefix: str) -> list[torch.Tensor]:
    count = sum(name.startswith(prefix) for name in case.inputs)
    return [tensor(case, f"{prefix}{index}") for index in range(count)]


def recorded(network: nn.Module, places: dict[str, str]) -> Found:
    """A dictionary that fills with what the modules at ``places`` give once the network runs."""
    found: Found = {}

    def keep(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            found[name] = output.clone()

        return network.get_submodule(places[name]).register_forward_hook(hook)

    for name in places:
        keep(name)
    return found


def style_encoder(case: Case) -> Found:
    network = network_of(case, StyleEncoder())
    found = network.maps(tensor(case, "image"))
    offsets = network.offsets(found)
    return dict(zip(("c1", "c2", "c3"), found, strict=True)) | {
        "offset": offsets,
        "w_plus": offsets + network.latent_avg,
    }


def style_decoder(case: Case) -> Found:
    network = network_of(case, StyleDecoder())
    noise, codes = maps(case, "noise_"), tensor(case, "latent")
    image, features = network(codes, noise)
    for one, other in zip(network.features(codes, noise[:14], PUBLISHED.side), features, strict=False):
        assert torch.equal(one, other)
    found = {f"feat_{feature.shape[-1]}": feature for feature in features}
    return found | {
        "mapped": network.style(tensor(case, "z")),
        "image_1024": image,
        "image": pooled(image, PUBLISHED.side),
    }


def code_diffuser(case: Case) -> Found:
    network = network_of(case, CodeDiffuser())
    places = {f"block{index}": f"att_mapper.{index}" for index in range(4)}
    found = recorded(network, places | {"block0_attention": "att_mapper.0.attention_layer"})
    network(tensor(case, "x"), tensor(case, "embd"), tensor(case, "t"))
    return found


def diffusion(case: Case) -> Found:
    network, condition = network_of(case, CodeDiffuser()), tensor(case, "cond")
    steps = list(posterior_states(network.guided(condition), tensor(case, "x_T"), schedule()))
    found = {f"x_{3 - index}": state for index, (_, state) in enumerate(steps)}
    return found | {f"pred_{3 - index}": clean for index, (clean, _) in enumerate(steps)}


RESTORATION_PLACES = {
    "enc_0": "encoder_convs.0",
    "enc_1": "encoder_convs.1",
    "final_layer": "final_layer",
    "x_global": "final_linear.0",
    "dec_conv1": "conv1",
    "dec_convs_0": "convs.0",
    "dec_convs_5": "convs.5",
    "rgb_64": "to_rgbs.3",
    "dec_convs_13": "convs.13",
}


def restoration_net(case: Case) -> Found:
    network = network_of(case, RestorationNet())
    noise = maps(case, "enc_noise_") + maps(case, "dec_noise_")
    assert [one.shape[-1] for one in noise] == noise_sides_of(PUBLISHED)
    features = [tensor(case, f"de_feat_{8 << level}") for level in range(7)]
    mapped = network.style(tensor(case, "z"))
    found = recorded(network, RESTORATION_PLACES)
    rows = network.rows(tensor(case, "latent"), mapped)
    image = network(tensor(case, "image"), [features[0], *features], rows, noise)
    return found | {"mapping": mapped, "image": image}


def end_to_end(case: Case) -> Found:
    networks = VspbfrNetworks(
        network_of(case, StyleEncoder(), "style_encoder"),
        network_of(case, CodeDiffuser(), "code_diffuser"),
        network_of(case, StyleDecoder(), "style_decoder"),
        network_of(case, RestorationNet(), "restoration_net"),
    )
    found = recorded(networks.restoration, {name: RESTORATION_PLACES[name] for name in ("x_global", "rgb_64")})
    style_noise = maps(case, "style_noise_")
    codes = torch.stack([tensor(case, "z_0"), tensor(case, "z_1")], 1)
    split = torch.as_tensor(case.inputs["inject_index"]).reshape(1)
    noise = maps(case, "enc_noise_") + maps(case, "dec_noise_")
    draws = Draws(tensor(case, "x_T"), style_noise[:14], codes, split, noise, style_noise[14:])
    method, image = Vspbfr(networks, VspbfrParameters(), "cpu", "float32"), tensor(case, "image")
    steps = method.steps(image, draws)
    assert steps.sample is not None
    features = {f"feat_{feature.shape[-1]}": feature for feature in steps.features}
    return (
        found
        | features
        | {
            "w_plus": steps.degraded,
            "prompt": steps.prompt,
            "style_sample": steps.sample,
            "restored": steps.restored,
        }
    )


def discriminator(case: Case) -> Found:
    network = network_of(case, Discriminator())
    places = {"block0": "encoder_convs.0", "block6": "encoder_convs.6", "final_conv": "final_conv"}
    found = recorded(network, places)
    return found | {"score": network(tensor(case, "image"))}


def arcface(case: Case) -> Found:
    network = network_of(case, ArcFace())
    found = recorded(network, {"layer1": "body.layer1", "layer3": "body.layer3"})
    logits = network.body(resized(tensor(case, "image")))
    return found | {"logits": logits, "embedding": network(tensor(case, "image"))}


def pictures(case: Case) -> Found:
    """What the networks see of a picture, and what is written of a restored one."""
    picture = case.inputs["picture_u8"].astype(np.uint8)
    low = torch.from_numpy(covering(picture, PUBLISHED.side)).permute(2, 0, 1).float() / 255 * 2 - 1
    seen = nn.functional.interpolate(low[None], (256, 256), mode="bilinear", align_corners=False)[0]
    near(case, "lq", low.numpy(), LANCZOS_MOST)
    near(case, "encoder_input", seen.numpy(), LANCZOS_MOST)
    written = levels(case.inputs["restored"]).transpose(1, 2, 0)
    assert (written == case.outputs["png_u8"]).all()
    return {"png_u8": torch.from_numpy(np.ascontiguousarray(written))}


def near(case: Case, name: str, found: Array, most: float) -> float:
    """The mean absolute difference; the largest is at most ``most``."""
    difference = np.abs(case.thinned(name, found) - case.outputs[name])
    assert float(difference.max()) <= most, name
    return float(difference.mean())


def degradation(case: Case) -> Found:
    given = {name: value.item() for name, value in case.inputs.items() if value.ndim == 0}
    how = Degradation(
        kernel_side=int(given["kernel_size"]),
        sigma_x=given["sigma_x"],
        sigma_y=given["sigma_y"],
        rotation=given["rotation"],
        haze=given["haze_alpha"],
        scale=given["scale"],
        noise_sigma=given["noise_sigma"],
        quality=int(given["jpeg_quality"]),
    )
    steps = degraded(case.inputs["image"], how, case.inputs["noise"])
    assert near(case, "jpeg", steps.jpeg, JPEG_MOST) < JPEG_MEAN
    assert near(case, "lq", steps.lq, JPEG_MOST) < JPEG_MEAN
    kernel = blur_kernel(how.kernel_side, how.sigma_x, how.sigma_y, how.rotation)
    arrays = {"kernel": kernel, "blurred": steps.blurred, "small": steps.small, "noisy": steps.noisy}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def augment(case: Case) -> Found:
    return {"image": augmented(tensor(case, "image"), tensor(case, "G_inv"), tensor(case, "C"))}


CHECKS = {
    "style_encoder": style_encoder,
    "style_decoder": style_decoder,
    "code_diffuser": code_diffuser,
    "diffusion": diffusion,
    "restoration_net": restoration_net,
    "end_to_end": end_to_end,
    "discriminator": discriminator,
    "arcface": arcface,
    "pictures": pictures,
    "degradation": degradation,
    "augment": augment,
}
LOOSE = {"pictures": {"lq", "encoder_input"}, "degradation": {"jpeg", "lq"}}  # compared by their own limits
