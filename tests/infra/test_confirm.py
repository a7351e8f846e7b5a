"""A result that the store lost, cut or swapped is found before anybody reads of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.confirm import holds
from infra.storage import Storage
from tests.object_store import ObjectStore

CONTENT = b"a result's bytes"


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return f"file://{tmp_path}"
    store: ObjectStore = request.getfixturevalue("object_store")
    return store.bucket()


def test_what_was_written_is_there(place: str) -> None:
    Storage().write(f"{place}/a", CONTENT)
    assert holds(Storage(), f"{place}/a", CONTENT)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[::-1], lambda data: data + b"1"])
def test_what_was_cut_or_replaced_is_not(place: str, spoil: Callable[[bytes], bytes]) -> None:
    Storage().write(f"{place}/a", spoil(CONTENT))
    assert not holds(Storage(), f"{place}/a", CONTENT)


def test_what_was_lost_is_not(place: str) -> None:
    assert not holds(Storage(), f"{place}/a", CONTENT)


def test_an_etag_that_is_the_md5_saves_the_bytes(object_store: ObjectStore) -> None:
    place = object_store.bucket({"a": CONTENT})
    assert holds(Storage(), f"{place}/a", CONTENT)
    assert dict(object_store.counts) == {"HEAD": 1}
