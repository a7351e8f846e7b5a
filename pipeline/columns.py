"""Photos to the manifest's columns, and a few that matter to the driver alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pipeline.manifest import FIGURES, SCHEMA
from stages.photo import Face, Matrix, Photo

Row = dict[str, Any]

TRANSIT = pa.schema(
    [
        *SCHEMA,
        pa.field("bytes_read", pa.int64()),
        pa.field("renewed", pa.bool_()),
        pa.field("previous_sha256", pa.string()),
        pa.field("retry", pa.bool_()),
        pa.field("events", FIGURES),
    ]
)


def rows(photos: Sequence[Photo]) -> pa.Table:
    """Their rows of ``TRANSIT``, without pixels."""
    return pa.Table.from_pylist([to_row(photo) for photo in photos], schema=TRANSIT)


def to_row(photo: Photo) -> Row:
    """A photo as a row of ``TRANSIT``; the run's own columns stay null until the driver fills them."""
    source, fault = photo.source, photo.fault
    error = None
    if fault:
        error = {"stage": fault.stage, "class": fault.kind.value, "message": fault.message}
        error |= {"attempts": fault.attempts, "retryable": fault.retryable}
    return {
        "uri": source.uri,
        "path": source.path,
        "size": source.size,
        "etag": source.etag,
        "mtime": source.mtime,
        "sha256": photo.sha256,
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "mode": photo.mode,
        "depth": photo.depth,
        "pages": photo.pages,
        "profile": photo.profile,
        "tone": photo.tone,
        "status": photo.status.value if photo.status else None,
        "error": error,
        "target": source.target,
        "result_uri": photo.result,
        "result_sha256": photo.result_sha256,
        "output": asdict(photo.output) if photo.output else None,
        "faces": [face_row(face) for face in photo.faces],
        "before": figures(photo.before),
        "after": figures(photo.after),
        "seconds": figures(photo.seconds),
        "bytes_read": photo.bytes_read,
        "renewed": photo.renewed,
        "previous_sha256": source.previous_sha256,
        "retry": source.retry,
        "events": figures(photo.events),
    }


def face_row(face: Face) -> Row:
    return {
        "index": face.index,
        "page": face.page,
        "status": face.status.value,
        "reason": face.reason,
        "box": list(face.box),
        "landmarks": flat(face.landmarks),
        "score": face.score,
        "residual": face.residual,
        "side": face.side,
        "method": face.method,
        "rule": face.rule,
        "strength": face.strength,
        "paste": face.paste,
        "seed": face.seed,
        "affine": flat(face.matrix),
        "before": figures(face.before),
        "after": figures(face.after),
        "figures": figures(face.figures),
    }


def figures(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """A map's entries in Arrow's form, sorted so that equal photos make equal rows."""
    return sorted(values.items())


def flat(matrix: Matrix | None) -> list[float] | None:
    return None if matrix is None else matrix.ravel().tolist()
