"""A photo on its way through the stages, its faces, and what can go wrong with either.

All three are values: a stage returns changed copies (``dataclasses.replace``) and never writes into arrays that it was
given (they may lie read-only in Ray's object store).
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.enlarged import Enlarged
from stages.picture import Edit, Picture, Raster

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]
PasteMode = Literal["difference", "replace"]


class Status(StrEnum):
    """What became of a photo. Every listed photo ends with exactly one."""

    RESTORED = "restored"  # at least one face changed
    UNCHANGED = "unchanged"  # faces, none changed, none failed
    NO_FACE = "no_face"
    FAILED = "failed"
    SKIPPED = "skipped"


class FaceStatus(StrEnum):
    """What became of a face; ``FOUND`` only while the photo is on its way."""

    FOUND = "found"
    RESTORED = "restored"
    LEFT = "left"  # a rule said so
    REJECTED = "rejected"  # its landmarks are too far from any face's, or the guard found another face in the result
    FAILED = "failed"


class FaultClass(StrEnum):
    """The closed list of reasons for ``failed`` and ``skipped``."""

    NOT_FOUND = "not_found"  # listed, but gone when it was read
    DENIED = "denied"  # the store refuses to hand it out
    STORAGE = "storage"  # the store failed, after all retries
    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not_an_image"  # an image's name, but not an image
    TRUNCATED = "truncated"  # an image that ends early
    MISLABELLED = "mislabelled"  # an image of another format than its name says
    CORRUPT = "corrupt"  # an image that cannot be decoded for another reason
    TOO_LARGE = "too_large"  # more bytes or pixels than the config allows
    WRONG_SIZE = "wrong_size"  # --aligned, and the file is not of the method's crop size
    BAD_NAME = "bad_name"  # a name that cannot be written down
    UNWRITABLE = "unwritable"  # the result cannot be encoded as the photo was
    CRASH = "crash"  # its worker process died of it, again and again
    TIMEOUT = "timeout"  # it took longer than the config allows, again and again
    FACES = "faces"  # every face that should have been restored failed
    UNSUPPORTED = "unsupported"  # a format that would not come out as it went in (skipped)
    PASSED = "passed"  # every page is handed through untouched: bilevel scans (skipped)
    NOT_A_PHOTO = "not_a_photo"  # the name's ending is not an image's: never read (skipped)


RETRYABLE = frozenset(
    {FaultClass.NOT_FOUND, FaultClass.DENIED, FaultClass.STORAGE, FaultClass.CRASH, FaultClass.TIMEOUT}
)
SKIPPING = frozenset({FaultClass.UNSUPPORTED, FaultClass.PASSED, FaultClass.NOT_A_PHOTO})


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a photo failed or was skipped: the stage, the class, one line for people, and how often it was tried."""

    stage: str
    kind: FaultClass
    message: str
    attempts: int = 1

    @property
    def retryable(self) -> bool:
        return self.kind in RETRYABLE


class PhotoFault(Exception):  # noqa: N818 - the field's word; caught at the stage's edge, it becomes a Fault
    """Raised inside a stage for one photo; ``stages.stage.each`` turns it into the photo's ``Fault``."""

    def __init__(self, kind: FaultClass, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.attempts = attempts

    def __reduce__(self) -> tuple[type["PhotoFault"], tuple[FaultClass, str, int]]:
        return type(self), (self.kind, self.message, self.attempts)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a photo comes from, as the listing knows it without reading it.

    ``path`` names the photo below its source's root ("albums/1927/12.jpg"); patterns match it and the result is named
    by it. ``previous_sha256`` is the content that the ledger has a row for, under this URI: if the photo still has it,
    nothing is done, unless this is a ``retry``. ``target`` is the result's path below the sink's ``photos/`` for that
    content.
    """

    uri: str
    path: str
    size: int | None = None
    etag: str | None = None
    mtime: datetime | None = None
    previous_sha256: str | None = None
    retry: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Face:
    """One face. Coordinates are pixels of the upright ``page``, (0, 0) the centre of its first pixel.

    ``landmarks`` (5, 2) float64 or None; ``residual`` is their root mean square distance to the template's, in pixels
    of the standard crop. ``matrix`` (2, 3) float64 takes photo coordinates to crop coordinates; ``side`` is the side of
    the crop's square in the photo. ``crop`` and ``restored`` are (S, S, 3) uint8 sRGB, ``mask`` (S, S) uint8 is the
    parser's, 255 where the face is. ``figures`` are what the method says of its result, ``kept`` its middle results
    (H, W, 3) uint8 sRGB by name, where they are wanted.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    landmarks: Matrix | None = None
    status: FaceStatus = FaceStatus.FOUND
    reason: str = ""
    page: int = 0
    residual: float | None = None
    method: str | None = None
    rule: str | None = None
    strength: float = 1.0
    paste: PasteMode = "difference"
    seed: int | None = None
    side: float | None = None
    matrix: Matrix | None = None
    before: dict[str, float] = field(default_factory=dict[str, float])
    after: dict[str, float] = field(default_factory=dict[str, float])
    crop: Pixels | None = None
    restored: Pixels | None = None
    mask: Pixels | None = None
    figures: dict[str, float] = field(default_factory=dict[str, float])
    kept: dict[str, Pixels] = field(default_factory=dict[str, Pixels])

    def failed(self, reason: str) -> "Face":
        """This face, failed, if it was on its way or restored; as it is if it had already ended otherwise."""
        if self.status not in {FaceStatus.FOUND, FaceStatus.RESTORED}:
            return self
        return replace(self, status=FaceStatus.FAILED, reason=reason, crop=None, restored=None, mask=None, kept={})


@dataclass(frozen=True, slots=True)
class Output:
    """How a result was written: ``way`` and ``note`` as in ``stages.picture.Written``.

    ``outside`` is the largest change of any sample outside the faces' masks, in levels of the photo's depth.
    """

    way: str
    format: str
    scale: int = 1
    outside: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo from listing to manifest. ``status`` is None while there is still something to do.

    ``data`` is the file, 1-D uint8. ``events`` counts what happened on its way and is no fact of it ("out_of_memory",
    "worker_deaths", "batches", "batch_faces"): it goes into the run record, not into the manifest. ``picture`` is the
    opened file, ``enlarged`` its page at the size of a larger result, and ``edits`` what the faces change in
    ``raster``; all three live inside one chain of stages and never travel between processes. ``width`` to ``profile``
    are those of the first page.
    """

    source: Source
    data: Pixels | None = None
    bytes_read: int = 0
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    depth: int | None = None
    pages: int | None = None
    profile: str | None = None
    tone: str | None = None
    faces: tuple[Face, ...] = ()
    status: Status | None = None
    renewed: bool = False
    fault: Fault | None = None
    before: dict[str, float] = field(default_factory=dict[str, float])
    after: dict[str, float] = field(default_factory=dict[str, float])
    result: str | None = None
    result_sha256: str | None = None
    output: Output | None = None
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    events: dict[str, float] = field(default_factory=dict[str, float])
    picture: Picture | None = None
    enlarged: Enlarged | None = None
    edits: tuple[Edit, ...] = ()

    @property
    def open(self) -> bool:
        """Whether later stages still have something to do."""
        return self.status is None and not self.renewed

    @property
    def raster(self) -> Raster | None:
        """The pages that the faces are pasted into: enlarged ones, or else the file's."""
        return self.enlarged or self.picture

    def failed(self, fault: Fault) -> "Photo":
        """This photo, ended by ``fault``; skipped if the fault's class is one that was never to be worked on."""
        status = Status.SKIPPED if fault.kind in SKIPPING else Status.FAILED
        faces = tuple(face.failed(f"the photo failed: {fault.kind}") for face in self.faces)
        return replace(self, status=status, fault=fault, faces=faces, edits=())
