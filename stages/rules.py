"""Which method restores a face, or why it is left alone. Pure: the same face and recipe always decide the same."""

from dataclasses import dataclass

from infra.config import Range, Rule
from infra.patterns import matches
from stages.photo import Face, PasteMode
from stages.recipe import LEAVE, Recipe

STANDARD = 512  # side of the crop that a detected face's quality is measured on


@dataclass(frozen=True, slots=True)
class Choice:
    """What a face gets: a method of the recipe with a strength, or None and the reason. ``rule`` is who decided."""

    method: str | None
    rule: str
    strength: float = 1.0
    reason: str = ""
    paste: PasteMode = "difference"


def choose(recipe: Recipe, path: str, face: Face) -> Choice:
    """What ``face``, whose ``side`` and ``before`` are measured, gets: the first rule that holds, then the guards."""
    choice = by_rule(recipe, path, face)
    if choice.method is None or recipe.leave is None:
        return choice
    return too_large(recipe, choice, face) or already_good(recipe, choice, face) or choice


def by_rule(recipe: Recipe, path: str, face: Face) -> Choice:
    """The first of the rules that holds, else the default."""
    default = recipe.paste.mode if recipe.paste else "difference"
    for rule in recipe.rules:
        if holds(rule, path, face):
            strength = recipe.strength if rule.strength is None else rule.strength
            paste = rule.paste or default
            if rule.use == LEAVE:
                return Choice(None, rule.name, reason=f"rule {rule.name}: leave")
            return Choice(rule.use, rule.name, strength, paste=paste)
    if recipe.default == LEAVE:
        return Choice(None, "default", reason="no rule chose a method")
    return Choice(recipe.default, "default", recipe.strength, paste=default)


def holds(rule: Rule, path: str, face: Face) -> bool:
    """Whether all of a rule's conditions hold for a face of the photo at ``path``."""
    if rule.path and not matches(path, rule.path):
        return False
    measured = all(limits.holds(face.before[name]) for name, limits in rule.quality.items())
    return measured and rule.side.holds(face.side or 0) and rule.score.holds(face.score)


def too_large(recipe: Recipe, choice: Choice, face: Face) -> Choice | None:
    """Leave a face that has far more pixels in the photo than the method's crop could give back."""
    limit = recipe.leave.larger_than if recipe.leave else 0
    if not limit or not choice.method or face.side is None:
        return None
    crop = recipe.methods[choice.method].size
    if face.side <= limit * crop:
        return None
    return Choice(None, "larger than crop", reason=f"{face.side:.0f} px in the photo, the crop has {crop}")


def already_good(recipe: Recipe, choice: Choice, face: Face) -> Choice | None:
    """Leave a face that needs no restoration: good by its figures, and neither its crop nor what they were measured on
    an enlargement: enlarged grain is no longer seen as noise, and makes the face look sharp.
    """
    limits = recipe.leave.good if recipe.leave else {}
    if not limits or not choice.method or (face.side or 0) < max(STANDARD, recipe.methods[choice.method].size):
        return None
    if not all(limit.holds(face.before[name]) for name, limit in limits.items()):
        return None
    figures = ", ".join(f"{name} {face.before[name]:.3g} ({told(limit)})" for name, limit in limits.items())
    return Choice(None, "already good", reason=figures)


def told(limit: Range) -> str:
    """A range in words, as it stands in a face's reason."""
    bounds = [("above", limit.above), ("below", limit.below)]
    return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
