"""``daguerre train``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import ValidationError

from infra.config import load, read_toml
from infra.errors import ConfigError
from infra.storage import Storage, absolute
from pipeline.exits import OK, Exit

if TYPE_CHECKING:
    from models.training.recipe import TrainRecipe


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a training is given, and how it is run; of the latter only ``workers`` and ``threads`` change its weights on
    one device.
    """

    landmarks: Annotated[str | None, Parameter(help="CSV with the five landmarks of each photo")] = None
    faceless: Annotated[
        str | None,
        Parameter(help="folder or bucket of pictures without faces (daguerre-d), or of squares (daguerre-s)"),
    ] = None
    include: Annotated[list[str], Parameter(negative=(), help="only files that match one of these patterns")] = field(
        default_factory=list[str]
    )
    workers: Annotated[int, Parameter(help="processes that train together")] = 1
    gpu: Annotated[bool, Parameter(negative=(), help="a GPU for each worker")] = False
    threads: Annotated[int, Parameter(help="CPU threads of each worker")] = 1
    loaders: Annotated[int, Parameter(help="processes a worker that make its examples")] = 0
    config: Annotated[Path | None, Parameter(help="TOML file with [storage] and [run]")] = None


def train(method: str, out: str, *, data: str, recipe: Path, options: TrainOptions | None = None) -> Exit:
    """Train the network of a method; stopped, the same command goes on from the newest checkpoint.

    Parameters
    ----------
    method
        what can be trained: daguerre-d, daguerre-s, elsface, pmrf
    out
        folder or bucket for checkpoints, figures, pictures, curves and the weights
    data
        folder or bucket of aligned faces, or of photos with --landmarks
    recipe
        TOML file with the training's settings
    options
        how it is run
    """
    from models.training.task import all_trainings
    from pipeline.train import TrainJob
    from pipeline.train import train as run

    how = options or TrainOptions()
    if method not in all_trainings():
        raise ConfigError(f"there is no training for {method}", f"known: {', '.join(all_trainings())}")
    settings = load(how.config)
    job = TrainJob(
        method,
        checked(all_trainings()[method].recipe, recipe),
        Storage(settings.storage),
        absolute(data),
        absolute(out),
        absolute(how.landmarks) if how.landmarks else None,
        absolute(how.faceless) if how.faceless else None,
        tuple(how.include),
        how.workers,
        how.gpu,
        how.threads,
        how.loaders,
    )
    print(run(job, settings.run))
    return OK


def checked(kind: "type[TrainRecipe]", path: Path) -> "TrainRecipe":
    """The recipe in a TOML file. Raises ``ConfigError`` for the first thing that is wrong."""
    content = read_toml(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(sorted(kind.model_fields))
        raise ConfigError(f"{path}: {key}: {first['msg']}", f"known: {known}") from None
