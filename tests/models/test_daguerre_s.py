"""Daguerre's own restorer: the network as it is made, and what it is trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.load import CheckpointMismatch
from models.method import Faces
from models.methods.daguerre_s import DaguerreSRestorer
from models.nets.daguerre_s import CELLS, ELSEWHERE, GLANCE, DaguerreS, Place, Sizes, placed
from models.training.squares import Pixels, Square
from models.training.tasks.daguerre_s import (
    FEATURES,
    NEAR,
    TRAINING,
    UNSURE,
    DaguerreSRecipe,
    DaguerreSTask,
    harm,
    moved,
)
from models.training.trainer import Trainer

TINY = Sizes((8, 12, 16), 1)
RECIPE = DaguerreSRecipe(steps=40, batch=2, size=64, patch=32, whole=0, warmup=5, learning_rate=2e-3)


def faces(count: int, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(count, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(small, (side, side), mode="bicubic").clamp(0, 1)


def levels(count: int, side: int = 64) -> list[Pixels]:
    return list((faces(count, side).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8))


def squares(count: int, side: int = 64) -> list[Square]:
    return [Square(face) for face in levels(count, side)]


def told(**changed: object) -> DaguerreSTask:
    return DaguerreSTask(RECIPE.model_copy(update=changed))


def with_a_map() -> DaguerreS:
    network = DaguerreS(TINY)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    torch.nn.init.normal_(network.place)
    torch.nn.init.normal_(network.told.weight)
    torch.nn.init.normal_(network.glance.tail.weight, std=0.1)
    return network


def test_a_new_network_changes_nothing() -> None:
    pictures = faces(1)
    assert torch.equal(DaguerreS()(pictures), pictures)


def test_the_size_is_that_of_the_models_card() -> None:
    assert sum(parameter.numel() for parameter in DaguerreS().parameters()) == 4_914_168


@pytest.mark.parametrize("shape", [(32, 32), (48, 80), (120, 64)])
def test_any_sides_that_are_multiples_of_eight_do(shape: tuple[int, int]) -> None:
    assert DaguerreS(TINY)(torch.rand(2, 3, *shape)).shape == (2, 3, *shape)


def test_every_weight_has_a_part_in_what_comes_out() -> None:
    network = with_a_map()
    part, whole = network(faces(1), torch.tensor([[0.0, 0.0, 0.5, 0.5]]), faces(1, GLANCE))
    torch.autograd.backward(part.square().sum() + whole.square().sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_what_is_known_of_a_face_lies_where_the_windows_are() -> None:
    network = with_a_map()
    windows = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0, 0, 0.25, 0.25], ELSEWHERE])
    found = placed(network.place.expand(3, -1, -1, -1), torch.zeros(3, 16, 8, 8), windows)
    torch.testing.assert_close(found[0], network.place[0, :, 16:24, 8:16])
    torch.testing.assert_close(found[1], network.place[0, :, :8, :8])
    assert not found[2].any()


def test_a_whole_face_gets_the_whole_map_at_any_size() -> None:
    place = with_a_map().place
    torch.testing.assert_close(placed(place, torch.zeros(1, 16, CELLS, CELLS), None), place)
    halved = torch.nn.functional.interpolate(place, (16, 16), mode="bilinear")
    torch.testing.assert_close(placed(place, torch.zeros(1, 16, 16, 16), None), halved, rtol=0, atol=1e-4)


def test_a_patch_and_its_face_reduced_give_what_the_face_gives_there() -> None:
    network, face = with_a_map(), faces(1, 256)
    half = torch.tensor([[0.0, 0.0, 1.0, 0.5]])
    with torch.inference_mode():
        part, _ = network(face[:, :, :128], half, torch.nn.functional.avg_pool2d(face, 256 // GLANCE))
        torch.testing.assert_close(part[:, :, :48], network(face)[:, :, :48], rtol=0, atol=1e-4)


@pytest.mark.parametrize("part", ["place", "told"])
def test_the_map_and_the_glance_change_what_comes_out_and_elsewhere_there_is_neither(part: str) -> None:
    network = with_a_map()
    for other in {"place", "told"} - {part}:
        torch.nn.init.zeros_(network.place if other == "place" else network.told.weight)
    pictures, elsewhere = faces(2), torch.tensor([ELSEWHERE, ELSEWHERE])
    alone, _ = network(pictures, elsewhere, pictures)
    assert not torch.allclose(network(pictures), alone)
    torch.nn.init.zeros_(network.place if part == "place" else network.told.weight)
    torch.testing.assert_close(network(pictures), alone)


def test_what_a_glance_finds_lies_where_it_was_found() -> None:
    network, pictures = with_a_map(), faces(2, GLANCE)
    with torch.inference_mode():
        known = network.place + network.told(network.glance.found(pictures))
        assert known.flatten(2).std(dim=2).min() > 0
        found = network.found(pictures, lambda features: placed(known, features, None))
        torch.testing.assert_close(network(pictures), network.changed(pictures, found))


def test_a_glance_sees_what_is_far_away() -> None:
    """A patch's own part of the network sees about 80 pixels around it."""
    network, face = with_a_map(), faces(1, 256)
    other = face.clone()
    other[:, :, 200:] = 1 - other[:, :, 200:]
    with torch.inference_mode():
        apart = (network(face) - network(other))[:, :, :64].abs().max()
        torch.nn.init.zeros_(network.told.weight)
        assert (network(face) - network(other))[:, :, :64].abs().max() < apart / 1000


def test_an_example_is_a_patch_its_truth_and_its_place() -> None:
    task = told(placed=1.0)
    example = task.example(squares(1)[0], np.random.default_rng(1))
    shapes = {name: value.shape for name, value in example.items()}
    whole = (3, GLANCE, GLANCE)
    patch = (3, 32, 32)
    assert shapes == {"given": patch, "wanted": patch, "window": (4,), "whole": whole, "whole_wanted": whole}
    assert all(value.dtype == np.float32 for value in example.values())
    assert all(example[name].min() >= 0 and example[name].max() <= 1 for name in shapes.keys() - {"window"})
    again = task.example(squares(1)[0], np.random.default_rng(1))
    assert all(np.array_equal(example[name], again[name]) for name in example)


def test_the_place_of_a_patch_is_told_and_its_face_shown() -> None:
    task, rng = told(placed=1.0, size=128), np.random.default_rng(2)
    square = squares(1, 128)[0]
    windows: list[NDArray[np.float32]] = []
    for _ in range(40):
        example = task.example(square, rng)
        windows.append(example["window"])
        x, y = np.rint(windows[-1][:2] * GLANCE).astype(int)
        for patch, whole in (("given", "whole"), ("wanted", "whole_wanted")):
            reduced = example[patch].reshape(3, 16, 2, 16, 2).mean(axis=(2, 4))
            np.testing.assert_allclose(example[whole][:, y : y + 16, x : x + 16], reduced, atol=1e-5)
    found = np.array(windows)
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], 0.25)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[:, 0].std() > 0.1


def test_a_face_is_moved_by_whole_pixels_and_mirrored_at_the_border() -> None:
    side = 16
    image = np.random.default_rng(5).random((side, side, 3)).astype(np.float32)
    shown = moved(image, 3, -2)
    np.testing.assert_array_equal(shown[3:, :-2], image[:-3, 2:])
    np.testing.assert_array_equal(shown[:3, :-2], image[3:0:-1, 2:])
    np.testing.assert_array_equal(shown[3:, -2:], image[:-3, -2:-4:-1])
    np.testing.assert_array_equal(moved(image, 0, 0), image)


def test_placed_faces_are_off_as_landmarks_are() -> None:
    side, rng = 128, np.random.default_rng(6)
    dot = np.zeros((side, side, 3), np.uint8)
    dot[side // 2, side // 2] = 255
    task, black = told(placed=1.0, size=side, patch=side), Square(dot)

    def middle(task: DaguerreSTask) -> tuple[int, int]:
        wanted = task.example(black, rng)["wanted"].sum(axis=0)
        y, x = np.unravel_index(wanted.argmax(), wanted.shape)
        return int(y) - side // 2, int(x) - side // 2

    middles = np.array([middle(task) for _ in range(150)])
    np.testing.assert_allclose(middles.std(axis=0), UNSURE * side, rtol=0.2)
    unplaced = np.array([middle(told(placed=0.0, size=side, patch=side)) for _ in range(5)])
    assert np.isin(unplaced, [-1, 0]).all()  # mirrored or not


def test_as_many_examples_are_harsh_and_gentle_as_the_recipe_says() -> None:
    def damage(**shares: float) -> float:
        task, square = told(**shares), squares(1)[0]
        pairs = [task.example(square, np.random.default_rng(seed)) for seed in range(40)]
        return float(np.mean([(pair["whole"] - pair["whole_wanted"]) ** 2 for pair in pairs]))

    assert 1.3 * damage(gentle=1.0) < damage() < damage(harsh=1.0) / 1.3


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
    batch |= {"whole": faces(1, GLANCE), "whole_wanted": faces(1, GLANCE)}
    plain, weighed = (told(detail=weight).loss(told().network, batch) for weight in (0.0, 1.0))
    assert weighed > plain
    batch["given"] = batch["wanted"] * 0.98
    plain, weighed = (told(detail=weight).loss(told().network, batch) for weight in (0.0, 1.0))
    assert weighed == plain > 0
    batch["given"] = batch["wanted"]
    assert told(detail=1.0).loss(told().network, batch) == 0


def test_the_whole_face_reduced_counts_as_much_as_the_recipe_says() -> None:
    pictures = faces(2, GLANCE)
    batch = {"given": pictures, "wanted": pictures, "window": torch.tensor([ELSEWHERE, ELSEWHERE])}
    batch |= {"whole": pictures, "whole_wanted": pictures + 0.25}
    for weight in (0.0, 2.0):
        assert told(glance=weight).loss(told().network, batch).item() == pytest.approx(0.25 * weight, rel=1e-4)


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


@pytest.mark.parametrize("before", [("place",), ("place", "glance.", "told.")])
def test_weights_from_before_the_map_or_the_glance_begin_without(tmp_path: Path, before: tuple[str, ...]) -> None:
    first = told().network
    torch.nn.init.normal_(first.tail.weight, std=0.1)
    old = {name: tensor for name, tensor in first.state_dict().items() if not name.startswith(before)}
    TRAINING.export(old, tmp_path / "old.safetensors")
    second = told(start=tmp_path / "old.safetensors").network
    assert not second.place.any()
    assert not second.told.weight.any()
    assert second.glance.head.weight.any()
    assert torch.equal(second.tail.weight, first.tail.weight.half().float())


def test_other_weights_must_all_be_there(tmp_path: Path) -> None:
    old = {name: tensor for name, tensor in told().network.state_dict().items() if name != "tail.weight"}
    TRAINING.export(old, tmp_path / "old.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"tail\.weight"):
        told(start=tmp_path / "old.safetensors")


def test_a_training_that_is_told_no_places_leaves_the_map_empty() -> None:
    task = told()
    trainer = Trainer(task, RECIPE, squares(2))
    list(trainer.run(3))
    assert task.network.tail.weight.any()
    assert not task.network.place.any()
    assert not task.network.told.weight.any()


def test_a_little_of_the_change_is_held_back() -> None:
    class Change(DaguerreS):
        def found(self, pictures: torch.Tensor, place: Place | None = None) -> torch.Tensor:
            return pictures

        def changed(self, pictures: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
            return pictures + torch.tensor([0.02, -0.05, 0.4])[:, None, None]

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
