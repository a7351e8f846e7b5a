"""The training loop: what it is made of, and that stopping it changes nothing."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from models.training.recipe import TrainRecipe
from models.training.task import Example, Face, Validation
from models.training.trainer import Examples, Place, Trainer, learning_rate

ALONE = Place()
RECIPE = TrainRecipe(steps=12, batch=4, warmup=3, learning_rate=0.1, final_rate=0.01, seed=5)
FACES: list[Face] = [np.full((4, 4, 3), value, np.uint8) for value in (10, 60, 110, 160, 210)]


class Line:
    """Learns y = 2 x + 1 from a face's brightness and noise of its own."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))

    def example(self, face: Face, rng: np.random.Generator) -> Example:
        x = np.float32(face.mean() / 255 + rng.normal(0, 0.05))
        return {"x": np.array([x], np.float32), "y": np.array([2 * x + 1], np.float32)}

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return (network(batch["x"]) - batch["y"]).square().mean()

    def validate(self, network: nn.Module, faces: Sequence[Face]) -> Validation:
        raise AssertionError("the loop does not validate")


def trainer(place: Place = ALONE, recipe: TrainRecipe = RECIPE) -> Trainer:
    return Trainer(Line(), recipe, FACES, place)


def same(one: Trainer, other: Trainer) -> bool:
    pairs = [(one.network, other.network), (one.average, other.average)]
    states = [(left.state_dict(), right.state_dict()) for left, right in pairs]
    return all(torch.equal(left[name], right[name]) for left, right in states for name in left)


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_training_that_was_stopped_goes_on_bit_for_bit(stop: int) -> None:
    whole, first, second = trainer(), trainer(), trainer()
    losses = list(whole.run(12))
    before = list(first.run(stop))
    second.resume(first.state())
    assert before + list(second.run(12)) == losses
    assert same(whole, second)
    assert not same(whole, first)


def test_the_loss_falls() -> None:
    recipe = RECIPE.model_copy(update={"steps": 60})
    losses = list(trainer(recipe=recipe).run(60))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 4


def test_loader_processes_change_nothing() -> None:
    alone, helped = trainer(), trainer(Place(loaders=2))
    assert list(alone.run(3)) == list(helped.run(3))
    assert same(alone, helped)


def test_processes_that_train_together_share_each_batch() -> None:
    def seen(place: Place) -> list[list[float]]:
        return [batch["x"].flatten().tolist() for batch in trainer(place)._batches(2)]  # pyright: ignore[reportPrivateUsage]

    whole, even, odd = seen(Place()), seen(Place(rank=0, world=2)), seen(Place(rank=1, world=2))
    assert [sorted(batch) for batch in whole] == [sorted(one + other) for one, other in zip(even, odd, strict=True)]


def test_each_pass_takes_every_face_once_in_an_order_of_its_own() -> None:
    examples = Examples(Line(), FACES, 5)
    passes = [[round(float(examples[5 * turn + place]["x"][0]) * 255 / 50) for place in range(5)] for turn in range(4)]
    assert len({tuple(order) for order in passes}) > 1
    bright = [[float(examples[index]["x"][0]) for index in range(5 * turn, 5 * turn + 5)] for turn in range(2)]
    for faces in bright:
        np.testing.assert_allclose(sorted(faces), [face.mean() / 255 for face in FACES], atol=0.25)


def test_other_seeds_give_other_examples() -> None:
    first, second = (Examples(Line(), FACES, seed)[0]["x"] for seed in (5, 6))
    assert not np.array_equal(first, second)


def test_the_rate_climbs_and_falls() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(13)]
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[3] == pytest.approx(0.1)
    assert rates[12] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))


def weights(one: Trainer) -> list[torch.Tensor]:
    return [one.average.get_parameter("0.weight"), one.network.get_parameter("0.weight")]


def test_averaged_weights_follow_slowly() -> None:
    fast, slow = (trainer(recipe=RECIPE.model_copy(update={"ema": decay})) for decay in (0.0, 0.999))
    list(fast.run(12))
    list(slow.run(12))
    assert torch.equal(*weights(fast))
    assert not torch.equal(*weights(slow))


def test_gradients_are_clipped() -> None:
    recipe = RECIPE.model_copy(update={"clip": 1e-6, "weight_decay": 0.0})
    clipped = trainer(recipe=recipe)
    list(clipped.run(1))
    norms = [parameter.grad.norm() for parameter in clipped.network.parameters() if parameter.grad is not None]
    assert torch.stack(norms).norm() <= 1.01e-6
