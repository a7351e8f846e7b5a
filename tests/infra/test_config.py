"""The config: defaults, and one clear line for what is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.config import Config, load
from infra.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(text)
    return path


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config()


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "seed = 3\n[detect]\nscore = 0.5\nsmallest = 20\n")
    config = load(path, {"detect.score": 0.9})
    assert (config.seed, config.detect.score, config.detect.smallest) == (3, 0.9, 20)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("strenght = 1", "unknown key strenght", "did you mean strength?"),
        ("[detect]\nscroe = 1", "unknown key detect.scroe", "did you mean score?"),
        ("[methods.x]\nmethod = 'a'\nbatchsize = 1", "unknown key methods.x.batchsize", "did you mean batch_size?"),
        ("[[rules]]\nname = 'a'\nuse = 'b'\nsid = 1", "unknown key rules.0.sid", "did you mean side?"),
        ("[run.prepare]\nzzzz = 1", "unknown key run.prepare.zzzz", "known here: cpus, gpus, max_size, min_size"),
        ("[detect]\nscore = 2", "detect.score: Input should be less than or equal to 1", "docs/operations.md"),
        ("detect = 3", "detect: Input should be a valid dictionary", "docs/operations.md"),
        ("[run.finish]\nmin_size = 2", "run.finish: min_size is larger than max_size", "docs/operations.md"),
        ("[methods.x]\nmethod = 'a'\ndevice = 'cuda'", "methods.x: device is cuda, but pool.gpus is 0", ""),
        ("this is no toml", "is not valid TOML", "examples/folder.toml"),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), {"detect.pyramid": [640]})
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*none\.toml"):
        load(tmp_path / "none.toml")


def test_local_places_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(written(tmp_path, 'weights = "w"')).weights == f"file://{tmp_path}/w"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[storage]\nkey = "k"\nsecret = "very secret"\n'))
    assert "very secret" not in repr(config)
    assert "very secret" not in config.model_dump_json()


def test_a_detector_on_a_gpu_asks_for_one() -> None:
    with pytest.raises(ValidationError, match=r"run\.prepare\.gpus is 0"):
        Config.model_validate({"detect": {"device": "cuda"}})
    asked = {"detect": {"device": "cuda"}, "run": {"prepare": {"gpus": 0.5}}}
    assert Config.model_validate(asked).detect.device == "cuda"
