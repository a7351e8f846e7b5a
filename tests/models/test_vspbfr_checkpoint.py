"""The files in which VSPBFR is published, and what is said of those that are not quite them."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.identities.vspbfr_arcface import IDENTITY, WEIGHTS
from models.identity import similarity
from models.load import CheckpointMismatch
from models.method import Faces
from models.methods.vspbfr import FILES, METHOD, VspbfrParameters
from models.nets.arcface import ArcFace
from models.nets.code_diffuser import CodeDiffuser
from models.nets.style_decoder import StyleDecoder
from models.nets.style_encoder import StyleEncoder
from models.nets.vspbfr import RestorationNet
from models.nets.vspbfr_discriminator import Discriminator
from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape
from models.vspbfr_checkpoint import (
    DIFFUSER,
    RESTORATION,
    STYLE,
    VspbfrNetworks,
    load_arcface,
    load_discriminator,
    load_networks,
)
from tests.golden.make_vspbfr import SHAPE, filled, small_networks

File = dict[str, Any]
Spoil = Callable[[dict[str, File]], object]
ARGUMENTS = Namespace(size=512, lr=0.002, distributed=False, arch=None, device="cuda")


def published(networks: VspbfrNetworks, shape: VspbfrShape) -> dict[str, File]:
    """The three files by name, with what the original's trainers write beside the tensors."""
    encoder = dict(networks.encoder.state_dict())
    average = encoder.pop("latent_avg")
    both = {f"encoder.{name}": value for name, value in encoder.items()}
    both |= {f"decoder.{name}": value for name, value in networks.decoder.state_dict().items()}
    options = {
        "encoder_type": "Encoder4Editing",
        "stylegan_size": shape.decoded,
        "start_from_latent_avg": True,
        "lr": 1,
    }
    restoration = dict(networks.restoration.state_dict())
    return {
        STYLE: {"state_dict": both, "latent_avg": average, "opts": options, "global_step": 200_000},
        DIFFUSER: {"att_mapper": dict(networks.diffuser.state_dict()), "args": ARGUMENTS, "iter": 9, "best_fid": 1000},
        RESTORATION: {"g_ema": restoration, "g": restoration, "args": ARGUMENTS, "ada_aug_p": 0, "iter": 9},
    }


def written(folder: Path, files: dict[str, File]) -> dict[str, Path]:
    for name, content in files.items():
        torch.save(content, folder / name)
    return {name: folder / name for name in files}


def test_the_published_containers_are_loaded_strictly(tmp_path: Path) -> None:
    source = small_networks()
    loaded = load_networks(written(tmp_path, published(source, SHAPE)), SHAPE)
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (loaded.encoder, source.encoder),
        (loaded.diffuser, source.diffuser),
        (loaded.decoder, source.decoder),
        (loaded.restoration, source.restoration),
    ]
    for ours, theirs in pairs:
        state = theirs.state_dict()
        assert ours.state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
        assert not ours.training
        assert not any(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda files: files[STYLE].pop("latent_avg"), "it has no latent_avg"),
        (lambda files: files[STYLE].pop("state_dict"), "it has no state_dict"),
        (lambda files: files[STYLE]["opts"].update(stylegan_size=512), "stylegan_size 512 for 128"),
        (lambda files: files[STYLE]["state_dict"].pop("encoder.latlayer1.bias"), r"missing: latlayer1\.bias"),
        (lambda files: files[STYLE]["state_dict"].pop("decoder.noises.noise_3"), r"missing: noises\.noise_3"),
        (lambda files: files[STYLE].update(latent_avg=torch.zeros(18, 16)), r"latent_avg \(18, 16\) for \(12, 16\)"),
        (lambda files: files[DIFFUSER].pop("att_mapper"), "it has no att_mapper"),
        (lambda files: files[DIFFUSER]["att_mapper"].update(extra=torch.zeros(1)), "extra: extra"),
        (lambda files: files[RESTORATION].pop("g_ema"), "it has no g_ema"),
        (lambda files: files[RESTORATION]["g_ema"].pop("conv1.noise.weight"), r"missing: conv1\.noise\.weight"),
    ],
)
def test_a_file_that_does_not_fit_says_why(tmp_path: Path, spoil: Spoil, message: str) -> None:
    files = published(small_networks(), SHAPE)
    spoil(files)
    with pytest.raises((CheckpointMismatch, CheckpointUnreadable), match=message):
        load_networks(written(tmp_path, files), SHAPE)


@pytest.mark.parametrize("name", [STYLE, DIFFUSER, RESTORATION])
def test_a_damaged_file_is_told(tmp_path: Path, name: str) -> None:
    paths = written(tmp_path, published(small_networks(), SHAPE))
    paths[name].write_bytes(paths[name].read_bytes()[:1000])
    with pytest.raises(CheckpointUnreadable, match=name):
        load_networks(paths, SHAPE)


class Trap:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("run",)


def test_no_code_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = published(small_networks(), SHAPE)
    files[DIFFUSER]["args"] = Trap()
    with pytest.raises(CheckpointUnreadable):
        load_networks(written(tmp_path, files), SHAPE)
    assert not capsys.readouterr().out


def test_the_discriminator_is_in_a_file_with_the_state_of_training(tmp_path: Path) -> None:
    source = filled(Discriminator(SHAPE))
    torch.save({"d": source.state_dict(), "args": ARGUMENTS}, tmp_path / RESTORATION)
    loaded = load_discriminator(tmp_path / RESTORATION, SHAPE)
    faces = torch.rand(3, 3, SHAPE.side, SHAPE.side)
    assert torch.equal(loaded(faces), source(faces))
    assert loaded(faces).shape == (3, 1)


def test_inference_needs_no_arcface_and_the_guard_can_use_it(tmp_path: Path) -> None:
    torch.manual_seed(1839)
    network = ArcFace().eval()
    path = tmp_path / WEIGHTS.name
    torch.save(dict(network.body.state_dict()), path)
    assert recognise(path, [*FILES, WEIGHTS]) is WEIGHTS
    assert load_arcface(path).body.fc.out_features == 256
    identity = IDENTITY.build({WEIGHTS.name: path}, "cpu")
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    embedded = identity.embed(faces)
    assert torch.allclose(embedded.norm(dim=1), torch.ones(2))
    assert torch.equal(embedded[1:], identity.embed(faces[1:]))
    assert similarity(identity, faces, faces) == pytest.approx([1, 1])
    assert similarity(identity, faces, faces.flip(0)) != pytest.approx([1, 1])


@pytest.mark.slow
def test_the_method_works_from_the_published_files_and_a_face_has_the_same_bytes_in_any_batch(tmp_path: Path) -> None:
    """At the published sizes of the networks, with synthetic weights."""
    torch.manual_seed(1839)
    networks = VspbfrNetworks(
        StyleEncoder(PUBLISHED), CodeDiffuser(), StyleDecoder(PUBLISHED), RestorationNet(PUBLISHED)
    )
    paths = written(tmp_path, published(networks, PUBLISHED))
    for file in FILES:
        assert recognise(paths[file.name], [*FILES, WEIGHTS]) is file
        assert file.tensors.items() <= tensor_shapes(paths[file.name]).items()
    built = METHOD.build(paths, VspbfrParameters(), "cpu", "float32")
    crops = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    together = built.restore(Faces.plain(crops, [5, 6])).faces
    assert torch.isfinite(together).all()
    assert torch.equal(built.restore(Faces.plain(crops[1:], [6])).faces, together[1:])
