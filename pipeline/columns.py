"""Photos to Arrow columns and back: the one border between Python objects and Ray's blocks.

A block holds the manifest's own columns, a few that only matter on the way, and pixels as ragged uint8 tensor columns:
the file (1-D) and, a method, the crops and the restored crops of each photo (n, S, S, 3). Decoded photos never cross.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from ray.data.extensions import ArrowVariableShapedTensorArray

from pipeline.manifest import FIGURES, SCHEMA
from stages.photo import Face, FaceStatus, Fault, FaultClass, Matrix, Output, Photo, Pixels, Source, Status

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


NOBODY = Photo(Source("", ""))


class Columns:
    """Turns photos into a table and back. ``sizes`` gives the crop's side of every method by its name, ``keep`` the
    names of the middle results that travel.
    """

    def __init__(self, sizes: Mapping[str, int], keep: Iterable[str] = ()) -> None:
        self.sizes = dict(sizes)
        self.keep = sorted(keep)

    def table(self, photos: Sequence[Photo], pixels: bool = True) -> pa.Table:
        """The photos as a table; without ``pixels`` only what the driver needs for the manifest."""
        if not photos:  # Ray makes no empty tensor columns
            return self.table([NOBODY], pixels).slice(0, 0)
        table = pa.Table.from_pylist([to_row(photo) for photo in photos], schema=TRANSIT)
        if not pixels:
            return table
        empty = np.empty(0, np.uint8)
        table = with_tensors(table, "data", [empty if photo.data is None else photo.data for photo in photos])
        for method, size in self.sizes.items():
            table = with_tensors(table, f"crops.{method}", [stack(crops(photo, method), size) for photo in photos])
            table = with_tensors(table, f"restored.{method}", [stack(results(photo, method), size) for photo in photos])
            table = with_tensors(table, f"masks.{method}", [flat_stack(masks(photo, method), size) for photo in photos])
            for name in self.keep:
                pictures = [stack(kept(photo, method, name), 0) for photo in photos]
                table = with_tensors(table, f"kept.{method}.{name}", pictures)
        return table

    def photos(self, table: pa.Table) -> list[Photo]:
        """The photos in a table that ``table`` made. Arrays are read-only views of the table's memory."""
        photos = [to_photo(row) for row in table.select(TRANSIT.names).to_pylist()]
        if "data" not in table.column_names:
            return photos
        data = tensors(table, "data")
        photos = [with_data(photo, content) for photo, content in zip(photos, data, strict=True)]
        for method in self.sizes:
            columns = [tensors(table, f"{kind}.{method}") for kind in ("crops", "restored", "masks")]
            photos = [with_pixels(photo, method, *made) for photo, *made in zip(photos, *columns, strict=True)]
            for name in self.keep:
                pictures = tensors(table, f"kept.{method}.{name}")
                photos = [with_kept(photo, method, name, made) for photo, made in zip(photos, pictures, strict=True)]
        return photos


def with_tensors(table: pa.Table, name: str, arrays: Sequence[Pixels]) -> pa.Table:
    return table.append_column(name, ArrowVariableShapedTensorArray.from_numpy(list(arrays)))


def tensors(table: pa.Table, name: str) -> list[Pixels]:
    """A tensor column's arrays, one a row, whatever chunks it came in."""
    return [array for chunk in table.column(name).chunks for array in chunk.to_numpy(zero_copy_only=False)]


def crops(photo: Photo, method: str) -> list[Pixels]:
    return [face.crop for face in photo.faces if face.method == method and face.crop is not None]


def results(photo: Photo, method: str) -> list[Pixels]:
    return [face.restored for face in photo.faces if face.method == method and face.restored is not None]


def masks(photo: Photo, method: str) -> list[Pixels]:
    return [face.mask for face in photo.faces if face.method == method and face.mask is not None]


def kept(photo: Photo, method: str, name: str) -> list[Pixels]:
    return [face.kept[name] for face in photo.faces if face.method == method and name in face.kept]


def flat_stack(arrays: Sequence[Pixels], size: int) -> Pixels:
    return np.stack(arrays) if arrays else np.empty((0, size, size), np.uint8)


def stack(arrays: Sequence[Pixels], size: int) -> Pixels:
    return np.stack(arrays) if arrays else np.empty((0, size, size, 3), np.uint8)


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


def unflat(values: list[float] | None, columns: int) -> Matrix | None:
    return None if values is None else np.array(values).reshape(-1, columns)


def to_photo(row: Row) -> Photo:
    """The photo in a row of ``TRANSIT``, without its pixels."""
    error = row["error"]
    return Photo(
        source=Source(
            uri=row["uri"],
            path=row["path"],
            size=row["size"],
            etag=row["etag"],
            mtime=row["mtime"],
            previous_sha256=row["previous_sha256"],
            retry=row["retry"],
            target=row["target"],
        ),
        bytes_read=row["bytes_read"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        format=row["format"],
        mode=row["mode"],
        depth=row["depth"],
        pages=row["pages"],
        profile=row["profile"],
        tone=row["tone"],
        faces=tuple(to_face(face) for face in row["faces"]),
        status=Status(row["status"]) if row["status"] else None,
        renewed=row["renewed"],
        fault=Fault(error["stage"], FaultClass(error["class"]), error["message"], error["attempts"]) if error else None,
        before=dict(row["before"]),
        after=dict(row["after"]),
        result=row["result_uri"],
        result_sha256=row["result_sha256"],
        output=Output(**row["output"]) if row["output"] else None,
        seconds=dict(row["seconds"]),
        events=dict(row["events"]),
    )


def to_face(row: Row) -> Face:
    x, y, width, height = row["box"]
    return Face(
        index=row["index"],
        box=(x, y, width, height),
        score=row["score"],
        landmarks=unflat(row["landmarks"], 2),
        page=row["page"],
        status=FaceStatus(row["status"]),
        residual=row["residual"],
        reason=row["reason"],
        method=row["method"],
        rule=row["rule"],
        strength=row["strength"],
        paste=row["paste"],
        seed=row["seed"],
        side=row["side"],
        matrix=unflat(row["affine"], 3),
        before=dict(row["before"]),
        after=dict(row["after"]),
        figures=dict(row["figures"]),
    )


def with_data(photo: Photo, content: NDArray[np.uint8]) -> Photo:
    return replace(photo, data=content) if content.size else photo


def with_pixels(photo: Photo, method: str, cut: Pixels, restored: Pixels, parsed: Pixels) -> Photo:
    """``photo`` with the crops of its faces of one method: a face has a crop until it fails, a result once restored,
    and then a mask if the job has a parser.
    """
    if not len(cut):
        return photo
    inputs, outputs, masked = iter(cut), iter(restored), iter(parsed)
    faces: list[Face] = []
    for face in photo.faces:
        mine = face.method == method and face.status in {FaceStatus.FOUND, FaceStatus.RESTORED}
        done = mine and face.status is FaceStatus.RESTORED
        made = (next(outputs), next(masked, None)) if done else (None, None)
        faces.append(replace(face, crop=next(inputs), restored=made[0], mask=made[1]) if mine else face)
    return replace(photo, faces=tuple(faces))


def with_kept(photo: Photo, method: str, name: str, pictures: Pixels) -> Photo:
    """``photo`` with one middle result of each restored face of one method; a method has it for all or for none."""
    if not len(pictures):
        return photo
    left = iter(pictures)
    faces = [
        replace(face, kept=face.kept | {name: next(left)})
        if face.method == method and face.status is FaceStatus.RESTORED
        else face
        for face in photo.faces
    ]
    return replace(photo, faces=tuple(faces))
