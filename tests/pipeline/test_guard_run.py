"""The guard in a run: a method that lies changes no photo, and the manifest says why."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from models.method import Faces, Restored
from models.methods.classic import Classic
from tests.pipeline.conftest import Restoring


def faces_of(sink: Path) -> list[dict[str, Any]]:
    rows = [row for part in sink.glob("manifest/**/*.parquet") for row in pq.read_table(part).to_pylist()]
    return [face | {"status_of_photo": row["status"]} for row in rows for face in row["faces"] or []]


def results(sink: Path) -> list[Path]:
    return [path for path in sink.glob("photos/**/*") if path.is_file()]


def upside_down(_self: Classic, faces: Faces) -> Restored:
    return Restored(faces.crops.flip(2))


def tinted(_self: Classic, faces: Faces) -> Restored:
    return Restored((faces.crops * torch.tensor([1.25, 1, 0.75]).view(1, 3, 1, 1)).clamp(0, 1))


@pytest.mark.parametrize(("lie", "reason"), [(upside_down, "its structure"), (tinted, "its colour")])
def test_a_lying_method_changes_no_photo(
    archive: Path, tmp_path: Path, run: Restoring, monkeypatch: pytest.MonkeyPatch, lie: Any, reason: str
) -> None:
    monkeypatch.setattr(Classic, "restore", lie)
    run(archive, tmp_path / "out")
    faces = faces_of(tmp_path / "out")
    assert len(faces) >= 2
    for face in faces:
        assert face["status"] == "rejected"
        assert face["status_of_photo"] == "unchanged"
        assert face["reason"].startswith(reason)
        assert {"guard.structure", "guard.colour"} <= dict(face["figures"]).keys()
    assert not results(tmp_path / "out")


def test_the_guard_can_be_switched_off(
    archive: Path, tmp_path: Path, run: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classic, "restore", tinted)
    run(archive, tmp_path / "out", guard={"on": False})
    assert {face["status"] for face in faces_of(tmp_path / "out")} == {"restored"}
    assert results(tmp_path / "out")
    assert all(not face["figures"] for face in faces_of(tmp_path / "out"))


def test_classic_passes_and_its_faces_have_figures(archive: Path, tmp_path: Path, run: Restoring) -> None:
    run(archive, tmp_path / "out", leave={"larger_than": 0, "good": {}})
    faces = faces_of(tmp_path / "out")
    assert {face["status"] for face in faces} == {"restored"}
    assert all(dict(face["figures"])["guard.structure"] > 0.95 for face in faces)
