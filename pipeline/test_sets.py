"""The sets of an evaluation, and which files of theirs belong together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import ConfigError
from infra.listing import is_image
from infra.storage import Storage, absolute, join

MOST_NAMED = 5  # files in an error
Folder = Annotated[str, Field(min_length=1)]


class TestSet(BaseModel):
    """What one method made of one test set: folders or buckets of pictures.

    ``truth`` are the pictures as they should be, ``mean`` the posterior means of the degraded ones.
    """

    __test__ = False  # pytest takes every class of such a name for tests
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Folder
    method: Folder
    restored: Folder
    truth: Folder | None = None
    mean: Folder | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The URIs of one picture and of what it is compared with."""

    name: str
    restored: str
    others: Mapping[str, str] = field(default_factory=dict[str, str])


def parsed(text: str) -> TestSet:
    """A set from ``name=celeba,method=pmrf,restored=DIR,truth=DIR,mean=DIR``."""
    parts = [part.partition("=") for part in text.split(",")]
    if bare := next((name for name, equals, _ in parts if not equals), None):
        raise ConfigError(f"'{bare}' in --set is no key with a value", "--set name=N,method=M,restored=DIR[,truth=DIR]")
    return checked({name.strip(): value.strip() for name, _, value in parts}, "--set")


def from_file(content: Mapping[str, Any], path: str) -> list[TestSet]:
    """The sets of a TOML file with tables ``[[sets]]``."""
    tables = content.get("sets")
    if not isinstance(tables, list) or set(content) != {"sets"}:
        raise ConfigError(f"{path} must hold tables [[sets]] and nothing else", "each with name, method and restored")
    return [checked(table, path) for table in tables]


def checked(values: Mapping[str, Any], where: str) -> TestSet:
    """A set with absolute URIs. Raises ``ConfigError`` for the first thing that is wrong."""
    try:
        found = TestSet.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {key}: {first['msg']}", f"known: {', '.join(TestSet.model_fields)}") from None
    folders = {key: absolute(value) for key in ("restored", "truth", "mean") if (value := getattr(found, key))}
    return found.model_copy(update=folders)


def samples(storage: Storage, one: TestSet) -> list[Sample]:
    """The set's pictures in the order of their names. Raises ``ConfigError`` where one lacks its counterpart.

    Names are paths below the folder without their suffix: ``1.jpg`` belongs to ``1.png``.
    """
    restored = pictures(storage, one.restored)
    others = {key: pictures(storage, root) for key, root in (("truth", one.truth), ("mean", one.mean)) if root}
    for key, found in others.items():
        refuse(one, f"no {key}", sorted(restored.keys() - found.keys()))
        refuse(one, f"a {key}, but no result", sorted(found.keys() - restored.keys()))
    return [
        Sample(name, uri, {key: found[name] for key, found in others.items()}) for name, uri in sorted(restored.items())
    ]


def pictures(storage: Storage, root: str) -> dict[str, str]:
    """The URIs of the pictures below ``root`` by their paths without suffix."""
    if not storage.is_folder(root):
        raise ConfigError(f"there is no folder {root}", "give a folder or bucket of pictures")
    found: dict[str, str] = {}
    for entry in storage.list(root):
        if is_image(entry.path):
            name = str(PurePosixPath(entry.path).with_suffix(""))
            if name in found:
                raise ConfigError(f"{root} holds two pictures called {name}", "only their suffixes differ: remove one")
            found[name] = join(root, entry.path)
    if not found:
        raise ConfigError(f"there are no pictures in {root}", "give a folder or bucket of pictures")
    return found


def refuse(one: TestSet, what: str, names: Iterable[str]) -> None:
    """Raise ``ConfigError`` if there are any ``names``."""
    lonely = list(names)
    if lonely:
        more = f" and {len(lonely) - MOST_NAMED} more" if len(lonely) > MOST_NAMED else ""
        listed = ", ".join(lonely[:MOST_NAMED]) + more
        raise ConfigError(
            f"{one.method} on {one.name}: {len(lonely)} pictures have {what}: {listed}",
            "pictures belong together by their paths below the folders, whatever their suffix",
        )
