"""The script that blends the weights a training began with and those it ended with."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "blend_weights.py"


def blend(folder: Path, share: float) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(SCRIPT),
        "start.safetensors",
        "end.safetensors",
        "out.safetensors",
        "--start",
        str(share),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_each_weight_is_a_share_of_both_and_new_ones_are_kept(tmp_path: Path) -> None:
    save_file({"weight": torch.tensor([1.0, 2.0]).half()}, tmp_path / "start.safetensors")
    save_file(
        {"weight": torch.tensor([3.0, -2.0]).half(), "later": torch.tensor([5.0]).half()}, tmp_path / "end.safetensors"
    )
    assert blend(tmp_path, 0.25).returncode == 0
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == {"weight", "later"}
    assert found["weight"].dtype == torch.float16
    torch.testing.assert_close(found["weight"].float(), torch.tensor([2.5, -1.0]))
    torch.testing.assert_close(found["later"].float(), torch.tensor([5.0]))


def test_files_of_two_networks_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2), "other": torch.zeros(1)}, tmp_path / "start.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "end.safetensors")
    refused = blend(tmp_path, 0.5)
    assert refused.returncode == 1
    assert "other is not in both" in refused.stderr
    save_file({"weight": torch.zeros(3)}, tmp_path / "start.safetensors")
    assert "weight is not in both, or of another shape" in blend(tmp_path, 0.5).stderr
    assert not (tmp_path / "out.safetensors").exists()
