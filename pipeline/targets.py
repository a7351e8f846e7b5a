"""Whose every result is or will be: two photos whose results could have one name are refused before any is read."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath

import numpy as np

from infra.config import OutputFormat
from infra.errors import StorageError
from pipeline.index import UNKNOWN, Hashes, keys_of
from pipeline.ledger import Ledger
from pipeline.spool import Due, Spool
from stages.codec import all_codecs
from stages.output import SUFFIXES
from stages.write import plain_target

BATCH = 10_000


class Targets:
    """The names that results of due photos may have, 16 bytes each, beside those that rows of the manifest have."""

    def __init__(self, ledger: Ledger, output_format: OutputFormat, scale: int) -> None:
        self.ledger = ledger
        self.output_format: OutputFormat = output_format
        self.scale = scale
        self._high: list[Hashes] = []
        self._low: list[Hashes] = []

    def add(self, due: list[Due]) -> None:
        """Take in entries that are due."""
        keys = keys_of([name for name, _ in self.names(due)])
        self._high.append(keys.high)
        self._low.append(keys.low)

    def names(self, due: list[Due]) -> Iterator[tuple[str, str]]:
        """The names that no row of the manifest stands for yet, each with its photo's URI."""
        rows = [(row, entry.uri) for entry, row, _ in due if row != UNKNOWN]
        known = iter(self.ledger.index.known([row for row, _ in rows], [uri for _, uri in rows]))
        for entry, row, _ in due:
            target = plain_target(entry.path) if row == UNKNOWN else next(known).target
            possible = possible_names(target, self.output_format, self.scale)
            yield from ((name, entry.uri) for name in (possible if row == UNKNOWN else possible[1:]))

    def check(self, *spools: Spool) -> None:
        """Refuse two results of one name. ``spools`` hold what is due in this run."""
        high = np.concatenate([np.empty(0, np.uint64), *self._high])
        low = np.concatenate([np.empty(0, np.uint64), *self._low])
        order = np.argsort(high)
        twice = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
        suspects = np.concatenate([high[order][1:][twice], high[self.ledger.index.has_target(high)]])
        if suspects.size:
            self.refuse(np.unique(suspects), spools)

    def refuse(self, suspects: Hashes, spools: tuple[Spool, ...]) -> None:
        """Raise for the first of ``suspects`` that really is one name of two photos."""
        owners: dict[str, str] = {}
        for name, uri in chain.from_iterable(self.names(batch) for spool in spools for batch in spool.batches(BATCH)):
            if np.isin(keys_of([name]).high, suspects).all():
                check_owner(owners, name, uri)
        for name, uri in self.ledger.targets():
            if name in owners:
                check_owner(owners, name, uri)


def check_owner(owners: dict[str, str], name: str, uri: str) -> None:
    """Note whose a name is, or raise if it is another's."""
    other = owners.setdefault(name, uri)
    if other != uri:
        hint = "give each source its own sink"
        raise StorageError(f"{other} and {uri} would both become photos/{name}", hint)


def possible_names(target: str, output_format: OutputFormat, scale: int) -> list[str]:
    """The names that a result may have: ``target``, and with the ending of the format that it may be converted to."""
    ending = conversion(PurePosixPath(target).suffix.lower(), output_format, scale)
    return [target, f"{target}{ending}"] if ending else [target]


@lru_cache(maxsize=1024)
def conversion(suffix: str, output_format: OutputFormat, scale: int) -> str | None:
    """The ending that a photo with the ending ``suffix`` may get in addition."""
    own = next((codec for codec in all_codecs().values() if suffix in codec.suffixes), None)
    converted = None if output_format == "same" else output_format.upper()
    if converted is None and own is not None and (own.becomes or (scale > 1 and own.create is None)):
        converted = own.becomes or "PNG"
    return SUFFIXES[converted] if converted else None
