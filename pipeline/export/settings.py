"""What an export is asked for."""

import hashlib
import importlib.util
import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import ConfigError

What = Literal["pairs", "aligned", "degraded"]
Format = Literal["webdataset", "parquet", "huggingface"]
Coding = Literal["png", "jpeg"]

PICTURES: dict[What, tuple[str, ...]] = {
    "pairs": ("input", "restored"),
    "aligned": ("image",),
    "degraded": ("clean", "degraded"),
}
NEEDED = {"duckdb": "", "imagehash": "", "datasets": "huggingface"}  # module: format
STANDARD = 512  # pixels of aligned and degraded faces where no size is asked for


class Settings(BaseModel):
    """Everything that decides a byte of the export but the manifest itself.

    ``size`` is the side of the pictures, None: that of each face's own crop (pairs) or 512. ``near`` is the largest
    distance of two perceptual hashes, in bits of 256, at which two faces count as copies. ``splits`` are names and
    shares that sum to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: What = "pairs"
    format: Format = "webdataset"
    where: str = ""
    size: Annotated[int, Field(ge=16, le=4096)] | None = None
    image: Coding = "png"
    degradation: str = "archival"
    splits: tuple[tuple[str, float], ...] = (("train", 0.9), ("validation", 0.05), ("test", 0.05))
    near: Annotated[int, Field(ge=0, le=128)] = 24
    duplicates: Literal["drop", "keep"] = "drop"
    shard_faces: Annotated[int, Field(gt=0)] = 256
    seed: Annotated[int, Field(ge=0)] = 0
    licence: str = ""

    @property
    def side(self) -> int | None:
        """The side of all pictures; None if each face has its crop's own."""
        return self.size if self.what == "pairs" or self.size else STANDARD

    def fingerprint(self, faces: str, code_version: str) -> str:
        """What tells this export from all others: the settings, the digest of the chosen ``faces``, and our version."""
        content = self.model_dump(mode="json") | {"faces": faces, "code": code_version}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_packages(kind: Format) -> None:
    """Refuse an export that needs a package which is not installed."""
    for module, only in NEEDED.items():
        if only in {"", kind} and importlib.util.find_spec(module) is None:
            raise ConfigError(f"export needs the package {module}", "pip install 'daguerre[export]'")


def splits_of(text: str) -> tuple[tuple[str, float], ...]:
    """``"train=0.9,test=0.1"``."""
    parts = [re.fullmatch(r"([A-Za-z][A-Za-z0-9_]*)=([0-9.]+)", part.strip()) for part in text.split(",")]
    try:
        found = tuple((part[1], float(part[2])) for part in parts if part)
    except ValueError:
        found = ()
    good = len(found) == len(parts) == len({name for name, _ in found}) and abs(sum(s for _, s in found) - 1) < 1e-6
    if not good or any(share <= 0 for _, share in found):
        raise ConfigError(f"--splits {text}: no names with shares that sum to 1", 'for example "train=0.9,test=0.1"')
    return found
