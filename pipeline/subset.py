"""Parts of an archive by the hash of the photos' paths: the same photos each time, whatever else there is."""

import hashlib
import re
from dataclasses import dataclass

from infra.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Subset:
    """The photos whose paths' hashes, as numbers from 0 to 1, lie in [``low``, ``high``)."""

    low: float = 0.0
    high: float = 1.0

    def __contains__(self, path: str) -> bool:
        digest = hashlib.sha256(path.encode()).digest()
        return self.low <= int.from_bytes(digest[:6]) / 2**48 < self.high


@dataclass(frozen=True, slots=True)
class Share:
    """The ``number``-th of ``total`` parts that together are everything; what ``verify --subset 3/10`` calls 3/10."""

    number: int = 1
    total: int = 1

    @property
    def subset(self) -> Subset:
        return Subset((self.number - 1) / self.total, self.number / self.total)

    @property
    def whole(self) -> bool:
        return self.total == 1

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


WHOLE = Subset()
ALL = Share()


def share_of(text: str, option: str = "--share") -> Share:
    """``"3/10"``."""
    part = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if part is None or not 1 <= int(part[1]) <= int(part[2]):
        raise ConfigError(f"{option} {text}: no part", 'for example "3/10" for the third tenth')
    return Share(int(part[1]), int(part[2]))


def subset_of(text: str) -> Subset:
    """``"1%"``, or ``"3/10"`` for the third of ten parts that together are everything."""
    percent = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", text)
    if percent and 0 < float(percent[1]) <= 100:
        return Subset(0.0, float(percent[1]) / 100)
    part = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if part and 1 <= int(part[1]) <= int(part[2]):
        return Share(int(part[1]), int(part[2])).subset
    raise ConfigError(f"--subset {text}: neither a share nor a part", 'for example "1%", or "3/10" for the third tenth')
