"""What a run has to do: the listing less what the ledger holds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from infra.config import OutputFormat
from infra.errors import StorageError
from infra.listing import Listing, is_image, sample
from infra.storage import Entry
from pipeline.job import Job
from pipeline.ledger import Ledger, Retry
from stages.codec import all_codecs
from stages.output import SUFFIXES
from stages.photo import Fault, FaultClass, Photo, Source


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
    """``todo`` needs work, ``skipped`` are files that are no photos, ``done`` counts the rows that hold, by status."""

    listed: int = 0
    todo: list[Source] = field(default_factory=list[Source])
    skipped: list[Photo] = field(default_factory=list[Photo])
    done: Counter[str] = field(default_factory=Counter[str])
    bytes_todo: int = 0
    vanished: list[str] = field(default_factory=list[str])


def plan_work(job: Job, ledger: Ledger, retry: Retry, trial: Trial) -> Work:
    """List the source and compare it with the ledger. Reads no photo."""
    read = job.config.read
    listing = Listing(job.storage, job.source, read.include, read.exclude, read.root, job.allowed)
    seen: set[str] = set()
    work = Work()
    targets = {known.target: uri for uri, known in ledger.rows.items()}
    for entry in chosen(listing, seen, trial):
        sort_in(work, entry, ledger, retry, job, targets)
    if listing.kind == "folder":
        work.vanished = sorted(uri for uri in ledger.rows if uri not in seen and uri.startswith(f"{job.source}/"))
    return work


def chosen(listing: Listing, seen: set[str], trial: Trial) -> Iterator[Entry]:
    """The entries that the patterns and the trial let through; ``seen`` takes the URIs of all that are listed."""

    def wanted() -> Iterator[Entry]:
        for entry, matches in listing:
            seen.add(entry.uri)
            if matches and (trial.whole or is_image(entry.path)):
                yield entry

    if trial.sample is not None:
        yield from sample(wanted(), trial.sample)
        return
    for index, entry in enumerate(wanted()):
        if trial.limit is None or index < trial.limit:
            yield entry


def sort_in(work: Work, entry: Entry, ledger: Ledger, retry: Retry, job: Job, targets: dict[str, str]) -> None:
    """Put one entry where it belongs. ``targets`` says whose every result is or will be."""
    work.listed += 1
    due = ledger.due(entry, retry, job.config.write.unchanged == "copy")
    if due is None:
        work.done[ledger.rows[entry.uri].status] += 1
        return
    check_place(due, job, targets)
    if is_image(entry.path):
        work.todo.append(due)
        work.bytes_todo += entry.size or 0
    else:
        work.skipped.append(not_a_photo(due))


def check_place(due: Source, job: Job, targets: dict[str, str]) -> None:
    """Refuse a photo inside the sink, and two photos whose results could have one name."""
    if due.uri.startswith(f"{job.sink}/"):
        hint = "choose a sink outside of the source"
        raise StorageError(f"the source lists {due.uri}, which lies in the sink", hint)
    for name in possible_names(due.target, job.recipe.output_format, job.recipe.scale):
        other = targets.setdefault(name, due.uri)
        if other != due.uri:
            hint = "give each source its own sink"
            raise StorageError(f"{other} and {due.uri} would both become photos/{name}", hint)


def possible_names(target: str, output_format: OutputFormat, scale: int) -> list[str]:
    """The names that a result may have: ``target``, and with the ending of the format that it may be converted to."""
    suffix = PurePosixPath(target).suffix.lower()
    own = next((codec for codec in all_codecs().values() if suffix in codec.suffixes), None)
    converted = None if output_format == "same" else output_format.upper()
    if converted is None and own is not None and (own.becomes or (scale > 1 and own.create is None)):
        converted = own.becomes or "PNG"
    return [target, f"{target}{SUFFIXES[converted]}"] if converted else [target]


def not_a_photo(source: Source) -> Photo:
    suffix = PurePosixPath(source.path).suffix or "no ending"
    fault = Fault("list", FaultClass.NOT_A_PHOTO, f"{suffix} is not the ending of an image")
    return Photo(replace(source, retry=False)).failed(fault)


def batches(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    batch: list[Photo] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
