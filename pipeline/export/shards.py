"""One shard as bytes: a tar for WebDataset, or a Parquet file, plain or as Hugging Face's datasets reads it.

The same samples give the same bytes: no times, no names of users, rows in the order that they are given in.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.settings import PICTURES, Settings
from pipeline.manifest import FIGURES

ROW_GROUP = 100
FACTS = pa.schema(
    [
        ("key", pa.string()),
        ("group", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("face", pa.int32()),
        ("page", pa.int32()),
        ("score", pa.float64()),
        ("side", pa.float64()),
        ("method", pa.string()),
        ("strength", pa.float64()),
        ("seed", pa.int64()),
        ("recipe", pa.string()),
        ("before", FIGURES),
        ("after", FIGURES),
        ("origin", pa.string()),
        ("degradation", pa.string()),
        ("degradation_seed", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One face: its pictures as files by name, and what the columns of ``FACTS`` say of it."""

    pictures: Mapping[str, bytes]
    facts: Mapping[str, Any]


def content(settings: Settings, samples: Sequence[Sample]) -> bytes:
    """The shard's bytes."""
    if settings.format == "webdataset":
        return tar(settings, samples)
    names = PICTURES[settings.what]
    return parquet(table(samples, names), hugging_face(names) if settings.format == "huggingface" else None)


def suffix(settings: Settings) -> str:
    return "tar" if settings.format == "webdataset" else "parquet"


def tar(settings: Settings, samples: Sequence[Sample]) -> bytes:
    """Members ``<key>.<picture>.<png or jpg>`` and ``<key>.json``. webdataset's own writer would do the same, but to
    import it is to import torch, in every process.
    """
    out, ending = io.BytesIO(), "jpg" if settings.image == "jpeg" else "png"
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            files = {f"{name}.{ending}": picture for name, picture in sample.pictures.items()}
            files["json"] = json.dumps(plain(sample.facts), sort_keys=True).encode()
            for name, data in sorted(files.items()):
                member = tarfile.TarInfo(f"{sample.facts['key']}.{name}")  # nobody's, and of no time
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` as JSON has them: maps are objects, and what is not known is left out."""
    found = {name: dict(value) if name in {"before", "after"} else value for name, value in facts.items()}
    return {name: value for name, value in found.items() if value is not None}


def table(samples: Sequence[Sample], names: Sequence[str]) -> pa.Table:
    """One row a face: a binary column a picture, then ``FACTS``."""
    rows = [{**sample.pictures, **sample.facts} for sample in samples]
    return pa.Table.from_pylist(rows, pa.schema([*(pa.field(name, pa.binary()) for name in names), *FACTS]))


def hugging_face(names: Sequence[str]) -> pa.Schema:
    """The schema under which ``datasets`` takes the picture columns for images, and maps for lists of pairs."""
    from datasets import Features, Image

    pairs = pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())]))
    facts = pa.schema([pa.field(field.name, pairs if field.type == FIGURES else field.type) for field in FACTS])
    features = Features({name: Image() for name in names} | dict(Features.from_arrow_schema(facts)))
    return features.arrow_schema


def parquet(found: pa.Table, schema: pa.Schema | None) -> bytes:
    """The file's bytes. With a ``schema`` pictures become structs of bytes and path, as ``datasets`` has images."""
    if schema is not None:
        columns = [as_type(found.column(name).to_pylist(), schema.field(name).type) for name in schema.names]
        found = pa.table(columns, schema=schema)
    out = io.BytesIO()
    pq.write_table(found, out, compression="zstd", row_group_size=ROW_GROUP)
    return out.getvalue()


def as_type(values: list[Any], kind: pa.DataType) -> Any:
    """A column in the form of ``hugging_face``."""
    if pa.types.is_struct(kind):
        return pa.array([{"bytes": value, "path": None} for value in values], kind)
    if pa.types.is_nested(kind):
        return pa.array([[{"key": key, "value": figure} for key, figure in value] for value in values], kind)
    return pa.array(values, kind)
