"""The recipe: all that can change a pixel, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from infra.config import Config
from infra.errors import ConfigError
from models.method import all_methods
from stages.recipe import Recipe, checkpoints, differences, resolve


def recipe(sha256: str = "a" * 64, **settings: Any) -> Recipe:
    return resolve(Config.model_validate({"method": "classic"} | settings), lambda file: sha256)


@pytest.mark.parametrize(
    "settings",
    [
        {"run": {"batch": 3, "cpus": 7, "part_rows": 5}},
        {"run": {"prepare": {"max_size": 4}}},
        {"write": {"unchanged": "copy", "keep": ["crops"]}},
        {"read": {"include": ["*.png"], "max_pixels": 5}},
        {"methods": {"classic": {"method": "classic", "batch_size": 3, "device": "cuda", "pool": {"gpus": 1}}}},
        {"methods": {"unused": {"method": "classic", "parameters": {"size": 256}}}},
        {"storage": {"endpoint_url": "http://127.0.0.1:1"}},
        {"weights": "/elsewhere"},
    ],
)
def test_what_changes_no_pixel_changes_no_recipe(settings: dict[str, Any]) -> None:
    assert recipe(**settings).hash == recipe().hash


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.5},
        {"seed": 1},
        {"aligned": True},
        {"detect": {"score": 0.7}},
        {"detect": {"detector": "cascade"}},
        {"detect": {"pyramid": [640]}},
        {"paste": {"feather": 0.2}},
        {"leave": {"larger_than": 2}},
        {"rules": [{"name": "none", "use": "leave", "path": ["a/**"]}]},
        {"methods": {"classic": {"method": "classic", "parameters": {"size": 256}}}},
        {"methods": {"classic": {"method": "classic", "dtype": "bfloat16"}}},
    ],
)
def test_what_can_change_a_pixel_changes_the_recipe(settings: dict[str, Any]) -> None:
    assert recipe(**settings).hash != recipe().hash


def test_a_raised_version_of_anything_is_another_recipe() -> None:
    before = recipe()
    for stage in before.stages:
        assert (
            before.model_copy(update={"stages": before.stages | {stage: before.stages[stage] + 1}}).hash != before.hash
        )
    for measure in before.measures:
        assert before.model_copy(update={"measures": before.measures | {measure: 2}}).hash != before.hash
    assert before.measures


def test_other_weights_are_another_recipe() -> None:
    assert recipe("b" * 64).hash != recipe().hash


def test_a_rules_name_changes_no_recipe_but_its_order_does() -> None:
    one, two = {"name": "a", "use": "leave", "path": ["a/**"]}, {"name": "b", "use": "leave", "path": ["b/**"]}
    assert recipe(rules=[one, two]).hash == recipe(rules=[one | {"name": "x"}, two]).hash
    assert recipe(rules=[one, two]).hash != recipe(rules=[two, one]).hash


def test_only_measures_that_decide_something_are_in_it() -> None:
    good = {"good": {"noise": {"below": 1}}}
    assert recipe(leave=good).measures == {"noise": 1}
    assert recipe(leave={"good": {}}).measures == {}


def test_saying_a_default_is_the_same_as_not_saying_it() -> None:
    spoken = {"method": "classic", "parameters": {"size": 512}}
    assert recipe(strength=1.0, methods={"classic": spoken}).hash == recipe().hash


def test_only_methods_that_a_rule_can_choose_are_in_it() -> None:
    small = {"method": "classic", "parameters": {"size": 256}}
    chosen = recipe(methods={"small": small, "unused": small}, rules=[{"name": "all", "use": "small"}])
    assert sorted(chosen.methods) == ["classic", "small"]


def test_by_default_nothing_is_downloaded() -> None:
    files = checkpoints(Config())
    assert {file.name for file in files} == {"daguerre-s.safetensors", "daguerre-d.safetensors"}
    assert all(file.packaged for file in files)


def test_an_aligned_job_needs_no_detector() -> None:
    config = Config(aligned=True, method="classic")
    assert checkpoints(config) == []
    assert recipe(aligned=True).detect is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "clasic"}, "there is no method clasic"),
        ({"detect": {"detector": "haar"}}, "there is no detector haar"),
        ({"methods": {"classic": {"method": "classic", "parameters": {"sise": 3}}}}, "methods.classic.parameters.sise"),
        ({"leave": {"good": {"beauty": {"above": 1}}}}, "there is no quality measure beauty"),
        ({"write": {"keep": ["departure"]}}, "there is no departure to keep"),
        ({"write": {"samples": 3}}, "no method of the job draws samples"),
        ({"rules": [{"name": "r", "use": "classic", "parameters": {"size": 64}}]}, "rules.r.parameters.size"),
        ({"rules": [{"name": "r", "use": "leave", "parameters": {"size": 64}}]}, "rules.r: parameters need a method"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**settings)


def test_samples_are_taken_where_a_method_draws_and_are_no_part_of_the_recipe() -> None:
    one, three = (recipe(method="pmrf", write={"samples": samples}) for samples in (1, 3))
    assert one.hash == three.hash


def test_differences_name_the_keys() -> None:
    old, new = recipe().model_dump(mode="json"), recipe(detect={"score": 0.7}).model_dump(mode="json")
    assert differences(old, new) == ["detect.score: 0.8 -> 0.7"]


def test_parameters_of_a_rule_must_be_ones_that_the_method_takes_face_by_face(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(all_methods()["classic"], per_face=frozenset({"denoise"}))
    monkeypatch.setitem(all_methods(), "classic", spec)
    rule = {"name": "r", "use": "classic", "parameters": {"denoise": 0.25}}
    assert recipe(rules=[rule]).hash != recipe(rules=[rule | {"parameters": {"denoise": 0.5}}]).hash
    for wrong, message in (({"denoise": 7}, "rules.r.parameters.denoise"), ({"deblur": 0.1}, "not for single faces")):
        with pytest.raises(ConfigError, match=message):
            recipe(rules=[rule | {"parameters": wrong}])
    with pytest.raises(ConfigError, match=r"rules\.r: parameters need"):
        recipe(rules=[rule, rule])
