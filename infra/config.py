"""The config: what a TOML file (and the command line on top of it) may say, with every default.

Defaults never depend on the machine: the same file gives the same recipe everywhere.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from infra.errors import ConfigError
from infra.storage import StorageOptions, absolute

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


FormatName = Literal["AVIF", "BMP", "GIF", "HEIC", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]
SchemeName = Literal["az", "file", "gs", "s3"]
OutputFormat = Literal["same", "png", "tiff", "jpeg", "webp"]


class Section(BaseModel):
    """Base of every table of the config: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Section):
    """An open range: ``above`` and ``below`` are excluded; None is no bound."""

    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Rule(Section):
    """``[[rules]]``: the first whose conditions all hold decides a face. ``use`` names a method of the config, or
    "leave".

    ``side`` is the side of the face's square in photo pixels, ``quality`` the measures of its crop, ``score`` the
    detector's, ``path`` a list of patterns of which one must match the photo's path. ``parameters`` go before the
    method's own, for the faces of this rule.
    """

    name: str
    use: str
    path: list[str] = []
    side: Range = Range()
    score: Range = Range()
    quality: dict[str, Range] = {}
    parameters: dict[str, Any] = {}
    strength: Fraction | None = None
    paste: Literal["difference", "replace"] | None = None


class Leave(Section):
    """``[leave]``: faces that are left alone whatever method a rule gives them.

    ``larger_than`` is in crop sides (0: never); ``good`` is the quality that all must hold for "already good" (empty:
    never).
    """

    larger_than: Annotated[float, Field(ge=0)] = 1.5
    good: dict[str, Range] = {
        "sharpness": Range(above=0.64),
        "noise": Range(above=0.6, below=1.2),  # below 0.6 compression has taken the texture away
        "blockiness": Range(below=0.25),
    }


class Pool(Section):
    """The actors of one step: CPUs and GPUs that each asks for, and how many there may be."""

    cpus: Annotated[float, Field(gt=0)] = 0.25
    gpus: Annotated[float, Field(ge=0)] = 0
    min_size: Positive = 1
    max_size: Positive = 1

    @model_validator(mode="after")
    def ordered(self) -> "Pool":
        """The smallest size is at most the largest."""
        if self.min_size > self.max_size:
            raise PydanticCustomError("pool_size", "min_size is larger than max_size")
        return self


class Method(Section):
    """``[methods.NAME]``: a method of the registry under a name of your own, with parameters and a pool."""

    method: str
    parameters: dict[str, Any] = {}
    batch_size: Positive = 8
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    pool: Pool = Pool()

    @model_validator(mode="after")
    def has_its_device(self) -> "Method":
        """A method on a GPU asks Ray for one."""
        if self.device == "cuda" and not self.pool.gpus:
            raise PydanticCustomError("device", "device is cuda, but pool.gpus is 0")
        return self


class Detect(Section):
    """``[detect]``: which detector, and which of its finds count as faces."""

    detector: str = "daguerre-d"
    score: Fraction = 0.8
    smallest: Annotated[float, Field(ge=0)] = 12
    pyramid: list[Positive] = [1280, 640, 320, 160]
    residual: Annotated[float, Field(gt=0)] = 50
    device: Literal["cpu", "cuda"] = "cpu"


class Paste(Section):
    """``[paste]``: how a restored face gets into the photo.

    ``mode`` "difference" adds the change to the photo, "replace" puts the restored face in its place. ``mask`` is the
    square's soft edge alone, or also what a face parser says. ``feather`` is the width of the soft edge, as a share of
    the crop's side.
    """

    mode: Literal["difference", "replace"] = "difference"
    mask: Literal["square", "parser"] = "square"
    feather: Annotated[float, Field(gt=0, le=0.5)] = 0.15


class Guard(Section):
    """``[guard]``: when a restored face is no longer the one in its crop, and is rejected.

    ``structure`` is the lowest correlation of the low frequencies, ``colour`` the largest distance of the mean colours
    (CIELAB), ``landmarks`` the furthest that the landmarks may move, as a share of the crop's side. ``identity`` names
    a network that compares persons, ``similarity`` is the lowest cosine of its embeddings.
    """

    on: bool = True
    structure: Annotated[float, Field(ge=-1, le=1)] = 0.85
    colour: Annotated[float, Field(gt=0)] = 8
    landmarks: Annotated[float, Field(gt=0)] = 0.12
    identity: str | None = None
    similarity: Annotated[float, Field(ge=-1, le=1)] = 0.3


class Read(Section):
    """``[read]``: which of the listed files are photos, how large they may be, and where they may lie."""

    include: list[str] = []
    exclude: list[str] = []
    root: str | None = None
    formats: list[FormatName] = []
    max_bytes: Positive = 500_000_000
    max_pixels: Positive = 250_000_000
    schemes: list[SchemeName] = ["file", "s3", "gs", "az"]
    local_from_remote: bool = False


class Write(Section):
    """``[write]``: what else is stored beside results."""

    unchanged: Literal["skip", "copy"] = "skip"
    keep: list[str] = []
    samples: Annotated[int, Field(ge=1, le=100)] = 1


class Growth(Section):
    """``run.grows_to``: CPUs and GPUs that an autoscaling cluster may have at most; 0: as many as there are now."""

    cpus: Annotated[float, Field(ge=0)] = 0
    gpus: Annotated[float, Field(ge=0)] = 0


class Run(Section):
    """``[run]``: how the work is done. Nothing in here can change a pixel."""

    ray: str | None = None
    cpus: Positive | None = None
    grows_to: Growth = Growth()
    batch: Positive = 8
    object_store_mb: Positive = 500
    prepare: Pool = Pool()
    finish: Pool = Pool()
    part_rows: Positive = 1000
    part_seconds: Annotated[float, Field(gt=0)] = 30
    small_parts: Positive = 100
    wave: Positive = 100_000
    lease_seconds: Annotated[float, Field(gt=0)] = 60
    wait_seconds: Annotated[float, Field(gt=0)] = 1800
    max_failed: str | None = None
    photo_seconds: Annotated[float, Field(gt=0)] = 300
    worker_memory_mb: Positive | None = None
    drain_seconds: Annotated[float, Field(ge=0)] = 30


class Rates(Section):
    """``[rates]``: what an hour of a CPU and of a GPU costs, and 1 GB that is read, in ``currency``.

    ``seconds_per_face`` is what a method of the config takes on its GPU, by its name, where an estimate cannot try it.
    """

    currency: str = "USD"
    cpu_hour: Annotated[float, Field(ge=0)] = 0
    gpu_hour: Annotated[float, Field(ge=0)] = 0
    read_gb: Annotated[float, Field(ge=0)] = 0
    seconds_per_face: dict[str, float] = {}


class Config(Section):
    """The whole config."""

    method: str = "daguerre-s"
    methods: dict[str, Method] = {}
    rules: list[Rule] = []
    leave: Leave = Leave()
    strength: Fraction = 1.0
    seed: Annotated[int, Field(ge=0)] = 0
    scale: Literal[1, 2, 4] = 1
    upscaler: str | None = None
    output_format: OutputFormat = "same"
    aligned: bool = False
    landmarks: str | None = None
    detect: Detect = Detect()
    paste: Paste = Paste()
    guard: Guard = Guard()
    read: Read = Read()
    write: Write = Write()
    run: Run = Run()
    rates: Rates = Rates()
    storage: StorageOptions = StorageOptions()
    weights: str | None = None

    @model_validator(mode="after")
    def has_the_detectors_device(self) -> "Config":
        """A detector on a GPU asks Ray for one."""
        if self.detect.device == "cuda" and not self.run.prepare.gpus:
            raise PydanticCustomError("device", "detect.device is cuda, but run.prepare.gpus is 0")
        return self


def load(path: Path | None, changes: Mapping[str, Any] | None = None) -> Config:
    """The config in ``path`` (or the defaults), with ``changes`` by dotted key on top; local paths become absolute
    URIs.
    """
    data = read_toml(path) if path else {}
    for key, value in (changes or {}).items():
        put(data, key.split("."), value)
    where = str(path) if path else "the options"
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(*explain(error, where)) from None
    places = {"weights": config.weights, "landmarks": config.landmarks}
    return config.model_copy(update={key: absolute(place) if place else None for key, place in places.items()})


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}", "check the path after --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "see examples/folder.toml") from None


def put(data: dict[str, Any], keys: Sequence[str], value: object) -> None:
    """Set a nested key."""
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # no table: the check that follows says so
        data = cast("dict[str, Any]", inner)
    data[keys[-1]] = value


def explain(error: ValidationError, where: str) -> tuple[str, str]:
    """One line and a hint for the first thing that is wrong."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{where}: {key}: {first['msg']}", "see docs/operations.md for every key and its range"
    known = known_keys(Config, first["loc"][:-1])
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"{where}: unknown key {key}", hint


def known_keys(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that may stand at ``loc`` below ``model``."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = next((kind for kind in sections(field.annotation)), None) if field else None
        model = inner or model
    return sorted(model.model_fields)


def sections(annotation: object) -> list[type[BaseModel]]:
    """The config tables inside a type annotation such as ``dict[str, Method]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in sections(argument)]
