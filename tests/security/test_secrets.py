"""Credentials stay where they were given: not in logs, rows, recipes, run records, reports or errors."""

import json
import logging
from pathlib import Path

import pytest

from infra.config import load
from infra.download import download
from infra.errors import OperatorError, WeightsError
from infra.faults import StorageFault
from infra.logs import setup
from infra.storage import Storage, StorageOptions
from pipeline import cli
from pipeline.reporting import write_for
from tests.object_store import ObjectStore
from tests.pipeline.conftest import in_process, portrait, restoring

SECRET, TOKEN, PASSWORD = "open-sesame-secret", "open-sesame-token", "open-sesame-password"
ALIGNED = {
    "aligned": True,
    "method": "classic",
    "methods": {"classic": {"method": "classic", "parameters": {"size": 64}}},
}


def test_nothing_that_a_run_writes_holds_a_credential(
    tmp_path: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source, sink = object_store.bucket(), f"{object_store.bucket()}/sink"
    portrait(64, 1).save(tmp_path / "a.png")
    Storage().write(f"{source}/a.png", (tmp_path / "a.png").read_bytes())
    Storage().write(f"{source}/broken.png", b"no photo")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    access = {"endpoint_url": object_store.url, "key": "AKIA-of-nobody", "secret": SECRET, "token": TOKEN}
    outcome = restoring(in_process)(source, sink, storage=access, **ALIGNED)
    storage = Storage(StorageOptions.model_validate(access))
    write_for(storage, sink, sink)
    stored = {entry.path: storage.read(entry.uri) for entry in storage.list(sink)}
    assert {path.split("/")[0] for path in stored} >= {"photos", "manifest", "runs", "report.html", "report.csv"}
    said = "".join(capfd.readouterr()).encode()
    for secret in (SECRET, TOKEN):
        assert [path for path, content in stored.items() if secret.encode() in content] == []
        assert secret not in outcome.job.recipe.model_dump_json() + repr(outcome.job) + said.decode()


@pytest.mark.parametrize("json_logs", [False, True])
def test_a_store_that_cannot_be_reached_is_named_without_its_password(
    json_logs: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    config = tmp_path / "job.toml"
    config.write_text(
        f'[storage]\nendpoint_url = "http://somebody:{PASSWORD}@127.0.0.1:1"\nretries = 0\nkey = "AKIA"\n'
        f'secret = "{SECRET}"\n'
    )
    try:
        code = cli.run(
            [*(["--json-logs"] if json_logs else []), "-v", "restore", "s3://bucket/a", str(tmp_path / "out")]
            + ["--config", str(config), "--detector", "cascade"]
        )
    finally:
        logging.getLogger().handlers = handlers
        logging.getLogger().setLevel(level)
    said = "".join(capfd.readouterr())
    assert code == 2
    assert "cannot be reached" in said
    assert PASSWORD not in said
    assert SECRET not in said


def test_a_photos_fault_has_no_password(tmp_path: Path) -> None:
    options = StorageOptions(endpoint_url=f"http://somebody:{PASSWORD}@127.0.0.1:1", retries=0, anonymous=True)
    with pytest.raises(StorageFault) as caught:
        Storage(options).read("s3://bucket/a.png")
    assert "127.0.0.1" in caught.value.message
    assert PASSWORD not in caught.value.message


def test_a_download_that_fails_is_named_without_its_signature(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:1/yunet.onnx?X-Amz-Credential={SECRET}&X-Amz-Signature={PASSWORD}"
    with pytest.raises(WeightsError) as caught:
        download(url, tmp_path / "yunet.onnx")
    said = caught.value.message + caught.value.hint
    assert "127.0.0.1:1/yunet.onnx" in said
    assert PASSWORD not in said
    assert SECRET not in said


def test_a_wrong_config_is_explained_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(f'[storage]\nsecret = "{SECRET}"\ntoken = "{TOKEN}"\nretries = "{PASSWORD}"\n')
    with pytest.raises(OperatorError) as caught:
        load(path)
    assert "storage.retries" in caught.value.message
    assert all(word not in caught.value.message + caught.value.hint for word in (SECRET, TOKEN, PASSWORD))


def test_retries_are_told_without_secrets(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    options = StorageOptions(endpoint_url=f"http://somebody:{PASSWORD}@127.0.0.1:1", retries=1, anonymous=True)
    monkeypatch.setattr("infra.faults.FIRST_PAUSE", 0.0)
    try:
        setup(json_logs=True, verbose=True)
        with pytest.raises(StorageFault):
            Storage(options).read("s3://bucket/a.png")
    finally:
        logging.getLogger().handlers = handlers
        logging.getLogger().setLevel(level)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "attempt 1 failed" in line]
    assert len(lines) == 1
    assert PASSWORD not in str(lines)
