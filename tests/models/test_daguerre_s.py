"""Daguerre's own restorer: the network as it is made, and what it is trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.method import Faces
from models.methods.daguerre_s import DaguerreSRestorer
from models.nets.daguerre_s import DaguerreS, Sizes
from models.training.tasks.daguerre_s import FEATURES, NEAR, TRAINING, DaguerreSRecipe, DaguerreSTask

TINY = Sizes((8, 12, 16), 1)
RECIPE = DaguerreSRecipe(steps=40, batch=2, size=64, patch=32, whole=0, warmup=5, learning_rate=2e-3)


def faces(count: int, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(count, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(small, (side, side), mode="bicubic").clamp(0, 1)


def levels(count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    return list((faces(count).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8))


def test_a_new_network_changes_nothing() -> None:
    pictures = faces(1)
    assert torch.equal(DaguerreS()(pictures), pictures)


def test_the_size_is_that_of_the_models_card() -> None:
    assert sum(parameter.numel() for parameter in DaguerreS().parameters()) == 2_354_076


@pytest.mark.parametrize("shape", [(32, 32), (48, 80), (120, 64)])
def test_any_sides_that_are_multiples_of_eight_do(shape: tuple[int, int]) -> None:
    assert DaguerreS(TINY)(torch.rand(2, 3, *shape)).shape == (2, 3, *shape)


def test_every_weight_has_a_part_in_what_comes_out() -> None:
    network = DaguerreS(TINY)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    torch.autograd.backward(network(faces(1)).square().sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_an_example_is_a_patch_and_its_truth() -> None:
    task = DaguerreSTask(RECIPE)
    example = task.example(levels(1)[0], np.random.default_rng(1))
    assert {name: value.shape for name, value in example.items()} == {
        "given": (3, 32, 32),
        "wanted": (3, 32, 32),
    }
    assert all(value.dtype == np.float32 and value.min() >= 0 and value.max() <= 1 for value in example.values())
    again = task.example(levels(1)[0], np.random.default_rng(1))
    assert all(np.array_equal(example[name], again[name]) for name in example)


def test_patches_can_be_of_eyes_and_mouths() -> None:
    side, half, rng = 256, RECIPE.patch / 2, np.random.default_rng(3)
    everywhere, chosen = (DaguerreSTask(RECIPE.model_copy(update={"features": share})) for share in (0, 1))
    features = side * np.array(FEATURES)

    def far(task: DaguerreSTask) -> float:
        middles = np.array([task.corner(side, rng) + half for _ in range(100)])
        assert ((middles - half) % 2 == 0).all()
        assert (middles >= half).all()
        assert (middles <= side - half).all()
        nearest = np.abs(middles[:, None] - features).max(axis=2)
        assert set(nearest.argmin(axis=1)) == {0, 1, 2}
        return float(nearest.min(axis=1).max())

    assert far(chosen) <= side * NEAR + 1
    assert far(everywhere) > side * NEAR + 1


def test_training_lowers_the_loss_on_what_it_sees() -> None:
    task = DaguerreSTask(RECIPE)
    examples = [task.example(face, np.random.default_rng(2)) for face in levels(2)]
    batch = {name: torch.from_numpy(np.stack([example[name] for example in examples])) for name in examples[0]}
    optimiser = torch.optim.Adam(task.network.parameters(), 1e-3)
    losses: list[float] = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = task.loss(task.network, batch)
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.92 * losses[0]


def test_a_training_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    first = DaguerreSTask(RECIPE)
    torch.nn.init.normal_(first.network.tail.weight, std=0.1)
    TRAINING.export(first.network.state_dict(), tmp_path / "first.safetensors")
    second = DaguerreSTask(RECIPE.model_copy(update={"start": tmp_path / "first.safetensors"}))
    wanted = {name: tensor.half().float() for name, tensor in first.network.state_dict().items()}
    assert second.network.state_dict().keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in second.network.state_dict().items())
    assert second.network.tail.weight.abs().max() > 0


def test_a_little_of_the_change_is_held_back() -> None:
    class Change(DaguerreS):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return faces + torch.tensor([0.02, -0.05, 0.4])[:, None, None]

    crops = 0.25 + faces(2) / 4
    restored = DaguerreSRestorer(Change(TINY), "cpu", "float32").restore(Faces.plain(crops, [0, 0])).faces
    wanted = crops + torch.tensor([0.018, -0.045, 0.39])[:, None, None]
    torch.testing.assert_close(restored, wanted)


def test_validation_tells_the_unchanged_network_by_its_figures() -> None:
    task = DaguerreSTask(RECIPE)
    validation = task.validate(task.network.eval(), levels(2))
    for strength in ("mild", "medium", "heavy"):
        assert validation.figures[f"{strength}.after"] == pytest.approx(validation.figures[f"{strength}.before"])
    assert validation.figures["mild.before"] > validation.figures["medium.before"] > validation.figures["heavy.before"]
    assert validation.figures["clean"] == 100
    assert validation.picture.shape == (2 * 64, 7 * 64, 3)
