"""The sha256 of files whose publisher gave none, kept from the first time that they were fetched."""

import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from infra.local import publish


class Pins:
    """``pins.json`` in ``folder``: a JSON object, file name to sha256."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pins.json"

    def get(self, name: str) -> str | None:
        """The pinned sha256 of ``name``, if there is one."""
        return self._all().get(name)

    def put(self, name: str, sha256: str) -> None:
        """Pin ``name``. The file is replaced as a whole, by one process at a time."""
        with locked(self._path.parent, self._path.name):
            pins = self._all() | {name: sha256}
            publish(self._path, (json.dumps(pins, indent=2, sort_keys=True) + "\n").encode())

    def _all(self) -> dict[str, str]:
        return json.loads(self._path.read_bytes()) if self._path.is_file() else {}


@contextmanager
def locked(folder: Path, name: str) -> Generator[None, None, None]:
    """One process of this host at a time for ``name`` in ``folder``, which is made. The lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
