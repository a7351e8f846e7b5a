"""The recipe: all that can change a pixel, resolved once on the driver, and its hash.

Places, workers, batch sizes, devices and the code's commit are not in it. Each stage whose code can change a pixel has
a version that is raised by hand.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.config import Config, Guard, Leave, Method, OutputFormat, Paste, Rule
from infra.errors import ConfigError
from models.checkpoint import Checkpoint, Device, Dtype
from models.detector import DetectorSettings, DetectorSpec, all_detectors
from models.identity import IdentitySpec, all_identities
from models.method import MethodSpec, Parameters, TemplateName, all_methods
from models.quality_measure import all_measures

STAGE_VERSIONS = {"decode": 2, "detect": 2, "align": 2, "rules": 2, "restore": 1, "guard": 3, "paste": 2, "encode": 2}
LEAVE = "leave"
WHOLE = 1 << 20  # pixels; without a pyramid the detector sees the photo as it is
CROPS = "crops"  # in ``write.keep``: the crops themselves
Sha256 = Callable[[Checkpoint], str | None]


class Part(BaseModel):
    """Base of the recipe's parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectRecipe(Part):
    """The resolved detector."""

    detector: str
    version: int
    score: float
    smallest: float
    pyramid: tuple[int, ...]
    residual: float
    weights: dict[str, str]

    @property
    def spec(self) -> DetectorSpec:
        return all_detectors()[self.detector]

    @property
    def longest(self) -> int:
        """The longer side of what the detector sees of a photo."""
        return max(self.pyramid, default=WHOLE)

    def settings(self, device: Device) -> DetectorSettings:
        return DetectorSettings(self.score, self.pyramid, device)


class MethodRecipe(Part):
    """A resolved method. ``parameters`` are complete: what was not said has its default."""

    method: str
    version: int
    template: TemplateName
    size: int
    parameters: dict[str, Any]
    dtype: Dtype
    weights: dict[str, str]

    @property
    def spec(self) -> MethodSpec:
        return all_methods()[self.method]

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The files that the recipe was resolved with."""
        return [file for file in self.spec.checkpoints_for(self.resolved) if file.name in self.weights]

    @property
    def resolved(self) -> Parameters:
        return self.spec.parameters.model_validate(self.parameters)


class Recipe(Part):
    """What is done to a photo, whole. ``methods`` holds those that a rule or the default can choose, and no others;
    ``helpers`` the weights of the face parser and the upscaler, if they are used; ``landmarks`` is the SHA-256 of the
    list of landmarks, if there is one.
    """

    stages: dict[str, int]
    detect: DetectRecipe | None
    default: str
    methods: dict[str, MethodRecipe]
    rules: tuple[Rule, ...]
    leave: Leave | None
    strength: float
    seed: int
    aligned: bool
    paste: Paste | None
    guard: Guard | None
    scale: int
    output_format: OutputFormat
    upscaler: str | None
    measures: dict[str, int]
    helpers: dict[str, str]
    landmarks: str | None = None

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256 of the recipe's canonical JSON, the rules' names apart."""
        content = self.model_dump(mode="json")
        content["rules"] = [{key: rule[key] for key in rule if key != "name"} for rule in content["rules"]]
        if self.landmarks is None:
            del content["landmarks"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def weights(self) -> dict[str, str]:
        """The SHA-256 of every weights file in use, by its name."""
        parts: list[DetectRecipe | MethodRecipe] = [*self.methods.values(), *([self.detect] if self.detect else [])]
        return {name: sha for part in parts for name, sha in sorted(part.weights.items())} | self.helpers


def checkpoints(config: Config) -> list[Checkpoint]:
    """Every weights file that a job with this config needs, once each."""
    found = [] if config.aligned else [*detector_spec(config).checkpoints]
    for name in reachable(config):
        spec, method = method_spec(name, named(config, name)), named(config, name)
        found += spec.checkpoints_for(parameters_of(name, spec, method.parameters))
    found += helpers(config)
    return list({checkpoint.name: checkpoint for checkpoint in found}.values())


def helpers(config: Config) -> list[Checkpoint]:
    """The weights of what helps beside detector and methods: the face parser, the guard's network, the upscaler of the
    background.
    """
    found: list[Checkpoint] = []
    if config.guard.on and config.guard.identity:
        found += identity_spec(config.guard.identity).checkpoints
    if config.paste.mask == "parser" and not config.aligned:
        from models.parser import PARSER

        found.append(PARSER)
    if config.upscaler:
        steps = "any model that spandrel can load: put its file into DAGUERRE_WEIGHTS"
        found.append(Checkpoint(config.upscaler, None, "that of the file", None, steps=steps))
    return found


def resolve(config: Config, sha256: Sha256, landmarks: str | None = None) -> Recipe:
    """The recipe of a config. ``sha256`` gives the hash of a weights file that is present, ``landmarks`` is that of the
    list of landmarks. Raises ``ConfigError``.
    """
    check_rules(config)
    return Recipe(
        stages=STAGE_VERSIONS,
        detect=None if config.aligned else resolve_detect(config, sha256),
        default=config.method,
        methods={name: resolve_method(name, named(config, name), sha256) for name in reachable(config)},
        rules=tuple(config.rules),
        leave=None if config.aligned else config.leave,
        strength=config.strength,
        seed=config.seed,
        aligned=config.aligned,
        paste=None if config.aligned else config.paste,
        guard=config.guard if config.guard.on else None,
        scale=config.scale,
        output_format=config.output_format,
        upscaler=config.upscaler,
        measures={name: all_measures()[name].version for name in measures_used(config)},
        helpers=hashes(helpers(config), sha256),
        landmarks=landmarks,
    )


def reachable(config: Config) -> list[str]:
    """The methods that a rule or the default can choose, sorted."""
    return sorted(({rule.use for rule in config.rules} | {config.method}) - {LEAVE})


def named(config: Config, name: str) -> Method:
    """The config's method of this name; a name of the registry stands for itself with its defaults."""
    if name in config.methods:
        return config.methods[name]
    if name in all_methods():
        return Method(method=name)
    choices = ", ".join(sorted({*config.methods, *all_methods()}))
    raise ConfigError(f"there is no method {name}", f"known: {choices}")


def method_spec(name: str, method: Method) -> MethodSpec:
    if method.method not in all_methods():
        raise ConfigError(f"methods.{name}: there is no method {method.method}", f"known: {', '.join(all_methods())}")
    return all_methods()[method.method]


def detector_spec(config: Config) -> DetectorSpec:
    if config.detect.detector not in all_detectors():
        known = ", ".join(all_detectors())
        raise ConfigError(f"there is no detector {config.detect.detector}", f"known: {known}")
    return all_detectors()[config.detect.detector]


def identity_spec(name: str) -> IdentitySpec:
    if name not in all_identities():
        raise ConfigError(f"guard.identity: there is no network {name}", f"known: {', '.join(all_identities())}")
    return all_identities()[name]


def resolve_detect(config: Config, sha256: Sha256) -> DetectRecipe:
    spec = detector_spec(config)
    return DetectRecipe(
        detector=spec.name,
        version=spec.version,
        score=config.detect.score,
        smallest=config.detect.smallest,
        pyramid=tuple(config.detect.pyramid),
        residual=config.detect.residual,
        weights=hashes(spec.checkpoints, sha256),
    )


def resolve_method(name: str, method: Method, sha256: Sha256) -> MethodRecipe:
    spec = method_spec(name, method)
    parameters = parameters_of(name, spec, method.parameters)
    return MethodRecipe(
        method=spec.name,
        version=spec.version,
        template=spec.template,
        size=parameters.size,
        parameters=parameters.model_dump(mode="json"),
        dtype=method.dtype,
        weights=hashes(spec.checkpoints_for(parameters), sha256),
    )


def parameters_of(
    name: str, spec: MethodSpec, given: Mapping[str, Any], key: str = "methods.{}.parameters"
) -> Parameters:
    """The parameters of a method, complete. Raises ``ConfigError``."""
    try:
        return spec.parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key.format(name), *(str(part) for part in first["loc"])])
        known = ", ".join(spec.parameters.model_fields)
        raise ConfigError(f"{where}: {first['msg']}", f"{spec.name} knows: {known}") from None


def hashes(files: Iterable[Checkpoint], sha256: Sha256) -> dict[str, str]:
    """The SHA-256 by name of those files that were chosen."""
    return {file.name: digest for file in files if (digest := sha256(file)) is not None}


def measures_used(config: Config) -> list[str]:
    """The quality measures that decide something, sorted: only these belong to the recipe."""
    guards = set[str]() if config.aligned else set(config.leave.good)
    return sorted({name for rule in config.rules for name in rule.quality} | guards)


def check_rules(config: Config) -> None:
    """Refuse rules that name a measure that does not exist, and what cannot go together."""
    if config.upscaler and config.scale == 1:
        raise ConfigError("there is an upscaler, but scale is 1", "say scale = 2 or 4, or leave the upscaler out")
    if config.aligned and config.scale > 1:
        raise ConfigError("aligned faces cannot be enlarged", "leave out scale, or aligned")
    check_parameters(config)
    check_keep(config)
    check_samples(config)
    unknown = sorted(set(measures_used(config)) - set(all_measures()))
    if unknown:
        raise ConfigError(f"there is no quality measure {unknown[0]}", f"known: {', '.join(all_measures())}")


def check_parameters(config: Config) -> None:
    """Refuse parameters of rules that their methods do not take face by face, and two such rules of one name."""
    seen: set[str] = set()
    for rule in config.rules:
        if not rule.parameters:
            continue
        if rule.name in seen or rule.use == LEAVE:
            raise ConfigError(f"rules.{rule.name}: parameters need a method and a name of their own", "rename the rule")
        seen.add(rule.name)
        method = named(config, rule.use)
        spec = method_spec(rule.use, method)
        if refused := sorted(set(rule.parameters) - spec.per_face):
            known = ", ".join(sorted(spec.per_face)) or "none: give the method a second name in [methods]"
            raise ConfigError(f"rules.{rule.name}.parameters.{refused[0]}: not for single faces", f"these are: {known}")
        parameters_of(rule.name, spec, method.parameters | rule.parameters, "rules.{}.parameters")


def check_keep(config: Config) -> None:
    """Refuse to keep what none of the methods has."""
    known = {CROPS} | {kept for name in reachable(config) for kept in method_spec(name, named(config, name)).keeps}
    if unknown := sorted(set(config.write.keep) - known):
        raise ConfigError(f"write.keep: there is no {unknown[0]} to keep", f"known here: {', '.join(sorted(known))}")


def check_samples(config: Config) -> None:
    """Refuse several samples where no method draws any."""
    if config.write.samples > 1 and not any(
        method_spec(name, named(config, name)).samples for name in reachable(config)
    ):
        drawing = ", ".join(name for name, spec in all_methods().items() if spec.samples)
        raise ConfigError("write.samples: no method of the job draws samples", f"these do: {drawing}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two recipes as JSON objects, a line each: ``detect.score: 0.8 -> 0.7``."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {json.dumps(before)} -> {json.dumps(after)}")
    return lines
