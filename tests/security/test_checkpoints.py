"""A checkpoint is data: whatever else is in it never runs, and the refusal is one line."""

import pickle
from pathlib import Path

import pytest
import torch

from infra.config import Config
from infra.weights import WeightStore
from models.checkpoint_file import CheckpointUnreadable
from pipeline import chains, cli
from pipeline.job import make_job

SETTINGS = {"method": "elsface", "aligned": True}


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.witness,)


@pytest.fixture(params=["zip of torch", "torch before 1.6", "bare pickle"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that would like to run, under the name of published weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    content, path = {"state_dict": Hostile(tmp_path / "ran")}, folder / "elsface.pth"
    if request.param == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip of torch")
    monkeypatch.setenv("DAGUERRE_WEIGHTS", str(folder))
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    return path


def test_no_worker_runs_it(hostile: Path, tmp_path: Path) -> None:
    job = make_job(str(tmp_path / "in"), str(tmp_path / "out"), Config.model_validate(SETTINGS))
    with pytest.raises(CheckpointUnreadable, match=r"elsface\.pth") as caught:
        chains.restore(job, "elsface")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_it_is_not_taken_in(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["weights", "add", str(hostile)])
    error = capsys.readouterr().err.splitlines()[0]
    assert code == 2
    assert error == f"error: {hostile} holds no published weights that are known here"
    assert not (tmp_path / "ran").exists()
    assert list(WeightStore.from_environment().cache.glob("*.pth")) == []


def test_a_file_that_was_exchanged_after_it_was_pinned_is_refused(hostile: Path, tmp_path: Path) -> None:
    job = make_job(str(tmp_path / "in"), str(tmp_path / "out"), Config.model_validate(SETTINGS))
    hostile.write_bytes(hostile.read_bytes() + b"more")
    with pytest.raises(RuntimeError, match=r"elsface\.pth on this node is not the file that the recipe names"):
        chains.restore(job, "elsface")
    assert not (tmp_path / "ran").exists()
