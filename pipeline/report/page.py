"""``write_report``: one pass over the manifest's rows, then one page."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, BinaryIO

import pyarrow as pa
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from pipeline.report import runs as records
from pipeline.report.columns import direction, faces_of
from pipeline.report.figures import PhotoFigure, clip, photo_figure
from pipeline.report.listing import Listing
from pipeline.report.picks import Picks
from pipeline.report.pictures import Budget, Read
from pipeline.report.runs import Record
from pipeline.report.tally import Mean, Tally
from stages.photo import FaceStatus, Status

PICTURE_BYTES = 8_000_000  # of data URIs; the text around them is bounded well below the 2 MB that are left of 10
LISTED_CLASSES = 40
LISTED_MEASURES = 30

SECTIONS = {
    "worst": ("Worst", "The restored photos whose quality fell most, or rose least, by the mean of all measures."),
    "rejected": ("Rejected", "Photos with a face that was restored but not fit to be pasted, or that failed."),
    "sample": ("A sample", "Restored photos drawn by lot; the same photos in every report."),
    "untouched": ("Left as they were", "Photos without a face, or whose faces were left alone."),
}


@dataclass(frozen=True, slots=True)
class Share:
    """One status: its count, its place in a bar and its width there, in per cent."""

    status: str
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One class of failures with a few examples (path, message)."""

    name: str
    status: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class QualityLine:
    """A measure's means before and after; ``better`` is "higher", "lower" or empty."""

    name: str
    better: str
    faces: Mean | None
    photos: Mean | None


def write_report(
    batches: Iterable[pa.RecordBatch], runs: Sequence[Record], read: Read, html: BinaryIO, csv: BinaryIO
) -> None:
    """Write the page to ``html`` and the list to ``csv``.

    ``batches`` hold the current row of each photo (``pipeline.manifest.SCHEMA``) and are read once; only the rows that
    are shown are kept. ``runs`` are the sink's run records. ``read`` fetches a picture by its URI; it may raise.
    """
    tally, picks = Tally(), Picks()
    with Listing(csv) as listing:
        for batch in batches:
            faces = faces_of(batch)
            tally.add(batch, faces)
            picks.add(batch, faces)
            listing.add(batch, faces)
    html.write(render(tally, picks, records.by_start(runs), read).encode())


def render(tally: Tally, picks: Picks, runs: Sequence[Record], read: Read) -> str:
    """The page as text; ``runs`` are oldest first, the newest gives the facts."""
    run = runs[-1] if runs else {}
    style, script = asset("report.css"), asset("report.js")
    page = environment().get_template("report.html.j2")
    return page.render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{digest(style)}'; script-src '{digest(script)}'",
        title=title(run),
        total=tally.photos.total(),
        photos=shares(tally.photos, [status.value for status in Status]),
        faces=shares(tally.faces, [status.value for status in FaceStatus][1:]),
        missing=records.missing(run, tally.photos.total()),
        vanished=records.vanished(run),
        failures=failures(tally, picks),
        quality=quality(tally),
        facts=records.facts(run),
        rates=records.rates(run),
        estimates=records.estimates(run),
        estimated=records.section(run, "estimate"),
        stages=records.stage_seconds(run),
        runs=records.lines(runs),
        recipe=records.recipe(run),
        sections=sections(picks, read),
        failed=failed(picks),
        failed_count=tally.photos["failed"],
    )


def environment() -> Environment:
    """Templates of this folder: what they are given is escaped, and made visible where it would not print."""
    source = asset("report.html.j2")
    return Environment(
        loader=DictLoader({"report.html.j2": source}),
        autoescape=True,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def printable(value: Any) -> Any:
    """Text with line breaks, control and direction characters written out, so that a name cannot pose as another."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in value
    )


def asset(name: str) -> str:
    """A file of this folder."""
    return files("pipeline.report").joinpath(name).read_text("utf-8")


def digest(text: str) -> str:
    """What a content security policy calls an inline text."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def title(run: Record) -> str:
    """The last two folders of the sink; "An archive" where no run is known."""
    parts = [part for part in str(run.get("sink") or "").split("://")[-1].split("/") if part]
    return clip(" / ".join(parts[-2:]), 80) or "An archive"


def shares(counts: Counter[str], order: list[str]) -> list[Share]:
    """The statuses in ``order``, then unknown ones; those of ``order`` also where nothing has them."""
    whole, start = max(counts.total(), 1), 0.0
    found: list[Share] = []
    for status in [*order, *sorted(counts.keys() - set(order))]:
        width = 100 * counts[status] / whole
        found.append(Share(clip(status, 40), counts[status], start, width))
        start += width
    return found


def failures(tally: Tally, picks: Picks) -> list[FailureClass]:
    """Failed photos by class, most frequent first, then the skipped ones."""
    return [
        FailureClass(clip(kind, 60), status, count, examples(picks, kind))
        for status, counts in (("failed", tally.failures), ("skipped", tally.skips))
        for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LISTED_CLASSES]
    ]


def examples(picks: Picks, kind: str) -> list[tuple[str, str]]:
    rows = picks.examples[kind].rows() if kind in picks.examples else []
    return [(clip(row["path"]), clip(row["error"]["message"])) for row in rows]


def quality(tally: Tally) -> list[QualityLine]:
    """Every measure that faces or photos have on both sides."""
    words = {1: "higher", -1: "lower", 0: ""}
    names = sorted(tally.face_quality.keys() | tally.photo_quality.keys())[:LISTED_MEASURES]
    lines = [
        QualityLine(clip(name, 60), words[direction(name)], *(counted(side, name) for side in sides(tally)))
        for name in names
    ]
    return [line for line in lines if line.faces or line.photos]


def sides(tally: Tally) -> tuple[dict[str, Mean], dict[str, Mean]]:
    return tally.face_quality, tally.photo_quality


def counted(means: dict[str, Mean], name: str) -> Mean | None:
    mean = means.get(name)
    return mean if mean and mean.count else None


def sections(picks: Picks, read: Read) -> list[tuple[str, str, list[PhotoFigure]]]:
    """Heading, explanation and photos of each section that has any."""
    chosen = picks.sections()
    budget = Budget(PICTURE_BYTES, sum(len(rows) for rows in chosen.values()))
    shown = [(*SECTIONS[name], [photo_figure(row, read, budget) for row in rows]) for name, rows in chosen.items()]
    return [section for section in shown if section[2]]


def failed(picks: Picks) -> list[tuple[str, str, str, str]]:
    """Path, class, stage and message of the failed photos that are listed, by path."""
    rows = sorted(picks.failed.rows(), key=lambda row: str(row["path"]))
    errors = [(row["path"], row["error"] or {}) for row in rows]
    return [
        (clip(path), clip(error.get("class"), 60), clip(error.get("stage"), 60), clip(error.get("message")))
        for path, error in errors
    ]
