"""Options of every test run, and where the files are that the repository does not hold."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.object_store"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--kit", type=Path, default=SHARED / "parity", metavar="DIR", help="the parity kit")
    parser.addoption("--cases", type=Path, metavar="DIR", help="other cases for the kit's tests: DIR/<method>/*.npz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """The folder of downloaded weights: ``DAGUERRE_WEIGHTS``, else ``shared/weights`` beside the repository."""
    folder = os.environ.get("DAGUERRE_WEIGHTS", "")
    local = "" if "://" in folder and not folder.startswith("file://") else folder.removeprefix("file://")
    return Path(local) if local else SHARED / "weights"
