"""Whether a sink is what its manifest says: every result there, of the row's sha256, and nothing besides."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from infra.storage import Entry, Storage, StorageFault
from pipeline.mentions import BATCH, CONVERTED, Mentions, Place, Row, name_below
from pipeline.subset import WHOLE, Subset
from stages.photo import FaultClass, Status

SHA256 = re.compile(r"[0-9a-f]{64}")
WITH_ERROR = {Status.FAILED, Status.SKIPPED}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or worth knowing: its kind, the object's or photo's URI, and why."""

    kind: str
    uri: str
    detail: str


class Check:
    """One check of a sink. ``findings`` does the work; ``counts`` are its figures for people.

    The objects of the rows in ``subset`` are read whole, ``threads`` at a time. Rows are looked at, and objects listed,
    in any case all. Nothing is written.
    """

    def __init__(self, storage: Storage, sink: str, subset: Subset = WHOLE, threads: int = 8) -> None:
        self.storage = storage
        self.sink = sink
        self.subset = subset
        self.threads = threads
        self.counts = Counter[str]()

    def findings(self) -> Iterator[Finding]:
        """What is wrong, as it is found, and the earlier results that are kept on purpose (kind "earlier")."""
        mentions = Mentions(self.storage, self.sink)
        with ThreadPoolExecutor(self.threads) as pool:
            for rows in mentions.rows():
                self.counts["rows"] += len(rows)
                yield from self._contradictions(rows)
                wanted = [row for row in rows if self._readable(row)]
                self.counts["read"] += len(wanted)
                yield from (found for found in pool.map(self._object, wanted) if found)
        yield from (Finding("contradiction", uri, "its part holds several rows of it") for uri in mentions.twice)
        yield from (Finding("unreadable", uri, why) for uri, why in mentions.broken.items())
        if not mentions.broken:
            yield from self._unmentioned(mentions)

    def _contradictions(self, rows: list[Row]) -> Iterator[Finding]:
        for row in rows:
            said = [*contradictions(row), *misplaced(row, f"{self.sink}/photos/")]
            if said:
                yield Finding("contradiction", row["uri"], "; ".join(said))

    def _readable(self, row: Row) -> bool:
        """Whether a row's object is to be read: never one outside of the sink."""
        inside = name_below(row["result_uri"], f"{self.sink}/photos/") is not None
        return inside and bool(SHA256.fullmatch(row["result_sha256"] or "")) and row["path"] in self.subset

    def _object(self, row: Row) -> Finding | None:
        """What is wrong with a row's result."""
        uri = row["result_uri"]
        try:
            content = self.storage.read(uri)
        except StorageFault as fault:
            if fault.kind == "not_found":
                return Finding("missing", uri, f"the result of {row['uri']}")
            return Finding("unreadable", uri, f"{fault.kind}: {fault.message}")
        found = hashlib.sha256(content).hexdigest()
        if found == row["result_sha256"]:
            return None
        return Finding("changed", uri, f"{len(content)} bytes of sha256 {found}, the row says {row['result_sha256']}")

    def _unmentioned(self, mentions: Mentions) -> Iterator[Finding]:
        """Objects that are no current row's."""
        for place, entry in placed(self.storage, self.sink, mentions):
            self.counts["objects"] += 1
            match place:
                case Place.EARLIER:
                    yield Finding("earlier", entry.uri, "kept from before its photo changed or its row was replaced")
                case Place.UNCLEAR:
                    yield Finding("extra", entry.uri, "the row of its photo has no result")
                case Place.UNKNOWN:
                    yield Finding("extra", entry.uri, "no row mentions it")
                case Place.CURRENT:
                    pass


def placed(storage: Storage, sink: str, mentions: Mentions) -> Iterator[tuple[Place, Entry]]:
    """Every object below the sink's ``photos`` and ``crops``, with its place in the manifest."""
    for folder in ("photos", "crops"):
        if not storage.is_folder(f"{sink}/{folder}"):
            continue
        entries = storage.list(f"{sink}/{folder}")
        while block := list(islice(entries, BATCH)):
            yield from zip(mentions.places(folder, [entry.path for entry in block]), block, strict=True)


def contradictions(row: Row) -> Iterator[str]:
    """Where a row's columns do not go together."""
    status, result, sha256 = row["status"], row["result_uri"], row["result_sha256"]
    if status not in set(Status):
        yield f"there is no status {status}"
    elif (row["error"] is not None) != (status in WITH_ERROR):
        yield f"{status} {'without' if status in WITH_ERROR else 'with'} an error"
    if (result is None) != (sha256 is None) or (sha256 is not None and not SHA256.fullmatch(sha256)):
        yield f"result_sha256 is {sha256}"
    if result is None and status == Status.RESTORED:
        yield "restored without a result"
    if result is not None and status in WITH_ERROR and (row["error"] or {}).get("class") != FaultClass.PASSED:
        yield f"{status} with a result"
    if result is not None and (row["output"] or {}).get("way") == "copied" and sha256 != row["sha256"]:
        yield "copied, but with another sha256"


def misplaced(row: Row, photos: str) -> Iterator[str]:
    """What is wrong with the place of a row's result. ``photos`` is the sink's folder of results, with a slash."""
    if row["result_uri"] is None:
        return
    name, target = name_below(row["result_uri"], photos), row["target"]
    if name is None:
        yield f"its result {row['result_uri']} lies outside of {photos}"
    elif name not in {target, *(target + ending for ending in CONVERTED)}:
        yield f"its result {row['result_uri']} does not lie at its target {target}"
    if row["shared"]:
        yield f"another row has the same result {row['result_uri']}"
