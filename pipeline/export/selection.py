"""Which faces are exported: those of the manifest, one row each, that a filter in SQL lets through."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from infra.errors import ConfigError
from infra.storage import Storage
from pipeline.export.settings import What
from pipeline.ledger import RECIPE, listed, read_manifest
from pipeline.manifest import FIGURES

FACES = pa.schema(
    [
        ("uri", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("target", pa.string()),
        ("result_uri", pa.string()),
        ("result_sha256", pa.string()),
        ("scale", pa.int32()),
        ("recipe", pa.string()),
        ("detector", pa.string()),
        ("index", pa.int32()),
        ("page", pa.int32()),
        ("status", pa.string()),
        ("box", pa.list_(pa.float64(), 4)),
        ("landmarks", pa.list_(pa.float64())),
        ("score", pa.float64()),
        ("side", pa.float64()),
        ("method", pa.string()),
        ("rule", pa.string()),
        ("strength", pa.float64()),
        ("seed", pa.int64()),
        ("affine", pa.list_(pa.float64())),
        ("before", FIGURES),
        ("after", FIGURES),
    ]
)
OF_PHOTO = ["uri", "path", "sha256", "target", "result_uri", "result_sha256", "recipe", "detector"]
STATUSES: dict[What, tuple[str, ...]] = {
    "pairs": ("restored",),
    "aligned": ("restored", "left"),
    "degraded": ("restored", "left"),
}
HINT = 'a condition on photo.<column> and face.<field> of docs/manifest.md, such as "face.side > 128"'


@dataclass(slots=True)
class Selection:
    """The chosen ``faces`` (schema ``FACES``), sorted by photo and index; how many there were at each step; and the
    recipes of the manifest by their hashes.
    """

    faces: pa.Table
    counts: dict[str, int]
    recipes: dict[str, dict[str, Any]]


def select(storage: Storage, sink: str, what: What, where: str) -> Selection:
    """The faces that ``what`` can be made of and that ``where``, a condition in SQL, lets through."""
    found = [FACES.empty_table()]
    counts = {"photos": 0, "faces": 0, "usable": 0, "chosen": 0}
    recipes: dict[str, dict[str, Any]] = {}
    connection = connect()
    for part in read_manifest(storage, sink):
        recipes |= recipe_of(part)
        connection.register("manifest", part)
        counts["photos"] += part.num_rows
        counts["faces"] += count(connection, "SELECT coalesce(sum(len(faces)), 0) FROM manifest")
        counts["usable"] += count(connection, f"SELECT count(*) FROM ({query(what, '')})")
        found.append(chosen(connection, what, where))
        connection.unregister("manifest")
    faces = pa.concat_tables(found).sort_by([("sha256", "ascending"), ("uri", "ascending"), ("index", "ascending")])
    counts["chosen"] = faces.num_rows
    return Selection(faces, counts, recipes)


def recipe_of(part: pa.Table) -> dict[str, dict[str, Any]]:
    """The recipe of a part's rows, by its hash."""
    recipe = (part.schema.metadata or {}).get(RECIPE)
    return {str(part.column("recipe")[0].as_py()): json.loads(recipe)} if recipe and part.num_rows else {}


def connect() -> Any:
    """A DuckDB in memory that reaches nothing but what it is given."""
    import duckdb

    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    connection.execute("SET lock_configuration = true")
    return connection


def count(connection: Any, text: str) -> int:
    return int(connection.sql(text).fetchall()[0][0])


def query(what: What, where: str) -> str:
    """The statement that gives the chosen faces of the table ``manifest`` as ``FACES``."""
    names = [*(f"photo.{name}" for name in OF_PHOTO), "coalesce(photo.output.scale, 1) AS scale"]
    names += [f"face.{name}" for name in FACES.names if name not in {*OF_PHOTO, "scale"}]
    statuses = ", ".join(f"'{status}'" for status in STATUSES[what])
    usable = f"face.status IN ({statuses}) AND face.affine IS NOT NULL AND photo.sha256 IS NOT NULL"
    condition = f" AND (\n{where}\n)" if where.strip() else ""
    rows = "SELECT manifest AS photo, unnest(manifest.faces) AS face FROM manifest"
    return f"SELECT {', '.join(names)} FROM ({rows}) WHERE {usable}{condition}"


def chosen(connection: Any, what: What, where: str) -> pa.Table:
    """The chosen faces of one part; a filter that DuckDB does not take is the operator's."""
    import duckdb

    try:
        return pa.table(connection.sql(query(what, where))).select(FACES.names).cast(FACES)
    except duckdb.Error as error:
        raise ConfigError(f"--where: {' '.join(str(error).split())[:300]}", HINT) from None


def digest(faces: pa.Table) -> str:
    """What tells a selection from any other, in hex."""
    made = hashlib.sha256()
    for batch in faces.to_batches(max_chunksize=10_000):
        made.update(repr(batch.to_pylist()).encode())
    return made.hexdigest()


def stored_crops(storage: Storage, sink: str, faces: pa.Table) -> pa.Table:
    """``faces`` with a column ``stored``: whether the crop and its restored form lie below ``DST/crops``."""
    there = set(names(storage, sink))
    keys = zip(faces.column("target").to_pylist(), faces.column("index").to_pylist(), strict=True)
    stored = [{f"{target}.{index}.input.png", f"{target}.{index}.restored.png"} <= there for target, index in keys]
    return faces.append_column("stored", pa.array(stored, pa.bool_()))


def names(storage: Storage, sink: str) -> Iterator[str]:
    """The paths of the stored crops."""
    found = listed(storage, f"{sink}/crops")
    return (entry.path for entry in found if entry.path.endswith((".input.png", ".restored.png")))
