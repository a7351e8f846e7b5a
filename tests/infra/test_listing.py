"""Listings: every file once, named safely, wanted or not by patterns whose meaning is written down."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import ConfigError, StorageError
from infra.listing import Listing, is_image, path_of, safe_path, sample
from infra.patterns import matches
from infra.storage import Entry, Storage, absolute

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

CLUTTER = [
    ".hidden.jpg",
    ".cache/1.jpg",
    "a/.git/b/1.jpg",
    "@eaDir/1.jpg/thumb.jpg",
    "a/Thumbs.db",
    "a/desktop.ini",
    ".DS_Store",
    "__MACOSX/._1.jpg",
    "__macosx/2.jpg",
]
PHOTOS = ["1.jpg", "a/2.JPG", "a/b/3.tif", "notes.txt"]


@pytest.fixture
def archive(tmp_path: Path) -> str:
    folder = tmp_path / "archive"
    for path in [*PHOTOS, *CLUTTER]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    return absolute(str(folder))


def wanted(listing: Listing) -> list[str]:
    return [entry.path for entry, is_wanted in listing if is_wanted]


class TestFolders:
    def test_clutter_is_passed_over_but_listed(self, archive: str) -> None:
        listing = Listing(Storage(), archive)
        assert listing.kind == "folder"
        assert wanted(listing) == PHOTOS
        assert sorted(entry.path for entry, _ in listing) == sorted(PHOTOS + CLUTTER)

    def test_include_and_exclude(self, archive: str) -> None:
        listing = Listing(Storage(), archive, include=["*.jpg", "*.tif"], exclude=["a/b/"])
        assert wanted(listing) == ["1.jpg", "a/2.JPG"]

    def test_a_prefix_with_keys_that_would_climb(self, object_store: "ObjectStore") -> None:
        place = object_store.bucket({"p/a//1.jpg": b"", "p/a/2.jpg": b"", "p/%2E%2E/3.jpg": b""})
        paths = [entry.path for entry, _ in Listing(Storage(), f"{place}/p")]
        assert paths == ["%252E%2E/3.jpg", "a/%2F/1.jpg", "a/2.jpg"]
        assert object_store.counts["GET"] == 0


class TestOneFile:
    def test_one_file_is_wanted_whatever_it_is_called(self, archive: str) -> None:
        listing = Listing(Storage(), f"{archive}/.hidden.jpg")
        assert listing.kind == "file"
        assert [(entry.path, entry.size) for entry, _ in listing] == [(".hidden.jpg", 11)]
        assert wanted(listing) == [".hidden.jpg"]


class TestLists:
    def test_parquet_with_sizes_and_etags_needs_no_request_for_an_item(
        self, object_store: "ObjectStore", tmp_path: Path
    ) -> None:
        rows = {"uri": ["s3://b/x/1.jpg", "s3://b/2.jpg"], "size": [10, 20], "etag": ['"e"', "f"], "more": [1, 2]}
        pq.write_table(pa.table(rows), tmp_path / "list.parquet")
        listing = Listing(Storage(), str(tmp_path / "list.parquet"), root="s3://b/x")
        assert listing.kind == "list"
        expected = [Entry("s3://b/x/1.jpg", "1.jpg", 10, "e"), Entry("s3://b/2.jpg", "s3/b/2.jpg", 20, "f")]
        assert [entry for entry, _ in listing] == expected
        assert object_store.counts == {}

    def test_csv_facts_that_are_missing_are_looked_up_once(self, object_store: "ObjectStore", tmp_path: Path) -> None:
        place = object_store.bucket({"1.jpg": b"12345", "2.jpg": b"12"})
        (tmp_path / "photo.jpg").write_bytes(b"123")
        lines = ["uri,size,etag", f"{place}/1.jpg,,", f"{place}/2.jpg,7,abc", f"{place}/1.jpg,,", f"{place}/gone.jpg,,"]
        (tmp_path / "list.csv").write_text("\n".join([*lines, f"{tmp_path}/photo.jpg,,"]), encoding="utf-8-sig")
        entries = [entry for entry, _ in Listing(Storage(), str(tmp_path / "list.csv"), root=place)]
        assert [entry.path for entry in entries[:3]] == ["1.jpg", "2.jpg", "gone.jpg"]
        assert entries[3].path == f"file{tmp_path}/photo.jpg"
        assert [entry.size for entry in entries] == [5, 7, None, 3]
        assert object_store.counts == {"HEAD": 2}

    def test_csv_names_that_are_no_utf8_find_their_files(self, tmp_path: Path) -> None:
        photo = os.fsencode(tmp_path) + b"/f\xfcr.jpg"
        Path(os.fsdecode(photo)).write_bytes(b"latin")
        (tmp_path / "list.csv").write_bytes(b"uri\n" + photo + b"\n")
        (entry,) = [entry for entry, _ in Listing(Storage(), str(tmp_path / "list.csv"), root=str(tmp_path))]
        assert (entry.path, Storage().read(entry.uri)) == ("f%FCr.jpg", b"latin")

    def test_patterns_apply_to_lists_but_the_default_ones_do_not(self, tmp_path: Path) -> None:
        (tmp_path / "list.csv").write_text("uri\n/home/.photos/1.jpg\n/home/2.jpg\n")
        assert wanted(Listing(Storage(), str(tmp_path / "list.csv"), exclude=["2.*"])) == ["file/home/.photos/1.jpg"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("uri\nalbums/1.jpg\n", "row 1 of .* is relative: 'albums/1.jpg'"),
            ("uri\n/1.jpg\nC:\\1.jpg\n", "row 2 of .* is relative"),
            ("uri,size\n,3\n", "row 1 of .* has no URI"),
            ("uri,size\n/1.jpg,many\n", "row 1 of .* has a size that is none: 'many'"),
            ("path\n/1.jpg\n", "has no column 'uri'"),
            ("", "has no column 'uri'"),
        ],
    )
    def test_what_is_wrong_with_a_list_is_said(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(StorageError, match=message):
            list(Listing(Storage(), str(tmp_path / "list.csv")))

    def test_a_parquet_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "list.parquet").write_bytes(b"uri")
        with pytest.raises(StorageError, match="is no Parquet file"):
            list(Listing(Storage(), str(tmp_path / "list.parquet")))


class TestNames:
    @pytest.mark.parametrize(
        ("path", "safe"),
        [
            ("a/b.jpg", "a/b.jpg"),
            ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
            ("/a/./b", "%2F/a/%2E/b"),
            ("a//b", "a/%2F/b"),
            ("...", "..."),
            ("%2E%2E/b", "%252E%2E/b"),
            ("%252E", "%25252E"),
            ("caf%C3%A9.jpg", "caf%C3%A9.jpg"),
            ("a\0b", "a%00b"),
        ],
    )
    def test_segments_that_lead_elsewhere_are_escaped(self, path: str, safe: str) -> None:
        assert safe_path(path) == safe

    def test_an_item_is_named_below_the_root_or_by_all_of_its_uri(self) -> None:
        assert path_of("s3://b/x/1.jpg", "s3://b/x") == "1.jpg"
        assert path_of("s3://b/xy/1.jpg", "s3://b/x") == "s3/b/xy/1.jpg"
        assert path_of("s3://b/../1.jpg", None) == "s3/b/%2E%2E/1.jpg"
        assert path_of("file:///a/1.jpg", None) == "file/a/1.jpg"

    def test_images_are_known_by_their_endings(self) -> None:
        assert [is_image(path) for path in ("a/1.JPG", "1.heic", "1.txt", "jpg", ".jpg", "1.jpg.txt")] == [
            *(True, True),
            *(False, False, False, False),
        ]


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "path", "expected"),
        [
            ("*.jpg", "a/b/1.JPG", True),
            ("1.jpg", "11.jpg", False),
            ("a/*.jpg", "a/1.jpg", True),
            ("a/*.jpg", "a/b/1.jpg", False),
            ("a/*.jpg", "x/a/1.jpg", False),
            ("**/a/*.jpg", "a/1.jpg", True),
            ("**/a/*.jpg", "x/y/a/1.jpg", True),
            ("a/**/1.jpg", "a/1.jpg", True),
            ("a/**", "a/b/c.jpg", True),
            ("a/", "a/b/c.jpg", True),
            ("a/", "b/a/c.jpg", False),
            ("/1.jpg", "1.jpg", True),
            ("/1.jpg", "a/1.jpg", False),
            ("[0-3].jpg", "2.jpg", True),
            ("[!0-3].jpg", "2.jpg", False),
            ("a[!0-3]b/1.jpg", "a/b/1.jpg", False),
            ("a+b(?).jpg", "a+b(1).jpg", True),
            ("[a.jpg", "[a.jpg", True),
            ("[].jpg", "[].jpg", True),
        ],
    )
    def test_meaning(self, pattern: str, path: str, expected: bool) -> None:
        assert matches(path, [pattern]) is expected

    def test_a_pattern_that_is_none_is_the_operators_error(self) -> None:
        with pytest.raises(ConfigError, match="is no pattern"):
            matches("a", ["[z-a]"])


def test_a_sample_is_the_same_in_any_order_and_part_of_a_larger_one() -> None:
    entries = [Entry(f"s3://b/{number}.jpg", f"{number}.jpg") for number in range(200)]
    few, many = sample(entries, 5), sample(reversed(entries), 20)
    assert len(few) == 5
    assert set(few) < set(many)
    assert many == sorted(many, key=lambda entry: entry.uri)
    assert {entry.uri for entry in few} != {entry.uri for entry in entries[:5]}


def test_a_prefix_without_anything_is_the_operators_error_and_an_empty_bucket_is_none(
    object_store: "ObjectStore",
) -> None:
    bucket = object_store.bucket()
    assert list(Listing(Storage(), bucket)) == []
    with pytest.raises(StorageError, match="there is nothing at"):
        Listing(Storage(), f"{bucket}/photos").opened()
    with pytest.raises(StorageError, match="there is no bucket"):
        Listing(Storage(), "s3://no-such-bucket-at-all/photos").opened()
