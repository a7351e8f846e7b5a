"""Weights: found in their places, fetched once, never handed out unless they are what they should be."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import faults
from infra.archives import is_archive, members
from infra.errors import WeightsError
from infra.storage import Storage, StorageOptions
from infra.weights import WeightStore, cache_folder, sha256

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

DATA = b"weights" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass(frozen=True)
class Facts:
    """A published file."""

    name: str = "net.pth"
    url: str | None = None
    size: int | None = len(DATA)
    sha256: str | None = SHA256
    licence: str = "MIT"
    steps: str = ""
    place: Path | None = None


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path / "cache")


@pytest.fixture
def published(object_store: "ObjectStore") -> Facts:
    """A file that can be fetched by URL."""
    return Facts(url=put(object_store, DATA))


def put(object_store: "ObjectStore", data: bytes) -> str:
    bucket = object_store.bucket({"net.pth": data}).removeprefix("s3://")
    return f"{object_store.url}/{bucket}/net.pth"


def left_in(store: WeightStore) -> list[str]:
    return sorted(path.name for path in store.cache.iterdir() if not path.name.endswith(".lock"))


class TestFinding:
    def test_a_folder_of_the_operator_is_used_in_place_and_goes_first(self, tmp_path: Path) -> None:
        for folder in ("own", "cache"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "net.pth").write_bytes(DATA)
        assert WeightStore(tmp_path / "cache", f"file://{tmp_path}/own").find(Facts()) == tmp_path / "own" / "net.pth"
        (tmp_path / "own" / "net.pth").unlink()
        assert WeightStore(tmp_path / "cache", f"file://{tmp_path}/own").find(Facts()) == tmp_path / "cache" / "net.pth"

    def test_a_folder_that_is_not_there_is_an_error(self, store: WeightStore, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="there is no weights folder"):
            WeightStore(store.cache, f"file://{tmp_path}/none").find(Facts())

    def test_a_bucket_is_asked_once_a_node(self, store: WeightStore, object_store: "ObjectStore") -> None:
        bucket = object_store.bucket({"net.pth": DATA})
        from_bucket = pickle.loads(pickle.dumps(WeightStore(store.cache, bucket)))
        assert from_bucket.find(Facts()) == from_bucket.find(Facts()) == store.cache / "net.pth"
        assert object_store.counts == {"GET": 1}
        assert from_bucket.find(Facts("other.pth")) is None

    def test_all_that_is_missing_is_named_in_one_error_with_what_to_do(self, store: WeightStore) -> None:
        files = [Facts("a.pth", url="http://host/a.pth"), Facts("b.pth", steps="open the drive folder")]
        with pytest.raises(WeightsError, match=r"weights are missing: a\.pth, b\.pth") as caught:
            store.require(files)
        for part in ("daguerre weights fetch a.pth", "b.pth: open the drive folder", "DAGUERRE_WEIGHTS"):
            assert part in caught.value.hint

    def test_the_environment_says_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DAGUERRE_WEIGHTS", str(tmp_path))
        monkeypatch.setenv("DAGUERRE_CACHE", str(tmp_path / "c"))
        store = WeightStore.from_environment()
        assert (store.source, store.cache) == (f"file://{tmp_path}", tmp_path / "c" / "weights")
        assert WeightStore.from_environment(source="s3://bucket/w").source == "s3://bucket/w"
        monkeypatch.delenv("DAGUERRE_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
        assert cache_folder() == tmp_path / "x" / "daguerre" / "weights"


class TestPackaged:
    """A file that comes with the package."""

    def test_it_is_taken_from_there_whatever_the_cache_holds(self, store: WeightStore, tmp_path: Path) -> None:
        place = tmp_path / "package" / "net.pth"
        place.parent.mkdir()
        place.write_bytes(DATA)
        store.cache.mkdir()
        (store.cache / "net.pth").write_bytes(b"another file of that name")
        assert store.require([Facts(place=place)]) == {"net.pth": place}
        assert store.verify([Facts(place=place)]) == [("net.pth", "ok")]

    def test_one_that_was_changed_is_never_handed_out(self, store: WeightStore, tmp_path: Path) -> None:
        place = tmp_path / "net.pth"
        place.write_bytes(DATA[:-1])
        with pytest.raises(WeightsError, match="sha256"):
            store.require([Facts(place=place)])


class TestFetching:
    def test_a_file_is_downloaded_once(self, store: WeightStore, published: Facts, object_store: "ObjectStore") -> None:
        assert store.fetch(published).read_bytes() == DATA
        assert store.fetch(published) == store.require([published])["net.pth"]
        assert object_store.counts == {"GET": 1}

    def test_processes_that_race_download_it_once(
        self, store: WeightStore, published: Facts, object_store: "ObjectStore"
    ) -> None:
        object_store.delay = 0.3
        with get_context("fork").Pool(4) as pool:
            paths = pool.starmap(WeightStore.fetch, [(store, published)] * 4)
        assert paths == [store.cache / "net.pth"] * 4
        assert object_store.counts == {"GET": 1}

    def test_bytes_that_were_not_published_are_not_kept(self, store: WeightStore, object_store: "ObjectStore") -> None:
        wrong = b"x" * len(DATA)
        with pytest.raises(WeightsError, match=f"{hashlib.sha256(wrong).hexdigest()}, but {SHA256} was published"):
            store.fetch(Facts(url=put(object_store, wrong)))
        with pytest.raises(WeightsError, match="3 bytes, but 7000 were published"):
            store.fetch(Facts(url=put(object_store, b"abc"), sha256=None))
        assert left_in(store) == []

    def test_a_download_that_is_cut_is_never_taken_for_whole(
        self, store: WeightStore, published: Facts, object_store: "ObjectStore", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(faults, "FIRST_PAUSE", 0.0)
        object_store.cut = 1.0
        with pytest.raises(WeightsError, match="3500 of 7000 bytes") as caught:
            store.fetch(published)
        assert "weights add" in caught.value.hint
        assert (left_in(store), object_store.counts) == ([], {"GET": 4})

    def test_a_url_that_is_gone_is_not_asked_again(self, store: WeightStore, object_store: "ObjectStore") -> None:
        with pytest.raises(WeightsError, match="answered 404"):
            store.fetch(Facts(url=f"{put(object_store, DATA)}.gone"))
        assert object_store.counts == {"GET": 1}

    def test_without_a_network_the_error_says_so(self, store: WeightStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faults, "FIRST_PAUSE", 0.0)
        with pytest.raises(WeightsError, match=r"cannot be downloaded: .*refused"):
            store.fetch(Facts(url="http://127.0.0.1:1/net.pth"))

    def test_a_file_behind_a_browser_prints_the_steps(self, store: WeightStore) -> None:
        with pytest.raises(WeightsError, match="cannot be fetched") as caught:
            store.fetch(Facts(steps="open the drive folder"))
        assert "open the drive folder" in caught.value.hint


class TestChecking:
    def test_a_changed_file_is_never_handed_out(self, store: WeightStore, published: Facts) -> None:
        path = store.fetch(published)
        path.write_bytes(DATA[:-1] + b"!")
        with pytest.raises(WeightsError, match="was published"):
            store.find(published)

    def test_an_unknown_sha256_is_pinned_at_the_first_fetch(
        self, store: WeightStore, object_store: "ObjectStore"
    ) -> None:
        facts = Facts(url=put(object_store, DATA), sha256=None, size=None)
        path = store.fetch(facts)
        assert json.loads((store.cache / "pins.json").read_text()) == {"net.pth": SHA256}
        path.write_bytes(b"something else")
        with pytest.raises(WeightsError, match=f"{SHA256} was pinned") as caught:
            store.find(facts)
        assert "pins.json" in caught.value.hint

    def test_add_takes_the_right_file_and_no_other(self, store: WeightStore, tmp_path: Path) -> None:
        (tmp_path / "downloaded (1).pth").write_bytes(DATA)
        (tmp_path / "other.pth").write_bytes(b"other")
        assert store.add(tmp_path / "downloaded (1).pth", Facts()) == store.find(Facts())
        with pytest.raises(WeightsError, match="was published"):
            store.add(tmp_path / "other.pth", Facts())
        assert store.find(Facts()) == store.cache / "net.pth"

    def test_verify_tells_the_states_apart(self, store: WeightStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(DATA)
        for facts in (Facts("ok.pth"), Facts("pinned.pth", sha256=None), Facts("wrong.pth")):
            store.add(tmp_path / "file", facts)
        (store.cache / "wrong.pth").write_bytes(b"")
        (store.cache / "unknown.pth").write_bytes(DATA)
        files = [Facts(name) for name in ("ok.pth", "wrong.pth", "missing.pth")]
        files += [Facts(name, sha256=None) for name in ("pinned.pth", "unknown.pth")]
        states = [("ok.pth", "ok"), ("wrong.pth", "wrong"), ("missing.pth", "missing")]
        assert store.verify(files) == [*states, ("pinned.pth", "pinned"), ("unknown.pth", "unknown")]

    def test_a_sha256_is_computed_again_only_if_the_file_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(DATA)
        assert sha256(path) == sha256(path) == SHA256
        path.write_bytes(b"")
        assert sha256(path) == hashlib.sha256().hexdigest()


class TestArchives:
    def test_members_come_one_by_one_and_never_outside(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr("../../evil/a.pth", b"a")
            archive.writestr("folder/", b"")
            archive.writestr("C:\\x\\b.pth", b"b")
        seen = [(path.name, path.read_bytes(), path) for path in members(tmp_path / "all.zip")]
        assert [(name, data) for name, data, _ in seen] == [("a.pth", b"a"), ("b.pth", b"b")]
        assert not any(path.exists() for _, _, path in seen)
        assert [path.name for path in tmp_path.iterdir()] == ["all.zip"]

    def test_links_and_devices_in_a_tar_are_passed_over(self, tmp_path: Path) -> None:
        link, device, file = tarfile.TarInfo("link.pth"), tarfile.TarInfo("device"), tarfile.TarInfo("/abs/net.pth")
        link.type, link.linkname, device.type, file.size = tarfile.SYMTYPE, "/etc/passwd", tarfile.CHRTYPE, 3
        with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
            for item, data in ((link, b""), (device, b""), (file, b"abc")):
                archive.addfile(item, io.BytesIO(data))
        assert [(path.name, path.read_bytes()) for path in members(tmp_path / "all.tar.gz")] == [("net.pth", b"abc")]

    def test_what_cannot_be_unpacked_is_said(self, tmp_path: Path) -> None:
        for name in ("broken.zip", "broken.tar"):
            (tmp_path / name).write_bytes(b"no archive")
            with pytest.raises(WeightsError, match="cannot be unpacked"):
                list(members(tmp_path / name))

    def test_archives_are_known_by_their_names(self) -> None:
        names = ["a.zip", "a.TAR.GZ", "a.tgz", "a.pth", "a.safetensors"]
        assert [is_archive(Path(name)) for name in names] == [True, True, True, False, False]


def test_a_bucket_that_cannot_be_reached_is_an_error(store: WeightStore) -> None:
    nowhere = Storage(StorageOptions(endpoint_url="http://127.0.0.1:1", anonymous=True, retries=0))
    with pytest.raises(WeightsError, match="cannot be read"):
        WeightStore(store.cache, "s3://bucket/weights", nowhere).find(Facts())
