"""``daguerre evaluate``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from infra.config import load, read_toml
from infra.errors import ConfigError
from infra.storage import Storage, absolute
from infra.weights import WeightStore
from pipeline.exits import OK, Exit


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What is measured, and how."""

    set: Annotated[
        list[str], Parameter(negative=(), help="name=N,method=M,restored=DIR[,truth=DIR][,mean=DIR]; several times")
    ] = field(default_factory=list[str])
    sets: Annotated[Path | None, Parameter(help="TOML file with tables [[sets]] of the same keys")] = None
    protocol: Annotated[Literal["daguerre", "pmrf", "elsface"], Parameter(help="whose variants")] = "daguerre"
    metric: Annotated[list[str], Parameter(negative=(), help="only these metrics")] = field(default_factory=list[str])
    reference: Annotated[str | None, Parameter(help="pictures that FID, KID and precision compare with")] = None
    gpu: Annotated[bool, Parameter(negative=(), help="networks on the GPU")] = False
    fetch: Annotated[bool, Parameter(negative=(), help="download missing weights first")] = False
    config: Annotated[Path | None, Parameter(help="TOML file with [storage] and weights")] = None


def evaluate(out: str, *, options: EvaluateOptions | None = None) -> Exit:
    """Judge methods on test sets: one table, as Markdown and as Parquet.

    Parameters
    ----------
    out
        folder or bucket for evaluation.md and evaluation.parquet
    options
        what is measured, and how
    """
    from models.quality_metric import PROTOCOLS
    from pipeline.evaluation import Evaluation
    from pipeline.evaluation_table import markdown, write
    from pipeline.test_sets import from_file, parsed

    how = options or EvaluateOptions()
    listed = from_file(read_toml(how.sets), str(how.sets)) if how.sets else []
    sets = [*listed, *(parsed(text) for text in how.set)]
    if not sets:
        raise ConfigError(
            "there is no set to evaluate", "--set name=N,method=M,restored=DIR[,truth=DIR], or --sets FILE"
        )
    settings = load(how.config)
    storage = Storage(settings.storage)
    job = Evaluation(
        storage,
        WeightStore.from_environment(storage, settings.weights),
        PROTOCOLS[how.protocol],
        tuple(how.metric),
        absolute(how.reference) if how.reference else None,
        "cuda" if how.gpu else "cpu",
        how.fetch,
    )
    rows = job.run(sets)
    print(markdown(rows, job.protocol))
    for uri in write(storage, absolute(out), rows, job.protocol):
        print(uri)
    return OK
