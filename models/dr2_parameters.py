"""What decides how much DR2 takes away: N, tau and omega, by name, by number, or by how damaged a face is.

N is the low-pass filter's factor, tau the index of the process at which the clean face is read off, omega the one at
which it begins. Larger N and tau remove more, and more of who it is. Facts from
``Kaldwin0106/DR2_Drgradation_Remover:demo.py`` and ``dr2e.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from models.method import MethodSpec, Parameters, all_methods

Preset = Literal["auto", "mild", "medium", "heavy"]

SIDE = 256  # of what DR2 sees, in pixels
LAST = 99  # the last index of the process with 100 steps
PRESETS: Mapping[Preset, tuple[int, int]] = {"mild": (4, 22), "medium": (8, 35), "heavy": (16, 35)}
AHEAD = {1: 5, 2: 10, 4: 20, 8: 25}  # omega - tau for N; with a larger N 30
FURTHEST = 30
NAMED = ("N", "tau", "omega")


@dataclass(frozen=True, slots=True)
class Removal:
    """N, tau and omega of one face."""

    factor: int
    stop: int
    start: int

    @property
    def figures(self) -> dict[str, float]:
        """For the manifest."""
        return {"N": self.factor, "tau": self.stop, "omega": self.start}


class Dr2eParameters(Parameters):
    """``preset`` names the published pairs of N and tau; ``auto`` chooses one for each face by ``degradation``.

    ``N``, ``tau`` and ``omega`` stand above the preset. ``enhancer`` is any method of the registry,
    ``enhancer_parameters`` are its own. ``compat`` hands the face over as the scripts of other enhancers find DR2's
    result, in a file of 8 bits; SPARNetHD takes floats in the original too. ``size`` is the crop's side: 512 is
    FFHQ's frame as the enhancer gives it back, and is reduced to the 256 pixels that DR2 sees as the original reads a
    file.
    """

    size: int = Field(default=512, ge=64, le=2048)
    preset: Preset = "auto"
    N: int | None = Field(default=None, ge=1, le=SIDE)
    tau: int | None = Field(default=None, ge=0, le=LAST)
    omega: int | None = Field(default=None, ge=0, le=LAST)
    enhancer: str = "sparnethd"
    enhancer_parameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    enhancer_version: int | None = None
    compat: bool = False

    @model_validator(mode="after")
    def can_run(self) -> Self:
        """Refuse what cannot be sampled, whichever preset comes to be used."""
        if self.N is not None and self.N.bit_count() != 1:
            raise PydanticCustomError("power", "N is {N}, but must be a power of two", {"N": self.N})
        presets = PRESETS if self.preset == "auto" else (self.preset,)
        for removal in (removal_of(self, preset) for preset in presets):
            if removal.stop > removal.start:
                raise PydanticCustomError("order", "tau is {tau}, above omega {omega}", removal.figures)
        return self

    @model_validator(mode="before")
    @classmethod
    def complete(cls, given: Any) -> Any:
        """The enhancer's parameters, checked and whole, and its version, which belong to the recipe."""
        if not isinstance(given, Mapping):
            return given
        spec = enhancer_spec(str(given.get("enhancer", cls.model_fields["enhancer"].default)))
        try:
            parameters = spec.parameters.model_validate(given.get("enhancer_parameters", {}))
        except ValidationError as error:
            first = error.errors()[0]
            facts = {"key": ".".join(map(str, first["loc"])), "message": first["msg"]}
            raise PydanticCustomError("enhancer", "enhancer_parameters.{key}: {message}", facts) from None
        return {**given, "enhancer_parameters": parameters.model_dump(mode="json"), "enhancer_version": spec.version}

    @property
    def enhancer_resolved(self) -> Parameters:
        return enhancer_spec(self.enhancer).parameters.model_validate(self.enhancer_parameters)


def enhancer_spec(name: str) -> MethodSpec:
    """The method ``name``, which a validator may ask for."""
    if name not in all_methods():
        facts = {"name": name, "known": ", ".join(all_methods())}
        raise PydanticCustomError("enhancer", "there is no method {name} to enhance with; known: {known}", facts)
    return all_methods()[name]


def removal_of(parameters: Dr2eParameters, preset: Preset) -> Removal:
    """What ``parameters`` say, with ``preset`` (not ``auto``) for what they leave open."""
    factor, stop = PRESETS[preset]
    factor = factor if parameters.N is None else parameters.N
    stop = stop if parameters.tau is None else parameters.tau
    start = min(stop + AHEAD.get(factor, FURTHEST), LAST) if parameters.omega is None else parameters.omega
    return Removal(factor, stop, start)


def for_face(parameters: Dr2eParameters, settings: Mapping[str, Any]) -> Dr2eParameters:
    """``parameters`` with the ``settings`` of a rule. A preset there goes before the numbers of the method."""
    base = parameters.model_dump()
    if "preset" in settings:
        base |= dict.fromkeys(NAMED)
    return Dr2eParameters.model_validate(base | dict(settings)) if settings else parameters
