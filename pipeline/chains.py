"""Which stages run together in one process: a photo is decoded once in each chain, and only its file crosses between
them. The processes that work (``pipeline.isolation``) import this; they need no Ray.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from infra.config import Guard as Limits
from infra.errors import ConfigError
from infra.weights import sha256
from models.checkpoint import Checkpoint, Device
from models.detector import Detector, DetectorSettings
from models.method import TemplateName
from models.quality_measure import all_measures
from pipeline.job import Job, code_version
from stages.align import Align
from stages.codec import all_codecs
from stages.detect import Decode, Detect, WholePhoto
from stages.enlarge import Enlarge, Upscaler
from stages.guard import Guard, looking_again
from stages.landmarks import Landmarks, Listed, ListedWhole, read_landmarks
from stages.output import Wanted
from stages.paste import Paste, Replace
from stages.photo import FaceStatus, Photo
from stages.read import Read
from stages.recipe import CROPS, DetectRecipe, helpers, identity_spec, named
from stages.release import Release
from stages.score import Score
from stages.stage import Singly, Stage
from stages.write import Conclude, Write
from stages.xmp import EditRecord

if TYPE_CHECKING:
    from models.parser import Parser

Build = Callable[[Job], list[Stage]]


def prepare(job: Job) -> list[Stage]:
    """Read, decode, detect, align. A detector on a GPU gets the batch's photos together, another one each by itself."""
    discover()
    detect, keep_all = job.recipe.detect, job.config.write.unchanged == "copy"
    read, align, release = Read(job.storage, job.limits), Align(job.recipe), Release(keep_all)
    listed = landmarks(job)
    if detect is None:
        whole = ListedWhole(listed, WholePhoto()) if listed else WholePhoto()
        return [read, Singly([Decode(job.limits), whole, align]), release]
    device = job.config.detect.device
    together = 1 if device == "cpu" else job.config.run.batch
    detector = build_detector(job, detect, detect.settings(device))
    find: Stage = Detect(detector, detect.smallest, detect.longest, together)
    find = Listed(listed, find) if listed else find
    if device == "cpu":
        return [read, Singly([Decode(job.limits), find, align]), release]
    return [read, Decode(job.limits), find, Singly([align]), release]


def landmarks(job: Job) -> Landmarks:
    """The list of landmarks, if the job has one; it must be the one that the recipe was resolved with."""
    if job.config.landmarks is None:
        return {}
    found, digest = read_landmarks(job.storage, job.config.landmarks)
    if digest != job.recipe.landmarks:
        raise ConfigError(f"'{job.config.landmarks}' has changed since the run began", "start the run again")
    return found


def restore(job: Job, name: str) -> list[Stage]:
    """One method, loaded. Only its workers import torch."""
    from stages.restore import Restore

    recipe, how = job.recipe.methods[name], named(job.config, name)
    paths = checked_weights(job, recipe.checkpoints, recipe.weights)
    restorer = recipe.spec.build(paths, recipe.resolved, how.device, recipe.dtype)
    settings = {rule.name: rule.parameters for rule in job.recipe.rules if rule.parameters}
    keep = job.keep & set(recipe.spec.keeps)
    parser = build_parser(job, how.device)
    samples = job.config.write.samples if recipe.spec.samples else 1
    return [Restore(name, restorer, how.batch_size, how.device, parser, settings, keep, samples)]


def finish(job: Job) -> list[Stage]:
    """Judge, paste back, score, write; one photo at a time."""
    discover()
    recipe, write = job.recipe, job.config.write
    paste: Stage = Paste(recipe.paste.feather) if recipe.paste else Replace()
    enlarge = [Enlarge(recipe.scale, job.limits, build_upscaler(job))] if recipe.scale > 1 else []
    keep = write.unchanged == "copy", CROPS in write.keep
    wanted = Wanted(recipe.scale, None if recipe.output_format == "same" else recipe.output_format.upper())
    store = Write(job.storage, job.sink, *keep, partial(record_of, recipe=recipe.hash), wanted)
    guard = [] if recipe.guard is None else [build_guard(job, recipe.guard)]
    stages: list[Stage] = [Decode(job.limits), *guard, *enlarge, paste, Score(recipe.aligned), Conclude(), store]
    return [Singly(stages)]


def discover() -> None:
    """Import every codec and measure now: later, it would be in the first photo's time."""
    all_codecs()
    all_measures()


def record_of(photo: Photo, recipe: str) -> EditRecord:
    """What a result's XMP says of its edit."""
    methods = {face.method for face in photo.faces if face.status is FaceStatus.RESTORED and face.method}
    return EditRecord(f"Daguerre {code_version()}", tuple(sorted(methods)), recipe)


def build_detector(job: Job, recipe: DetectRecipe, settings: DetectorSettings) -> Detector:
    paths = checked_weights(job, recipe.spec.checkpoints, recipe.weights)
    return recipe.spec.build(paths, settings)


def build_guard(job: Job, limits: Limits) -> Guard:
    """The guard, with the job's own detector on the CPU. Only one that compares persons imports torch."""
    detect = job.recipe.detect
    detector = None if detect is None else build_detector(job, detect, looking_again())
    if limits.identity is None:
        return Guard(limits, detector)
    from stages.same_person import SamePerson

    spec = identity_spec(limits.identity)
    identity = spec.build(checked_weights(job, spec.checkpoints, job.recipe.helpers), "cpu")
    templates: dict[str, TemplateName] = {name: method.template for name, method in job.recipe.methods.items()}
    return Guard(limits, detector, SamePerson(identity, spec.template), templates)


def build_parser(job: Job, device: Device) -> "Parser | None":
    """The face parser, where masks come from it."""
    if job.recipe.paste is None or job.recipe.paste.mask != "parser":
        return None
    from models import parser

    path = checked_weights(job, [parser.PARSER], job.recipe.helpers)[parser.PARSER.name]
    return parser.build_parser(path, device)


def build_upscaler(job: Job) -> "Upscaler | None":
    """The network that enlarges backgrounds, where there is one."""
    if job.recipe.upscaler is None:
        return None
    from models.upscaler import load_upscaler

    files = [file for file in helpers(job.config) if file.name == job.recipe.upscaler]
    return load_upscaler(checked_weights(job, files, job.recipe.helpers)[job.recipe.upscaler], "cpu")


def checked_weights(job: Job, files: Sequence[Checkpoint], expected: dict[str, str]):
    """The files' paths on this node, each with the very bytes that the recipe was resolved with."""
    paths = job.weights.require(files)
    for name, path in paths.items():
        if sha256(path) != expected[name]:
            raise RuntimeError(f"{name} on this node is not the file that the recipe names: {expected[name]}")
    return paths
