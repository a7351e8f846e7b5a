"""``daguerre export``: read back by the libraries that it is for, the same bytes each time, copies kept together."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.config import Config
from infra.errors import ConfigError
from infra.storage import Storage
from pipeline.cli import run as daguerre
from pipeline.export.export import export
from pipeline.export.settings import Settings, splits_of
from pipeline.export.workplace import Workplace
from stages.geometry import template
from tests.pipeline.conftest import in_process, restoring

PHOTOS = 12
SIDE = 128
METHODS = {"classic": {"method": "classic", "parameters": {"size": SIDE}}}


def scene(seed: int) -> Image.Image:
    """A photo of 360 x 200 pixels like no other: clouds of colour, with grain."""
    rng = np.random.default_rng(seed)
    clouds = Image.fromarray(rng.integers(0, 256, (10, 18, 3), np.uint8)).resize((360, 200), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(clouds) + rng.normal(0, 8, (200, 360, 3))).clip(0, 255).astype(np.uint8))


def landmarks(path: str, scale: float = 1.0) -> list[str]:
    """Two faces of 128 pixels, for the list of landmarks."""
    faces = [template("ffhq", 128) + [left, 40] for left in (20, 210)]
    return [",".join([path, *(f"{value * scale:.3f}" for value in face.ravel())]) for face in faces]


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos with two faces each, and a smaller copy of the first one; crops kept. Nobody may change it."""
    tmp_path = tmp_path_factory.mktemp("exported")
    (tmp_path / "archive" / "albums").mkdir(parents=True)
    rows = ["path," + ",".join(f"{axis}{point}" for point in range(1, 6) for axis in "xy")]
    for number in range(PHOTOS):
        name = f"albums/{number:02}.png"
        scene(number).save(tmp_path / "archive" / name)
        rows += landmarks(name)
    scene(0).resize((270, 150), Image.Resampling.LANCZOS).save(tmp_path / "archive" / "copy.jpg", quality=80)
    rows += landmarks("copy.jpg", 0.75)
    (tmp_path / "landmarks.csv").write_text("\n".join(rows) + "\n")
    restoring(in_process)(
        tmp_path / "archive",
        tmp_path / "sink",
        methods=METHODS,
        landmarks=f"file://{tmp_path}/landmarks.csv",
        guard={"on": False},
        write={"keep": ["crops"]},
        run={"batch": 4, "part_rows": 5},
    )
    return tmp_path / "sink"


@pytest.fixture
def own_sink(sink: Path, tmp_path: Path) -> Path:
    """A sink that the test may change. Its rows name the photos and results of the other one."""
    shutil.copytree(sink, tmp_path / "sink")
    return tmp_path / "sink"


def exported(sink: Path, out: Path, **settings: Any) -> dict[str, Any]:
    given = {"shard_faces": 5} | settings
    return export(Config(), f"file://{sink}", f"file://{out}", Settings.model_validate(given), workers=1)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def asked(query: str) -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(query).fetchall()


def index(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "index.parquet").to_pylist()


def test_webdataset_reads_pairs_back_as_the_run_stored_them(sink: Path, tmp_path: Path) -> None:
    from webdataset.compat import WebDataset

    record = exported(sink, tmp_path / "out")
    urls = sorted(str(path) for path in (tmp_path / "out" / "data").glob("*.tar"))
    samples = list(WebDataset(urls, shardshuffle=False))
    assert len(samples) == record["counts"]["exported"] == 2 * PHOTOS
    for sample in samples:
        facts = json.loads(sample["json"])
        base = sink / "crops" / f"{facts['path']}.{facts['face']}"
        assert sample["input.png"] == Path(f"{base}.input.png").read_bytes()
        assert sample["restored.png"] == Path(f"{base}.restored.png").read_bytes()


def test_datasets_reads_degraded_faces_back_with_their_splits(
    sink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    import datasets

    record = exported(sink, tmp_path / "out", what="degraded", format="huggingface", size=96, degradation="mild")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {
        name: count for name, count in record["splits"].items() if count
    }
    first = found["train"][0]
    clean, degraded = (np.asarray(first[name], float) for name in ("clean", "degraded"))
    assert clean.shape == degraded.shape == (96, 96, 3)
    assert 1 < np.abs(clean - degraded).mean() < 40
    assert first["degradation"] == "mild"


def test_duckdb_reads_aligned_faces_back_that_sql_chose(sink: Path, tmp_path: Path) -> None:
    where = "photo.path LIKE 'albums/%' AND face.index = 1"
    exported(sink, tmp_path / "out", what="aligned", format="parquet", where=where, size=128)
    rows = asked(f"SELECT path, face, image FROM '{tmp_path}/out/data/*.parquet'")
    assert sorted(row[:2] for row in rows) == [(f"albums/{number:02}.png", 1) for number in range(PHOTOS)]
    photo = np.asarray(scene(int(rows[0][0][7:9])), float)[40:168, 210:338]
    assert np.abs(np.asarray(Image.open(io.BytesIO(rows[0][2])), float) - photo).mean() < 2


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "huggingface"])
def test_the_same_command_gives_the_same_bytes(kind: str, sink: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        exported(sink, tmp_path / out, format=kind, what="degraded", size=32)
    assert files(tmp_path / "one") == files(tmp_path / "two")


class Stopped(BaseException):
    """In place of a kill."""


@pytest.mark.parametrize("writes", [1, 2, 4, 7, 12])
def test_an_export_that_is_killed_goes_on_to_the_same_bytes(
    writes: int, sink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(sink, tmp_path / "whole")
    left, write = [writes], Storage.write

    def dying(storage: Storage, uri: str, data: bytes | memoryview) -> None:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        write(storage, uri, data)

    monkeypatch.setattr(Storage, "write", dying)
    with pytest.raises(Stopped):
        exported(sink, tmp_path / "killed")
    monkeypatch.setattr(Storage, "write", write)
    done = [name for name in files(tmp_path / "killed") if name.startswith("data/")]
    written: list[str] = []
    monkeypatch.setattr(
        Workplace, "keep_shard", lambda self, name, *rest: written.append(name) or KEEP(self, name, *rest)
    )
    exported(sink, tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(set(written) & set(done)) <= 1  # the one whose note was not there yet


KEEP = Workplace.keep_shard


def test_no_photo_and_no_copy_stands_in_two_splits_or_twice(sink: Path, tmp_path: Path) -> None:
    for seed in range(5):
        out = tmp_path / str(seed)
        exported(sink, out, seed=seed, splits=splits_of("a=0.4,b=0.3,c=0.3"))
        rows = index(out)
        splits: dict[str, set[str]] = {}
        for row in rows:
            name = "00.png" if row["uri"].endswith("copy.jpg") else row["uri"]
            splits.setdefault(name[-6:], set()).add(row["split"])
        assert len(splits) == PHOTOS
        assert {len(found) for found in splits.values()} == {1}
        assert len({next(iter(found)) for found in splits.values()}) > 1
        dropped = [row for row in rows if row["left_out"]]
        assert [row["uri"][-8:] for row in dropped] == ["copy.jpg"] * 2


def test_photos_that_changed_or_went_are_left_out_with_the_reason(
    sink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Storage.read

    def changed(storage: Storage, uri: str, size: int | None = None) -> bytes:
        if uri.endswith("03.png"):
            return read(storage, uri.replace("03.png", "05.png"))
        return read(storage, uri.replace("archive/albums/04.png", "archive/albums/gone.png"), size)

    monkeypatch.setattr(Storage, "read", changed)
    record = exported(sink, tmp_path / "out", what="aligned", size=256, where="photo.path LIKE 'albums/%'")
    lost = {row["uri"][-6:] for row in index(tmp_path / "out") if row["left_out"]}
    assert lost == {"03.png", "04.png"}
    assert record["left_out"] == {"photo not as its row says": 4}
    assert "| photo not as its row says | 4 |" in (tmp_path / "out" / "README.md").read_text()


def test_pairs_are_cut_once_more_where_no_crops_were_kept(sink: Path, own_sink: Path, tmp_path: Path) -> None:
    stored = exported(sink, tmp_path / "stored", format="parquet")
    shutil.rmtree(own_sink / "crops")
    again = exported(own_sink, tmp_path / "again", format="parquet")
    assert stored["counts"] == again["counts"]
    query = "SELECT key, input, restored FROM '{}/data/*.parquet' ORDER BY key"
    pairs = [asked(query.format(tmp_path / name)) for name in ("stored", "again")]
    for one, other in zip(*pairs, strict=True):
        assert one[0] == other[0]
        first, second = (np.asarray(Image.open(io.BytesIO(row[1]))) for row in (one, other))
        assert np.array_equal(first, second)


def test_the_card_says_what_is_in_it_and_under_which_licences(sink: Path, tmp_path: Path) -> None:
    exported(sink, tmp_path / "out", licence="public domain", where="face.index = 0")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| in the manifest (13 photos) | 26 |" in card
    assert "| let through by the filter `face.index = 0` | 13 |" in card
    assert "| duplicate | 1 |" in card
    assert "- Photos: public domain" in card
    assert "- Restored by `classic` (classic), weights: none (no weights)" in card


def test_what_the_operator_must_put_right_is_one_line(
    sink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    cases = {
        ("--where", "face.sid > 3"): 'Could not find key "sid"',
        ("--where", "1) OR (SELECT true FROM '/etc/passwd'"): "--where",
        ("--where", "face.side > 10000"): "no face is left",
        ("--splits", "train=0.5"): "sum to 1",
        ("--degradation", "rust"): "there is no degradation rust",
        ("--size", "7"): "--size",
        ("--workers", "0"): "--workers",
    }
    for options, text in cases.items():
        assert daguerre(["export", str(sink), out, *options]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith("error: ")
        assert text in said[0]


def test_a_folder_with_something_else_in_it_is_refused(sink: Path, tmp_path: Path) -> None:
    exported(sink, tmp_path / "out")
    before = files(tmp_path / "out")
    exported(sink, tmp_path / "out")
    with pytest.raises(ConfigError, match="another export"):
        exported(sink, tmp_path / "out", seed=1)
    assert files(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        exported(sink, tmp_path / "other")
