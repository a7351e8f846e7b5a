"""The files in which VSPBFR's weights are published, each loaded strictly.

- ``style_encoder_decoder.pt``: ``state_dict`` with the prefixes ``encoder.`` and ``decoder.``; the average code
  ``latent_avg`` and the options ``opts`` stand beside it.
- ``code_diffuser.pt``: the network below ``att_mapper``.
- ``restoration_net.pt``: the averaged network below ``g_ema``; ``g``, and the discriminator below ``d``, where it was
  written with the state of training.
- ``Arcface.pth``: a bare ResNet-101.

What else lies in the files is passed over. Facts from ``LonglongaaaGo/VSPBFR:restoration_test.py``,
``Loss/e4e_embedding.py`` and ``e4e/models/psp.py``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import nn

from models.checkpoint_file import CheckpointUnreadable, first_line, torch_content
from models.load import CheckpointMismatch, Tensors, fill, load, read_tensors
from models.nets.arcface import RENAMES, ArcFace
from models.nets.code_diffuser import CodeDiffuser
from models.nets.style_decoder import StyleDecoder
from models.nets.style_encoder import StyleEncoder
from models.nets.vspbfr import RestorationNet
from models.nets.vspbfr_discriminator import Discriminator
from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape

STYLE, DIFFUSER, RESTORATION = "style_encoder_decoder.pt", "code_diffuser.pt", "restoration_net.pt"
AVERAGE = "latent_avg"
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class VspbfrNetworks:
    """The four networks of inference, in eval mode and without gradients."""

    encoder: StyleEncoder
    diffuser: CodeDiffuser
    decoder: StyleDecoder
    restoration: RestorationNet


def load_networks(weights: Mapping[str, Path], shape: VspbfrShape = PUBLISHED) -> VspbfrNetworks:
    """The networks from the three published files, by their names. Raises as ``models.load`` does."""
    encoder, decoder = load_style(weights[STYLE], shape)
    diffuser = load(unfilled(lambda: CodeDiffuser(shape.rows, shape.style)), weights[DIFFUSER], container="att_mapper")
    restoration = load(unfilled(lambda: RestorationNet(shape)), weights[RESTORATION], container="g_ema")
    return VspbfrNetworks(encoder, diffuser, decoder, restoration)


def load_style(path: Path, shape: VspbfrShape = PUBLISHED) -> tuple[StyleEncoder, StyleDecoder]:
    """Style encoder and decoder, which share a file."""
    tensors = read_tensors(path, "state_dict")
    average = _check_options(path, shape)
    encoder, decoder = unfilled(lambda: StyleEncoder(shape)), unfilled(lambda: StyleDecoder(shape))
    fill(encoder, _below(tensors, "encoder.") | {AVERAGE: average}, str(path))
    fill(decoder, _below(tensors, "decoder."), str(path))
    return _ready(encoder), _ready(decoder)


def load_discriminator(path: Path, shape: VspbfrShape = PUBLISHED) -> Discriminator:
    """The discriminator of a ``restoration_net.pt`` that was written with the state of training."""
    return load(unfilled(lambda: Discriminator(shape)), path, container="d")


def load_arcface(path: Path) -> ArcFace:
    """The identity network."""
    return load(unfilled(ArcFace), path, renames=RENAMES)


def unfilled(make: Callable[[], Network]) -> Network:
    """A network whose tensors all come from a file: nothing is drawn for them."""
    with torch.device("meta"):
        network = make()
    return network.to_empty(device="cpu")


def _check_options(path: Path, shape: VspbfrShape) -> torch.Tensor:
    """The average code of the file, whose options must be those of inference."""
    content = _content(path)
    average, options = content.get(AVERAGE), content.get("opts", {})
    if not isinstance(average, torch.Tensor):
        raise CheckpointUnreadable(path, f"it has no {AVERAGE} beside its state_dict")
    wanted = {
        "encoder_type": "Encoder4Editing",
        "stylegan_size": shape.decoded,
        "start_from_latent_avg": True,
    }
    stated = cast("Mapping[str, object]", options) if isinstance(options, Mapping) else {}
    other = [f"{key} {stated[key]!r} for {value!r}" for key, value in wanted.items() if stated.get(key, value) != value]
    if other:
        raise CheckpointMismatch(f"{path} was made with other options: {', '.join(other)}")
    return average


def _content(path: Path) -> Mapping[str, object]:
    try:
        content = torch_content(path)
    except Exception as error:
        # As in ``models.load``: damaged files make torch raise nearly anything.
        raise CheckpointUnreadable(path, first_line(error)) from error
    return cast("Mapping[str, object]", content) if isinstance(content, Mapping) else {}


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _ready(network: Network) -> Network:
    return network.eval().requires_grad_(False)
