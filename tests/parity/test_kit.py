"""The harness itself: a comparison that never fails would pass every network."""

from pathlib import Path

import numpy as np
import pytest
from kit import case_files, is_known, load_case
from numpy.typing import NDArray

WHOLE = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "method" / "net.npz"
    path.parent.mkdir()
    stored: dict[str, NDArray[np.float32]] = {"input.x": WHOLE, "output.y": WHOLE, "output.thin": WHOLE[..., ::4, ::4]}
    np.savez(path, allow_pickle=False, seed=3, part="net", **{"stride.thin": 4}, **stored)
    return path


def test_a_case_is_read_by_its_prefixes(file: Path) -> None:
    case = load_case(file, file.parents[1])
    assert (case.name, case.method, case.part, case.seed) == ("net", "method", "net", 3)
    assert case.inputs.keys() == {"x"}
    assert case.outputs.keys() == {"y", "thin"}


@pytest.mark.parametrize("name", ["y", "thin"])
def test_the_error_is_relative_and_follows_the_stride(file: Path, name: str) -> None:
    case = load_case(file, file.parents[1])
    assert case.relative_error(name, WHOLE) == 0
    assert case.relative_error(name, WHOLE * np.float32(1.5)) == pytest.approx(0.5)


def test_a_case_that_the_kit_should_hold_is_not_passed_over(file: Path) -> None:
    assert [path.stem for path in case_files(file.parent, ("net", "gone"))] == ["gone", "net"]
    assert case_files(file.parent / "nowhere", ("net",)) == []


def test_patterns_tell_known_cases(file: Path) -> None:
    assert is_known(file, ("ne*",))
    assert not is_known(file, ("net_*",))
