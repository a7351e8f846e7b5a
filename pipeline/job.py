"""A job, resolved once on the driver: everything that workers need, and nothing that depends on the machine."""

import importlib.metadata
import importlib.util
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from infra.config import Config
from infra.errors import ConfigError, StorageError
from infra.sources import Allowed
from infra.storage import Storage, absolute, is_within
from infra.weights import WeightStore, sha256
from models.method import Extra
from pipeline.lease import Guarded
from stages.codec import Limits
from stages.landmarks import read_landmarks
from stages.needed import needed
from stages.recipe import CROPS, Recipe, check_rules, method_spec, named, reachable, resolve


@dataclass(frozen=True)
class Job:
    """One run. ``source`` and ``sink`` are absolute URIs; ``sink`` is the recipe's own folder where it has one.

    With a ``lease``, a storage that knows it, no process of the run writes anything once it is another run's.
    """

    source: str
    sink: str
    config: Config
    recipe: Recipe
    run_id: str
    weights: WeightStore
    lease: Guarded | None = None

    @cached_property
    def storage(self) -> Storage:
        return self.lease or Storage(self.config.storage)

    @property
    def limits(self) -> Limits:
        read = self.config.read
        return Limits(read.max_bytes, read.max_pixels, frozenset(read.formats))

    @property
    def keep(self) -> frozenset[str]:
        """The middle results that are kept of each face, beside its crops."""
        return frozenset(self.config.write.keep) - {CROPS}

    @property
    def allowed(self) -> Allowed:
        return Allowed(tuple(self.config.read.schemes), self.config.read.local_from_remote)


def make_job(source: str, sink: str, config: Config, fetch: bool = False) -> Job:
    """Resolve a job. Raises ``OperatorError`` for whatever the operator must put right first."""
    source, sink = absolute(source), absolute(sink)
    Allowed(tuple(config.read.schemes)).check(source)
    check_apart(source, sink)
    check_rules(config)
    check_extras(config)
    store = WeightStore.from_environment(Storage(config.storage), config.weights)
    paths = store.require(needed(config, store, fetch))
    listed = read_landmarks(Storage(config.storage), config.landmarks)[1] if config.landmarks else None
    recipe = resolve(config, lambda file: sha256(paths[file.name]) if file.name in paths else None, listed)
    return Job(source, sink, config, recipe, new_run_id(), store)


def check_extras(config: Config) -> None:
    """Refuse a job that needs a package which is not installed."""
    wanted = {name: method_spec(name, named(config, name)).extra for name in reachable(config)}
    if config.upscaler:
        wanted["the upscaler"] = Extra("spandrel", "upscale")
    for name, extra in wanted.items():
        if extra and importlib.util.find_spec(extra.module) is None:
            raise ConfigError(f"{name} needs the package {extra.module}", f"pip install 'daguerre[{extra.name}]'")


def check_apart(source: str, sink: str) -> None:
    """Refuse a source and a sink that overlap: results would be taken for photos, or photos overwritten."""
    if is_within(sink, source) or is_within(source, sink):
        hint = "choose a sink outside of the source"
        raise StorageError(f"source and sink overlap: {source} and {sink}", hint)


def new_run_id() -> str:
    """Sorts by time: ``20261121T090011Z-3f9a``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def code_version() -> str:
    return importlib.metadata.version("daguerre")
