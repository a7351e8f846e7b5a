"""docs/operations.md against the code: every key of the config, its default and range; exit codes; the patterns."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra.config import Config, Method, Pool, Range, Rule
from infra.listing import DEFAULT_EXCLUDE, IMAGE_SUFFIXES
from pipeline import exits

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
NAMED: dict[type[BaseModel], str] = {Range: "a range", Pool: "a pool"}  # they have a table of their own
INSIDE: dict[str, tuple[str, type[BaseModel]]] = {"methods": ("methods.NAME.", Method), "rules": ("rules.", Rule)}
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]*?) \| (?P<values>[^|]*?) \| .+ \|$", re.MULTILINE)

Entry = tuple[str, str, str]


def entries(model: type[BaseModel], prefix: str = "") -> Iterator[Entry]:
    """Key, default and range of every key of a config table, as the document should give them."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if prefix == "" and name in INSIDE:
            yield from entries(INSIDE[name][1], INSIDE[name][0])
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in NAMED:
            yield from entries(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default_of(field), values_of(field)


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, (Range, Pool)):
        return "none" if isinstance(default, Range) else "as below"
    return "not set" if default is None else f"`{toml(default)}`"


def toml(value: object) -> str:
    """A default as it would stand in a config."""
    if isinstance(value, Range):
        return toml(value.model_dump(exclude_none=True))
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in items) + "}"
    return json.dumps(value)


def values_of(field: FieldInfo) -> str:
    """The values that a key may have, from its type and its bounds."""
    kinds = [field.annotation, *get_args(field.annotation)]
    for kind, text in NAMED.items():
        if field.annotation is kind:
            return text
    literals = [value for kind in kinds for value in choices(kind)]
    if literals:
        return " or ".join(f"`{json.dumps(value)}`" for value in literals)
    return bounds([*field.metadata, *(limit for kind in kinds for limit in limits(kind))])


def choices(kind: object) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def limits(kind: object) -> list[object]:
    """The bounds inside ``Annotated``, also where that stands in a list or beside None."""
    found: list[object] = []
    for argument in get_args(kind):
        found += argument.metadata if isinstance(argument, FieldInfo) else [argument]
    return found if NoneType not in found else []


def bounds(metadata: list[Any]) -> str:
    facts: dict[str, Any] = {
        name: getattr(limit, name) for limit in metadata for name in ("gt", "ge", "le") if hasattr(limit, name)
    }
    for limit in metadata:
        if isinstance(limit, FieldInfo):
            return bounds(limit.metadata)
    low = f"more than {facts['gt']}" if "gt" in facts else f"{facts['ge']} or more" if "ge" in facts else ""
    if "le" in facts:
        return f"{facts['ge']} to {facts['le']}" if "ge" in facts else f"{low}, at most {facts['le']}"
    return low or "any"


def documented() -> list[Entry]:
    return [(row["key"], row["default"], row["values"]) for row in ROW.finditer(DOCUMENT.read_text())]


def expected() -> list[Entry]:
    return [*entries(Config), *entries(Range, "RANGE."), *entries(Pool, "POOL.")]


def test_every_key_is_documented_with_its_default_and_range() -> None:
    assert sorted(documented()) == sorted(expected())


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper()}
    rows = re.findall(r"^\| (\d+) \| ", DOCUMENT.read_text(), re.MULTILINE)
    assert {int(code) for code in rows} == codes


def test_the_patterns_and_endings_that_are_passed_over_are_documented() -> None:
    text = DOCUMENT.read_text()
    assert [pattern for pattern in DEFAULT_EXCLUDE if f"`{pattern}`" not in text] == []
    assert [suffix for suffix in IMAGE_SUFFIXES if f"`{suffix}`" not in text] == []
