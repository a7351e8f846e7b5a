"""Storage: whole objects or none, few requests, names of all kinds, faults that say what happened."""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from infra import faults
from infra.errors import StorageError
from infra.faults import StorageFault
from infra.local import unfinished
from infra.others import OtherStore
from infra.storage import Storage, StorageOptions, absolute, is_within

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

ODD_NAMES = [
    "with space.jpg",
    "a#b.jpg",
    "50%.jpg",
    "100%25.jpg",
    "%FF.jpg",
    "q?versionId=1.jpg",
    "*.jpg",
    "[a]b.jpg",
    "ä–日本.jpg",
    "a&b+c.jpg",
    "{x},'y\".jpg",
    "..jpg",
    "~.jpg",
]
HANG_BEFORE_PUBLISHING = """
import os, sys, time
from infra.storage import Storage
def hang(handle):
    print("written", flush=True)
    time.sleep(600)
os.fsync = hang
Storage().write(sys.argv[1], b"x" * 1000)
"""


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that take no time."""
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.0)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Somewhere to write: a new folder, a new bucket."""
    if request.param == "folder":
        return absolute(str(tmp_path))
    store: ObjectStore = request.getfixturevalue("object_store")
    return store.bucket()


class TestEverywhere:
    def test_what_was_written_is_read_again(self, storage: Storage, place: str) -> None:
        storage.write(f"{place}/deep/down/photo.jpg", memoryview(b"first"))
        storage.write(f"{place}/deep/down/photo.jpg", b"second")
        assert storage.read(f"{place}/deep/down/photo.jpg", size=6) == b"second"

    def test_names_with_special_characters_are_plain_names(self, storage: Storage, place: str) -> None:
        for name in ODD_NAMES:
            storage.write(f"{place}/odd/{name}", name.encode())
        entries = list(storage.list(f"{place}/odd"))
        assert [entry.path for entry in entries] == sorted(ODD_NAMES)
        assert [storage.read(entry.uri, entry.size).decode() for entry in entries] == sorted(ODD_NAMES)
        assert all(storage.exists(f"{place}/odd/{name}") for name in ODD_NAMES)
        assert not storage.exists(f"{place}/odd/?.jpg")
        storage.delete(f"{place}/odd/*.jpg")
        assert len(list(storage.list(f"{place}/odd"))) == len(ODD_NAMES) - 1

    def test_entries_come_in_the_order_of_their_paths_with_their_facts(self, storage: Storage, place: str) -> None:
        paths = ["a/1.jpg", "a-1.jpg", "a.jpg", "a/b/2.jpg", "B.jpg", ".hidden/3.jpg", "é.jpg"]
        for path in paths:
            storage.write(f"{place}/{path}", path.encode())
        entries = list(storage.list(place))
        assert [entry.path for entry in entries] == sorted(paths)
        assert [entry.uri for entry in entries] == [f"{place}/{path}" for path in sorted(paths)]
        assert [entry.size for entry in entries] == [len(path.encode()) for path in sorted(paths)]
        assert all(abs((datetime.now(UTC) - (entry.mtime or datetime.min)).total_seconds()) < 60 for entry in entries)

    def test_info_of_an_object_a_folder_and_nothing(self, storage: Storage, place: str) -> None:
        storage.write(f"{place}/album/photo.jpg", b"12345")
        entry = storage.info(f"{place}/album/photo.jpg")
        assert entry is not None
        assert (entry.path, entry.size) == ("photo.jpg", 5)
        assert storage.info(f"{place}/album") is None
        assert storage.info(f"{place}/none.jpg") is None
        folders = [storage.is_folder(f"{place}/{path}") for path in ("album", "alb", "album/photo.jpg")]
        assert folders == [True, False, False]

    def test_what_is_not_there_is_not_found_and_not_tried_again(self, storage: Storage, place: str) -> None:
        with pytest.raises(StorageFault) as caught:
            storage.read(f"{place}/none.jpg")
        assert (caught.value.kind, caught.value.attempts) == ("not_found", 1)
        storage.delete(f"{place}/none.jpg")

    @pytest.mark.usefixtures("quick")
    def test_an_object_of_another_size_than_listed_is_a_fault(self, storage: Storage, place: str) -> None:
        storage.write(f"{place}/photo.jpg", b"12345")
        with pytest.raises(StorageFault, match="5 bytes read where the listing says 6") as caught:
            storage.read(f"{place}/photo.jpg", size=6)
        assert (caught.value.kind, caught.value.attempts) == ("storage", 2)

    def test_a_listing_is_never_stale(self, storage: Storage, place: str) -> None:
        assert list(storage.list(place)) == []
        storage.write(f"{place}/new.jpg", b"")
        assert [entry.path for entry in storage.list(place)] == ["new.jpg"]


class TestObjectStore:
    def test_each_operation_is_one_request(self, storage: Storage, object_store: "ObjectStore") -> None:
        place = object_store.bucket()
        storage.write(f"{place}/photo.jpg", b"12345")
        assert object_store.counts == {"PUT": 1}
        storage.read(f"{place}/photo.jpg", 5)
        assert object_store.counts == {"PUT": 1, "GET": 1}
        storage.exists(f"{place}/photo.jpg")
        storage.exists(f"{place}/none.jpg")
        assert object_store.counts == {"PUT": 1, "GET": 1, "HEAD": 2}

    def test_a_listing_asks_once_for_a_thousand_keys(self, storage: Storage, object_store: "ObjectStore") -> None:
        place = object_store.bucket({f"a/{number:04}": b"" for number in range(1001)} | {"a/": b"", "b": b""})
        assert len(list(storage.list(f"{place}/a"))) == 1001
        assert object_store.counts == {"LIST": 2}

    @pytest.mark.usefixtures("quick")
    def test_busy_answers_and_cut_bodies_are_tried_again(self, storage: Storage, object_store: "ObjectStore") -> None:
        bodies = {f"{number}.jpg": os.urandom(2000) for number in range(100)}
        place = object_store.bucket(bodies)
        object_store.busy = object_store.cut = 0.2
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda name: storage.read(f"{place}/{name}"), bodies))
        assert read == list(bodies.values())
        assert object_store.counts["GET"] > 130
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: storage.write(f"{place}/copy/{name}", bodies[name]), bodies))
        assert len(list(storage.list(f"{place}/copy"))) == 100

    @pytest.mark.usefixtures("quick")
    def test_a_body_that_is_always_cut_is_a_fault_after_all_attempts(self, object_store: "ObjectStore") -> None:
        place = object_store.bucket({"photo.jpg": b"x" * 1000})
        object_store.cut = 1.0
        with pytest.raises(StorageFault) as caught:
            Storage(StorageOptions(retries=3)).read(f"{place}/photo.jpg")
        assert (caught.value.kind, caught.value.attempts, object_store.counts["GET"]) == ("storage", 4, 4)

    @pytest.mark.usefixtures("quick")
    def test_an_answer_that_does_not_come_is_a_fault(self, object_store: "ObjectStore") -> None:
        place = object_store.bucket({"photo.jpg": b"x"})
        object_store.delay = 1.0
        with pytest.raises(StorageFault, match="Timeout") as caught:
            Storage(StorageOptions(retries=1, timeout=0.3)).read(f"{place}/photo.jpg")
        assert caught.value.attempts == 2

    def test_options_go_before_the_environment(
        self, object_store: "ObjectStore", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = object_store.bucket({"photo.jpg": b"x"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        options = {"endpoint_url": object_store.url, "key": "k", "secret": "s", "region": "us-east-1"}
        assert Storage(StorageOptions.model_validate(options)).read(f"{place}/photo.jpg") == b"x"

    def test_a_pickled_storage_works_in_a_forked_process(self, storage: Storage, object_store: "ObjectStore") -> None:
        place = object_store.bucket({"photo.jpg": b"x"})
        storage.read(f"{place}/photo.jpg")
        with get_context("fork").Pool(1) as pool:
            assert pool.apply(read_in_child, (storage, f"{place}/photo.jpg")) == [b"x", b"x"]


def read_in_child(storage: Storage, uri: str) -> list[bytes]:
    return [storage.read(uri), pickle.loads(pickle.dumps(storage)).read(uri)]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestFolders:
    def test_a_killed_writer_leaves_nothing_under_the_real_name(self, storage: Storage, tmp_path: Path) -> None:
        root = absolute(str(tmp_path))
        command = [sys.executable, "-c", HANG_BEFORE_PUBLISHING, f"{root}/album/photo.jpg"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            assert storage.sweep(root) == 0
            writer.send_signal(signal.SIGKILL)
        assert len(names_in(tmp_path / "album")) == 1
        assert list(storage.list(root)) == []
        assert storage.sweep(root) == 1
        assert names_in(tmp_path / "album") == []

    def test_sweeping_leaves_other_hosts_and_living_processes_alone(self, storage: Storage, tmp_path: Path) -> None:
        unfinished(tmp_path / "photo.jpg").touch()
        (tmp_path / f".daguerre-elsewhere-999999999-{'0' * 32}.tmp").touch()
        assert storage.sweep(absolute(str(tmp_path))) == 0

    def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
        self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "photo.jpg").write_bytes(b"old")

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFault, match="No space left") as caught:
            storage.write(absolute(str(tmp_path / "photo.jpg")), b"new")
        assert caught.value.attempts == 1
        assert names_in(tmp_path) == ["photo.jpg"]
        assert (tmp_path / "photo.jpg").read_bytes() == b"old"

    def test_names_that_are_no_utf8_are_escaped_and_read_so(self, storage: Storage, tmp_path: Path) -> None:
        folder = os.fsencode(tmp_path) + b"/\xe4lbum 100%"
        Path(os.fsdecode(folder)).mkdir()
        Path(os.fsdecode(folder + b"/f\xfcr\n.jpg")).write_bytes(b"latin")
        Path(os.fsdecode(folder + b"/50%25.jpg")).write_bytes(b"percent")
        entries = list(storage.list(absolute(str(tmp_path))))
        assert [entry.path for entry in entries] == ["%E4lbum 100%25/50%25.jpg", "%E4lbum 100%25/f%FCr\n.jpg"]
        assert [storage.read(entry.uri) for entry in entries] == [b"percent", b"latin"]
        assert absolute(os.fsdecode(folder)) == f"{absolute(str(tmp_path))}/%E4lbum 100%25"

    def test_an_escaped_name_never_stands_for_two_files(self, storage: Storage, tmp_path: Path) -> None:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"byte")
        (tmp_path / "%FF.jpg").write_bytes(b"letters")
        found = {entry.path: storage.read(entry.uri) for entry in storage.list(absolute(str(tmp_path)))}
        assert found == {"%FF.jpg": b"letters", "%FF%2E%6A%70%67": b"byte"}

    def test_links_are_followed_but_not_in_circles(self, storage: Storage, tmp_path: Path) -> None:
        root, other = tmp_path / "root", tmp_path / "other"
        for folder in (root / "a", other):
            folder.mkdir(parents=True)
            (folder / "photo.jpg").touch()
        (root / "a" / "up").symlink_to(root)
        (root / "linked").symlink_to(other)
        (root / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
        os.mkfifo(root / "pipe.jpg")
        entries = list(storage.list(absolute(str(root))))
        assert [entry.path for entry in entries] == ["a/photo.jpg", "linked/photo.jpg", "nowhere.jpg"]
        with pytest.raises(StorageFault, match="No such file"):
            storage.read(entries[-1].uri)
        with pytest.raises(StorageFault, match="this is no file"):
            storage.read(absolute(str(root / "pipe.jpg")))

    def test_a_folder_that_cannot_be_listed_stops_the_listing(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="there is no folder"):
            storage.list(absolute(str(tmp_path / "none")))


class TestOperatorErrors:
    @pytest.mark.parametrize(
        ("location", "message", "hint"),
        [
            ("s3://no-such-bucket/photos", "there is no bucket 'no-such-bucket'", "endpoint"),
            ("gs://bucket/photos", "needs a package", "pip install 'daguerre[gs]'"),
            ("ftp://host/photos", "unknown scheme 'ftp://'", "s3"),
            ("/no/such/folder", "there is no file or folder", ""),
            ("s3:///photos", "names no bucket", ""),
        ],
    )
    @pytest.mark.usefixtures("object_store")
    def test_a_source_that_cannot_be_reached(self, storage: Storage, location: str, message: str, hint: str) -> None:
        with pytest.raises(StorageError, match=message) as caught:
            storage.check_source(absolute(location))
        assert hint in caught.value.hint

    def test_an_empty_prefix_is_no_source_but_a_sink(self, storage: Storage, object_store: "ObjectStore") -> None:
        place = object_store.bucket({"photos/1.jpg": b""})
        storage.check_source(f"{place}/photos")
        storage.check_source(f"{place}/photos/1.jpg")
        storage.check_sink(f"{place}/restored")
        with pytest.raises(StorageError, match="there is nothing"):
            storage.check_source(f"{place}/restored")

    def test_without_credentials_the_hint_names_the_variables(
        self, storage: Storage, object_store: "ObjectStore", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = object_store.bucket()
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(StorageError, match="denied") as caught:
            storage.check_source(place)
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint

    def test_a_store_that_does_not_answer(self) -> None:
        options = StorageOptions(endpoint_url="http://127.0.0.1:1", key="k", secret=None, anonymous=True)
        with pytest.raises(StorageError, match="cannot be reached"):
            Storage(options).check_sink("s3://bucket/restored")

    def test_a_file_is_no_sink(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        storage.check_sink(absolute(str(tmp_path / "new" / "folder")))
        with pytest.raises(StorageError, match="is a file"):
            storage.check_sink(absolute(str(tmp_path / "file" / "below")))


class TestPlaces:
    @pytest.mark.parametrize(
        ("location", "uri"),
        [
            ("/a/b/", "file:///a/b"),
            ("/a/../b c#%.jpg", "file:///b c#%.jpg"),
            ("file:///a//b/", "file:///a/b"),
            ("/", "file:///"),
            ("s3://bucket/prefix/", "s3://bucket/prefix"),
            ("~/photos", f"file://{Path.home()}/photos"),
            ("photos", f"file://{Path.cwd()}/photos"),
            ("C:\\photos", f"file://{Path.cwd()}/C:\\photos"),
        ],
    )
    def test_absolute(self, location: str, uri: str) -> None:
        assert absolute(location) == uri

    def test_a_file_uri_with_a_host_is_refused(self) -> None:
        with pytest.raises(StorageError, match="names a host"):
            absolute("file://photos/1.jpg")

    def test_within_is_by_whole_segments_and_through_links(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "photos")
        assert is_within(f"{tmp_path}/link/restored", f"file://{tmp_path}/photos")
        assert is_within("/a", "/")
        assert is_within("s3a://bucket/a", "s3://bucket")
        assert is_within("s3://bucket/a/", "s3://bucket/a")
        assert not is_within("s3://bucket/ab", "s3://bucket/a")


def test_faults_and_storages_travel_between_processes() -> None:
    fault = pickle.loads(pickle.dumps(StorageFault("denied", "no", 3)))
    assert (fault.kind, fault.message, fault.attempts) == ("denied", "no", 3)
    options: dict[str, Any] = {"key": "k", "secret": "hush", "region": "eu-central-1"}
    storage = pickle.loads(pickle.dumps(Storage(StorageOptions.model_validate(options))))
    assert storage.options == StorageOptions.model_validate(options)
    assert "hush" not in repr(storage.options)


def test_an_error_that_no_store_raises_is_a_bug_and_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        faults.attempt(lambda: 1 // 0, 5)


def test_any_file_system_of_fsspec_is_a_store() -> None:
    store = OtherStore(fsspec.filesystem("memory"), attempts=2)
    for name in ("b.jpg", "a/1.jpg", "a-1.jpg"):
        store.write(f"memory://test-storage/{name}", name.encode())
    entries = list(store.list("memory://test-storage"))
    assert [entry.path for entry in entries] == ["a-1.jpg", "a/1.jpg", "b.jpg"]
    assert [store.read(entry.uri, entry.size) for entry in entries] == [b"a-1.jpg", b"a/1.jpg", b"b.jpg"]
    store.delete(entries[0].uri)
    store.delete(entries[0].uri)
    assert store.info(entries[0].uri) is None
    assert store.is_folder("memory://test-storage/a")
    store.check_source(entries[1].uri)
    with pytest.raises(StorageError, match="there is nothing"):
        store.check_source(entries[0].uri)


def test_attempts_come_from_the_config_then_from_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StorageOptions().attempts == 11
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    assert StorageOptions().attempts == 4
    assert StorageOptions(retries=2).attempts == 3
