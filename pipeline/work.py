"""What a run has to do: the listing less what the ledger holds.

The listing is read once, a chunk at a time. What is due goes to a local file and comes back in waves; in memory stay
the ledger's index and a hash of the names of results, so that two photos of one name are refused before any is read.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath

import numpy as np

from infra.errors import StorageError
from infra.listing import Listed, Listing, is_image, sample
from infra.storage import Entry
from pipeline.collector import held_back
from pipeline.index import UNKNOWN, Flags, Known, Numbers, keys_of
from pipeline.job import Job
from pipeline.ledger import Ledger
from pipeline.retry import Retry
from pipeline.spool import Due, Spool
from pipeline.subset import ALL, Share
from pipeline.targets import Targets
from stages.photo import Fault, FaultClass, Photo, Source
from stages.write import plain_target

CHUNK = 10_000
NAMED = 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """A part of the archive: the first ``limit`` photos of the listing, or ``sample`` of them by the hash of their
    URIs.
    """

    limit: int | None = None
    sample: int | None = None

    @property
    def whole(self) -> bool:
        return self.limit is None and self.sample is None


@dataclass(slots=True)
class Work:
    """``due`` photos need work, ``passed`` files are no photos, ``done`` counts the rows that hold, by status.

    ``todo`` is the wave at hand. ``vanished`` counts the rows of photos that the source lacks, ``missing`` names some.
    """

    ledger: Ledger
    listed: int = 0
    due: int = 0
    passed: int = 0
    todo: list[Source] = field(default_factory=list[Source])
    done: Counter[str] = field(default_factory=Counter[str])
    bytes_todo: int = 0
    vanished: int = 0
    missing: list[str] = field(default_factory=list[str])
    photos: Spool = field(default_factory=Spool)
    others: Spool = field(default_factory=Spool)

    def waves(self, size: int) -> Iterator[list[Source]]:
        """The photos, at most ``size`` at a time, in the order of the listing. Meanwhile the ledger's ``rows`` are
        those of the wave.
        """
        for batch in self.photos.batches(size):
            self.todo = self._sources(batch)
            yield self.todo

    def skipped(self, size: int) -> Iterator[list[Photo]]:
        """The files that are no photos, at most ``size`` at a time."""
        for batch in self.others.batches(size):
            yield [not_a_photo(source) for source in self._sources(batch)]

    def _sources(self, batch: list[Due]) -> list[Source]:
        rows = [(row, entry.uri) for entry, row, _ in batch if row != UNKNOWN]
        known = self.ledger.index.known([row for row, _ in rows], [uri for _, uri in rows])
        found = {uri: row for (_, uri), row in zip(rows, known, strict=True)}
        self.ledger.rows |= found
        return [source_of(entry, found.get(entry.uri), retry) for entry, _, retry in batch]


@held_back()
def plan_work(job: Job, ledger: Ledger, retry: Retry, trial: Trial, share: Share = ALL) -> Work:
    """List the source and compare it with the ledger. Reads no photo."""
    read = job.config.read
    kind, files = Listing(job.storage, job.source, read.include, read.exclude, read.root, job.allowed).opened()
    survey = Survey(job, ledger, retry, share)
    entries = chosen(files, survey, trial)
    while chunk := list(islice(entries, CHUNK)):
        survey.take(chunk)
    survey.targets.check(survey.work.photos, survey.work.others)
    if kind == "folder" and trial.whole:
        gone = ledger.index.unseen()
        survey.work.vanished, survey.work.missing = gone.size, ledger.uris_at(gone, NAMED)
    return survey.work


def chosen(files: Iterator[Listed], survey: "Survey", trial: Trial) -> Iterator[Entry]:
    """The entries that the patterns and the trial let through."""
    if trial.whole:
        return passing(files, survey)
    wanted = (entry for entry, matches in files if matches and is_image(entry.path))
    return iter(sample(wanted, trial.sample)) if trial.sample is not None else islice(wanted, trial.limit)


def passing(files: Iterator[Listed], survey: "Survey") -> Iterator[Entry]:
    """The entries that the patterns let through; the others are noted as not vanished."""
    while chunk := list(islice(files, CHUNK)):
        survey.see([entry for entry, matches in chunk if not matches])
        yield from (entry for entry, matches in chunk if matches)


class Survey:
    """Sorts listed entries into what holds and what is due."""

    def __init__(self, job: Job, ledger: Ledger, retry: Retry, share: Share) -> None:
        self.work = Work(ledger)
        self.targets = Targets(ledger, job.recipe.output_format, job.recipe.scale)
        self.index = ledger.index
        self.retry = retry
        self.share = share
        self.copy = job.config.write.unchanged == "copy"
        self.sink = f"{job.sink}/"

    def see(self, entries: list[Entry]) -> Numbers:
        """Where the rows of ``entries`` are; they have not vanished."""
        at = self.index.find(keys_of([entry.uri for entry in entries]))
        self.index.seen[at[at != UNKNOWN]] = True
        return at

    def take(self, entries: list[Entry]) -> None:
        """Sort a chunk of the listing in. Results of other shares only count where they would have one of ours."""
        at = self.see(entries)
        again = self.again(at)
        holding = self.same(at, entries) & ~again
        mine = self.mine(entries)
        self.work.listed += int(mine.sum())
        self.work.done += self.index.statuses(at[holding & mine])
        due = [(entries[place], int(at[place]), bool(again[place])) for place in np.flatnonzero(~holding)]
        self.check_places(due)
        self.targets.add(due)
        self.put([item for item in due if self.share.whole or item[0].path in self.share.subset])

    def again(self, at: Numbers) -> Flags:
        """Which of the rows ``at`` are to be worked on although their objects may be the same."""
        again, rows = np.zeros(at.size, np.bool_), at != UNKNOWN
        again[rows] = self.retry.wants(self.index, at[rows])
        if self.copy:
            again[rows] |= self.index.lacks_copy(at[rows])
        return again

    def same(self, at: Numbers, entries: list[Entry]) -> Flags:
        """Which entries are the very objects of their rows ``at``."""
        same, rows = np.zeros(at.size, np.bool_), np.flatnonzero(at != UNKNOWN)
        known = [entries[row] for row in rows.tolist()]
        sizes = np.fromiter((-1 if entry.size is None else entry.size for entry in known), np.int64, len(known))
        etags, mtimes = [entry.etag for entry in known], [entry.mtime for entry in known]
        same[rows] = self.index.same(at[rows], sizes, etags, mtimes)
        return same

    def mine(self, entries: list[Entry]) -> Flags:
        """Which entries belong to this run's share."""
        if self.share.whole:
            return np.ones(len(entries), np.bool_)
        subset = self.share.subset
        return np.fromiter((entry.path in subset for entry in entries), np.bool_, len(entries))

    def check_places(self, due: list[Due]) -> None:
        """Refuse photos inside the sink."""
        inside = next((entry.uri for entry, _, _ in due if entry.uri.startswith(self.sink)), None)
        if inside:
            raise StorageError(
                f"the source lists {inside}, which lies in the sink", "choose a sink outside of the source"
            )

    def put(self, due: list[Due]) -> None:
        """Write down what is due, photos and other files apart."""
        photos = [item for item in due if is_image(item[0].path)]
        others = [(entry, row, False) for entry, row, _ in due if not is_image(entry.path)]
        self.work.photos.add(photos)
        self.work.others.add(others)
        self.work.due, self.work.passed = self.work.photos.count, self.work.others.count
        self.work.bytes_todo += sum(entry.size or 0 for entry, _, _ in photos)


def source_of(entry: Entry, known: Known | None, retry: bool) -> Source:
    """An entry as work. A photo that has a row keeps its target."""
    target = known.target if known else plain_target(entry.path)
    previous = known.sha256 if known else None
    return Source(entry.uri, entry.path, entry.size, entry.etag, entry.mtime, previous, retry, target)


def not_a_photo(source: Source) -> Photo:
    suffix = PurePosixPath(source.path).suffix or "no ending"
    fault = Fault("list", FaultClass.NOT_A_PHOTO, f"{suffix} is not the ending of an image")
    return Photo(replace(source, retry=False)).failed(fault)
