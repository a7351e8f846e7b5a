"""What a metric of an evaluation is, and the registry: every file in ``models/quality/`` that defines ``METRIC``.

A measure (``models.quality_measure``) looks at one picture of an archive and needs nothing; a metric judges a method on
a test set. Protocols fix the variants, so that figures can be compared with published ones. Importing this module does
not import torch.

    Metric ─┬─ PictureMetric   a figure for each picture: alone, beside the truth, or beside the posterior mean
            └─ SetMetric       one figure for all: how their features lie among those of a reference set
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models import quality
from models.checkpoint import Checkpoint, Device
from models.method import Extra
from models.registry import discover

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Weights = Mapping[str, Path]
Figures = Mapping[str, float]
Against = Literal["nothing", "truth", "mean", "reference"]

FIDELITY = Extra("torch_fidelity", "evaluate")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a paper measures. ``lpips`` and ``ssim`` choose the variants; "alex-levels" feeds AlexNet with BGR levels of
    255, as ELSFace does. ``jpeg`` is the quality at which results are stored before they are measured, None as they
    are. ``as_published`` repeats what is odd in PMRF's evaluation: near-identical pairs are left out of Deg, and points
    of LMD at a map's border are read wrongly. ``reference`` is what FID, KID and precision compare with. ``measures``
    adds the means of the measures of ``models.quality_measure``.
    """

    name: str
    metrics: tuple[str, ...]
    lpips: Literal["vgg", "alex-levels"] = "vgg"
    ssim: Literal["gaussian", "uniform-51"] = "gaussian"
    jpeg: int | None = None
    as_published: bool = False
    reference: Literal["given", "truth"] = "given"
    measures: bool = False


PROTOCOLS = {
    one.name: one
    for one in (
        Protocol(
            "daguerre",
            ("psnr", "ssim", "lpips", "deg", "lmd", "ind_rmse", "niqe", "fid", "kid", "precision"),
            measures=True,
        ),
        Protocol(
            "pmrf",
            ("fid", "kid", "niqe", "precision", "psnr", "ssim", "lpips", "deg", "lmd", "ind_rmse"),
            as_published=True,
        ),
        Protocol(
            "elsface",
            ("psnr", "ssim", "mae", "lpips", "fid"),
            lpips="alex-levels",
            ssim="uniform-51",
            jpeg=95,
            reference="truth",
        ),
    )
}

Measured = Callable[[Pixels, Pixels | None], float]
Summary = Callable[[Sequence[float], Protocol], Figures]
Extract = Callable[[Sequence[Pixels]], Features]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What every metric says of itself: ``source`` is its paper or definition, ``better`` "higher" or "lower".

    ``checkpoints`` are all weights that it may take; where the protocol decides, ``choose`` says which. ``extra`` is
    the package that is not always installed.
    """

    name: str
    summary: str
    better: str
    source: str
    against: Against
    checkpoints: tuple[Checkpoint, ...] = ()
    choose: Callable[[Protocol], Sequence[Checkpoint]] | None = None
    extra: Extra | None = None

    def needs(self, protocol: Protocol) -> Sequence[Checkpoint]:
        """The weights that the metric takes under ``protocol``."""
        return self.choose(protocol) if self.choose else self.checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMetric(Metric):
    """``build`` gives what measures one picture, (H, W, 3) uint8 RGB, beside the other one of the pair, if the metric
    compares; ``whole`` makes the set's figures out of those of its pictures.
    """

    build: Callable[[Weights, Device, Protocol], Measured]
    whole: Summary


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A network whose features several metrics share. ``build`` gives what turns pictures into features (N, D)."""

    name: str
    build: Callable[[Weights, Device], Extract]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMetric(Metric):
    """``compare`` gives the figure for the features (N, D) of restored pictures and those (M, D) of the reference, N
    and M at least ``smallest``.
    """

    smallest: tuple[int, int]
    features: FeatureSpec
    compare: Callable[[Features, Features], float]


@cache
def all_metrics() -> dict[str, Metric]:
    """Every metric by name, found in the folder ``models/quality``."""
    return discover(quality, "METRIC", Metric)


def mean_as(name: str) -> Summary:
    """The plain mean over all pictures, under ``name``."""

    def whole(values: Sequence[float], _protocol: Protocol) -> Figures:
        return {name: float(np.mean(values))}

    return whole
