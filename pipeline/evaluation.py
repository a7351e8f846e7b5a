"""Judging methods on test sets: every metric of a protocol, for every set, in one process."""

import importlib.util
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
from PIL import Image

from infra.errors import ConfigError
from infra.storage import Storage
from infra.weights import WeightStore
from models.checkpoint import Checkpoint, Device
from models.quality_measure import all_measures
from models.quality_measure import measure as measures_of
from models.quality_metric import (
    PROTOCOLS,
    Extract,
    Features,
    Measured,
    Metric,
    PictureMetric,
    Pixels,
    Protocol,
    SetMetric,
    all_metrics,
)
from pipeline.test_sets import Sample, TestSet, pictures, samples

log = logging.getLogger(__name__)

JPEG = (".jpg", ".jpeg")
FEATURE_BATCH = 16  # pictures of one size
ABSENT = {
    "truth": "the set has no truth",
    "mean": "the set has no posterior means",
    "reference": "no reference set was given",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one set: its figures, and why others are missing."""

    set: TestSet
    pictures: int
    figures: Mapping[str, float]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is measured and with what. ``metrics`` are names; none means all of the protocol.

    ``reference`` is the URI of the pictures that FID, KID and precision compare with. A metric whose weights or package
    are missing is left out with the reason, unless it was asked for by name.
    """

    storage: Storage
    weights: WeightStore
    protocol: Protocol = PROTOCOLS["daguerre"]
    metrics: tuple[str, ...] = ()
    reference: str | None = None
    device: Device = "cpu"
    fetch: bool = False

    def run(self, sets: Sequence[TestSet]) -> list[Row]:
        """A row for each set. All pairs are checked before anything is measured."""
        found = [(one, samples(self.storage, one)) for one in sets]
        judge = Judge(self)
        return [judge.row(one, members) for one, members in found]

    @property
    def wanted(self) -> list[Metric]:
        """The metrics by the protocol's order. Raises ``ConfigError`` for an unknown name."""
        unknown = sorted(set(self.metrics) - set(all_metrics()))
        if unknown:
            raise ConfigError(f"there is no metric {unknown[0]}", f"known: {', '.join(all_metrics())}")
        return [all_metrics()[name] for name in self.metrics or self.protocol.metrics]

    def lack(self, metric: Metric) -> str:
        """Why ``metric`` cannot be computed here, or nothing."""
        if metric.extra is not None and importlib.util.find_spec(metric.extra.module) is None:
            return f"the package {metric.extra.module} is missing: pip install 'daguerre[{metric.extra.name}]'"
        lost = [file for file in metric.needs(self.protocol) if self._find(file) is None]
        return "" if not lost else f"weights are missing: {', '.join(f'{file.name} ({source(file)})' for file in lost)}"

    def _find(self, file: Checkpoint) -> object:
        if self.fetch and file.url:
            return self.weights.fetch(file)
        return self.weights.find(file)


@dataclass(slots=True)
class Judge:
    """The networks of an evaluation, loaded once, and the features of its reference sets."""

    job: Evaluation
    lacking: dict[str, str] = field(init=False)
    measured: dict[str, Measured] = field(init=False)
    extractors: dict[str, Extract] = field(init=False)
    references: dict[tuple[str, str], Features] = field(default_factory=dict[tuple[str, str], Features])

    def __post_init__(self) -> None:
        job = self.job
        self.lacking = {one.name: why for one in job.wanted if (why := job.lack(one))}
        if named := sorted(set(job.metrics) & set(self.lacking)):
            raise ConfigError(f"{named[0]}: {self.lacking[named[0]]}", "without --metric, what is missing is left out")
        usable = [one for one in job.wanted if one.name not in self.lacking]
        paths = {one.name: job.weights.require(one.needs(job.protocol)) for one in usable}
        self.measured = {
            one.name: one.build(paths[one.name], job.device, job.protocol)
            for one in usable
            if isinstance(one, PictureMetric)
        }
        specs = {one.features.name: one for one in usable if isinstance(one, SetMetric)}
        self.extractors = {name: one.features.build(paths[one.name], job.device) for name, one in specs.items()}

    def row(self, one: TestSet, members: Sequence[Sample]) -> Row:
        """Every metric of one set."""
        log.info("%s on %s: %d pictures", one.method, one.name, len(members))
        absent = {metric.name: why for metric in self.job.wanted if (why := self.absent(metric, one))}
        missing = self.lacking | absent
        alone = [metric for metric in self.job.wanted if metric.name not in missing]
        per_picture = [metric for metric in alone if isinstance(metric, PictureMetric)]
        values: dict[str, list[float]] = {metric.name: [] for metric in per_picture}
        general: dict[str, list[float]] = {name: [] for name in (all_measures() if self.job.protocol.measures else ())}
        for member in members:
            picture, others = self.restored(member), self.others(member)
            for metric in per_picture:
                values[metric.name].append(self.measured[metric.name](picture, others.get(metric.against)))
            if general:
                for name, value in measures_of(picture).items():
                    general[name].append(value)
        figures: dict[str, float] = {}
        for metric in per_picture:
            figures |= metric.whole(values[metric.name], self.job.protocol)
        missing |= self.over_sets([metric for metric in alone if isinstance(metric, SetMetric)], one, members, figures)
        figures |= {name: float(np.mean(found)) for name, found in general.items()}
        return Row(one, len(members), figures, missing)

    def over_sets(
        self, metrics: Sequence[SetMetric], one: TestSet, members: Sequence[Sample], figures: dict[str, float]
    ) -> dict[str, str]:
        """Put the figures of ``metrics`` into ``figures``; gives why some are missing."""
        features: dict[str, Features] = {}
        missing: dict[str, str] = {}
        for metric in metrics:
            name = metric.features.name
            if name not in features:
                features[name] = self.features(name, (self.restored(member) for member in members))
            reference = self.reference(name, one)
            small = [
                len(side) < least for side, least in zip((features[name], reference), metric.smallest, strict=True)
            ]
            if any(small):
                least = " and ".join(str(count) for count in metric.smallest)
                missing[metric.name] = f"it takes at least {least} pictures in the set and the reference"
            else:
                figures[metric.name] = metric.compare(features[name], reference)
        return missing

    def absent(self, metric: Metric, one: TestSet) -> str:
        """Why the set has not what ``metric`` compares with, or nothing."""
        reference = one.truth if self.job.protocol.reference == "truth" else self.job.reference
        there = {"nothing": "-", "truth": one.truth, "mean": one.mean, "reference": reference}
        return "" if there[metric.against] else ABSENT[metric.against]

    def reference(self, extractor: str, one: TestSet) -> Features:
        """The features of the pictures that the set is compared with, computed once."""
        root = one.truth if self.job.protocol.reference == "truth" else self.job.reference
        if root is None:
            raise RuntimeError("a set metric without a reference was not left out")
        if (extractor, root) not in self.references:
            uris = sorted(pictures(self.job.storage, root).values())
            self.references[extractor, root] = self.features(extractor, (self.read(uri) for uri in uris))
        return self.references[extractor, root]

    def features(self, extractor: str, found: Iterator[Pixels]) -> Features:
        """The features (N, D) of pictures, which may differ in size."""
        extract = self.extractors[extractor]
        parts: list[Features] = []
        while some := list(islice(found, FEATURE_BATCH)):
            sizes = {picture.shape for picture in some}
            parts += [extract(some)] if len(sizes) == 1 else [extract([picture]) for picture in some]
        return np.concatenate(parts)

    def restored(self, member: Sample) -> Pixels:
        """The result as the protocol measures it."""
        picture, quality = self.read(member.restored), self.job.protocol.jpeg
        if quality is None or member.restored.lower().endswith(JPEG):
            return picture
        _, file = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])

    def others(self, member: Sample) -> dict[str, Pixels]:
        """What the result is compared with, of its size."""
        shape = self.read(member.restored).shape
        found = {key: self.read(uri) for key, uri in member.others.items()}
        for key, picture in found.items():
            if picture.shape != shape:
                sizes = f"{picture.shape[1]} x {picture.shape[0]} for {shape[1]} x {shape[0]}"
                raise ConfigError(f"{member.name}: the {key} has another size: {sizes}", "give pictures of one size")
        return found

    def read(self, uri: str) -> Pixels:
        """A picture (H, W, 3) uint8 RGB. Raises ``ConfigError`` for a file that is none."""
        try:
            with Image.open(io.BytesIO(self.job.storage.read(uri))) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise ConfigError(f"{uri} cannot be read: {error}", "give 8-bit pictures") from error


def source(file: Checkpoint) -> str:
    """Where a missing weights file comes from."""
    return f"daguerre weights fetch {file.name}" if file.url else file.steps
