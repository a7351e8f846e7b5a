"""The index of a large manifest: what is found, what is stale, and how much memory a row takes."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipeline.index import UNKNOWN, Index, keys_of, last_of_each
from pipeline.names import hashed

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def rows(*uris: str, target: str | None = None, sha256: str | None = "a" * 64) -> pa.Table:
    count = len(uris)
    return pa.table(
        {
            "uri": list(uris),
            "size": [1] * count,
            "etag": ["e"] * count,
            "mtime": pa.array([THEN] * count, pa.timestamp("us", "UTC")),
            "sha256": pa.array([sha256] * count, pa.string()),
            "status": ["restored"] * count,
            "fault": pa.nulls(count, pa.string()),
            "target": [target or uri.removeprefix("s3://b/") for uri in uris],
            "has_result": [True] * count,
        }
    )


def index_of(*parts: pa.Table) -> Index:
    index = Index("s3://b/")
    for number, part in enumerate(parts):
        index.add(f"part-{number}", part)
    index.finish()
    return index


def test_rows_are_found_by_their_uris_and_strangers_are_not() -> None:
    index = index_of(rows("s3://b/1.jpg", "s3://b/2.jpg"), rows("s3://b/3.jpg"))
    uris = ["s3://b/3.jpg", "s3://b/1.jpg"]
    at = index.find(keys_of([*uris, "s3://b/0.jpg"])).tolist()
    assert at[2] == UNKNOWN
    known = index.known(at[:2], uris)
    assert [(row.part, row.place, row.target, row.status) for row in known] == [
        ("part-1", 0, "3.jpg", "restored"),
        ("part-0", 0, "1.jpg", "restored"),
    ]
    assert index_of().find(keys_of(uris)).tolist() == [UNKNOWN, UNKNOWN]


def test_the_last_row_of_a_uri_counts_and_the_others_are_stale() -> None:
    old, new = rows("s3://b/1.jpg", "s3://b/2.jpg"), rows("s3://b/2.jpg", "s3://b/2.jpg", sha256="b" * 64)
    index = index_of(old, new)
    assert index.stale == {"part-0": [1], "part-1": [0]}
    (known,) = index.known(index.find(keys_of(["s3://b/2.jpg"])).tolist(), ["s3://b/2.jpg"])
    assert (known.part, known.place, known.sha256) == ("part-1", 1, "b" * 64)


@pytest.mark.parametrize("sha256", [None, "0123456789abcdef" * 4])
def test_what_is_rarely_needed_comes_back_from_the_file(sha256: str | None) -> None:
    uri, target = "s3://b/ordner/ü.jpg", "ordner/ü~01234567.jpg"
    index = index_of(rows("s3://b/1.jpg"), rows(uri, target=target, sha256=sha256))
    (known,) = index.known(index.find(keys_of([uri])).tolist(), [uri])
    assert (known.sha256, known.target) == (sha256, target)


def test_a_sha256_that_is_none_is_a_damaged_part() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        index_of(rows("s3://b/1.jpg", sha256="no hash"))


def test_uris_that_share_one_hash_stay_apart() -> None:
    high = np.array([5, 5, 5, 5, 9], np.uint64)
    low = np.array([1, 2, 1, 3, 1], np.uint64)
    assert last_of_each(high, low).tolist() == [False, True, True, True, True]
    assert last_of_each(high[:0], low[:0]).tolist() == []


def test_a_row_takes_forty_seven_bytes() -> None:
    uris = [f"s3://b/{number}.jpg" for number in range(1000)]
    index = index_of(rows(*uris))
    kept = [
        getattr(index, name) for name in ("high", "low", "etag", "mtime", "target", "status", "fault", "seen", "row")
    ]
    assert sum(column.nbytes for column in kept) == 47 * len(index)
    assert index.has_target(keys_of(["7.jpg", "x.jpg"]).high).tolist() == [True, False]
    assert hashed(uris).size == index.unseen().size == 1000
