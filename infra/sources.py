"""Which places photos may be read from: what the config allows, whoever names them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infra.errors import StorageError
from infra.store import Entry
from infra.uris import escape, scheme_of

SCHEMES = ("file", "s3", "gs", "az")
LOCAL = "file"


@dataclass(frozen=True, slots=True)
class Allowed:
    """``schemes`` that sources and the items of lists may have, aliases resolved (``s3a`` is ``s3``).

    A list that comes from a store may have been written by anybody. It may name files of the machine that runs the job
    only with ``local_from_remote``.
    """

    schemes: tuple[str, ...] = SCHEMES
    local_from_remote: bool = False

    def check(self, uri: str, where: str = "the source") -> None:
        """Raise a ``StorageError`` if nothing may be read from ``uri``, which ``where`` names."""
        scheme = scheme_of(uri)
        if scheme not in self.schemes:
            allowed = ", ".join(f"{name}://" for name in self.schemes) or "nothing"
            raise StorageError(
                f"{where} is '{escape(uri)}', and {scheme}:// is not among read.schemes", f"allowed: {allowed}"
            )

    def items(self, entries: Iterable[Entry], source: str) -> Iterator[Entry]:
        """The items of the list at ``source``. The first that must not be read is the operator's error."""
        remote = scheme_of(source) != LOCAL
        for number, entry in enumerate(entries, start=1):
            where = f"row {number} of '{source}'"
            self.check(entry.uri, where)
            if remote and scheme_of(entry.uri) == LOCAL and not self.local_from_remote:
                raise StorageError(
                    f"{where} names a file of this machine: '{escape(entry.uri)}'",
                    "if the list is to be trusted with that, set read.local_from_remote = true",
                )
            yield entry
