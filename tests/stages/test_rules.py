"""Which method restores a face, or why it is left alone."""

from typing import Any

import pytest

from infra.config import Config
from stages.photo import Face
from stages.recipe import Recipe, resolve
from stages.rules import Choice, choose

POOR = {"sharpness": 0.2, "noise": 9.0, "blockiness": 0.5, "exposure": 0.5}
SETTINGS: dict[str, Any] = {
    "detect": {"detector": "cascade"},
    "methods": {
        "small": {"method": "classic", "parameters": {"size": 256}},
        "large": {"method": "classic", "parameters": {"size": 512}},
    },
    "method": "large",
    "strength": 0.9,
    "leave": {"good": {"sharpness": {"above": 0.8}, "noise": {"below": 2}}},
    "rules": [
        {"name": "protected", "use": "leave", "path": ["private/**"]},
        {"name": "small faces", "use": "small", "side": {"below": 120}, "strength": 0.5},
        {"name": "blurred", "use": "large", "quality": {"sharpness": {"below": 0.1}}},
    ],
}


def recipe(**changes: Any) -> Recipe:
    return resolve(Config.model_validate(SETTINGS | changes), lambda file: "0" * 64)


def face(side: float, score: float = 0.9, **figures: float) -> Face:
    return Face(0, (0, 0, 1, 1), score, side=side, before=POOR | figures)


@pytest.mark.parametrize(
    ("path", "found", "choice"),
    [
        ("private/a.jpg", face(100), Choice(None, "protected", reason="rule protected: leave")),
        ("a.jpg", face(100), Choice("small", "small faces", 0.5)),
        ("a.jpg", face(300, sharpness=0.05), Choice("large", "blurred", 0.9)),
        ("a.jpg", face(300), Choice("large", "default", 0.9)),
        ("a.jpg", face(769), Choice(None, "larger than crop", reason="769 px in the photo, the crop has 512")),
        (
            "a.jpg",
            face(600, sharpness=0.9, noise=1.0),
            Choice(None, "already good", reason="sharpness 0.9 (above 0.8), noise 1 (below 2)"),
        ),
    ],
)
def test_the_first_rule_that_holds_decides_then_the_guards(path: str, found: Face, choice: Choice) -> None:
    assert choose(recipe(), path, found) == choice


def test_a_good_face_that_was_enlarged_to_the_crop_is_not_left() -> None:
    assert choose(recipe(), "a.jpg", face(500, sharpness=0.9, noise=1.0)).method == "large"


def test_a_face_whose_figures_were_measured_on_an_enlargement_is_not_left() -> None:
    """Grain that was enlarged to 512 pixels is no longer seen as noise."""
    good = recipe(method="small", rules=[], leave={"larger_than": 0, "good": SETTINGS["leave"]["good"]})
    assert choose(good, "a.jpg", face(500, sharpness=0.9, noise=1.0)).method == "small"
    assert choose(good, "a.jpg", face(512, sharpness=0.9, noise=1.0)).rule == "already good"


def test_rules_see_the_detectors_score() -> None:
    rules = [{"name": "unsure", "use": "leave", "score": {"below": 0.85}}]
    unsure = recipe(rules=rules)
    assert choose(unsure, "a.jpg", face(100, 0.82)).method is None
    assert choose(unsure, "a.jpg", face(100, 0.9)).method == "large"


def test_guards_can_be_turned_off() -> None:
    free = recipe(leave={"larger_than": 0, "good": {}}, rules=[])
    assert choose(free, "a.jpg", face(9000, sharpness=1.0, noise=0.0)).method == "large"


def test_a_default_may_be_to_leave() -> None:
    assert choose(recipe(method="leave", rules=[]), "a.jpg", face(100)).method is None
