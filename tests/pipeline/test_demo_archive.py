"""The demo's archive: the same every time, its faces where it says, and a gain that is what it claims."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from models.detector import DetectorSettings
from models.detectors import daguerre_d
from models.detectors.cascade import DETECTOR
from pipeline.demo import run
from pipeline.demo_archive import Box, Truth, make_archive
from pipeline.demo_gain import gains, psnr
from pipeline.manifest import SCHEMA

Row = dict[str, Any]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_archive(tmp_path_factory.mktemp("demo"), 1839)


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def manifest(truth: Truth, sink: Path) -> list[Row]:
    """Rows as if every face had been restored to the truth."""
    rows: list[Row] = []
    for photo in truth.photos:
        result = sink / "photos" / Path(photo.path).with_suffix(".png")
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_bytes((truth.truths / photo.truth).read_bytes())
        faces = [{"index": index, "status": "restored", "box": box} for index, box in enumerate(photo.faces)]
        status = "restored" if faces else "no_face"
        rows.append({"path": photo.path, "status": status, "result_uri": f"file://{result}", "faces": faces})
    return rows


def test_shape_of_the_archive(truth: Truth) -> None:
    """Ten to twelve photos of 400 to 900 pixels in folders, JPEG and PNG, alone, in groups and without a face."""
    sizes = [pixels(truth.archive / photo.path).shape for photo in truth.photos]
    assert 10 <= len(sizes) <= 12
    assert all(400 <= side <= 900 for size in sizes for side in size[:2])
    assert {Path(photo.path).suffix for photo in truth.photos} == {".jpg", ".png"}
    assert {len(photo.faces) for photo in truth.photos} >= {0, 1, 2, 3, 4}


def test_truths_lie_outside_the_archive_and_have_its_sizes(truth: Truth) -> None:
    files = [path for path in truth.archive.rglob("*") if path.is_file()]
    assert len(files) == len(truth.photos)
    for photo in truth.photos:
        assert pixels(truth.archive / photo.path).shape == pixels(truth.truths / photo.truth).shape


def test_truth_file_names_every_face(truth: Truth) -> None:
    facts = json.loads((truth.archive.parent / "truth.json").read_text("utf-8"))
    assert [photo["path"] for photo in facts["photos"]] == [photo.path for photo in truth.photos]
    assert sum(len(photo["faces"]) for photo in facts["photos"]) == sum(len(photo.faces) for photo in truth.photos)


def test_same_seed_same_bytes_and_nothing_written_twice(truth: Truth, tmp_path: Path) -> None:
    again = make_archive(tmp_path, 1839)
    for photo in truth.photos:
        assert (again.archive / photo.path).read_bytes() == (truth.archive / photo.path).read_bytes()
    times = [(again.archive / photo.path).stat().st_mtime_ns for photo in again.photos]
    make_archive(tmp_path, 1839)
    assert times == [(again.archive / photo.path).stat().st_mtime_ns for photo in again.photos]


def test_the_demos_detector_finds_exactly_the_faces(truth: Truth) -> None:
    path = daguerre_d.WEIGHTS.place
    assert path is not None
    settings = DetectorSettings(score=0.8, pyramid=(1280, 640, 320, 160))
    detector = daguerre_d.DETECTOR.build({path.name: path}, settings)
    for photo in truth.photos:
        found = detector.detect([pixels(truth.archive / photo.path)])[0]
        assert len(found) == len(photo.faces), photo.path
        assert all(any(within(face, detection.box) for detection in found) for face in photo.faces), photo.path


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_cascade_finds_exactly_the_faces(truth: Truth, every: int) -> None:
    detector = DETECTOR.build({}, DetectorSettings(score=0.8, pyramid=(640,)))
    for photo in truth.photos[::every]:
        found = detector.detect([pixels(truth.archive / photo.path)])[0]
        hits = [any(within(face, detection.box) for detection in found) for face in photo.faces]
        assert len(found) == len(photo.faces), photo.path
        assert all(hits), photo.path


def within(face: Box, box: Box) -> bool:
    """Whether the centre of ``box`` lies in ``face``."""
    x, y = box[0] + box[2] / 2 - face[0], box[1] + box[3] / 2 - face[1]
    return 0 <= x <= face[2] and 0 <= y <= face[3]


def test_gain_of_a_perfect_restoration(truth: Truth, tmp_path: Path) -> None:
    found = gains(truth, manifest(truth, tmp_path))
    assert len(found) == sum(1 for photo in truth.photos if photo.faces)
    assert all(gain.after == pytest.approx(60) and gain.before < 40 for gain in found)


def test_missing_faces_count_as_unchanged_and_are_named(truth: Truth, tmp_path: Path) -> None:
    rows = manifest(truth, tmp_path)
    group = next(row for row in rows if len(row["faces"]) == 3)
    group["faces"][0]["status"] = "left"
    found = {gain.path: gain for gain in gains(truth, [group])}
    assert (found[group["path"]].restored, found[group["path"]].faces) == (2, 3)
    others = [gain for path, gain in found.items() if path != group["path"]]
    assert others
    assert all(gain.decibels == 0 and gain.restored == 0 for gain in others)


def test_psnr_looks_inside_the_ellipse_alone() -> None:
    truth = np.full((40, 40, 3), 0.5)
    outside, inside = truth.copy(), truth.copy()
    outside[:10] = outside[10, 10] = 1.0
    inside[20, 20] = 0.6
    face = (10.0, 10.0, 20.0, 20.0)
    assert psnr(truth, outside, face) == pytest.approx(60)
    assert psnr(truth, inside, face) < 60


@pytest.fixture
def lines(truth: Truth) -> list[str]:
    """What a demo says whose method leaves one photo out and changes one without a face."""

    def restore(source: str, sink: str) -> None:
        assert Path(source) == truth.archive
        rows = manifest(truth, Path(sink))
        rows[0].update(status="unchanged", result_uri=None, faces=[])
        rows[-1].update(status="restored")
        (Path(sink) / "manifest").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), Path(sink) / "manifest" / "part.parquet")

    return list(run(truth.archive.parent, restore).lines())


def test_run_says_what_came_of_it(lines: list[str]) -> None:
    assert "(0 of 1 faces restored)" in lines[1]
    assert "shows no face, but was changed" in lines[-2]
    assert lines[-1].startswith("Mean gain over 9 photos: +")
