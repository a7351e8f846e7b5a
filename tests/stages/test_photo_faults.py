"""A photo's fault is a value and costs that photo alone."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import Plain

from infra.storage import Storage, StorageOptions
from stages.codec import Limits
from stages.detect import WholePhoto
from stages.output import Wanted, suffix_of
from stages.photo import Face, FaceStatus, Fault, FaultClass, Output, Photo, PhotoFault, Source, Status
from stages.picture import Edit
from stages.read import Read
from stages.stage import each
from stages.write import Write, conclude, plain_target, target_of, with_hash
from stages.xmp import EditRecord

LIMITS = Limits(10_000, 10_000)


def photo(uri: str = "file:///a.png", **changes: object) -> Photo:
    return Photo(Source(uri, uri.rsplit("/", 1)[1], **changes))  # type: ignore[arg-type]


def changed(photo: Photo) -> Photo:
    """A black photo that became grey."""
    edit = Edit(0, (0, 0, 4, 4), np.full((4, 4, 3), 77, np.uint8), np.ones((4, 4), bool))
    return replace(photo, format="PLAIN", picture=Plain(np.zeros((4, 4, 3), np.uint8)), edits=(edit,))


def write_to(folder: Path, storage: Storage, copy: bool = False) -> Write:
    record = EditRecord("Daguerre", ("m",), "0" * 16)
    return Write(storage, f"file://{folder}", copy, False, lambda photo: record, Wanted())


def test_one_fault_ends_one_photo() -> None:
    def work(one: Photo) -> Photo:
        if one.source.path == "b.png":
            raise PhotoFault(FaultClass.CORRUPT, "no good", 3)
        return replace(one, width=1)

    done = each("step", [photo(), photo("file:///b.png"), photo("file:///c.png")], work)
    assert [one.width for one in done] == [1, None, 1]
    assert done[1].status is Status.FAILED
    assert done[1].fault == Fault("step", FaultClass.CORRUPT, "no good", 3)


def test_a_bug_raises() -> None:
    def bug(one: Photo) -> Photo:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each("step", [photo()], bug)


def test_ended_photos_are_passed_by() -> None:
    ended = photo().failed(Fault("x", FaultClass.EMPTY, ""))
    assert each("step", [ended], lambda one: replace(one, width=1)) == [ended]


def test_faults_travel_between_processes() -> None:
    fault = pickle.loads(pickle.dumps(PhotoFault(FaultClass.STORAGE, "busy", 5)))
    assert (fault.kind, fault.message, fault.attempts) == (FaultClass.STORAGE, "busy", 5)


def test_reading_tells_missing_empty_and_large_files_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "large.png").write_bytes(b"x" * 10_001)
    (tmp_path / "there.png").write_bytes(b"abc")
    names = ["missing.png", "empty.png", "large.png", "there.png"]
    photos = [photo(f"file://{tmp_path}/{name}", size=10_001 if name == "large.png" else None) for name in names]
    read = Read(Storage(StorageOptions(retries=0)), LIMITS)(photos)
    assert [one.fault.kind if one.fault else None for one in read] == [
        FaultClass.NOT_FOUND,
        FaultClass.EMPTY,
        FaultClass.TOO_LARGE,
        None,
    ]
    assert read[3].data is not None
    assert read[3].data.tobytes() == b"abc"
    assert read[3].bytes_read == 3


def test_a_photo_of_unknown_size_is_measured_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(b"x" * 10_001)
    read = Read(Storage(), LIMITS)([photo(f"file://{tmp_path}/large.png")])[0]
    assert read.fault is not None
    assert read.fault.kind is FaultClass.TOO_LARGE


def test_the_names_of_changed_content_are_nobody_elses() -> None:
    assert plain_target("x/a~0a1b2c3d.png") == "x/a%7E0a1b2c3d.png"
    assert plain_target("x/a~0a1b2c3d") == "x/a%7E0a1b2c3d"
    assert [plain_target(path) for path in ("a~b.png", "a~0a1b2c3d/x.png")] == ["a~b.png", "a~0a1b2c3d/x.png"]


def test_known_content_is_renewed_unless_it_is_to_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    uri = f"file://{tmp_path}/a.png"
    renewed, again = Read(Storage(), LIMITS)(
        [photo(uri, previous_sha256=known), photo(uri, previous_sha256=known, retry=True)]
    )
    assert renewed.renewed
    assert renewed.data is None
    assert not again.renewed


def test_an_aligned_photo_must_be_square() -> None:
    done = WholePhoto()([replace(photo(), picture=Plain(np.zeros((4, 5, 3), np.uint8)))])[0]
    assert done.fault is not None
    assert done.fault.kind is FaultClass.WRONG_SIZE


@pytest.mark.parametrize(
    ("faces", "status"),
    [
        ([], Status.NO_FACE),
        ([FaceStatus.LEFT], Status.UNCHANGED),
        ([FaceStatus.LEFT, FaceStatus.RESTORED, FaceStatus.FAILED], Status.RESTORED),
        ([FaceStatus.LEFT, FaceStatus.FAILED], Status.FAILED),
        ([FaceStatus.REJECTED], Status.UNCHANGED),
    ],
)
def test_a_photos_status_follows_from_its_faces(faces: list[FaceStatus], status: Status) -> None:
    made = tuple(Face(index, (0, 0, 1, 1), 1.0, status=face) for index, face in enumerate(faces))
    assert conclude(replace(photo(), faces=made)).status is status


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("albums/12.jpg", "albums/12~0a1b2c3d.jpg"),
        ("a.b/c", "a.b/c~0a1b2c3d"),
        ("x.tar.png", "x.tar~0a1b2c3d.png"),
    ],
)
def test_changed_content_gets_a_name_of_its_own(path: str, named: str) -> None:
    assert with_hash(path, "0a1b2c3d" + "0" * 56) == named


def test_a_result_keeps_its_name_as_long_as_the_content_does() -> None:
    source = Source("file:///a.png", "a.png", previous_sha256="b" * 64, target="a~bbbbbbbb.png")
    assert target_of(Photo(source, sha256="b" * 64)) == "a~bbbbbbbb.png"
    assert target_of(Photo(source, sha256="c" * 64)) == "a~cccccccc.png"
    assert target_of(Photo(replace(source, previous_sha256=None, target="a.png"), sha256="c" * 64)) == "a.png"


def test_a_result_that_cannot_be_stored_fails_that_photo(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("a file where the folder should be")
    source = Source("file:///a.png", "a.png", target="a.png")
    face = Face(0, (0, 0, 1, 1), 1.0, status=FaceStatus.RESTORED)
    done = conclude(changed(Photo(source, sha256="0" * 64, faces=(face,))))
    written = write_to(tmp_path, Storage(StorageOptions(retries=0)))([done])[0]
    assert written.status is Status.FAILED
    assert written.result is None
    assert [one.status for one in written.faces] == [FaceStatus.FAILED]


def test_a_result_holds_what_was_pasted_and_no_time(tmp_path: Path) -> None:
    source = Source("file:///a.png", "x/a.png", target="x/a.png")
    face = Face(0, (0, 0, 1, 1), 1.0, status=FaceStatus.RESTORED)
    done = conclude(changed(Photo(source, sha256="0" * 64, faces=(face,))))
    write = write_to(tmp_path, Storage())
    first, second = write([done])[0], write([done])[0]
    assert first.result_sha256 == second.result_sha256
    assert (tmp_path / "photos/x/a.png").read_bytes() == bytes([77]) * 48
    assert first.output == Output("lossless", "PLAIN")


def test_a_result_of_another_format_gets_its_ending_after_the_photos_own() -> None:
    assert suffix_of(Output("converted", "PNG"), "GIF") == ".png"
    assert suffix_of(Output("dct", "JPEG"), "JPEG") == ""


def test_a_scan_that_is_handed_through_is_copied_only_on_request(tmp_path: Path) -> None:
    fault = Fault("decode", FaultClass.PASSED, "handed through untouched: bilevel")
    source = Source("file:///a.tif", "a.tif", target="a.tif")
    passed = Photo(source, data=np.frombuffer(b"scan", np.uint8), sha256="0" * 64).failed(fault)
    assert passed.status is Status.SKIPPED
    assert write_to(tmp_path, Storage())([passed])[0].result is None
    copied = write_to(tmp_path, Storage(), copy=True)([passed])[0]
    assert (copied.status, copied.fault) == (Status.SKIPPED, fault)
    assert (tmp_path / "photos/a.tif").read_bytes() == b"scan"
