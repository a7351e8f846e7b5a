"""The harness of the parity tests, which run once for every case of a method.

A module ``test_<method>.py`` says which cases it knows and takes the fixture ``case``:

    KNOWN = ("unet", "e2e*")

    def test_the_network_computes_what_the_original_computes(case: Case) -> None: ...

The cases are ``DIR/<method>/*.npz`` of ``--cases``, else of ``--kit``. One that no pattern of ``KNOWN`` fits fails, and
so does a pattern that fits no file of the kit. Files that are no cases but belong to some (a mesh) fit ``DATA``.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # --import-mode=importlib leaves kit.py off the path

from kit import Case, case_files, is_known, load_case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case_file" not in metafunc.fixturenames:
        return
    method = Path(str(metafunc.definition.path)).stem.removeprefix("test_")
    kit, cases = _folder(metafunc.config, "--kit"), metafunc.config.getoption("--cases")
    known = getattr(metafunc.module, "KNOWN", ())
    files = case_files(cases / method, ()) if cases else case_files(kit / method, known)
    files = [file for file in files if not is_known(file, getattr(metafunc.module, "DATA", ()))]
    missing = pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"no folder {cases or kit}/{method}"))
    metafunc.parametrize("case_file", [pytest.param(file, id=file.stem) for file in files] or [missing])


@pytest.fixture
def case(case_file: Path, request: pytest.FixtureRequest) -> Case:
    """One case of the method that the module tests."""
    if not is_known(case_file, getattr(request.module, "KNOWN", ())):
        pytest.fail(f"{case_file} is a case that {request.path.name} does not know")
    return load_case(case_file, _folder(request.config, "--kit"))


def _folder(config: pytest.Config, option: str) -> Path:
    return Path(str(config.getoption(option)))
