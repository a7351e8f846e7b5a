"""The command line as people and schedulers meet it: lines, hints and exit codes."""

import logging
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands.archive import exit_of, summary
from pipeline.exits import BUG, OK, OPERATOR, SOME_FAILED, STOPPED
from pipeline.isolation.faults import OurFault
from pipeline.record import Outcome

Restoring = Callable[..., Outcome]
CONFIG = 'method = "classic"\n[detect]\ndetector = "cascade"\n[leave.good]\n'


@pytest.fixture(autouse=True)
def logging_restored() -> Generator[None]:
    """The command line sends all logs to the stderr of its test: put the handlers back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["restore", "IN"], "error: Command", "hint: daguerre --help"),
        (["restor"], 'error: Unknown command "restor"', "hint: daguerre --help"),
        (["restore", "IN", "OUT", "--scor", "1"], "error: Unknown option: --scor", "Did you mean --score?"),
        (["restore", "IN/none", "OUT"], "error: there is no file or folder", ""),
        (["restore", "IN", "IN/out"], "error: source and sink overlap", "hint: choose a sink outside of the source"),
        (["restore", "IN", "OUT", "--config", "none.toml"], "error: cannot read the config none.toml", "hint: check"),
        (["restore", "IN", "OUT", "--method", "clasic"], "error: there is no method clasic", "hint: known: classic"),
        (["restore", "IN", "OUT", "--retry", "bad"], "error: --retry: there is no failure class bad", "hint: known: "),
        (["plan", "IN", "OUT", "--limit", "0"], "error: --limit 0: must be at least 1", "hint: leave it out"),
        (
            ["restore", "IN", "OUT", "--detector", "yunet"],
            "error: weights are missing: yunet_n",
            "hint: daguerre weights fetch yunet_n",
        ),
        (["restore", "ftq://x", "OUT"], "error:", "hint:"),
        (["status", "OUT"], "error:", "hint: give the sink"),
        (["weights", "fetch", "none.pth"], "error: there is no weights file none.pth", "hint: known: "),
        (["weights", "add", "none.pth"], "error: there is no file none.pth", "hint: check the path"),
    ],
)
def test_what_the_operator_must_put_right_is_one_line_and_a_hint(
    arguments: list[str],
    error: str,
    hint: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DAGUERRE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    places = [word.replace("IN", str(archive)).replace("OUT", str(tmp_path / "out")) for word in arguments]
    assert cli.run(places) == OPERATOR
    printed = capsys.readouterr()
    assert printed.out == "" or arguments[0] == "plan"
    lines = printed.err.splitlines()
    assert lines[0].startswith(error)
    assert not lines[0].endswith(".")
    assert hint in printed.err
    assert "Traceback" not in printed.err


def test_a_plan_tells_photos_methods_pools_and_weights_and_writes_nothing(
    archive: Path, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["plan", str(archive), str(tmp_path / "out"), "--config", str(config)]) == OK
    printed = capsys.readouterr().out
    assert "7 listed, 0 done, 1 not photos, 6 to do" in printed
    assert "method   classic: classic at 512 px" in printed
    assert "weights  none needed" in printed
    assert "pool     restore classic: 1 x 0.25 CPU" in printed
    assert not (tmp_path / "out").exists()


def test_a_plan_names_missing_weights_and_refuses(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGUERRE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    assert cli.run(["plan", str(archive), str(tmp_path / "out"), "--detector", "yunet"]) == OPERATOR
    printed = capsys.readouterr()
    assert "weights  yunet_n_640_640.onnx missing" in printed.out
    assert "error: weights are missing" in printed.err


def test_a_plan_refuses_what_does_not_fit(
    archive: Path, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + "[run]\ncpus = 1\n[run.finish]\ncpus = 0.6\n")
    assert cli.run(["plan", str(archive), str(tmp_path / "out"), "--config", str(config)]) == OPERATOR
    assert "the job needs 1.1 CPUs, the cluster has 1" in capsys.readouterr().err


def test_a_finished_sink_needs_no_ray_and_status_adds_up(
    archive: Path, tmp_path: Path, config: Path, run: Restoring, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(archive, tmp_path / "out")
    capsys.readouterr()
    assert cli.run(["restore", str(archive), str(tmp_path / "out"), "--config", str(config)]) == OK
    printed = capsys.readouterr().out
    assert "7 listed = 2 restored + 0 unchanged + 1 no_face + 2 failed + 2 skipped" in printed
    assert "0 worked on now, 7 done before, 0 bytes read" in printed
    assert cli.run(["status", str(tmp_path / "out")]) == OK
    printed = capsys.readouterr().out
    assert "7 photos: 2 failed, 1 no_face, 2 restored, 2 skipped" in printed
    assert f"run {outcome.job.run_id}: finished" in printed


def test_exit_codes_tell_failed_photos_and_a_stopped_run_apart(
    archive: Path, tmp_path: Path, run: Restoring, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(archive, tmp_path / "out")
    assert exit_of(outcome) == SOME_FAILED
    assert "failed: 1 truncated" in summary(outcome)
    outcome.state = "stopped"
    assert exit_of(outcome) == STOPPED
    outcome.state = "interrupted"
    with pytest.raises(KeyboardInterrupt):
        exit_of(outcome)


def test_our_own_fault_is_one_line_and_its_traceback_a_matter_of_verbose(
    archive: Path, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object, share: object, take_over: bool) -> Outcome:
        raise OurFault("ZeroDivisionError: a bug (stages/paste.py:61)", "Traceback ...")

    monkeypatch.setattr("pipeline.run.restore", broken)
    command = ["restore", str(archive), str(tmp_path / "out"), "--config", str(config)]
    assert cli.run(command) == BUG
    printed = capsys.readouterr().err
    assert printed.splitlines()[0] == "error: ZeroDivisionError: a bug (stages/paste.py:61)"
    assert "Traceback" not in printed
    assert cli.run([*command, "--verbose"]) == BUG
    assert "Traceback ..." in capsys.readouterr().err


def test_methods_are_listed_with_papers_and_licences(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods"]) == OK
    printed = capsys.readouterr().out
    assert "classic: " in printed
    assert "commercial use allowed" in printed
    assert cli.run(["methods", "--commercial"]) == OK
    assert "classic: " in capsys.readouterr().out


def test_weights_are_added_by_what_they_are(
    weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import zipfile

    file = weights_folder / "yunet_n_640_640.onnx"
    if not file.is_file():
        # The weights are not in the repository: an outsider's clone has none, and no network to fetch them.
        pytest.skip("no YuNet weights here: set DAGUERRE_WEIGHTS")
    monkeypatch.delenv("DAGUERRE_WEIGHTS", raising=False)
    monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "several.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(file, "deep/renamed.onnx")
        packed.writestr("readme.txt", "hello")
    assert cli.run(["weights", "add", str(archive)]) == OK
    assert "renamed.onnx: yunet_n_640_640.onnx -> " in capsys.readouterr().out
    assert cli.run(["weights", "verify"]) == OK
    assert "yunet_n_640_640.onnx: ok" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == OK
    printed = capsys.readouterr().out
    for command in ("restore", "plan", "status", "report", "methods", "weights", "demo"):
        assert command in printed
