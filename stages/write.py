"""Conclude and write: every photo gets its status, and its result is stored before anyone reads of it."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from infra.confirm import holds
from infra.storage import Storage, StorageFault
from stages.output import Wanted, produce, suffix_of
from stages.photo import Face, FaceStatus, Fault, FaultClass, Output, Photo, PhotoFault, Pixels, Status
from stages.stage import each
from stages.xmp import EditRecord, edited

HASHED = re.compile(r"~([0-9a-f]{8}(?:\.[^./]*)?)$")


class Conclude:
    """The status of each photo that is still open, by what became of its faces."""

    name = "conclude"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [conclude(photo) if photo.open else photo for photo in photos]


def conclude(photo: Photo) -> Photo:
    """``photo`` with its final status."""
    statuses = {face.status for face in photo.faces}
    if FaceStatus.RESTORED in statuses:
        return replace(photo, status=Status.RESTORED)
    if FaceStatus.FAILED in statuses:
        reasons = sorted({face.reason for face in photo.faces if face.status is FaceStatus.FAILED})
        return photo.failed(Fault("restore", FaultClass.FACES, f"no face could be restored: {'; '.join(reasons)}"))
    return replace(photo, status=Status.UNCHANGED if photo.faces else Status.NO_FACE)


class Write:
    """Stores results below ``sink/photos``, named by ``target_of``. ``record`` makes the record of a photo's edit."""

    name = "write"

    def __init__(
        self,
        storage: Storage,
        sink: str,
        copy_unchanged: bool,
        keep_crops: bool,
        record: Callable[[Photo], EditRecord],
        wanted: Wanted,
    ) -> None:
        self.storage = storage
        self.sink = sink
        self.copy_unchanged = copy_unchanged
        self.keep_crops = keep_crops
        self.record = record
        self.wanted = wanted

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        ended = [replace(photo, source=replace(photo.source, target=target_of(photo))) for photo in photos]
        waiting = [replace(photo, status=None) if self.has_result(photo) else photo for photo in ended]
        stored = each(self.name, waiting, self.write)
        return [
            after if after.fault and after.status is Status.FAILED else replace(after, status=before.status)
            for before, after in zip(ended, stored, strict=True)
        ]

    def has_result(self, photo: Photo) -> bool:
        passed = photo.fault is not None and photo.fault.kind is FaultClass.PASSED
        copied = self.copy_unchanged and (passed or photo.status in {Status.UNCHANGED, Status.NO_FACE})
        return photo.status is Status.RESTORED or copied

    def write(self, photo: Photo) -> Photo:
        """Make and store one result."""
        content, output = self.content(photo)
        uri = f"{self.sink}/photos/{photo.source.target}{suffix_of(output, photo.format)}"
        try:
            self.storage.write(uri, content)
            if not holds(self.storage, uri, content):
                raise PhotoFault(FaultClass.STORAGE, f"the store does not hold what was written to {uri}")
            self.write_kept(photo)
        except StorageFault as fault:
            raise PhotoFault(FaultClass(fault.kind), fault.message, fault.attempts) from fault
        return replace(photo, result=uri, result_sha256=hashlib.sha256(content).hexdigest(), output=output)

    def content(self, photo: Photo) -> tuple[bytes, Output]:
        if photo.picture is not None and photo.edits:
            return produce(photo, photo.picture, self.wanted, partial(edited, record=self.record(photo)))
        if photo.data is None:
            raise RuntimeError(f"{photo.source.uri} came to be written without its bytes")
        return photo.data.tobytes(), Output("copied", photo.format or "")

    def write_kept(self, photo: Photo) -> None:
        """Of every restored face, below ``sink/crops``: the middle results that it has, and, if crops are kept, input
        crop, restored crop and facts.
        """
        for face in photo.faces:
            base = f"{self.sink}/crops/{photo.source.target}.{face.index}"
            for name, picture in sorted(face.kept.items()):
                self.storage.write(f"{base}.{name}.png", png(picture))
            if self.keep_crops and face.crop is not None and face.restored is not None:
                self.storage.write(f"{base}.input.png", png(face.crop))
                self.storage.write(f"{base}.restored.png", png(face.restored))
                self.storage.write(f"{base}.json", facts(face))


def target_of(photo: Photo) -> str:
    """The result's path below ``photos/``: new content under a URI that a row gave to other content gets its hash."""
    source = photo.source
    if source.previous_sha256 is None or photo.sha256 is None or photo.sha256 == source.previous_sha256:
        return source.target
    return with_hash(plain_target(source.path), photo.sha256)


def plain_target(path: str) -> str:
    """A photo's first target, its own path; the form that changed content gets is kept free by escaping its "~"."""
    return HASHED.sub(r"%7E\1", path)


def with_hash(path: str, sha256: str) -> str:
    """``albums/12.jpg`` -> ``albums/12~0a1b2c3d.jpg``."""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    tagged = f"{stem}~{sha256[:8]}.{suffix}" if dot and stem else f"{name}~{sha256[:8]}"
    return f"{folder}{slash}{tagged}"


def png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()


def facts(face: Face) -> bytes:
    matrix = face.matrix.tolist() if face.matrix is not None else None
    record = {"method": face.method, "rule": face.rule, "seed": face.seed, "strength": face.strength, "affine": matrix}
    return json.dumps(record, indent=1).encode()
