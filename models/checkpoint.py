"""The facts of a published checkpoint file, as the method or detector that uses it declares them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Shapes = dict[str, tuple[int, ...]]

PACKAGED = Path(__file__).parent / "packaged"  # our own weights


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published file.

    ``sha256`` and ``size`` are None where nobody published them: they are never guessed, but pinned at the first fetch.
    ``url`` is None for files behind a browser (Drive, Baidu); then ``steps`` says how to get them.
    ``tensors`` are a few names and shapes that no other published file has together: ``weights add`` knows a file by
    them. Files with the same ``role``, if it is not empty, are forms of one model: the first that is present is used.
    A ``packaged`` file comes with Daguerre and is never looked for elsewhere.
    """

    name: str  # file name, unique over all checkpoints: "yunet_n_640_640.onnx"
    url: str | None
    licence: str
    commercial: bool | None  # None: unclear
    size: int | None = None
    sha256: str | None = None
    steps: str = ""
    role: str = ""
    tensors: Shapes = field(default_factory=dict[str, tuple[int, ...]])
    packaged: bool = False

    @property
    def place(self) -> Path | None:
        """Where a packaged file lies on this machine."""
        return PACKAGED / self.name if self.packaged else None


Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
