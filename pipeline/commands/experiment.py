"""``daguerre experiment``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from infra.config import load
from infra.storage import Storage, absolute
from infra.weights import WeightStore
from pipeline.exits import OK, Exit

Name = Literal["denoising", "super-resolution", "inpainting", "colorization"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ExperimentOptions:
    """How an experiment is run."""

    weights: Annotated[
        list[str], Parameter(negative=(), help="SCHEME=FILE; several times; docs/experiments.md lists the schemes")
    ] = field(default_factory=list[str])
    steps: Annotated[int, Parameter(help="of Euler's method; the paper takes 100")] = 100
    side: Annotated[int, Parameter(help="of the photos in pixels, a multiple of 64")] = 256
    seed: Annotated[int, Parameter(help="of degradations and noise")] = 0
    averaged: Annotated[bool, Parameter(negative=(), help="averaged weights of a Lightning file, not the raw ones")] = (
        False
    )
    landmarks: Annotated[str | None, Parameter(help="CSV with the five landmarks of each photo")] = None
    include: Annotated[list[str], Parameter(negative=(), help="only files that match one of these patterns")] = field(
        default_factory=list[str]
    )
    reference: Annotated[str | None, Parameter(help="pictures that FID, KID and precision compare with")] = None
    gpu: Annotated[bool, Parameter(negative=(), help="networks on the GPU")] = False
    fetch: Annotated[bool, Parameter(negative=(), help="download missing weights of metrics first")] = False
    config: Annotated[Path | None, Parameter(help="TOML file with [storage] and weights")] = None


def experiment(name: Name, photos: str, out: str, *, options: ExperimentOptions | None = None) -> Exit:
    """Degrade aligned photos in a known way, restore them by PMRF and its baselines, and judge the results.

    Parameters
    ----------
    name
        denoising, super-resolution, inpainting or colorization
    photos
        folder or bucket of aligned faces, or of photos with --landmarks
    out
        folder or bucket for truths, degraded photos, sources, means, results and the table
    options
        how it is run
    """
    from models.nets.swinir import MULTIPLE
    from models.quality_metric import PROTOCOLS
    from pipeline.evaluation import Evaluation
    from pipeline.evaluation_table import markdown, write
    from pipeline.experiment import ExperimentJob, experiment_called, weights_from
    from stages.portraits import portraits

    how = options or ExperimentOptions()
    check_numbers(how, MULTIPLE)
    settings = load(how.config)
    storage = Storage(settings.storage)
    landmarks = absolute(how.landmarks) if how.landmarks else None
    faces = portraits(storage, absolute(photos), how.side, landmarks, how.include)
    evaluation = Evaluation(
        storage,
        WeightStore.from_environment(storage, settings.weights),
        PROTOCOLS["pmrf"],
        reference=absolute(how.reference) if how.reference else None,
        device="cuda" if how.gpu else "cpu",
        fetch=how.fetch,
    )
    job = ExperimentJob(
        experiment_called(name),
        faces,
        absolute(out),
        weights_from(how.weights),
        evaluation,
        how.steps,
        how.seed,
        how.averaged,
    )
    rows = job.run()
    print(markdown(rows, evaluation.protocol))
    for uri in write(storage, job.out, rows, evaluation.protocol):
        print(uri)
    return OK


def check_numbers(how: ExperimentOptions, multiple: int) -> None:
    """Refuse what the networks cannot take."""
    from infra.errors import ConfigError

    if how.side < multiple or how.side % multiple:
        raise ConfigError(f"--side {how.side} is no multiple of {multiple}", "the paper takes 256")
    if how.steps < 1:
        raise ConfigError(f"--steps {how.steps} is no number of steps", "the paper takes 100")
