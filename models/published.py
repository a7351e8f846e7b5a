"""Where in a published file the tensors lie."""

from collections.abc import Sequence
from pathlib import Path

from models.checkpoint_file import tensor_shapes


def container_of(path: Path, containers: Sequence[str]) -> str:
    """The first of ``containers`` that the file has, for ``models.load``; "" where its tensors lie bare.

    Raises ``CheckpointUnreadable``.
    """
    outermost = {name.partition(".")[0] for name in tensor_shapes(path)}
    return next((container for container in containers if container in outermost), "")
