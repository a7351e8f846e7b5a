"""Logs: one line a message on stderr, nothing secret in them."""

import json
import logging
from collections.abc import Generator

import pytest
from pydantic import SecretStr

from infra.logs import hide, setup

log = logging.getLogger("infra.somewhere")


@pytest.fixture(autouse=True)
def restored() -> Generator[None, None, None]:
    """The logging of the test run, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name in ("pipeline", "stages", "models", "infra"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_plain_lines_have_time_level_message_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    setup(json_logs=False, verbose=False)
    log.info("photo %d done", 7, extra={"faces": 2})
    log.debug("not shown")
    logging.getLogger("botocore").info("not shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert err[8:] == " info    photo 7 done faces=2\n"


def test_json_lines_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    setup(json_logs=True, verbose=True)
    try:
        raise OSError("gone")
    except OSError:
        log.exception("a\nb", extra={"uri": "s3://b/1.jpg"})
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("error", "infra.somewhere", "a\nb")
    assert line["uri"] == "s3://b/1.jpg"
    assert line["traceback"].endswith("OSError: gone")


def test_a_file_name_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup(json_logs=False, verbose=False)
    log.warning("read %s", "a\n12:00:00 info  all done")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("json_logs", [False, True])
def test_secrets_are_never_shown(
    json_logs: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from/environment")
    setup(json_logs=json_logs, verbose=False, secrets=["from-config", ""])
    url = "https://user:pass-word@host/k?X-Amz-Credential=AKIA%2Fx&X-Amz-Signature=0123abc&part=1"
    try:
        raise ValueError("from-config")
    except ValueError:
        log.exception("%s %s", "from/environment", url, extra={"token": "from-config"})
    shown = capsys.readouterr().err
    assert not any(secret in shown for secret in ("from-config", "from/environment", "pass-word", "AKIA", "0123abc"))
    assert "part=1" in shown


def test_secrets_of_the_config_are_hidden_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    setup(json_logs=False, verbose=False)
    hide(SecretStr("open-sesame"), None)
    logging.getLogger("pipeline.x").info("key open-sesame")
    assert "open-sesame" not in capsys.readouterr().err
