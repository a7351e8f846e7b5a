"""The report: counts that add up, hostile names, bytes within bounds, and nothing that can make it fail."""

import csv
import re
from collections.abc import Callable
from contextlib import suppress
from html import unescape
from io import BytesIO, StringIO
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.manifest import SCHEMA
from pipeline.report import pictures
from pipeline.report.page import write_report
from pipeline.report.pictures import Budget, UnreadableError, alike, load, sha256_of, shown

Row = dict[str, Any]
Read = Callable[[str], bytes]

RUN: dict[str, Any] = {
    "run_id": "r1",
    "source": "s3://archive/albums",
    "sink": "s3://archive/restored",
    "started": "2026-11-21T09:00:00+00:00",
    "ended": "2026-11-21T09:01:40+00:00",
    "state": "finished",
    "recipe": {"methods": {"classic": {"size": 512}}},
    "recipe_hash": "9f31ac",
    "counts": {"listed": 4, "already_done": 0, "vanished": 0},
    "seconds": 100.0,
    "photos_per_second": 1234.5,
    "stage_seconds": {"read": 1.5, "restore": 30.25},
    "machine": {"cpus": 2.0, "nodes": 1},
    "failures": {"truncated": 1},
}
HOSTILE = [
    '<script>alert("x")</script>.jpg',
    "'\"><img src=x onerror=alert(1)>.jpg",
    "line\nbreak\r\n\ttab.jpg",
    "gpj.\u202egnp \u200b.jpg",
    "{{ 7 * 7 }}{% raw %}.jpg",
    "</style></title>&amp;.jpg",
    "naïve 雪 🙂.jpg",
]


def face(index: int = 0, status: str = "restored", change: float = 0.1, **more: Any) -> Row:
    after = {"sharpness": 0.5 + change, "noise": 4.0} if status == "restored" else {}
    figures = {"before": [("sharpness", 0.5), ("noise", 5.0)], "after": list(after.items())}
    facts = {"box": [10.0, 8.0, 20.0, 24.0], "score": 0.9, "method": "classic", "rule": "small", "strength": 0.5}
    return {"index": index, "page": 0, "status": status, "reason": "", **facts, **figures, **more}


def restored(path: str, faces: list[Row] | None = None, **more: Any) -> Row:
    facts = {"width": 64, "height": 48, "format": "PNG", "size": 100, "result_uri": f"out/{path}"}
    return {"uri": f"in/{path}", "path": path, "status": "restored", "faces": faces or [face()], **facts, **more}


def failed(path: str, kind: str = "truncated", message: str = "ends early", status: str = "failed") -> Row:
    error = {"stage": "read", "class": kind, "message": message, "attempts": 1, "retryable": False}
    return {"uri": f"in/{path}", "path": path, "status": status, "error": error, "faces": []}


def png(width: int = 64, height: int = 48) -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((height, width, 3), 120, np.uint8)).save(file, "PNG")
    return file.getvalue()


def picture(_uri: str) -> bytes:
    return png()


def stamped(row: Row, read: Read) -> Row:
    """A row with the hashes of what lies where it says, if anything does."""
    found = dict[str, Any]()
    for name, key in (("uri", "sha256"), ("result_uri", "result_sha256")):
        with suppress(OSError):
            found[key] = sha256_of(read(row[name])) if row.get(name) else None
    return found | row


def report(rows: list[Row], runs: list[Row] | None = None, read: Read = picture, batch: int = 3) -> tuple[str, str]:
    """The page and the list for ``rows``."""
    table = pa.Table.from_pylist([stamped(row, read) for row in rows], schema=SCHEMA)
    html, listing = BytesIO(), BytesIO()
    write_report(table.to_batches(max_chunksize=batch), [RUN] if runs is None else runs, read, html, listing)
    return html.getvalue().decode(), listing.getvalue().decode()


def counts(page: str, caption: str) -> dict[str, int]:
    """A table of counts by its first column, the sum included."""
    table = page.partition(f"<caption>{caption}</caption>")[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th><td>([\d,]+)</td>', table)
    return {re.sub("<.*?>", "", name): int(count.replace(",", "")) for name, count in rows}


def mixed() -> list[Row]:
    faces = [face(0), face(1, "left", reason="already good"), face(2, "rejected", reason="noisier"), face(3, "failed")]
    others = [
        {"uri": "in/e.jpg", "path": "e.jpg", "status": "no_face", "faces": []},
        {"uri": "in/u.jpg", "path": "u.jpg", "status": "unchanged", "faces": [face(0, "left")]},
    ]
    skipped = failed("list.txt", "not_a_photo", "no image's ending", "skipped")
    return [restored("a.jpg"), restored("b.jpg", faces), *others, failed("c.jpg"), failed("d.jpg", "empty"), skipped]


def test_counts_add_up() -> None:
    page, listing = report(mixed())
    photos, faces = counts(page, "Photos by status"), counts(page, "Faces by status")
    assert photos == {"restored": 2, "unchanged": 1, "no face": 1, "failed": 2, "skipped": 1, "Listed": 7}
    assert faces == {"restored": 2, "left": 2, "rejected": 1, "failed": 1, "Found": 6}
    assert len(list(csv.DictReader(StringIO(listing)))) == 7


def test_failures_by_class_with_examples() -> None:
    page, _ = report(mixed())
    table = page.partition("<caption>By class, with examples</caption>")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">(\w+)</th>', table) == ["empty", "truncated", "not_a_photo"]
    assert "<code>c.jpg</code> ends early" in table


def test_mean_quality_of_restored_faces() -> None:
    page, _ = report([restored("a.jpg", [face(change=0.1)]), restored("b.jpg", [face(change=0.3), face(1, "left")])])
    lines = re.findall(r'<tr><th scope="row">(\w+)</th><td>(\w+)</td><td>(.*?)</td><td>(.*?)</td>', page)
    assert lines == [("noise", "lower", "5", "4"), ("sharpness", "higher", "0.5", "0.7")]


def test_run_facts() -> None:
    page, _ = report(mixed(), [RUN, {"run_id": "old", "started": "2026-01-01T00:00:00+00:00"}])
    for fact in ("s3://archive/albums", "9f31ac", "2026-11-21 09:01:40 UTC", "1,234.50", "30.2", "1 min 40 s", "512"):
        assert fact in page
    assert "<h2>Runs</h2>" in page


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [{}],
        [{"counts": None, "seconds": "long", "machine": [], "started": 3, "stage_seconds": {"read": None}}],
        [{"photos_per_second": float("nan"), "counts": {"listed": True}, "failures": {"x": "y"}, "sink": "\ud800"}],
    ],
)
def test_poor_run_records(runs: list[Row]) -> None:
    assert "The last run" in report(mixed(), runs)[0]


def test_photos_that_a_stopped_run_left_over() -> None:
    stopped = RUN | {"state": "stopped", "counts": {"listed": 10, "vanished": 1}}
    page, _ = report(mixed(), [stopped])
    assert "3 listed photos have no row yet" in page
    assert "One photo of the manifest is gone" in page


def test_empty_archive() -> None:
    page, listing = report([], [])
    assert "The manifest holds no photo yet" in page
    assert counts(page, "Photos by status")["Listed"] == 0
    assert len(listing.splitlines()) == 1


def test_all_failed() -> None:
    page, _ = report([failed(f"{number}.jpg") for number in range(300)])
    assert "<img" not in page
    assert "200 of 300, drawn by lot" in page
    assert 'id="marks"' not in page


def test_no_quality_figures() -> None:
    page, _ = report([restored("a.jpg", [face(before=None, after=None)])])
    assert "no figures from before and after" in page
    assert "<h2>Worst</h2>" not in page
    assert "<h2>A sample</h2>" in page


def test_worst_come_first_in_any_order_of_rows() -> None:
    rows = [
        restored(f"{name}.jpg", [face(change=change)]) for name, change in (("good", 0.3), ("bad", -0.4), ("so", 0))
    ]
    rows += [restored(f"fine {number}.jpg", [face(change=0.2)]) for number in range(4)]
    pages = {report([*head, *rows[3:]], batch=2)[0] for head in permutations(rows[:3])}
    assert len(pages) == 1
    worst = pages.pop().partition("<h2>Worst</h2>")[2]
    assert re.findall("<h3>(.*?)</h3>", worst)[0] == "bad.jpg"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_escaped(name: str) -> None:
    rows = [restored(name, [face(reason=name, rule=name, method=name)]), failed(name + "2", message=name)]
    page, listing = report(rows, [RUN | {"source": name, "sink": name, "recipe": {name: name}}])
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert "\u202e" not in page
    heading = unescape(re.findall("<h3>(.*?)</h3>", page)[0])
    assert heading.isprintable()
    assert heading == name or not name.isprintable()
    assert [row["path"] for row in csv.DictReader(StringIO(listing, newline=""))] == [name, name + "2"]


def test_hostile_statuses_and_classes_are_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    page, _ = report([restored("a.jpg", [face(status=evil)], status=evil), failed("b.jpg", evil)])
    assert page.count("<script>") == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_formulas_in_the_list(start: str) -> None:
    _, listing = report([failed(f"{start}1+cmd|x.jpg", message=f"{start}HYPERLINK()")])
    row = next(csv.DictReader(StringIO(listing, newline="")))
    assert row["path"] == f"'{start}1+cmd|x.jpg"
    assert row["error_message"] == f"'{start}HYPERLINK()"


def test_unreadable_pictures_are_named_in_their_place() -> None:
    def read(uri: str) -> bytes:
        if uri.startswith("in/"):
            raise OSError("the bucket is gone\nand more")
        return b"not an image"

    page, _ = report([restored("a.jpg")], read=read)
    assert "The source cannot be read (OSError: the bucket is gone)" in page
    assert "The result cannot be shown (the content is no image" in page


def test_a_row_cannot_bring_another_file_into_the_page() -> None:
    private = "file:///home/somebody/private.png"
    page, _ = report([restored("a.jpg", uri=private, sha256="0" * 64), restored("b.jpg", uri=private, sha256=None)])
    assert "The source cannot be shown (it is not what the row says)" in page
    assert ', before">' not in page  # no earlier picture is shown
    assert page.count("data:image/jpeg") > 0  # the results are theirs


def test_pictures_are_upright() -> None:
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    assert shown(file.getvalue()).size == (20, 40)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_any_mode_is_shown(mode: str) -> None:
    file = BytesIO()
    Image.new(mode, (8, 6)).save(file, "TIFF")
    assert shown(file.getvalue()).mode == "RGB"


def test_enormous_pictures_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 2000)
    with pytest.raises(UnreadableError, match="too large"):
        load(picture, "a.png", sha256_of(png()))


def test_a_format_that_cannot_be_shown_is_said_to_be() -> None:
    file = BytesIO()
    Image.new("F", (8, 6)).save(file, "TIFF")
    with pytest.raises(UnreadableError, match="cannot be shown"):
        load(lambda _: file.getvalue(), "a.tif", sha256_of(file.getvalue()))


def test_faces_of_other_pages_are_counted_and_not_shown() -> None:
    page, _ = report([restored("a.tif", [face(), face(1, page=1)])])
    assert page.count('<section class="face">') == 1


def test_boxes_outside_the_picture() -> None:
    boxes = ([500.0, 500.0, 20.0, 20.0], [-30.0, -30.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0], [float("nan")] * 4)
    page, _ = report([restored("a.jpg", [face(index, box=box) for index, box in enumerate(boxes)])])
    assert page.count('<section class="face">') == 4


def test_many_large_noisy_photos_stay_below_ten_megabytes() -> None:
    """Photos that compress badly, with many faces and long names, and as many failures as are listed."""
    rng = np.random.default_rng(1)
    file = BytesIO()
    Image.fromarray(rng.integers(0, 256, (1200, 1000, 3), np.uint8)).save(file, "PNG", compress_level=0)
    noisy, long = file.getvalue(), "&<'\">" * 300
    faces = [face(index, reason=long, rule=long, box=[300.0, 300.0, 200.0, 200.0]) for index in range(200)]
    statuses = ["restored", "rejected", "left"]
    rows: list[Row] = []
    for number in range(40):
        own = [one | {"status": statuses[(number + one["index"]) % 3]} for one in faces]
        rows.append(restored(f"{number}{long}", own))
        rows.append(restored(f"u{number}{long}", own, status="unchanged"))
    rows += [failed(f"{number}{long}", f"{number % 60}{long}", long) for number in range(400)]
    page, _ = report(rows, read=lambda uri: noisy)
    assert 5e6 < len(page.encode()) < 10e6


def test_alike_takes_the_best_that_fits() -> None:
    pictures = [Image.effect_noise((1000, 800), 90).convert("RGB")] * 2
    roomy, tight = alike(pictures, 10**7), alike(pictures, 200_000)
    assert [max(picture.width, picture.height) for picture in roomy] == [900, 900]
    assert sum(len(picture.uri) for picture in tight) <= 200_000
    assert tight[0].width == tight[1].width < 900
    assert alike(pictures, 10) == []


def test_budget_hands_on_what_is_left() -> None:
    budget = Budget(900, 3)
    assert budget.share() == 300
    budget.spend(100)
    assert budget.share() == 400


def test_millions_of_rows_are_not_kept() -> None:
    """Batches come from a generator, one at a time; what stays does not grow with their number."""
    batch = pa.Table.from_pylist([restored(f"{number}.jpg") for number in range(500)], schema=SCHEMA).to_batches()[0]
    alive: list[int] = []

    def batches() -> Any:
        for _ in range(40):
            alive.append(pa.total_allocated_bytes())
            yield batch

    write_report(batches(), [], picture, BytesIO(), BytesIO())
    assert alive[-1] - alive[5] < 1_000_000
