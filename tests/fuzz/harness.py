"""Rounds of the fuzz harness: starts workers, takes the dead and the hanging away, and adds up what they found."""

import json
import mmap
import os
import pickle
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.worker import Corpus

ROOT = Path(__file__).resolve().parents[2]
PORTION = 2500  # files a process; the tally of one that dies is lost
FILE_SECONDS = 20.0  # a file that takes longer hangs
FOREVER = 1e9
START_SECONDS = 240.0  # until the first file


@dataclass
class Findings:
    """What a round came to. ``deaths`` are (number, how), ``hangs`` numbers."""

    files: int = 0
    seconds: float = 0.0
    peak: int = 0
    slowest: tuple[float, int] = (0.0, -1)
    statuses: Counter[str] = field(default_factory=Counter[str])
    formats: Counter[str] = field(default_factory=Counter[str])
    deaths: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    hangs: list[int] = field(default_factory=list[int])
    unclassified: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    spoiled: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    @property
    def clean(self) -> bool:
        """Whether nothing died, hung, raised what no class names, or wrote a result that does not open."""
        return not (self.deaths or self.hangs or self.unclassified or self.spoiled)

    def lines(self) -> list[str]:
        """For people."""
        rate = 1000 * self.seconds / max(1, self.files)
        lines = [f"{self.files} files in {self.seconds:.0f} s ({rate:.1f} ms a file), peak {self.peak / 2**20:.0f} MiB"]
        lines.append(f"slowest {self.slowest[0]:.2f} s (file {self.slowest[1]})")
        lines += [
            ", ".join(f"{count} {name}" for name, count in c.most_common()) for c in (self.statuses, self.formats)
        ]
        lines.append(f"{len(self.deaths)} deaths, {len(self.hangs)} hangs")
        lines += [f"DEATH {how}: file {number}" for number, how in self.deaths]
        lines += [f"HANG file {number}" for number in self.hangs]
        for word, found in (("UNCLASSIFIED", self.unclassified), ("SPOILED", self.spoiled)):
            lines += [f"{word} {len(numbers)} x {what}: files {numbers[:5]}" for what, numbers in found.items()]
        return lines


class Round:
    """Files ``0..files`` of round ``seed``, by ``workers`` processes."""

    def __init__(
        self,
        corpus: Corpus,
        folder: Path,
        seed: int,
        write: bool = False,
        worker: str = "tests.fuzz.worker",
        file_seconds: float = FILE_SECONDS,
    ) -> None:
        self.folder = folder
        self.worker = worker
        self.file_seconds = file_seconds
        self.seed = seed
        self.write = write
        self.findings = Findings()
        (folder / "corpus").write_bytes(pickle.dumps(corpus))

    def run(self, files: int, workers: int, seconds: float = FOREVER) -> Findings:
        """With ``seconds`` each process has one portion, and so long for it from its first file on."""
        started = time.monotonic()
        portions = [range(start, min(files, start + PORTION)) for start in range(0, files, PORTION)]
        if seconds < FOREVER:
            share = files // workers
            portions = [range(index * share, (index + 1) * share) for index in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda portion: self.portion(portion, seconds), portions))
        self.findings.seconds = time.monotonic() - started
        return self.findings

    def portion(self, numbers: range, seconds: float) -> None:
        """One process for ``numbers``; if it dies of a file or hangs, another for those after it."""
        while numbers:
            died = self.process(numbers, seconds)
            if died is None:
                return
            numbers = range(died + 1, numbers.stop)

    def process(self, numbers: range, seconds: float) -> int | None:
        """The number of the file that ended the process; None if it came to its end."""
        journal = self.folder / f"journal-{numbers.start}-{time.monotonic_ns()}"
        journal.write_bytes(struct.pack("<q", -1))
        numbering = [str(self.seed), str(numbers.start), str(numbers.stop), str(int(self.write)), str(seconds)]
        command = [sys.executable, "-m", self.worker, str(self.folder / "corpus"), str(journal), *numbering]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with (
            journal.with_suffix(".out").open("w+b") as out,
            journal.with_suffix(".err").open("w+b") as err,
            subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=environment) as worker,
        ):
            last = watch(worker, journal, self.file_seconds)
            out.seek(0)
            err.seek(0)
            return self.take(last, worker.returncode, out.read(), err.read())

    def take(self, last: tuple[int, bool], code: int, out: bytes, err: bytes) -> int | None:
        """Add a process' tally, or say what it died of."""
        number, hung = last
        if code == 0:
            self.add(json.loads(out))
            return None
        if number < 0:
            raise RuntimeError(f"a worker did not start: {err.decode(errors='replace')[-2000:]}")
        if hung:
            self.findings.hangs.append(number)
        else:
            tail = err.decode(errors="replace").strip().splitlines()[-1:]
            self.findings.deaths.append((number, f"exit code {code} {' '.join(tail)}"))
        return number

    def add(self, tally: dict[str, object]) -> None:
        into, made = self.findings, Findings(**tally)  # pyright: ignore[reportArgumentType]
        into.files += made.files
        into.peak = max(into.peak, made.peak)
        into.slowest = max(into.slowest, (made.slowest[0], made.slowest[1]))
        into.statuses.update(made.statuses)
        into.formats.update(made.formats)
        for mine, its in ((into.unclassified, made.unclassified), (into.spoiled, made.spoiled)):
            for what, numbers in its.items():
                mine.setdefault(what, []).extend(numbers)


def watch(worker: subprocess.Popen[bytes], journal: Path, file_seconds: float) -> tuple[int, bool]:
    """Wait for a process' end. Gives its last file, and whether it hung there and was killed."""
    with journal.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
        number, since = -1, time.monotonic()
        while True:
            try:
                worker.wait(0.2)
                return struct.unpack("<q", shared[:8])[0], False
            except subprocess.TimeoutExpired:
                now = struct.unpack("<q", shared[:8])[0]
            if now != number:
                number, since = now, time.monotonic()
            if time.monotonic() - since > (file_seconds if number >= 0 else START_SECONDS):
                worker.kill()
                worker.wait()
                return number, True
