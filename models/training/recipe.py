"""What a training is, whole: the same recipe, faces and device give the same weights."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainRecipe(BaseModel):
    """The settings that every training has; a task adds its own.

    ``size`` is the side of the aligned faces in pixels. The learning rate climbs for ``warmup`` steps, then falls as a
    half cosine or in a straight line from ``learning_rate`` to ``final_rate``, in stairs of ``hold`` steps. "adam" adds
    the weight decay to the gradients (L2), "adamw" takes it off the weights. ``clip`` bounds the norm of the gradients.
    ``ema`` is the decay of the averaged weights. ``precision`` is that of the matrix products; weights are always
    float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int = Field(gt=0)
    batch: int = Field(gt=0)
    size: int = Field(default=256, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    final_rate: float = Field(default=1e-5, ge=0)
    warmup: int = Field(default=100, ge=0)
    schedule: Literal["cosine", "line"] = "cosine"
    hold: int = Field(default=1, gt=0)
    optimiser: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = Field(default=500, gt=0)
    checkpoint_every: int = Field(default=500, gt=0)
