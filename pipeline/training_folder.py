"""What a training leaves behind, in a folder or a bucket: recipe, checkpoints, figures, pictures, curves, weights.

OUT/recipe.json                  method, recipe, faces; a training with another one is refused
OUT/checkpoints/00001500.pt      all that resuming needs; the two newest are kept
OUT/figures/00001500.json        loss and validation figures at that step
OUT/pictures/00001500.png        validation faces
OUT/curves/                      the same figures for TensorBoard
OUT/weights.safetensors          the averaged weights at the end, as the method takes them
"""

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from infra.errors import ConfigError
from infra.storage import Storage
from models.training.task import Validation

KEPT = 2  # checkpoints


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """``root`` is an absolute URI."""

    storage: Storage
    root: str

    def open(self, facts: Mapping[str, Any]) -> None:
        """Write the recipe of a new training; refuse a folder of another one."""
        uri, text = f"{self.root}/recipe.json", json.dumps(facts, indent=1, sort_keys=True).encode()
        if not self.storage.exists(uri):
            self.storage.write(uri, text)
        elif self.storage.read(uri) != text:
            raise ConfigError(
                f"{self.root} holds a training by another recipe", "choose a new folder, or the old recipe"
            )

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint, on the CPU."""
        names = self._checkpoints()
        if not names:
            return None
        content = io.BytesIO(self.storage.read(f"{self.root}/checkpoints/{names[-1]}"))
        return torch.load(content, map_location="cpu", weights_only=True)

    def save(self, state: Mapping[str, Any]) -> None:
        """Store a checkpoint, then remove all but the newest."""
        content = io.BytesIO()
        torch.save(dict(state), content)
        self.storage.write(f"{self.root}/checkpoints/{state['step']:08d}.pt", content.getvalue())
        for name in self._checkpoints()[:-KEPT]:
            self.storage.delete(f"{self.root}/checkpoints/{name}")

    def tell(self, step: int, figures: Mapping[str, float], validation: Validation | None) -> None:
        """Store the figures of a step, and what was validated."""
        content = {"step": step, **figures, **(validation.figures if validation else {})}
        self.storage.write(f"{self.root}/figures/{step:08d}.json", json.dumps(content, indent=1).encode())
        if validation is not None:
            picture = io.BytesIO()
            Image.fromarray(validation.picture).save(picture, "PNG")
            self.storage.write(f"{self.root}/pictures/{step:08d}.png", picture.getvalue())

    def figures(self) -> list[dict[str, float]]:
        """Of every step that was told, in order."""
        folder = f"{self.root}/figures"
        names = sorted(entry.path for entry in self.storage.list(folder)) if self.storage.is_folder(folder) else []
        return [json.loads(self.storage.read(f"{folder}/{name}")) for name in names]

    def draw_curves(self) -> None:
        """Write all figures as one event file for TensorBoard, in place of an earlier one."""
        with tempfile.TemporaryDirectory() as folder:
            writer = SummaryWriter(folder)
            for figures in self.figures():
                step = int(figures.pop("step"))
                for name, value in figures.items():
                    writer.add_scalar(name.replace(".", "/"), value, step)
            writer.close()
            (file,) = Path(folder).iterdir()
            self.storage.write(f"{self.root}/curves/events.out.tfevents.0.daguerre", file.read_bytes())

    def put_weights(self, path: Path) -> str:
        uri = f"{self.root}/weights.safetensors"
        self.storage.write(uri, path.read_bytes())
        return uri

    def _checkpoints(self) -> list[str]:
        folder = f"{self.root}/checkpoints"
        if not self.storage.is_folder(folder):
            return []
        return sorted(entry.path for entry in self.storage.list(folder) if entry.path.endswith(".pt"))
