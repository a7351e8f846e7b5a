"""What crashed runs left in a sink: results and crops that no row has anything to do with, and unfinished files."""

import os
import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import psutil

from infra.errors import ConfigError, StorageError
from infra.local import UNFINISHED
from infra.storage import Entry, Storage
from infra.uris import file_uri, local_path, scheme_of
from pipeline.lease import Guarded, Holder, lease_uri
from pipeline.ledger import is_part, listed, part_names
from pipeline.mentions import BATCH, Mentions, Place
from pipeline.verify import placed

UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
INNER_SINKS = "recipes"


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that may go. ``kind`` is "orphan", or "unfinished" for a file that was never given its name."""

    kind: str
    entry: Entry

    @property
    def detail(self) -> str:
        time = self.entry.mtime
        return f"{self.entry.size} bytes of {time.isoformat(timespec='seconds') if time else 'an unknown time'}"


def age_of(text: str) -> timedelta:
    """``"24h"``, ``"90m"``, ``"7d"``, ``"0"``."""
    match = re.fullmatch(r"([0-9]{1,5})([smhd]?)", text)
    if match is None:
        raise ConfigError(f"--older-than {text}: this is no time", 'for example "24h", "30m" or "7d"')
    return timedelta(**{UNITS[match[2]]: int(match[1])})


class Collector:
    """Finds, and with ``delete`` removes, what crashed runs left below ``sink``: nothing younger than ``age``.

    ``counts`` says what was kept and why. Sinks inside this one (``recipes/<hash>``) are never looked into.
    """

    def __init__(self, storage: Storage, sink: str, age: timedelta, delete: bool = False) -> None:
        self.storage = storage
        self.sink = sink
        self.before = datetime.now(UTC) - age
        self.delete = delete
        self.counts = Counter[str]()

    def orphans(self) -> Iterator[Orphan]:
        """What may go. With ``delete`` each has gone when it is given out, under a lease; a sink at work is refused."""
        if not self.delete:
            yield from self.going()
            return
        with Holder(Guarded(self.storage.options, lease_uri(self.sink), f"gc-{secrets.token_hex(4)}")).take():
            if sign := self.at_work():
                hint = "wait for its end; if it died, wait or give a shorter --older-than"
                raise StorageError(f"a run seems to work into {self.sink}: {sign}", hint)
            yield from self.going()

    def going(self) -> Iterator[Orphan]:
        """The same, without looking whether a run is at work."""
        mentions = self.mentions()
        found = self.found(mentions)
        while block := list(islice(found, BATCH)):
            yield from self.remove(block, mentions) if self.delete else block

    def mentions(self) -> Mentions:
        """All that the manifest mentions. Without parts, or with a damaged one, everything could look like an orphan:
        that is refused.
        """
        mentions = Mentions(self.storage, self.sink)
        if not mentions.parts:
            raise StorageError(f"the manifest of {self.sink} is empty", "give the sink of a run that published rows")
        self.counts["rows"] = sum(len(rows) for rows in mentions.rows())
        for uri, why in mentions.broken.items():
            raise StorageError(f"{uri} cannot be read: {why}", "without it all its results would be taken for orphans")
        return mentions

    def found(self, mentions: Mentions) -> Iterator[Orphan]:
        for place, entry in placed(self.storage, self.sink, mentions):
            if place is Place.UNKNOWN and self.old(entry):
                yield Orphan("orphan", entry)
            elif place is not Place.CURRENT:
                self.counts["young" if place is Place.UNKNOWN else "earlier"] += 1
        for entry, alive in drafts(self.storage, self.sink):
            if alive is False or (alive is None and self.old(entry)):
                yield Orphan("unfinished", entry)

    def old(self, entry: Entry) -> bool:
        return entry.mtime is not None and entry.mtime <= self.before

    def at_work(self) -> str | None:
        """A sign of a run at work: a young part of the newest run without a record, or a process that writes here."""
        ended = {entry.path.removesuffix(".json") for entry in listed(self.storage, f"{self.sink}/runs")}
        parts = [entry for entry in listed(self.storage, f"{self.sink}/manifest") if is_part(entry.path)]
        newest = max((generation_of(part) for part in parts), default="")
        for part in parts:
            if generation_of(part) == newest and run_of(part) not in ended and not self.old(part):
                return f"run {run_of(part)} has published rows but no record yet"
        young = (entry for entry, alive in drafts(self.storage, self.sink) if alive and not self.old(entry))
        return next((f"{entry.uri} is being written" for entry in young), None)

    def remove(self, block: list[Orphan], mentions: Mentions) -> Iterator[Orphan]:
        """Remove orphans, if the manifest still is what was read, and give out those that were what was listed."""
        if part_names(self.storage, self.sink) != mentions.parts:
            raise StorageError(
                f"the manifest of {self.sink} changed meanwhile", "a run works into it: wait for its end"
            )
        for orphan in block:
            now = self.storage.info(orphan.entry.uri)
            if now is not None and now.mtime == orphan.entry.mtime:
                self.storage.delete(orphan.entry.uri)
                self.counts["removed"] += 1
                yield orphan


def generation_of(part: Entry) -> str:
    return part.path.partition("-")[0]


def run_of(part: Entry) -> str:
    return part.path.partition("-")[2].rpartition("-")[0]


def drafts(storage: Storage, sink: str) -> Iterator[tuple[Entry, bool | None]]:
    """The unfinished files of a local sink, and whether their process lives: None if it was on another host."""
    if scheme_of(sink) != "file":
        return
    top = str(local_path(sink))
    for folder, below, names in os.walk(top):
        if folder == top and INNER_SINKS in below:
            below.remove(INNER_SINKS)
        for name in names:
            match = UNFINISHED.fullmatch(name)
            entry = storage.info(file_uri(f"{folder}/{name}")) if match else None
            if match and entry:
                here = match["host"] == socket.gethostname()
                yield entry, psutil.pid_exists(int(match["pid"])) if here else None
