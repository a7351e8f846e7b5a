"""What of an export is done, below ``OUT/_work``: a killed export goes on there, and removes it at its end."""

import io
import json
from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import ConfigError
from infra.storage import Storage
from pipeline.ledger import listed, parquet

RECORD = "export.json"
HASHES = pa.schema([("hash", pa.binary(32)), ("reason", pa.string())])
Hashed = list[tuple[bytes | None, str]]


class Workplace:
    """The folder ``out`` of one export, known by its ``fingerprint``."""

    def __init__(self, storage: Storage, out: str, fingerprint: str) -> None:
        self.storage = storage
        self.out = out
        self.fingerprint = fingerprint

    def begin(self) -> bool:
        """Take the folder; True if the export is there already, whole. A folder with anything else in it is refused."""
        entries = {entry.path for entry in listed(self.storage, self.out)}
        if RECORD in entries:
            self.check(self.read(RECORD), "holds another export, or one of the sink as it was then")
            self.clear()
            return True
        if "_work/export.json" in entries:
            self.check(self.read("_work/export.json"), "holds a part of another export, or of the sink as it was then")
        elif entries:
            raise ConfigError(f"{self.out} is not empty", "export into a folder or prefix of its own")
        self.write("_work/export.json", {"fingerprint": self.fingerprint})
        return False

    def check(self, found: Mapping[str, Any], what: str) -> None:
        if found.get("fingerprint") != self.fingerprint:
            raise ConfigError(f"{self.out} {what}", "export into another folder, or remove this one")

    def hashes(self, number: int) -> Hashed | None:
        """A chunk's perceptual hashes, if they are known."""
        uri = f"{self.out}/_work/hashes-{number:06d}.parquet"
        if not self.storage.exists(uri):
            return None
        found = pq.read_table(io.BytesIO(self.storage.read(uri)))
        columns = (cast("list[Any]", found.column(name).to_pylist()) for name in HASHES.names)
        return list(zip(*columns, strict=True))

    def keep_hashes(self, number: int, found: Hashed) -> None:
        rows = [{"hash": value, "reason": reason} for value, reason in found]
        content = parquet(pa.Table.from_pylist(rows, HASHES))
        self.storage.write(f"{self.out}/_work/hashes-{number:06d}.parquet", content)

    def shard(self, name: str) -> dict[str, Any] | None:
        """What is known of a shard that is written; its note comes after it."""
        path = f"_work/{name.replace('/', '-')}.json"
        return self.read(path) if self.storage.exists(f"{self.out}/{path}") else None

    def keep_shard(self, name: str, content: bytes, note: Mapping[str, Any]) -> None:
        self.storage.write(f"{self.out}/{name}", content)
        self.write(f"_work/{name.replace('/', '-')}.json", note)

    def end(self, record: Mapping[str, Any]) -> None:
        """The record, last of all; then nothing of the work is left."""
        self.write(RECORD, record)
        self.clear()

    def clear(self) -> None:
        for entry in list(listed(self.storage, f"{self.out}/_work")):
            self.storage.delete(entry.uri)

    def read(self, path: str) -> dict[str, Any]:
        return json.loads(self.storage.read(f"{self.out}/{path}"))

    def write(self, path: str, content: Mapping[str, Any]) -> None:
        self.storage.write(f"{self.out}/{path}", json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
