"""Guard: a restored face that is no longer the one in the crop is rejected, and never pasted.

Users' first complaint about this field is that nobody recognises the restored face. Here each one is compared with the
crop that it was made of: its low frequencies, where its landmarks lie when the detector looks again, and, with a
network for it, whether both are the same person. What is found stands in the face's figures (``guard.*``).
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

import numpy as np

from infra.config import Guard as Limits
from models.checkpoint import Device
from models.detector import Detector, DetectorSettings
from models.method import TemplateName
from stages.likeness import colour, structure
from stages.photo import Face, FaceStatus, Matrix, Photo, Pixels
from stages.stage import each

SURE = 0.95  # a face whose structure is that alike is there and in its place, whatever the detector says
SCALE, SCORE = 128, 0.3  # a crop is searched at this side alone: its one face is there, as large as landmarks are best
STRUCTURE, COLOUR, LANDMARKS = "guard.structure", "guard.colour", "guard.landmarks"
NONE: Mapping[str, TemplateName] = MappingProxyType({})


class Similarity(Protocol):
    """``stages.same_person.SamePerson``, which needs torch."""

    def __call__(self, crop: Pixels, restored: Pixels, cut: TemplateName) -> float: ...


class Guard:
    """Judges every restored face by ``limits``.

    ``detector`` is None where no landmarks can be found again. ``similarity`` compares persons by the network that
    ``limits`` name; ``templates`` says by which template each method's crops are cut.
    """

    name = "guard"

    def __init__(
        self,
        limits: Limits,
        detector: Detector | None,
        similarity: Similarity | None = None,
        templates: Mapping[str, TemplateName] = NONE,
    ) -> None:
        self.limits = limits
        self.detector = detector
        self.similarity = similarity
        self.templates = templates
        self.identity = f"guard.identity.{limits.identity}"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.judge)

    def judge(self, photo: Photo) -> Photo:
        """``photo`` with the figures of its restored faces, and those rejected that are past a limit."""
        return replace(photo, faces=tuple(self.face(face) for face in photo.faces))

    def face(self, face: Face) -> Face:
        if face.status is not FaceStatus.RESTORED or face.crop is None or face.restored is None:
            return face
        figures, reasons = self.compared(face.crop, face.restored, face)
        face = replace(face, figures=face.figures | figures)
        if not reasons:
            return face
        return replace(face, status=FaceStatus.REJECTED, reason="; ".join(reasons), restored=None, mask=None, kept={})

    def compared(self, crop: Pixels, restored: Pixels, face: Face) -> tuple[dict[str, float], list[str]]:
        """The figures of a restored face, and a reason for each limit that it is past."""
        if np.array_equal(crop, restored):
            return {STRUCTURE: 1.0, COLOUR: 0.0}, []
        side = face.side or float(crop.shape[0])
        drift, lost = self.drift(crop, restored, face)
        found = {
            STRUCTURE: structure(crop, restored, side),
            COLOUR: colour(crop, restored, side),
            LANDMARKS: drift,
            self.identity: self.same(crop, restored, face),
        }
        figures = {name: value for name, value in found.items() if value is not None}
        if figures.get(STRUCTURE, 0.0) >= SURE:
            return figures, self.past({name: value for name, value in figures.items() if name != LANDMARKS})
        return figures, [*self.past(figures), *(["no face is found in it any more"] if lost else [])]

    def past(self, figures: Mapping[str, float]) -> list[str]:
        """A reason for each limit that the figures are past."""
        limits = self.limits
        lowest = {STRUCTURE: (limits.structure, "its structure"), self.identity: (limits.similarity, "its identity")}
        highest = {COLOUR: (limits.colour, "its colour"), LANDMARKS: (limits.landmarks, "the drift of its landmarks")}
        under = [
            f"{what} is like the crop's by {figures[name]:.2f} only, less than {limit:g}"
            for name, (limit, what) in lowest.items()
            if name in figures and figures[name] < limit
        ]
        over = [
            f"{what} is {figures[name]:.3g} off, more than {limit:g}"
            for name, (limit, what) in highest.items()
            if name in figures and figures[name] > limit
        ]
        return under + over

    def same(self, crop: Pixels, restored: Pixels, face: Face) -> float | None:
        if self.similarity is None:
            return None
        return self.similarity(crop, restored, self.templates.get(face.method or "", "ffhq"))

    def drift(self, crop: Pixels, restored: Pixels, face: Face) -> tuple[float | None, bool]:
        """How far the landmarks have moved, as a share of the crop's side, and whether the face is lost.

        They are compared with those found alike in the crop, and with the photo's; the smaller drift counts: in a
        degraded crop a detector errs, and for a small face the photo's are coarse. Where no face is found in the crop
        either, one that is lost says nothing.
        """
        if self.detector is None or face.landmarks is None or face.matrix is None:
            return None, False
        expected = face.landmarks @ face.matrix[:, :2].T + face.matrix[:, 2]
        before = nearest(self.detector, crop, expected)
        again = nearest(self.detector, restored, expected)
        if again is None:
            return None, before is not None
        references = [expected] if before is None else [expected, before]
        return min(distance(again, one) for one in references) / len(crop), False


def looking_again(device: Device = "cpu") -> DetectorSettings:
    """The settings of the guard's detector: it sees crops, not photos."""
    return DetectorSettings(SCORE, (SCALE,), device, again=False)


def nearest(detector: Detector, picture: Pixels, expected: Matrix) -> Matrix | None:
    """The landmarks (5, 2) of the face in ``picture`` that is nearest to where one is expected, or None."""
    found = [one.landmarks for one in detector.detect([picture])[0] if one.landmarks is not None]
    return min(found, key=lambda points: distance(points, expected), default=None)


def distance(points: Matrix, others: Matrix) -> float:
    """The root mean square distance of two sets of points (5, 2)."""
    return float(np.sqrt(np.mean(np.sum((points - others) ** 2, axis=1))))
