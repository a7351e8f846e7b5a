"""Where photos may be read from: the config says, whoever names them."""

from pathlib import Path

import pytest

from infra.config import Config
from infra.errors import StorageError
from infra.listing import Listing
from infra.sources import Allowed
from infra.storage import Storage, absolute
from pipeline.job import make_job
from tests.object_store import ObjectStore
from tests.pipeline.conftest import in_process, restoring

SECRETS = ["s3://AKIA:hush-hush@bucket/photos", "s3://bucket/a.png?X-Amz-Signature=hush-hush&X-Amz-Expires=9"]


def listed(place: str, uris: list[str], allowed: Allowed) -> list[str]:
    """The items of a CSV list at ``place``."""
    Storage().write(place, "\n".join(["uri", *uris]).encode())
    return [entry.uri for entry, _ in Listing(Storage(), place, allowed=allowed)]


def test_a_list_from_a_store_names_no_files_of_this_machine_unless_allowed(
    tmp_path: Path, object_store: ObjectStore
) -> None:
    (tmp_path / "private.png").write_bytes(b"mine")
    private, place = f"file://{tmp_path}/private.png", f"{object_store.bucket()}/list.csv"
    for uri in (private, str(tmp_path / "private.png"), private.replace("file", "FILE")):
        with pytest.raises(StorageError, match=r"row 1 of 's3://.*' names a file of this machine") as caught:
            listed(place, [uri], Allowed())
        assert "read.local_from_remote = true" in caught.value.hint
    assert listed(place, [private], Allowed(local_from_remote=True)) == [private]
    assert listed(f"file://{tmp_path}/list.csv", [private], Allowed()) == [private]


@pytest.mark.parametrize("uri", ["https://host/a.png", "memory://a.png", "ftp://host/a.png", "gs://bucket/a.png"])
def test_an_item_of_another_scheme_stops_the_run_in_one_line(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"row 1 of .* is not among read\.schemes") as caught:
        listed(f"file://{tmp_path}/list.csv", [uri], Allowed(("s3", "file")))
    assert "\n" not in caught.value.message
    assert caught.value.hint == "allowed: s3://, file://"


def test_the_source_itself_must_have_a_scheme_of_the_config(tmp_path: Path) -> None:
    config = Config.model_validate({"read": {"schemes": ["s3"]}, "detect": {"detector": "cascade"}})
    with pytest.raises(StorageError, match=r"the source is 'file://.*file:// is not among read\.schemes"):
        make_job(str(tmp_path / "in"), str(tmp_path / "out"), config)


def test_a_run_takes_the_schemes_from_its_config(tmp_path: Path, object_store: ObjectStore) -> None:
    place = f"{object_store.bucket()}/list.csv"
    Storage().write(place, b"uri\n/etc/hostname.png\n")
    with pytest.raises(StorageError, match="names a file of this machine"):
        restoring(in_process)(place, tmp_path / "out")


@pytest.mark.parametrize("uri", SECRETS)
@pytest.mark.parametrize("scheme", ["s3", "s3a", "https"])
def test_a_uri_with_a_secret_is_refused_and_not_repeated(uri: str, scheme: str) -> None:
    with pytest.raises(StorageError, match="has a secret in it") as caught:
        absolute(uri.replace("s3://", f"{scheme}://"))
    assert "hush-hush" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("uri", SECRETS)
def test_so_is_an_item_of_a_list(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="has a secret in it") as caught:
        listed(f"file://{tmp_path}/list.csv", [uri], Allowed())
    assert "hush-hush" not in caught.value.message
