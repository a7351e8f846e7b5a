"""Cropping and pasting as facexlib, CodeFormer, GPEN and SGPN do it, against what their own code gave."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

import numpy as np
import pytest
from kit import Array, Case

from stages.compat import codeformer, facexlib, gpen, sgpn
from stages.geometry import scale_of, similarity, template
from stages.photo import Matrix, Pixels

Table = dict[str, Callable[[], Array | list[Matrix] | list[bool]]]  # what an output's name stands for

KNOWN = ("affine*", "facexlib_*", "codeformer_gray*", "codeformer_*", "gpen_*", "sgpn_*")


@dataclass(frozen=True, slots=True)
class Limit:
    """How far an output may be off: at any entry, and in the mean; ``relative`` to each matrix's largest entry."""

    largest: float
    mean: float
    relative: bool = False


# The first pattern that fits "family/output". All but SGPN's come from OpenCV 5.
LIMITS = {
    "affine/facexlib*": Limit(1e-6, 1e-6, relative=True),
    "affine/umeyama_*": Limit(1e-9, 1e-9, relative=True),
    "*/template": Limit(1e-9, 1e-9, relative=True),
    "*/matrix": Limit(1e-6, 1e-6, relative=True),
    "*/inverse*": Limit(1e-5, 1e-5, relative=True),
    "sgpn/crop_points": Limit(1e-6, 1e-6, relative=True),
    "sgpn/crops": Limit(4, 0.12),
    "sgpn/pasted": Limit(3, 0.02),
    "gpen/pasted": Limit(40, 0.02),  # where two masks tie
    "*/crops*": Limit(1, 0.001),
    "*/pasted*": Limit(1, 0.02),
    "*/soft_mask*": Limit(2e-5, 2e-5),
    "*/mask": Limit(2e-5, 2e-5),
    "*/parse_mask": Limit(1e-6, 1e-6, relative=True),
    "codeformer/gray": Limit(1e-6, 1e-6, relative=True),
    "codeformer/adain": Limit(1e-6, 1e-6, relative=True),
    "codeformer/is_gray": Limit(0, 0),
}


def test_it_computes_what_the_originals_compute(case: Case) -> None:
    assert case.outputs
    check(case)


def test_an_output_that_nobody_knows_fails(case: Case) -> None:
    strange = replace(case, outputs=case.outputs | {"new": np.zeros((1, 2, 3))})
    with pytest.raises(AssertionError, match="new"):
        check(strange)


def test_another_result_fails(case: Case) -> None:
    for name, value in case.outputs.items():
        if name != "is_gray":
            with pytest.raises(AssertionError, match=name):
                check(replace(case, outputs={"inverse": case.outputs.get("inverse", value), name: value * 1.01 + 0.01}))


def test_templates_are_those_of_the_originals(case: Case) -> None:
    if "template_facexlib" in case.inputs:
        np.testing.assert_allclose(template("ffhq", 512), case.inputs["template_facexlib"], rtol=1e-9)
        np.testing.assert_allclose(template("arcface", 512), case.inputs["template_arcface_square"], rtol=1e-9)


def check(case: Case) -> None:
    """Every output of a case."""
    family = re.split("[_0-9]", case.name)[0]
    table = FAMILIES[family](case)
    assert not case.outputs.keys() - table.keys(), f"unknown: {case.outputs.keys() - table.keys()}"
    for name in case.outputs:
        limit = next(limit for pattern, limit in LIMITS.items() if fnmatchcase(f"{family}/{name}", pattern))
        compare(case, name, np.asarray(table[name]()), limit)


def compare(case: Case, name: str, actual: Array, limit: Limit) -> None:
    """The stored pixels one by one, then the moments of the whole."""
    expected = case.outputs[name].astype(np.float64)
    thin = case.thinned(name, actual)
    assert thin.shape == expected.shape, name
    unit = np.abs(expected).max(axis=(-2, -1), keepdims=True) if limit.relative else np.ones(1)
    off = np.abs(thin - expected) / unit
    assert off.max() <= limit.largest, f"{name}: {off.max()} at the worst entry"
    assert off.mean() <= limit.mean, f"{name}: {off.mean()} in the mean"
    for moments, found in ((case.means, actual.mean(dtype=np.float64)), (case.stds, actual.std(dtype=np.float64))):
        assert abs(found - moments.get(name, found)) <= limit.mean * unit.max(), f"{name}: a moment of the whole"


def affine(case: Case) -> Table:
    def each(estimate: Callable[[Matrix], Matrix]) -> Callable[[], list[Matrix]]:
        return lambda: [estimate(points) for points in case.inputs["landmarks"]]

    return {
        "facexlib": each(facexlib.estimate),
        "facexlib_3points": each(facexlib.estimate_by_three),
        "umeyama_ffhq": each(partial(similarity, target=template("ffhq", 512))),
        "umeyama_arcface": each(partial(similarity, target=template("arcface", 512))),
        **{f"facexlib_{size}": each(partial(facexlib.estimate, size=size)) for size in (128, 256, 512, 1024)},
    }


def of_facexlib(case: Case) -> Table:
    photo, restored, labels = rgb(case.inputs["photo"]), rgb(case.inputs["restored"]), list(case.inputs["labels"])
    size = restored.shape[1]
    matrices = [facexlib.estimate(points, size) for points in case.inputs["landmarks"]]

    def crops(border: facexlib.Border) -> Array:
        return planes([facexlib.crop(photo, matrix, size, border) for matrix in matrices])

    def inverses(upscale: int) -> list[Matrix]:
        return [facexlib.inverse(matrix, upscale) for matrix in matrices]

    def moved(upscale: int) -> list[Matrix]:
        return [facexlib.offset(inverse, upscale) for inverse in inverses(upscale)]

    def soft_mask(upscale: int) -> Array:
        width, height = photo.shape[1] * upscale, photo.shape[0] * upscale
        return facexlib.soft_mask(facexlib.hard_mask(moved(upscale)[0], size, (width, height), upscale))

    def pasted(upscale: int, known: list[Pixels] | None = None) -> Array:
        return planes(facexlib.paste(photo, inverses(upscale), list(restored), upscale, known))

    table: Table = {
        "matrix": lambda: matrices,
        "crops": partial(crops, "constant"),
        "crops_reflect101": partial(crops, "reflect101"),
        "crops_reflect": partial(crops, "reflect"),
        "parse_mask": lambda: facexlib.parse_mask(labels[0]),
    }
    for upscale in range(1, 5):
        table |= {
            f"inverse_x{upscale}": partial(inverses, upscale),
            f"inverse_x{upscale}_after_paste": partial(moved, upscale),
            f"soft_mask_x{upscale}": partial(soft_mask, upscale),
            f"pasted_x{upscale}": partial(pasted, upscale),
            f"pasted_parse_x{upscale}": partial(pasted, upscale, labels),
        }
    return table


def of_codeformer(case: Case) -> Table:
    if "landmarks" not in case.inputs:
        return greys(case)
    small, restored = rgb(case.inputs["photo"]), rgb(case.inputs["restored"])
    photo, size = codeformer.enlarged(small), restored.shape[1]
    landmarks = case.inputs["landmarks"] * codeformer.enlargement(small)
    matrices = [facexlib.estimate(points, size) for points in landmarks]
    crops = [facexlib.crop(photo, matrix, size) for matrix in matrices]
    # The case does not say what it was enlarged by: the matrices do, as one is the inverse of the other times that.
    upscale = round(scale_of(case.outputs["inverse"][0]) * scale_of(matrices[0]), 1)
    inverses = [facexlib.inverse(matrix, upscale) for matrix in matrices]
    pairs = zip(restored, crops, strict=True)
    faces = [codeformer.matched(*pair) for pair in pairs] if codeformer.is_grey(small) else list(restored)
    labels = list(case.inputs["labels"]) if "labels" in case.inputs else None
    return {
        "matrix": lambda: matrices,
        "inverse": lambda: inverses,
        "crops": lambda: planes(crops),
        "pasted": lambda: planes(codeformer.paste(photo, inverses, faces, upscale, labels)),
    }


def greys(case: Case) -> Table:
    [restored], [crop] = rgb(case.inputs["restored"]), rgb(case.inputs["crop"])
    photos = [value for key, value in case.inputs.items() if key.startswith("photo_")]
    return {
        "gray": lambda: codeformer.grey(restored),
        "adain": lambda: planes(codeformer.matched(restored, crop)),
        "is_gray": lambda: [codeformer.is_grey(one[0] if len(one) == 1 else rgb(one)) for one in photos],
    }


def of_gpen(case: Case) -> Table:
    photo, restored = rgb(case.inputs["photo"]), rgb(case.inputs["restored"])
    size, landmarks = restored.shape[1], case.inputs["landmarks"]
    matrices = [gpen.estimate(points, size) for points in landmarks]
    inverses = [gpen.inverse(points, size) for points in landmarks]
    labels, boxes = list(case.inputs["labels"]), list(case.inputs["boxes"])
    return {
        "template": lambda: template("arcface", size),
        "matrix": lambda: matrices,
        "inverse": lambda: inverses,
        "crops": lambda: planes([gpen.crop(photo, matrix, size) for matrix in matrices]),
        "pasted": lambda: planes(gpen.paste(photo, inverses, list(restored), labels, boxes)),
    }


def of_sgpn(case: Case) -> Table:
    restored, landmarks = rgb(case.inputs["restored"]), case.inputs["landmarks"]
    size = restored.shape[1]
    matrices = [sgpn.estimate(points, size) for points in landmarks]
    pairs = list(zip(landmarks, matrices, strict=True))

    def pasted() -> tuple[list[Pixels], Pixels]:
        """The crops and the photo after the last."""
        crops, photo = list[Pixels](), rgb(case.inputs["photo"])
        for matrix, face in zip(matrices, restored, strict=True):
            crops.append(sgpn.crop(photo, matrix, size))
            photo = sgpn.paste(photo, matrix, sgpn.blended(crops[-1], face))
        return crops, photo

    return {
        "template": lambda: template("arcface", size),
        "matrix": lambda: matrices,
        "crop_points": lambda: [sgpn.crop_points(*pair) for pair in pairs],
        "mask": lambda: sgpn.soft_mask(size),
        "crops": lambda: planes(pasted()[0]),
        "pasted": lambda: planes(pasted()[1]),
    }


def rgb(image: Array) -> Pixels:
    """Channels last, (..., H, W, 3)."""
    return np.ascontiguousarray(np.moveaxis(image, -3, -1))


def planes(images: Array | list[Pixels]) -> Array:
    """Channels first, as the cases have them."""
    return np.moveaxis(np.asarray(images), -1, -3)


FAMILIES: dict[str, Callable[[Case], Table]] = {
    "affine": affine,
    "facexlib": of_facexlib,
    "codeformer": of_codeformer,
    "gpen": of_gpen,
    "sgpn": of_sgpn,
}
