"""ELSFace: the published file, the arithmetic of the original, and the way of a crop through the method."""

import hashlib
from collections.abc import Callable, Generator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.checkpoint import Dtype
from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.load import CheckpointMismatch, Tensors
from models.method import Faces, Restorer
from models.methods.elsface import METHOD, WEIGHTS, ELSFaceRestorer, load_network, reduced
from models.nets.elsface import ELSFace, Factor, TrunkSizes
from models.training.elsface import learning_rate, optimiser, pair, step
from models.training.tasks.elsface import EPOCH, ElsfaceRecipe, ElsfaceTask
from models.training.trainer import Trainer
from models.training.trainer import learning_rate as rate
from tests.golden.make_elsface import FACTORS, FILE, output, weights
from tests.pipeline.conftest import in_process, portrait, restoring

drawn = cache(weights)
TENSORS = "19c6ed8f863bd86dd62fae623972114eb86719fca54dc671985ee42f2e2e9ad9"


def saved(path: Path, factor: Factor = 4) -> Path:
    """Synthetic weights in the published container, under the published names."""
    tensors = {f"model.{name}": tensor for name, tensor in drawn(factor).items()}
    torch.save({"epoch": 40, "state_dict": tensors}, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """As in a run's workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / WEIGHTS.name)


@pytest.fixture(scope="module")
def restorer(published: Path) -> Restorer:
    return METHOD.build({WEIGHTS.name: published}, METHOD.parameters(), "cpu", "float32")


def noisy(count: int, side: int) -> torch.Tensor:
    """Different crops (count, 3, side, side): smooth shapes under a grain."""
    generator = torch.Generator().manual_seed(1839)
    shapes = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = functional.interpolate(shapes, (side, side), mode="bicubic", align_corners=True)
    return (smooth + 0.04 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("factor", FACTORS)
def test_the_network_computes_the_recorded_outputs(factor: Factor, tmp_path: Path) -> None:
    network = load_network(saved(tmp_path / "a.pth", factor))
    assert network.output_side == 32 * factor
    with np.load(FILE) as golden:
        expected = golden[f"x{factor}"]
        error = np.linalg.norm(output(network, factor, golden["input"]) - expected) / np.linalg.norm(expected)
    assert error < 1e-5


def test_names_and_shapes_of_the_tensors_are_the_originals() -> None:
    """The digest is that of the kit's manifest, which was taken from the original network."""
    lines = sorted(f"model.{name} {tuple(tensor.shape)}" for name, tensor in ELSFace().state_dict().items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == TENSORS


def test_the_published_file_is_known_by_its_tensors(published: Path) -> None:
    assert WEIGHTS.tensors.items() <= tensor_shapes(published).items()
    assert recognise(published, [WEIGHTS]) is WEIGHTS


@pytest.mark.parametrize(
    ("prefix", "nested"), [("model.", True), ("module.model.", True), ("module.", False), ("", False)]
)
def test_tensors_load_nested_or_bare_with_or_without_a_prefix(prefix: str, nested: bool, tmp_path: Path) -> None:
    tensors = {prefix + name: tensor for name, tensor in drawn(4).items()}
    torch.save({"epoch": 1, "state_dict": tensors} if nested else tensors, tmp_path / "a.pth")
    assert same(load_network(tmp_path / "a.pth"), drawn(4))


def test_tensors_load_from_safetensors(tmp_path: Path) -> None:
    save_file({f"model.{name}": tensor.clone() for name, tensor in drawn(4).items()}, tmp_path / "a.safetensors")
    assert same(load_network(tmp_path / "a.safetensors"), drawn(4))


def same(network: ELSFace, expected: Tensors) -> bool:
    state = network.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)


def without(tensors: Tensors) -> None:
    del tensors["model.norm_1.bias"]


def of_another_variant(tensors: Tensors) -> None:
    tensors["model.head_x2.1.0.weight"] = torch.zeros(())


def with_another_tail(tensors: Tensors) -> None:
    tensors["model.tail_x2.0.0.0.weight"] = torch.zeros(()).expand(960, 60, 3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without, r"missing: norm_1\.bias$"),
        (of_another_variant, r"extra: head_x2\.1\.0\.weight$"),
        (with_another_tail, r"of another shape: tail_x2\.0\.0\.0\.weight \(960, 60, 3, 3\) for \(240, 60, 3, 3\)$"),
    ],
)
def test_another_set_of_tensors_is_refused_by_name(
    damage: Callable[[Tensors], None], message: str, tmp_path: Path
) -> None:
    state = ELSFace().state_dict()
    tensors = {f"model.{name}": torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}
    damage(tensors)
    torch.save({"epoch": 1, "state_dict": tensors}, tmp_path / "a.pth")
    with pytest.raises(CheckpointMismatch, match=message):
        load_network(tmp_path / "a.pth")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointUnreadable, match=r"a\.pth cannot be read"):
        load_network(tmp_path / "a.pth")


def test_shape_type_and_range_stay_and_the_crops_are_not_touched(restorer: Restorer) -> None:
    crops = noisy(1, 160)
    before = crops.clone()
    restored = restorer.restore(Faces.plain(crops, [1])).faces
    assert restored.shape == crops.shape
    assert restored.dtype == torch.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert not torch.equal(restored, crops)
    assert torch.equal(crops, before)


def test_a_face_has_the_same_bytes_in_any_batch() -> None:
    """With fewer of the published blocks: every kind of layer in its published shape."""
    torch.manual_seed(3)
    restorer = ELSFaceRestorer(ELSFace(4, TrunkSizes(enhancements=1, enhancement_depth=1)).eval(), "cpu", "float32")
    crops, seeds = noisy(3, 128), list(range(3))
    together = restorer.restore(Faces.plain(crops, seeds)).faces
    for order in ([1], [2, 0]):
        apart = restorer.restore(Faces.plain(crops[order], [seeds[index] for index in order])).faces
        assert torch.equal(apart, together[order])
    assert not torch.equal(together[0], together[1])


def test_no_faces_give_none(restorer: Restorer) -> None:
    assert restorer.restore(Faces.plain(noisy(1, 128)[:0], [])).faces.shape == (0, 3, 128, 128)


class Enlarge(nn.Module):
    """In place of the network: it repeats pixels and remembers what it saw."""

    output_side = 128

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.autocast: list[bool] = []
        self.value = value

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        self.seen.append(faces)
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return functional.interpolate(faces, scale_factor=4) + self.value


def through(network: Enlarge, crops: torch.Tensor, dtype: Dtype = "float32") -> torch.Tensor:
    return ELSFaceRestorer(cast("ELSFace", network), "cpu", dtype).restore(Faces.plain(crops, [0] * len(crops))).faces


@pytest.mark.parametrize("side", [32, 64, 128, 256, 512])
def test_the_network_sees_bgr_and_the_result_is_rgb_again(side: int) -> None:
    network = Enlarge()
    crops = torch.tensor([0.9, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, side, side)
    restored = through(network, crops)
    [seen] = network.seen
    assert seen.shape == (1, 3, 32, 32)
    torch.testing.assert_close(seen[0, :, 5, 5], torch.tensor([0.2, 0.5, 0.9]))
    torch.testing.assert_close(restored, crops)


def test_each_face_goes_through_the_network_alone_and_in_its_order() -> None:
    network = Enlarge()
    crops = torch.tensor([0.9, 0.1, 0.6]).view(3, 1, 1, 1).expand(3, 3, 128, 128)
    torch.testing.assert_close(through(network, crops), crops)
    assert [len(seen) for seen in network.seen] == [1, 1, 1]


@pytest.mark.parametrize(("value", "expected"), [(9.0, 1.0), (-9.0, 0.0)])
def test_the_result_is_clipped(value: float, expected: float) -> None:
    assert through(Enlarge(value), noisy(1, 128)).unique().tolist() == [expected]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_none_are_not_hidden(value: float) -> None:
    assert not through(Enlarge(value), noisy(1, 128)).isfinite().any()


@pytest.mark.parametrize(("dtype", "mixed"), [("float32", False), ("bfloat16", True), ("float16", True)])
def test_half_precision_is_mixed_and_the_result_is_float32(dtype: Dtype, mixed: bool) -> None:
    network = Enlarge()
    assert through(network, noisy(1, 128), dtype).dtype == torch.float32
    assert network.autocast == [mixed]


@pytest.mark.parametrize("side", [32, 48, 96, 128])
def test_a_crop_is_reduced_by_opencvs_cubic(side: int) -> None:
    [crop] = noisy(1, side)
    bgr = np.ascontiguousarray(crop.numpy().transpose(1, 2, 0)[..., ::-1])
    expected = cv2.resize(bgr, (32, 32), interpolation=cv2.INTER_CUBIC)
    found = reduced(crop[None], 128)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_crop_larger_than_the_output_does_not_alias() -> None:
    """White noise in 16 x 16 pixels for one: plain cubic would keep 0.72 of it."""
    crop = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(3))
    assert float(reduced(crop, 128).std()) < 0.3 * float(crop.std())


def test_a_run_restores_the_faces_of_a_photo(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGUERRE_WEIGHTS", str(published.parent))
    (tmp_path / "in").mkdir()
    portrait(160, 1).save(tmp_path / "in" / "a.png")
    restoring(in_process)(tmp_path / "in", tmp_path / "out", method="elsface", guard={"on": False})
    before, after = (np.asarray(Image.open(path)) for path in (tmp_path / "in" / "a.png", result(tmp_path / "out")))
    changed = (before != after).any(axis=-1)
    assert 0.05 < changed.mean() < 0.9
    assert not changed[0].any()


def result(sink: Path) -> Path:
    [path] = (sink / "photos").rglob("a.png")
    return path


SMALL = TrunkSizes(width=12, heads=2, kernel=3, enhancements=1, enhancement_depth=1)


@pytest.mark.parametrize(("factor", "side"), [(4, 128), (8, 256)])
def test_the_trunk_has_other_sizes_on_request(factor: Factor, side: int) -> None:
    assert ELSFace(factor, SMALL)(noisy(2, 32)).shape == (2, 3, side, side)


def test_a_training_step_lowers_the_loss_and_moves_every_parameter() -> None:
    torch.manual_seed(5)
    network = ELSFace(4, SMALL)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    target = noisy(2, 128)
    small = functional.interpolate(target, (32, 32), mode="area")
    adam = optimiser(network)
    losses = [float(step(network, adam, small, target)) for _ in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert all(not torch.equal(before[name], parameter) for name, parameter in network.named_parameters())


def test_the_learning_rate_falls_in_a_straight_line() -> None:
    assert [learning_rate(epoch) for epoch in (0, 20, 39)] == pytest.approx([1e-4, 5e-5, 2.5e-6])


def test_a_training_pair_is_in_8_bits_and_the_input_comes_from_the_target() -> None:
    photo = (noisy(1, 200)[0].permute(1, 2, 0).numpy()[:, :160] * 255).astype(np.uint8)
    target, small = pair(photo)
    assert (target.shape, small.shape) == ((3, 128, 128), (3, 32, 32))
    for planes in (target, small):
        np.testing.assert_allclose(planes * 255, np.rint(planes * 255), rtol=0, atol=1e-4)
    again = cv2.resize(
        np.rint(target * 255).astype(np.uint8).transpose(1, 2, 0), (32, 32), interpolation=cv2.INTER_CUBIC
    )
    np.testing.assert_array_equal(np.rint(small * 255), again.transpose(2, 0, 1))


def test_the_recipes_rate_falls_once_an_epoch_as_published() -> None:
    recipe = ElsfaceRecipe(steps=6, hold=2)
    assert [rate(recipe, at) for at in range(6)] == pytest.approx([1e-4, 1e-4, 2e-4 / 3, 2e-4 / 3, 1e-4 / 3, 1e-4 / 3])
    assert rate(ElsfaceRecipe(), 20 * EPOCH - 1) == pytest.approx(learning_rate(19))


def test_the_trainer_takes_the_published_step() -> None:
    recipe = ElsfaceRecipe(steps=1, batch=1)
    photo = (noisy(1, 128)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    task = ElsfaceTask(recipe)
    published = deepcopy(task.network)
    trainer = Trainer(task, recipe, [photo])
    target, small = (torch.from_numpy(planes)[None] for planes in pair(np.ascontiguousarray(photo[..., ::-1])))
    expected = float(step(published, optimiser(published), small, target))
    assert list(trainer.run(1)) == pytest.approx([expected], rel=1e-6)
    for name, parameter in trainer.average.named_parameters():
        torch.testing.assert_close(parameter, published.get_parameter(name), rtol=1e-5, atol=1e-7)


def test_validation_tells_the_network_and_plain_enlargement_apart() -> None:
    task = ElsfaceTask(ElsfaceRecipe(steps=1))
    photo = (noisy(1, 128)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    validation = task.validate(task.network.eval(), [photo])
    assert validation.figures["bicubic"] > validation.figures["psnr"], "the network knows nothing yet"
    assert validation.picture.shape == (128, 3 * 128, 3)
