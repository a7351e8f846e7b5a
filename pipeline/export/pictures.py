"""The pictures of one face: what a run stored of it, or cut once more out of photo and result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import cv2
import numpy as np

from infra.storage import Storage, StorageFault
from models.degradations.chain import clipped
from models.degradations.codec import to_bytes
from models.degradations.named import all_degradations
from pipeline.export.copies import HASHED_SIDE, perceptual_hash
from pipeline.export.settings import STANDARD, Coding, Settings
from stages.align import seed_of
from stages.codec import Limits
from stages.geometry import from_box, scale_of, similarity, template
from stages.photo import Matrix, PhotoFault, Pixels
from stages.recut import Cut, from_crop, recut, resized

JPEG_QUALITY = 95
PNG_LEVEL = 1  # of zlib: larger by a tenth than the usual 6, several times as fast
GONE = frozenset({"not_found", "denied"})  # the photo's fault; any other one is the store's, and ends the export

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where pictures come from. Travels to the processes that work."""

    storage: Storage
    sink: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a face: its pictures as files by name and the ``facts`` of how they were made, or why there are
    none.
    """

    pictures: Mapping[str, bytes]
    facts: Mapping[str, Any]
    reason: str = ""


def hashes(place: Place, rows: Sequence[Row]) -> list[tuple[bytes | None, str]]:
    """The perceptual hash of each face, or why there is none. Rows of one photo follow each other."""
    return [
        (None if crop is None else perceptual_hash(crop), reason)
        for _, photo in by_photo(rows)
        for crop, reason, _ in crops(place, photo, HASHED_SIDE, exact=False)
    ]


def make(place: Place, settings: Settings, rows: Sequence[Row]) -> list[Made]:
    """The pictures of each face. Rows of one photo follow each other."""
    return [made for _, photo in by_photo(rows) for made in of_photo(place, settings, photo)]


def by_photo(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    return ((uri, list(photo)) for uri, photo in groupby(rows, key=lambda row: str(row["uri"])))


def of_photo(place: Place, settings: Settings, rows: Sequence[Row]) -> list[Made]:
    """All faces of one photo, which is read once."""
    if settings.what == "pairs":
        stored = [stored_pair(place, settings, row) if row["stored"] else None for row in rows]
        lacking = [row for row, pair in zip(rows, stored, strict=True) if pair is None]
        rest = iter(recut_pairs(place, settings, lacking))
        return [pair or next(rest) for pair in stored]
    found = crops(place, rows, settings.side or STANDARD, exact=True)
    return [
        Made({}, {}, reason) if crop is None else single(settings, row, crop, origin)
        for row, (crop, reason, origin) in zip(rows, found, strict=True)
    ]


def stored_pair(place: Place, settings: Settings, row: Row) -> Made | None:
    """The crops that a run has stored; None if one is not there any more."""
    base = f"{place.sink}/crops/{row['target']}.{row['index']}"
    try:
        files = [place.storage.read(f"{base}.{name}.png") for name in ("input", "restored")]
    except StorageFault as fault:
        if fault.kind not in GONE:
            raise
        return None
    if settings.side not in {None, own_size(row)} or settings.image != "png":
        files = [encoded(at_side(decoded(content), settings.side), settings.image) for content in files]
    return Made(dict(zip(("input", "restored"), files, strict=True)), {"origin": "stored"})


def recut_pairs(place: Place, settings: Settings, rows: Sequence[Row]) -> list[Made]:
    """Input crops out of the photo, restored ones out of its result: with the strength and the mask of the paste."""
    if not rows:
        return []
    cuts = [pair_cut(settings, row) for row in rows]
    before, lost = attempt(place, rows[0], cuts)
    after, lost_too = attempt(place, rows[0], cuts, result=True) if before else ([], "")
    if not before or not after:
        return [Made({}, {}, lost or lost_too)] * len(rows)
    return [
        Made({"input": encoded(one, settings.image), "restored": encoded(other, settings.image)}, {"origin": "recut"})
        for one, other in zip(before, after, strict=True)
    ]


def single(settings: Settings, row: Row, crop: Pixels, origin: str) -> Made:
    """An aligned face, or a clean one and what the degradation makes of it with a seed of the face's own."""
    if settings.what == "aligned":
        return Made({"image": encoded(crop, settings.image)}, {"origin": origin})
    seed = seed_of(row["sha256"], row["index"], settings.degradation, settings.seed)
    ageing = all_degradations()[settings.degradation](crop.shape[0])
    aged = ageing.apply(clipped(crop / np.float32(255)), np.random.default_rng(seed))
    clean, degraded = (encoded(to_bytes(picture), settings.image) for picture in (aged.truth, aged.photo))
    facts = {"origin": origin, "degradation": settings.degradation, "degradation_seed": seed}
    return Made({"clean": clean, "degraded": degraded}, facts)


def crops(place: Place, rows: Sequence[Row], side: int, exact: bool) -> list[tuple[Pixels | None, str, str]]:
    """The FFHQ crop (side, side, 3) of each face of one photo, why there is none, and where it comes from.

    A stored crop is taken where it has the same square and is as large; for a perceptual hash (not ``exact``) any will
    do. Else the photo is read.
    """
    matrices = [standard(row, side) for row in rows]
    stored = [
        stored_input(place, row, matrix, side) if row["stored"] and (not exact or serves(row, matrix, side)) else None
        for row, matrix in zip(rows, matrices, strict=True)
    ]
    lacking = [index for index, crop in enumerate(stored) if crop is None]
    cuts = [Cut(rows[index]["page"], matrices[index], side) for index in lacking]
    found, reason = attempt(place, rows[0], cuts) if cuts else ([], "")
    rest = dict(zip(lacking, found, strict=True)) if found else {}
    return [
        (crop, "", "stored") if crop is not None else (rest.get(index), "" if index in rest else reason, "recut")
        for index, crop in enumerate(stored)
    ]


def serves(row: Row, matrix: Matrix, side: int) -> bool:
    """Whether the stored crop shows the square of ``matrix``, in at least ``side`` pixels."""
    own = own_size(row)
    return own >= side and np.allclose(resized(affine(row), own, side), matrix, atol=1e-6 * side)


def stored_input(place: Place, row: Row, matrix: Matrix, side: int) -> Pixels | None:
    """The crop by ``matrix`` out of the stored one; None if that is not there any more."""
    try:
        content = place.storage.read(f"{place.sink}/crops/{row['target']}.{row['index']}.input.png")
    except StorageFault as fault:
        if fault.kind not in GONE:
            raise
        return None
    return from_crop(decoded(content), affine(row), matrix, side)


def attempt(place: Place, row: Row, cuts: Sequence[Cut], result: bool = False) -> tuple[list[Pixels], str]:
    """Crops of a photo, or of its ``result``; none and the reason if it cannot be had as its row says."""
    kind = "result" if result else "photo"
    uri, sha256 = (row["result_uri"], row["result_sha256"]) if result else (row["uri"], row["sha256"])
    name, scale = (uri, row["scale"]) if result else (row["path"], 1)
    try:
        return recut(place.storage, uri, name, sha256, place.limits, cuts, scale), ""
    except StorageFault as fault:
        if fault.kind not in GONE:
            raise
        return [], f"{kind}: {fault.kind}"
    except PhotoFault as fault:
        return [], f"{kind}: {fault.message}"


def pair_cut(settings: Settings, row: Row) -> Cut:
    """Where a method's own crop lies, in the size that is asked for."""
    own = own_size(row)
    side = settings.side or own
    return Cut(row["page"], resized(affine(row), own, side), side)


def standard(row: Row, side: int) -> Matrix:
    """The matrix of the face's FFHQ crop: by its landmarks, by its box, or the whole file where that is one face."""
    if row["detector"] is None:
        return resized(affine(row), own_size(row), side)
    if row["landmarks"] is None:
        x, y, width, height = row["box"]
        return from_box((x, y, width, height), side)
    return similarity(np.array(row["landmarks"]).reshape(5, 2), template("ffhq", side))


def affine(row: Row) -> Matrix:
    return np.array(row["affine"]).reshape(2, 3)


def own_size(row: Row) -> int:
    """The side of the crop that the row's matrix leads to."""
    return round(row["side"] * scale_of(affine(row)))


def decoded(content: bytes) -> Pixels:
    """The pixels (S, S, 3) RGB of a stored crop: 8-bit PNG, which OpenCV reads in less than half of Pillow's time."""
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(found, np.uint8)


def at_side(crop: Pixels, side: int | None) -> Pixels:
    """``crop`` with another side; as it is if that is None."""
    if side is None:
        return crop
    plain = np.eye(2, 3)
    return from_crop(crop, plain, resized(plain, crop.shape[0], side), side)


def encoded(crop: Pixels, coding: Coding) -> bytes:
    """A file with the pixels of ``crop`` (S, S, 3) RGB."""
    options = {"png": [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]}
    done, content = cv2.imencode(f".{coding}", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), options[coding])
    if not done:
        raise RuntimeError(f"OpenCV cannot write {coding}")
    return content.tobytes()
