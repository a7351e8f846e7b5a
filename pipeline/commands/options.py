"""The options that ``restore`` and ``plan`` share: the config file, and what overrides it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from infra.config import Config, OutputFormat, load
from infra.logs import hide

RECIPE = Group("What is done (the recipe)")
CHOICE = Group("Which photos")
SINK = Group("What is stored")


@Parameter(name="*")
@dataclass(frozen=True)
class JobOptions:
    """Every option stands for a key of the config and wins over it."""

    config: Annotated[Path | None, Parameter(help="TOML file with the job's settings")] = None
    method: Annotated[str | None, Parameter(group=RECIPE, help="method for every face that no rule decides")] = None
    strength: Annotated[float | None, Parameter(group=RECIPE, help="share of the change that is applied, 0 to 1")] = (
        None
    )
    seed: Annotated[int | None, Parameter(group=RECIPE, help="the run's seed")] = None
    aligned: Annotated[bool, Parameter(group=RECIPE, negative=(), help="each file already is one face's crop")] = False
    detector: Annotated[str | None, Parameter(group=RECIPE, help="face detector")] = None
    score: Annotated[float | None, Parameter(group=RECIPE, help="lowest detection score, 0 to 1")] = None
    smallest: Annotated[float | None, Parameter(group=RECIPE, help="shorter side of the smallest face box, px")] = None
    paste: Annotated[
        Literal["difference", "replace"] | None,
        Parameter(group=RECIPE, help="add the change, or put the face in"),
    ] = None
    scale: Annotated[Literal[1, 2, 4] | None, Parameter(group=RECIPE, help="results so many times larger")] = None
    output_format: Annotated[
        OutputFormat | None, Parameter(group=RECIPE, help="format of all results instead of each photo's own")
    ] = None
    include: Annotated[list[str], Parameter(group=CHOICE, negative=(), help="only paths that match a pattern")] = field(
        default_factory=list[str]
    )
    exclude: Annotated[list[str], Parameter(group=CHOICE, negative=(), help="no paths that match a pattern")] = field(
        default_factory=list[str]
    )
    root: Annotated[str | None, Parameter(group=CHOICE, help="common root of the URIs in a list")] = None
    limit: Annotated[int | None, Parameter(group=CHOICE, help="only the first N photos of the listing")] = None
    sample: Annotated[int | None, Parameter(group=CHOICE, help="only N photos, chosen by the hash of their URIs")] = (
        None
    )
    share: Annotated[
        str | None, Parameter(group=CHOICE, help='"3/8": the third of eight parts, for eight runs side by side')
    ] = None
    retry_failed: Annotated[bool, Parameter(group=CHOICE, negative=(), help="work on failed photos again")] = False
    retry: Annotated[list[str], Parameter(group=CHOICE, negative=(), help="work again on failures of a class")] = field(
        default_factory=list[str]
    )
    unchanged: Annotated[
        Literal["skip", "copy"] | None, Parameter(group=SINK, help="photos without a changed face")
    ] = None
    keep: Annotated[
        list[str], Parameter(group=SINK, negative=(), help="store crops, or what a method has to show, with commas")
    ] = field(default_factory=list[str])
    samples: Annotated[
        int | None, Parameter(group=SINK, help="results of each face that are compared, where a method draws")
    ] = None
    new_recipe: Annotated[bool, Parameter(group=SINK, negative=(), help="work into recipes/HASH/ of the sink")] = False
    take_over: Annotated[bool, Parameter(group=SINK, negative=(), help="take the sink from a run that is dead")] = False
    max_failed: Annotated[str | None, Parameter(help='stop when more failed: "5%" or a number')] = None
    fetch: Annotated[bool, Parameter(negative=(), help="download missing weights first")] = False

    def load(self) -> Config:
        """The config with these options on top. Its secrets are kept out of the logs."""
        config = load(self.config, self.changes())
        hide(config.storage.secret, config.storage.token)
        return config

    def changes(self) -> dict[str, Any]:
        """The options that were given, by the config's dotted keys."""
        given: dict[str, Any] = {
            "method": self.method,
            "strength": self.strength,
            "seed": self.seed,
            "aligned": self.aligned or None,
            "detect.detector": self.detector,
            "detect.score": self.score,
            "detect.smallest": self.smallest,
            "paste.mode": self.paste,
            "scale": self.scale,
            "output_format": self.output_format,
            "read.include": self.include or None,
            "read.exclude": self.exclude or None,
            "read.root": self.root,
            "write.unchanged": self.unchanged,
            "write.keep": [name for given in self.keep for name in given.split(",")] or None,
            "write.samples": self.samples,
            "run.max_failed": self.max_failed,
        }
        return {key: value for key, value in given.items() if value is not None}
