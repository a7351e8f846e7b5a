"""Daguerre's own restorer: the network as it is made, and what it is trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.method import Faces
from models.methods.daguerre_s import DaguerreSRestorer
from models.nets.daguerre_s import CELLS, ELSEWHERE, DaguerreS, Sizes
from models.training.squares import Pixels, Square
from models.training.tasks.daguerre_s import FEATURES, NEAR, TRAINING, DaguerreSRecipe, DaguerreSTask, harm
from models.training.trainer import Trainer

TINY = Sizes((8, 12, 16), 1)
RECIPE = DaguerreSRecipe(steps=40, batch=2, size=64, patch=32, whole=0, warmup=5, learning_rate=2e-3)


def faces(count: int, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(count, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(small, (side, side), mode="bicubic").clamp(0, 1)


def levels(count: int) -> list[Pixels]:
    return list((faces(count).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8))


def squares(count: int) -> list[Square]:
    return [Square(face) for face in levels(count)]


def told(**changed: object) -> DaguerreSTask:
    return DaguerreSTask(RECIPE.model_copy(update=changed))


def with_a_map() -> DaguerreS:
    network = DaguerreS(TINY)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    torch.nn.init.normal_(network.place)
    return network


def test_a_new_network_changes_nothing() -> None:
    pictures = faces(1)
    assert torch.equal(DaguerreS()(pictures), pictures)


def test_the_size_is_that_of_the_models_card() -> None:
    assert sum(parameter.numel() for parameter in DaguerreS().parameters()) == 2_550_684


@pytest.mark.parametrize("shape", [(32, 32), (48, 80), (120, 64)])
def test_any_sides_that_are_multiples_of_eight_do(shape: tuple[int, int]) -> None:
    assert DaguerreS(TINY)(torch.rand(2, 3, *shape)).shape == (2, 3, *shape)


def test_every_weight_has_a_part_in_what_comes_out() -> None:
    network = with_a_map()
    torch.autograd.backward(network(faces(1)).square().sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_map_lies_where_the_windows_are() -> None:
    network = with_a_map()
    nothing = torch.zeros(3, 16, 8, 8)
    windows = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0, 0, 0.25, 0.25], ELSEWHERE])
    found = network.placed(nothing, windows)
    torch.testing.assert_close(found[0], network.place[0, :, 16:24, 8:16])
    torch.testing.assert_close(found[1], network.place[0, :, :8, :8])
    assert not found[2].any()


def test_a_whole_face_gets_the_whole_map_at_any_size() -> None:
    network = with_a_map()
    torch.testing.assert_close(network.placed(torch.zeros(1, 16, CELLS, CELLS), None), network.place)
    halved = torch.nn.functional.interpolate(network.place, (16, 16), mode="bilinear")
    torch.testing.assert_close(network.placed(torch.zeros(1, 16, 16, 16), None), halved, rtol=0, atol=1e-4)


def test_the_map_changes_what_comes_out_and_elsewhere_there_is_none() -> None:
    network = with_a_map()
    pictures, elsewhere = faces(2), torch.tensor([ELSEWHERE, ELSEWHERE])
    placed, unplaced = network(pictures), network(pictures, elsewhere)
    assert not torch.allclose(placed, unplaced)
    torch.nn.init.zeros_(network.place)
    torch.testing.assert_close(network(pictures), unplaced)


def test_an_example_is_a_patch_its_truth_and_its_place() -> None:
    task = told(placed=1.0)
    example = task.example(squares(1)[0], np.random.default_rng(1))
    shapes = {name: value.shape for name, value in example.items()}
    assert shapes == {"given": (3, 32, 32), "wanted": (3, 32, 32), "window": (4,)}
    assert all(value.dtype == np.float32 for value in example.values())
    assert all(example[name].min() >= 0 and example[name].max() <= 1 for name in ("given", "wanted"))
    again = task.example(squares(1)[0], np.random.default_rng(1))
    assert all(np.array_equal(example[name], again[name]) for name in example)


def test_a_place_is_that_of_the_patch_but_for_what_landmarks_err() -> None:
    task, rng = told(placed=1.0), np.random.default_rng(2)
    window = np.array([0.25, 0.5, 0.75, 1.0])
    places = np.array([task.place(window, rng) for _ in range(400)])
    np.testing.assert_allclose(places.mean(axis=0), window, atol=0.01)
    assert (places.std(axis=0) > 0.01).all()
    np.testing.assert_allclose(places.std(axis=0), 0.022, atol=0.008)
    np.testing.assert_allclose((places[:, 2:] - places[:, :2]).std(axis=0), 0.02, atol=0.004)
    found = np.array([task.example(squares(1)[0], rng)["window"] for _ in range(100)])
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], 0.5, atol=0.1)  # patches of 32 in faces of 64
    assert found.min() > -0.15
    assert found.max() < 1.15
    assert found[:, 0].std() > 0.1


def test_faces_without_a_place_and_other_squares_are_elsewhere() -> None:
    rng = np.random.default_rng(4)
    black = Square(levels(1)[0], [np.zeros((64, 64, 3), np.uint8)])

    def elsewhere(task: DaguerreSTask, square: Square) -> list[bool]:
        return [np.array_equal(task.example(square, rng)["window"], ELSEWHERE) for _ in range(60)]

    assert all(elsewhere(told(placed=0.0), black))
    assert not any(elsewhere(told(placed=1.0), black))
    assert all(elsewhere(told(placed=1.0, others=1.0), black))
    assert 10 < sum(elsewhere(told(placed=1.0, others=0.5), black)) < 50
    assert told(others=1.0).example(black, rng)["wanted"].std() < told().example(black, rng)["wanted"].std()


def test_what_is_hardly_damaged_keeps_its_detail_by_itself() -> None:
    wanted = torch.full((3, 3, 8, 8), 0.5)
    given = wanted + torch.tensor([0.02, 0.06, 0.2])[:, None, None, None]
    torch.testing.assert_close(harm(given, wanted, 0.03, 0.09), torch.tensor([0.0, 0.5, 1.0]))
    batch = {"given": faces(1, 32), "wanted": faces(2, 32)[1:], "window": torch.tensor([ELSEWHERE])}
    plain, weighed = (told(detail=weight).loss(told().network, batch) for weight in (0.0, 1.0))
    assert weighed > plain
    batch["given"] = batch["wanted"] * 0.98
    plain, weighed = (told(detail=weight).loss(told().network, batch) for weight in (0.0, 1.0))
    assert weighed == plain > 0
    batch["given"] = batch["wanted"]
    assert told(detail=1.0).loss(told().network, batch) == 0


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
    examples = [task.example(face, np.random.default_rng(2)) for face in squares(2)]
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


def test_weights_from_before_the_map_begin_with_an_empty_one(tmp_path: Path) -> None:
    first = told().network
    torch.nn.init.normal_(first.tail.weight, std=0.1)
    old = {name: tensor for name, tensor in first.state_dict().items() if name != "place"}
    TRAINING.export(old, tmp_path / "old.safetensors")
    second = told(start=tmp_path / "old.safetensors").network
    assert not second.place.any()
    assert torch.equal(second.tail.weight, first.tail.weight.half().float())


def test_a_training_that_is_told_no_places_leaves_the_map_empty() -> None:
    task = told()
    trainer = Trainer(task, RECIPE, squares(2))
    list(trainer.run(3))
    assert task.network.tail.weight.any()
    assert not task.network.place.any()


def test_a_little_of_the_change_is_held_back() -> None:
    class Change(DaguerreS):
        def forward(self, faces: torch.Tensor, windows: torch.Tensor | None = None) -> torch.Tensor:
            return faces + torch.tensor([0.02, -0.05, 0.4])[:, None, None]

    crops = 0.25 + faces(2) / 4
    restored = DaguerreSRestorer(Change(TINY), "cpu", "float32").restore(Faces.plain(crops, [0, 0])).faces
    wanted = crops + torch.tensor([0.019, -0.0475, 0.39])[:, None, None]
    torch.testing.assert_close(restored, wanted)


def test_validation_tells_the_unchanged_network_by_its_figures() -> None:
    task = DaguerreSTask(RECIPE)
    validation = task.validate(task.network.eval(), squares(2))
    for strength in ("mild", "medium", "heavy"):
        assert validation.figures[f"{strength}.after"] == pytest.approx(validation.figures[f"{strength}.before"])
    assert validation.figures["mild.before"] > validation.figures["medium.before"] > validation.figures["heavy.before"]
    assert validation.figures["clean"] == 100
    assert validation.picture.shape == (2 * 64, 7 * 64, 3)
