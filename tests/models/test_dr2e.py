"""DR2E: how much is taken away, what goes from remover to enhancer, and one face in any batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.dr2_degradation import preset_for
from models.dr2_parameters import Dr2eParameters, Preset, Removal, for_face, removal_of
from models.handover import by_file, handed, resized
from models.method import Faces, Restored, Restorer, all_methods
from models.methods.dr2e import FORMS, METHOD, Dr2e, at_256, drawn
from models.methods.pmrf import Pmrf, PmrfParameters
from models.samplers.diffusion import linear, respaced
from models.samplers.dr2 import dr2
from tests.golden.make_dr2e import chain, crops
from tests.golden.make_pmrf import small_networks

GOOD = {"sharpness": 0.6, "noise": 1.0, "blockiness": 0.1}
QUICK = Dr2eParameters(size=64, N=4, tau=22, omega=24)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """As workers have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder:
    """An enhancer that gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got: list[Faces] = []

    def restore(self, faces: Faces) -> Restored:
        self.got.append(faces)
        return Restored(faces.crops, [{"seen": float(faces.crops.shape[-1])}] * len(faces))


def no_noise(states: torch.Tensor, _steps: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(states), 6, *states.shape[2:])


def method(parameters: Dr2eParameters, enhancer: Restorer) -> Dr2e:
    return Dr2e(no_noise, enhancer, parameters, "cpu", drawn)


def faces(count: int, settings: Sequence[Mapping[str, Any]] = (), keep: frozenset[str] = frozenset()) -> Faces:
    generator = torch.Generator().manual_seed(1839)
    found = Faces.plain(torch.rand(count, 3, 64, 64, generator=generator), list(range(40, 40 + count)), keep)
    return replace(found, settings=list(settings) or found.settings, measures=[GOOD] * count)


@pytest.mark.parametrize(
    ("preset", "removal"),
    [("mild", Removal(4, 22, 42)), ("medium", Removal(8, 35, 60)), ("heavy", Removal(16, 35, 65))],
)
def test_presets_are_the_published_pairs(preset: Preset, removal: Removal) -> None:
    assert removal_of(Dr2eParameters(), preset) == removal


@pytest.mark.parametrize(("factor", "ahead"), [(1, 5), (2, 10), (4, 20), (8, 25), (16, 30), (32, 30)])
def test_omega_follows_from_n_and_tau_and_ends_at_the_last_index(factor: int, ahead: int) -> None:
    assert removal_of(Dr2eParameters(N=factor, tau=10), "mild").start == 10 + ahead
    assert removal_of(Dr2eParameters(N=factor, tau=98), "mild").start == 99
    assert removal_of(Dr2eParameters(N=factor, tau=10, omega=11), "mild").start == 11


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"N": 3}, "power of two"),
        ({"N": 512}, "less than or equal to 256"),
        ({"tau": 100}, "less than or equal to 99"),
        ({"tau": 50, "omega": 40}, "tau is 50, above omega 40"),
        ({"omega": 30}, "tau is 35, above omega 30"),
        ({"preset": "strong"}, "'auto', 'mild', 'medium' or 'heavy'"),
        ({"enhancer": "sharpest"}, "no method sharpest to enhance with; known: .*classic"),
        ({"enhancer": "classic", "enhancer_parameters": {"denoise": 2}}, r"enhancer_parameters\.denoise: Input should"),
        ({"enhancer_parameters": {"w": 1}}, r"enhancer_parameters\.w: Extra inputs"),
    ],
)
def test_what_cannot_run_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Dr2eParameters.model_validate(wrong)


def test_parameters_hold_all_that_decides_the_enhancer() -> None:
    found = Dr2eParameters.model_validate({"enhancer": "pmrf", "enhancer_parameters": {"steps": 2}})
    assert found.enhancer_parameters == {"size": 512, "steps": 2, "sigma_s": 0.1}
    assert found.enhancer_version == all_methods()["pmrf"].version
    assert Dr2eParameters.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize("enhancer", sorted(set(all_methods()) - {"dr2e"}))
def test_any_method_can_enhance_and_brings_its_files(enhancer: str) -> None:
    parameters = Dr2eParameters(enhancer=enhancer)
    theirs = all_methods()[enhancer].checkpoints_for(parameters.enhancer_resolved)
    assert METHOD.checkpoints_for(parameters) == (*FORMS, *theirs)


@pytest.mark.parametrize(
    ("measures", "preset"),
    [
        (GOOD, "mild"),
        (GOOD | {"sharpness": 0.3}, "medium"),
        (GOOD | {"sharpness": 0.1}, "heavy"),
        (GOOD | {"blockiness": 0.8}, "medium"),
        (GOOD | {"noise": 20.0}, "medium"),
        (GOOD | {"noise": 45.0}, "heavy"),
    ],
)
def test_the_measured_damage_chooses_the_preset(measures: dict[str, float], preset: Preset) -> None:
    assert preset_for(crops()[0], measures) == preset


def test_without_measures_the_crop_is_measured() -> None:
    grain = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert preset_for((0.5 + 0.25 * grain).clamp(0, 1), {}) == "heavy"
    assert preset_for(torch.full((3, 64, 64), 0.5), {"noise": 0.0}) == "heavy"


def test_a_rule_sets_the_parameters_of_single_faces_and_the_figures_say_so() -> None:
    settings = [{}, {"preset": "heavy"}, {"N": 1, "tau": 7}]
    found = method(Dr2eParameters(size=64, preset="mild", tau=20), Recorder()).restore(faces(3, settings))
    ours = [{name: figures[name] for name in ("N", "tau", "omega")} for figures in found.figures]
    assert ours == [
        {"N": 4, "tau": 20, "omega": 40},
        {"N": 16, "tau": 35, "omega": 65},
        {"N": 1, "tau": 7, "omega": 12},
    ]
    assert all(set(settings) <= METHOD.per_face for settings in settings)


def test_a_preset_of_a_rule_goes_before_the_methods_numbers_and_its_own_numbers_before_the_preset() -> None:
    parameters = Dr2eParameters(N=2, tau=5, omega=6)
    assert removal_of(for_face(parameters, {"preset": "heavy"}), "heavy") == Removal(16, 35, 65)
    assert removal_of(for_face(parameters, {"preset": "heavy", "tau": 30}), "heavy") == Removal(16, 30, 60)
    assert removal_of(for_face(parameters, {"omega": 9}), "mild") == Removal(2, 5, 9)


def test_the_enhancer_gets_its_own_size_seeds_and_landmarks_and_no_settings() -> None:
    enhancer = Recorder()
    got = replace(faces(1, [{"tau": 23}], frozenset({"dr2"})), landmarks=torch.full((1, 5, 2), 31.5))
    parameters = QUICK.model_copy(update={"enhancer": "elsface", "enhancer_parameters": {"size": 128}})
    found = method(parameters, enhancer).restore(got)
    [theirs] = enhancer.got
    assert theirs.crops.shape == (1, 3, 128, 128)
    assert theirs.crops.min() >= 0
    assert theirs.crops.max() <= 1
    assert torch.equal(theirs.landmarks, torch.full((1, 5, 2), 63.5))
    assert theirs.seeds[0] not in got.seeds
    assert theirs.settings == [{}]
    assert found.figures[0] == {"seen": 128.0, "N": 4, "tau": 23, "omega": 24}
    assert found.faces.shape == got.crops.shape


def test_the_clean_face_is_kept_if_it_is_wanted() -> None:
    with_it = method(QUICK, Recorder()).restore(faces(2, keep=frozenset({"dr2"})))
    assert with_it.kept["dr2"].shape == (2, 3, 256, 256)
    assert with_it.kept["dr2"].min() >= 0
    assert with_it.kept["dr2"].max() <= 1
    assert not method(QUICK, Recorder()).restore(faces(1)).kept


def test_floats_go_over_and_with_compat_a_file_of_8_bits() -> None:
    exact, rounded = Recorder(), Recorder()
    method(QUICK, exact).restore(faces(1))
    method(QUICK.model_copy(update={"compat": True}), rounded).restore(faces(1))
    levels = rounded.got[0].crops * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert (exact.got[0].crops * 255 - (exact.got[0].crops * 255).round()).abs().max() > 0.1


def test_compat_is_opencvs_resize_of_rounded_levels() -> None:
    pictures = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(3))
    levels = np.rint(pictures[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    expected = cv2.resize(levels, (512, 512), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(np.rint(by_file(pictures, 512)[0].permute(1, 2, 0).numpy() * 255), expected)
    np.testing.assert_array_equal(np.rint(by_file(pictures, 256)[0].permute(1, 2, 0).numpy() * 255), levels)


def test_an_enhancer_that_knows_its_range_gets_the_overshoot_of_the_enlargement() -> None:
    recorder = Recorder()
    step = torch.zeros(1, 3, 256, 256)
    step[..., 128:] = 1
    recorder.unclipped = True  # pyright: ignore[reportAttributeAccessIssue]
    parameters = Dr2eParameters(size=256, N=1, tau=0, omega=0)
    Dr2e(
        no_noise, recorder, parameters, "cpu", lambda _seeds, _device: lambda _name: torch.zeros(1, 3, 256, 256)
    ).restore(Faces.plain(step, [1]))
    assert recorder.got[0].crops.max() > 1.01
    assert float(resized(step, 512).max()) == pytest.approx(float(recorder.got[0].crops.max()), abs=0.01)


def test_with_n_1_the_network_is_asked_once() -> None:
    asked: list[int] = []

    def denoise(states: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        asked.extend(steps.tolist())
        return no_noise(states, steps)

    process = respaced(linear(), 100)
    draw = drawn([1], torch.device("cpu"))
    found = dr2(denoise, process, torch.zeros(1, 3, 256, 256), 1, 12, 7, draw)
    assert asked == [int(process.steps[7])]
    assert found.abs().max() <= 1
    dr2(denoise, process, torch.zeros(1, 3, 256, 256), 2, 9, 7, draw)
    assert asked[1:] == process.steps[[9, 8, 7]].tolist()


def test_a_face_has_the_same_bytes_in_any_batch() -> None:
    """DR2 with a small U-Net, SPARNetHD small, other parameters for one of the faces."""
    parameters = Dr2eParameters(size=64, N=1, tau=22, enhancer_parameters={"size": 64})
    settings: list[Mapping[str, Any]] = [{}, {"N": 2, "tau": 3, "omega": 4}, {}]
    got, dr2e, order = faces(3, settings), chain(parameters), [2, 1]
    together, apart = dr2e.restore(got), dr2e.restore(picked(got, order))
    assert torch.equal(apart.faces, together.faces[order])
    assert apart.figures == [together.figures[index] for index in order]
    assert together.faces.min() >= 0
    assert together.faces.max() <= 1


def test_pmrf_enhances_by_its_own_steps_and_its_figures_stand_beside_dr2s() -> None:
    parameters = Dr2eParameters(size=64, N=1, tau=7, enhancer="pmrf", enhancer_parameters={"size": 64, "steps": 2})
    pmrf = Pmrf(small_networks(), PmrfParameters(size=64, steps=2), "cpu", "float32")
    got, dr2e = faces(2), method(parameters, pmrf)
    found = dr2e.restore(got)
    assert set(found.figures[0]) == {"N", "tau", "omega", "departure"}
    assert torch.isfinite(found.faces).all()
    assert torch.equal(dr2e.restore(picked(got, [1])).faces, found.faces[[1]])


def picked(got: Faces, order: Sequence[int]) -> Faces:
    return replace(
        got,
        crops=got.crops[list(order)],
        landmarks=got.landmarks[list(order)],
        seeds=[got.seeds[index] for index in order],
        settings=[got.settings[index] for index in order],
        measures=[GOOD] * len(order),
    )


def test_the_seed_decides_the_noise() -> None:
    one, same, other = (drawn([seed], torch.device("cpu"))("init") for seed in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert handed(faces(1), faces(1).crops, "pmrf").seeds != handed(faces(1), faces(1).crops, "classic").seeds


def test_a_crop_of_256_pixels_reaches_dr2_as_it_is() -> None:
    levels = torch.randint(0, 256, (1, 3, 256, 256), generator=torch.Generator().manual_seed(2))
    assert torch.equal(at_256(levels.float() / 255), (levels.float() / 255 - 0.5) / 0.5)


def test_a_result_that_is_not_finite_is_not_hidden() -> None:
    class Broken:
        def restore(self, faces: Faces) -> Restored:
            return Restored(torch.full_like(faces.crops, torch.nan))

    assert not torch.isfinite(method(QUICK, Broken()).restore(faces(1)).faces).any()
