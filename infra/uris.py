"""Names of things in stores: plain paths, ``file://`` and other URIs.

Local URIs are unescaped, as people write paths: ``file:///photos/50% #1?.jpg`` is the file ``/photos/50% #1?.jpg``.
Only in a name that is not valid UTF-8 the odd bytes, and "%" itself, become ``%XX``. ``local_path`` takes a name as it
stands where there is such a file, and unescapes it otherwise.
"""

import errno
import os
import re
from functools import reduce
from pathlib import Path

from infra.errors import StorageError

FILE = "file://"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
ESCAPE = re.compile(rb"%([0-9A-F]{2})")
SIGNED = re.compile(
    r"\b(X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|Signature|AWSAccessKeyId|sig)"
    r"=[^&\s\"']+",
    re.IGNORECASE,
)
USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
HIDDEN = "***"


def scheme_of(uri: str) -> str:
    """The URI's scheme, lower case, aliases resolved; "file" for plain paths. A drive letter is no scheme."""
    match = SCHEME.match(uri)
    name = match.group(1).lower() if match else "file"
    return ALIASES.get(name, name)


def absolute(location: str) -> str:
    """A plain path or ``file://`` URI as an absolute ``file://`` URI; other URIs as they are; no trailing slash."""
    match = SCHEME.match(location)
    if match and scheme_of(location) != "file":
        check_open(location)
        return match.group() + location[match.end() :].rstrip("/")
    path = location[match.end() :] if match else _at_home(location)
    if match and not path.startswith("/"):
        raise StorageError(f"'{location}' names a host", "a file URI has three slashes: file:///folder/photo.jpg")
    return file_uri("/" + os.path.normpath(Path.cwd() / path).lstrip("/"))


def _at_home(path: str) -> str:
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def without_secrets(text: str) -> str:
    """``text`` without the passwords in its URIs and the signatures of its signed ones."""
    return USERINFO.sub(rf"\1{HIDDEN}@", SIGNED.sub(rf"\1={HIDDEN}", text))


def check_open(uri: str) -> None:
    """Refuse a URI that carries a password or a signature: it would stand in every row, record and log."""
    place, _, query = uri.partition("?")
    if USERINFO.search(place) or SIGNED.search(query):
        raise StorageError(
            f"'{without_secrets(uri)}' has a secret in it",
            "give the plain URI; keys belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or [storage]",
        )


def join(root: str, path: str) -> str:
    """The URI of ``path`` below ``root``."""
    return root + path if root.endswith("/") else f"{root}/{path}"


def name_of(uri: str) -> str:
    """The last segment."""
    return uri.rstrip("/").rpartition("/")[2]


def is_within(uri: str, root: str) -> bool:
    """Whether ``uri`` is ``root`` or below it; for local ones after resolving symlinks."""
    inner, outer = canonical(uri), canonical(root)
    return inner == outer or inner.startswith(join(outer, ""))


def canonical(uri: str) -> str:
    """One spelling for each place."""
    uri = absolute(uri)
    if scheme_of(uri) == "file":
        return file_uri(str(local_path(uri).resolve()))
    return f"{scheme_of(uri)}://{SCHEME.sub('', uri, count=1)}"


def file_uri(path: str) -> str:
    """The URI of an absolute local path (as the system gives it: undecodable bytes as surrogates)."""
    return FILE + "/".join(escape(part) for part in path.split("/"))


def escape(name: str) -> str:
    """``name`` itself if it can be written down, else with its odd bytes and "%" escaped."""
    try:
        name.encode()
    except UnicodeEncodeError:
        odd = name.replace("%", "%25")
        return "".join(f"%{ord(letter) - 0xDC00:02X}" if "\udc80" <= letter <= "\udcff" else letter for letter in odd)
    return name


def escape_wholly(name: str) -> str:
    """Every byte of ``name`` escaped: the spelling for an undecodable name whose usual one is another file's name."""
    return "".join(f"%{byte:02X}" for byte in os.fsencode(name))


def unescape(name: str) -> str:
    """The other way, as the system wants it."""
    return os.fsdecode(ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), os.fsencode(name)))


def local_path(uri: str) -> Path:
    """The path that a ``file://`` URI names: as it stands if it exists, else with escaped bytes where those exist."""
    if "\0" in uri:
        raise FileNotFoundError(errno.ENOENT, "no file has a NUL in its name")
    path = Path(uri.removeprefix(FILE))
    if "%" not in uri or os.path.lexists(path):
        return path
    return reduce(_existing, path.parts[1:], Path("/"))


def _existing(folder: Path, name: str) -> Path:
    literal, unescaped = folder / name, folder / unescape(name)
    return unescaped if not os.path.lexists(literal) and os.path.lexists(unescaped) else literal
