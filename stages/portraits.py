"""Aligned faces to train on: crops that are there already, or photos with a list of landmarks."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from infra.errors import ConfigError
from infra.listing import is_image
from infra.patterns import matches
from infra.storage import Storage, join
from stages.geometry import cut, similarity, template
from stages.photo import Matrix, Pixels
from stages.pictures import Pictures

POINTS = ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l")  # the person's right is the picture's left
COLUMNS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")


@dataclass(slots=True)
class Portraits(Pictures):
    """Faces, each (S, S, 3) uint8 RGB of ``side`` pixels.

    With ``points`` (the five landmarks (5, 2) of each) a face is cut from its photo on the FFHQ template; without, an
    image is one aligned face.
    """

    points: dict[str, Matrix] | None = None

    def picture(self, name: str) -> Pixels:
        """Read one face. Raises ``ConfigError`` for an image that is no aligned face, and ``StorageFault``."""
        with Image.open(io.BytesIO(self.storage.read(join(self.source, name)))) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        if self.points is not None:
            return cut(pixels, similarity(self.points[name], template("ffhq", self.side)), self.side)
        if pixels.shape[0] != pixels.shape[1]:
            hint = "give aligned faces, or the landmarks of all with --landmarks FILE.csv"
            raise ConfigError(f"{join(self.source, name)} is no square, so it is no aligned face", hint)
        scale = self.side / pixels.shape[0]
        return cut(pixels, np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]]), self.side)


def portraits(
    storage: Storage, source: str, side: int, landmarks: str | None = None, include: Sequence[str] = ()
) -> Portraits:
    """The faces below ``source``, in the order of their names.

    ``landmarks`` is the URI of a CSV with the columns ``file`` and ``eye_r_x`` to ``mouth_l_y``; images that it does
    not name are passed over. ``include`` are patterns on the paths: ``*.restored.png`` of what ``--keep crops`` stored.
    """
    points = read_landmarks(storage, landmarks) if landmarks else None
    names = [
        entry.path
        for entry in storage.list(source)
        if is_image(entry.path)
        and (points is None or entry.path in points)
        and (not include or matches(entry.path, include))
    ]
    if not names:
        raise ConfigError(f"there are no faces in {source}", "give a folder of aligned faces, or --landmarks FILE.csv")
    return Portraits(storage, source, tuple(sorted(names)), side, points)


def read_landmarks(storage: Storage, uri: str) -> dict[str, Matrix]:
    """The five landmarks (5, 2) of each file that a CSV names."""
    return {name: row.reshape(5, 2) for name, row in read_marks(storage, uri, COLUMNS).items()}


def read_marks(storage: Storage, uri: str, columns: Sequence[str]) -> dict[str, Matrix]:
    """The figures (n,) in ``columns`` of each file that a CSV names."""
    text = storage.read(uri).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    if missing := sorted({"file", *columns} - set(rows.fieldnames or ())):
        raise ConfigError(f"{uri} has no column {missing[0]}", f"it needs: file, {', '.join(columns)}")
    return dict(parsed(uri, rows, columns))


def parsed(uri: str, rows: "csv.DictReader[str]", columns: Sequence[str]) -> Iterator[tuple[str, Matrix]]:
    for row in rows:
        try:
            yield row["file"], np.array([float(row[name]) for name in columns])
        except (TypeError, ValueError):
            hint = f"each line needs: file, {', '.join(columns)}"
            raise ConfigError(f"{uri}: line {rows.line_num} is no row of figures", hint) from None
