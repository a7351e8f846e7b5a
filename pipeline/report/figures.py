"""What the page says of one photo and its faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from PIL import Image

from pipeline.report.columns import direction, relative
from pipeline.report.pictures import Box, Budget, Read, Thumbnail, UnreadableError, alike, load, zoom

Row = Mapping[str, Any]

ZOOMS = 4  # faces of a photo that are shown close
MARKS = 60  # faces of a photo that are framed
URGENCY = {"rejected": 0, "failed": 1, "restored": 2}
SAME = 0.005  # relative change that is called none
TOO_MUCH = "left out, so that the page stays below 10 MB"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure; ``verdict`` is "better", "worse", "same" or empty, where there is nothing to compare."""

    name: str
    before: float | None
    after: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A frame around a face, in per cent of the picture."""

    number: int
    status: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class FaceFigure:
    """One face close by; ``facts`` are label and text."""

    number: int
    status: str
    before: Thumbnail | None
    after: Thumbnail | None
    facts: list[tuple[str, str]]
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class PhotoFigure:
    """One photo; ``notes`` say why a picture is missing."""

    path: str
    status: str
    format: str
    before: Thumbnail | None = None
    after: Thumbnail | None = None
    notes: list[str] = field(default_factory=list[str])
    marks: list[Mark] = field(default_factory=list[Mark])
    faces: list[FaceFigure] = field(default_factory=list[FaceFigure])
    others: int = 0
    figures: list[Figure] = field(default_factory=list[Figure])


def photo_figure(row: Row, read: Read, budget: Budget) -> PhotoFigure:
    """What is shown of a row of the manifest, with pictures within its share of the budget."""
    notes: list[str] = []
    before = attempt(read, row["uri"], row["sha256"], "source", notes)
    after = attempt(read, row["result_uri"], row["result_sha256"], "result", notes)
    found: list[Row] = [face for face in row["faces"] or [] if not face.get("page")]
    larger = row["output"]["scale"] if row.get("output") else 1
    shown = sorted(sorted(found, key=urgency)[:ZOOMS], key=lambda face: face["index"])
    faces = [face_figure(face, before, after, larger) for face in shown]
    used = sum(len(picture.uri) for face in faces for picture in (face.before, face.after) if picture)
    pictures = [picture for picture in (before, after) if picture]
    small = alike(pictures, budget.share() - used)
    if pictures and not small:
        notes.append(f"Pictures {TOO_MUCH}")
    budget.spend(used + sum(len(picture.uri) for picture in small))
    return PhotoFigure(
        path=clip(row["path"]),
        status=str(row["status"]),
        format=describe(row),
        before=small[0] if small and before else None,
        after=small[-1] if small and after else None,
        notes=notes,
        marks=marks(found[:MARKS], before or after),
        faces=faces,
        others=len(row["faces"] or []) - len(faces),
        figures=compare(row["before"], row["after"]),
    )


def attempt(read: Read, uri: str | None, sha256: str | None, which: str, notes: list[str]) -> Image.Image | None:
    """The picture, or None and, if there should be one, a note that says why not."""
    if not uri:
        return None
    try:
        return load(read, uri, sha256)
    except UnreadableError as error:
        notes.append(f"The {which} {error}")
        return None


def face_figure(face: Row, before: Image.Image | None, after: Image.Image | None, larger: int) -> FaceFigure:
    """One face; the result, ``larger`` times the photo's size, is only shown where it changed."""
    changed = face["status"] == "restored"
    strength = face["strength"]
    labels = {
        "Method": face["method"],
        "Rule": face["rule"],
        "Strength": f"{strength:.2f}" if changed and strength is not None and strength != 1 else None,
        "Reason": face["reason"],
    }
    return FaceFigure(
        number=number(face),
        status=str(face["status"]),
        before=zoom(before, face["box"]) if before and face["box"] else None,
        after=zoom(after, scaled(face["box"], larger)) if after and changed and face["box"] else None,
        facts=[(label, clip(text)) for label, text in labels.items() if text],
        figures=compare(face["before"], face["after"]),
    )


def scaled(box: Sequence[float], larger: int) -> Box:
    x, y, width, height = (value * larger for value in box)
    return x, y, width, height


def urgency(face: Row) -> tuple[int, float, int]:
    """The faces to look at first: rejected and failed ones, then the worst."""
    changes = [
        float(relative(figure.before, figure.after, direction(figure.name)))
        for figure in compare(face["before"], face["after"])
        if figure.before is not None and figure.after is not None
    ]
    return URGENCY.get(str(face["status"]), 3), sum(changes) / max(len(changes), 1), face["index"]


def compare(before: object, after: object) -> list[Figure]:
    """All measures of either side, by name; maps come from Arrow as lists of pairs."""
    left, right = pairs(before), pairs(after)
    return [figure(name, left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())][:12]


def pairs(figures: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in figures or [] if value is not None and isfinite(value)}


def figure(name: str, before: float | None, after: float | None) -> Figure:
    """One measure with its verdict."""
    verdict = ""
    if before is not None and after is not None and direction(name):
        change = float(relative(before, after, direction(name)))
        verdict = "same" if abs(change) < SAME else "better" if change > 0 else "worse"
    return Figure(clip(name, 60), before, after, verdict)


def marks(faces: list[Row], picture: Image.Image | None) -> list[Mark]:
    """Frames for ``faces`` in ``picture``."""
    if picture is None:
        return []
    across, down = 100 / picture.width, 100 / picture.height
    return [
        Mark(number(face), str(face["status"]), x * across, y * down, width * across, height * down)
        for face in faces
        for x, y, width, height in [face["box"] or (0, 0, 0, 0)]
    ]


def number(face: Row) -> int:
    """Faces are counted from 1 on the page."""
    return int(face["index"] or 0) + 1


def describe(row: Row) -> str:
    """Format and size in a few words: "JPEG, 640 × 480, 3 faces"."""
    faces = len(row["faces"] or [])
    parts = [
        clip(row["format"], 20),
        f"{row['width']} × {row['height']}" if row["width"] and row["height"] else "",
        f"{faces} face{'' if faces == 1 else 's'}" if faces else "",
    ]
    return ", ".join(part for part in parts if part)


def clip(text: object, length: int = 240) -> str:
    """``text`` at most ``length`` characters long, the middle left out."""
    whole = "" if text is None else str(text)
    return whole if len(whole) <= length else f"{whole[: length // 2]} … {whole[-length // 2 :]}"
