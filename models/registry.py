"""A folder as a registry: every module in it that defines the agreed name."""

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str: ...


Spec = TypeVar("Spec", bound=Named)


def discover(package: ModuleType, attribute: str, kind: type[Spec]) -> dict[str, Spec]:
    """The ``attribute`` of every module in ``package`` that has one of type ``kind``, by its own name."""
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [getattr(importlib.import_module(f"{package.__name__}.{name}"), attribute, None) for name in modules]
    return {spec.name: spec for spec in found if isinstance(spec, kind)}
