"""The demo: make an archive with known truth, have it restored, measure the gain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.demo_archive import Truth, make_archive
from pipeline.demo_gain import Gain, gains

SEED = 1839  # the year of the daguerreotype


@dataclass(frozen=True, slots=True)
class DemoResult:
    """``sink`` holds the results; ``gains`` has one entry a photo with faces; ``strays`` are photos without a face that
    were changed all the same.
    """

    truth: Truth
    sink: Path
    gains: list[Gain]
    strays: list[str]

    @property
    def mean(self) -> float:
        """Mean gain over the photos with faces, in dB."""
        return sum(gain.decibels for gain in self.gains) / max(len(self.gains), 1)

    def lines(self) -> Iterator[str]:
        """The result for people: one line a photo, then the mean."""
        yield "Gain inside the faces, PSNR against the known truth:"
        width = max(len(gain.path) for gain in self.gains)
        for gain in self.gains:
            missed = "" if gain.restored == gain.faces else f"  ({gain.restored} of {gain.faces} faces restored)"
            yield (
                f"  {gain.path:<{width}}  {gain.before:5.2f} -> {gain.after:5.2f} dB  {gain.decibels:+.2f} dB{missed}"
            )
        for path in self.strays:
            yield f"  {path:<{width}}  shows no face, but was changed"
        yield f"Mean gain over {len(self.gains)} photos: {self.mean:+.2f} dB"


def run(folder: Path, restore: Callable[[str, str], None], seed: int = SEED) -> DemoResult:
    """Make the archive in ``folder``, restore it into ``folder/restored`` by ``restore(source, sink)``, and measure."""
    truth = make_archive(folder, seed)
    sink = folder / "restored"
    restore(str(truth.archive), str(sink))
    return measure(truth, sink)


def measure(truth: Truth, sink: Path) -> DemoResult:
    """The gain of what ``sink`` holds."""
    rows = read_manifest(sink)
    faceless = {photo.path for photo in truth.photos if not photo.faces}
    strays = sorted(row["path"] for row in rows if row["path"] in faceless and row["status"] == "restored")
    return DemoResult(truth, sink, gains(truth, rows), strays)


def read_manifest(sink: Path) -> list[dict[str, Any]]:
    """The sink's rows, in the order of its parts; a photo that was worked on twice has its newest row last."""
    columns = ["path", "status", "result_uri", "faces"]
    parts = sorted(sink.glob("manifest/*.parquet"))
    return [row for part in parts for row in pq.read_table(part, columns=columns).to_pylist()]
