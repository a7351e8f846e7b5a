"""What the page says of the runs. Old run records may lack anything, so nothing here relies on a field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard, cast

from pipeline.report.figures import clip

Record = Mapping[str, Any]

RUNS = 20
STAGES = 20
RECIPE_LIMIT = 20_000  # characters


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run in the table of runs; every cell is text."""

    started: str
    state: str
    listed: str
    worked: str
    failed: str
    time: str
    rate: str


def by_start(runs: Sequence[Record]) -> list[Record]:
    """The runs, oldest first."""
    return sorted(runs, key=lambda run: str(run.get("started", "")))


def facts(run: Record) -> list[tuple[str, str]]:
    """Label and text of what is known of a run."""
    machine = section(run, "machine")
    found = [
        ("Source", run.get("source")),
        ("Sink", run.get("sink")),
        ("Run", run.get("run_id")),
        ("State", run.get("state")),
        ("Started", moment(run.get("started"))),
        ("Ended", moment(run.get("ended"))),
        ("Wall time", duration(run.get("seconds"))),
        ("Recipe", run.get("recipe_hash")),
        ("Code", run.get("code_version")),
        ("Source bytes read", quantity(run.get("source_bytes"), 0)),
        ("Machine", ", ".join(f"{name} {short(value)}" for name, value in list(machine.items())[:12])),
    ]
    return [(label, clip(text)) for label, text in found if text]


def estimates(run: Record) -> list[tuple[str, str, str, str]]:
    """What ``plan --estimate`` said of a run, and what came: label, estimate, 95 % interval, actual."""
    found, faces = section(run, "estimate"), section(run, "faces")
    actual = {
        "faces": sum(value for value in faces.values() if is_number(value)),
        "restored_faces": faces.get("restored", 0),
        "source_bytes": run.get("source_bytes"),
        "seconds": run.get("seconds"),
    }
    labels = {"faces": "Faces", "restored_faces": "Faces restored", "source_bytes": "Source bytes read"}
    labels |= {"seconds": "Time", "price": f"Price, {clip(found.get('currency'), 10)}"}
    rows: list[tuple[str, str, str, str]] = []
    for name, label in labels.items():
        bounds = section(found, name)
        told = [told_as(name, bounds.get(key)) for key in ("value", "low", "high")]
        if all(told) and (name != "price" or bounds.get("value")):
            rows.append((label, told[0], f"{told[1]} to {told[2]}", told_as(name, actual.get(name)) or "–"))
    return rows


def told_as(name: str, value: Any) -> str:
    """A figure of an estimate for people."""
    return duration(value) if name == "seconds" else quantity(value, 2 if name == "price" else 0)


def rates(run: Record) -> list[tuple[str, str]]:
    """Throughput of a run."""
    found = (("photos a second", run.get("photos_per_second")), ("faces a second", run.get("faces_per_second")))
    return [(label, quantity(value, 2)) for label, value in found if quantity(value, 2)]


def stage_seconds(run: Record) -> list[tuple[str, float, float]]:
    """Stage, seconds, and its share of the slowest in per cent; slowest first."""
    seconds = {str(name): float(value) for name, value in section(run, "stage_seconds").items() if is_number(value)}
    slowest = max(seconds.values(), default=0) or 1.0
    ordered = sorted(seconds.items(), key=lambda item: (-item[1], item[0]))[:STAGES]
    return [(clip(name, 60), value, 100 * value / slowest) for name, value in ordered]


def lines(runs: Sequence[Record]) -> list[RunLine]:
    """The newest runs, newest first."""
    return [line(run) for run in reversed(by_start(runs)[-RUNS:])]


def line(run: Record) -> RunLine:
    counts = section(run, "counts")
    listed, done = counts.get("listed"), counts.get("already_done", 0)
    worked = listed - done if is_number(listed) and is_number(done) else None
    failures = [value for value in section(run, "failures").values() if is_number(value)]
    return RunLine(
        started=moment(run.get("started")) or clip(run.get("run_id"), 60),
        state=clip(run.get("state"), 30),
        listed=quantity(listed, 0),
        worked=quantity(worked, 0),
        failed=quantity(sum(failures), 0) if "failures" in run else "",
        time=duration(run.get("seconds")),
        rate=quantity(run.get("photos_per_second"), 2),
    )


def missing(run: Record, rows: int) -> int:
    """How many listed photos have no row yet: those that a stopped run did not come to."""
    listed = section(run, "counts").get("listed")
    return max(int(listed) - rows, 0) if is_number(listed) and run.get("state") != "finished" else 0


def vanished(run: Record) -> int:
    """How many photos of the manifest were gone from the source when the run listed it."""
    gone = section(run, "counts").get("vanished")
    return int(gone) if is_number(gone) else 0


def recipe(run: Record) -> str:
    """The recipe as indented JSON; empty where the record has none."""
    if not run.get("recipe"):
        return ""
    text = json.dumps(run["recipe"], indent=2, sort_keys=True, ensure_ascii=False, default=str)
    return text if len(text) <= RECIPE_LIMIT else text[:RECIPE_LIMIT] + "\n…"


def section(run: Record, name: str) -> dict[str, Any]:
    """A part of the record that should be a table; empty where it is not."""
    found = run.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def quantity(value: Any, digits: int) -> str:
    """A number for people, thousands apart; empty where it is none."""
    return f"{value:,.{digits}f}" if is_number(value) else ""


def short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else clip(value, 60)


def duration(seconds: Any) -> str:
    """Seconds as "41.2 s", "3 min 20 s" or "5 h 02 min"."""
    if not is_number(seconds):
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def moment(text: object) -> str:
    """An ISO time to the second: "2026-11-21 10:02:43 UTC"; other text as it is."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return clip(text, 60)
    return time.isoformat(" ", "seconds").replace("+00:00", " UTC")
