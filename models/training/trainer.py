"""The training loop: plain torch, exact to resume.

Example ``i`` of a training is made from the recipe's seed and ``i`` alone, so a training has no state but its step,
weights, optimiser and averages: stopped anywhere and resumed, it goes on bit for bit (on one device, with one thread
count) as if it had never stopped, with any number of loader processes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from models.training.recipe import TrainRecipe
from models.training.task import Example, Task

State = dict[str, Any]
Wrap = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands among those that train together."""

    device: str = "cpu"
    rank: int = 0
    world: int = 1
    loaders: int = 0


ALONE = Place()


class Examples(Dataset[Example]):
    """Examples by number, without end: each pass over the faces has an order of its own."""

    def __init__(self, task: Task[Any], faces: Sequence[Any], seed: int) -> None:
        self.task = task
        self.faces = faces
        self.seed = seed

    def __getitem__(self, index: int) -> Example:
        turn, place = divmod(index, len(self.faces))
        order = np.random.default_rng([self.seed, 0, turn]).permutation(len(self.faces))
        return self.task.example(self.faces[order[place]], np.random.default_rng([self.seed, 1, index]))


class Trainer:
    """One process's training. ``wrap`` makes the network one that is trained with other processes (DDP)."""

    def __init__(
        self, task: Task[Any], recipe: TrainRecipe, faces: Sequence[Any], place: Place = ALONE, wrap: Wrap | None = None
    ) -> None:
        self.task = task
        self.recipe = recipe
        self.place = place
        self.examples = Examples(task, faces, recipe.seed)
        self.network = task.network.to(place.device).train()
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.wrapped = wrap(self.network) if wrap else self.network
        optimiser = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimiser]
        self.optimiser = optimiser(
            self.network.parameters(), recipe.learning_rate, recipe.betas, weight_decay=recipe.weight_decay
        )
        self.step = 0

    def run(self, until: int) -> Iterator[float]:
        """Train up to step ``until``; gives the loss of each step."""
        for batch in self._batches(until):
            yield self._train(batch)

    def state(self) -> State:
        """All that ``resume`` needs; tensors and plain values alone."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.network.load_state_dict(state["network"], strict=True)
        self.average.load_state_dict(state["average"], strict=True)
        self.optimiser.load_state_dict(dict(state["optimiser"]))
        self.step = int(state["step"])

    def _batches(self, until: int) -> Iterator[dict[str, torch.Tensor]]:
        """This process's share of each step's examples."""
        place, size = self.place, self.recipe.batch
        numbers = [
            list(range(step * size + place.rank, (step + 1) * size, place.world)) for step in range(self.step, until)
        ]
        loader = DataLoader(self.examples, batch_sampler=numbers, num_workers=place.loaders, persistent_workers=False)
        for batch in loader:
            yield {name: values.to(place.device, non_blocking=True) for name, values in batch.items()}

    def _train(self, batch: Mapping[str, torch.Tensor]) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        lower = self.recipe.precision == "bfloat16"
        with torch.autocast(torch.device(self.place.device).type, torch.bfloat16, enabled=lower):
            loss = self.task.loss(self.wrapped, batch)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        """Young averages forget faster: the decay is at most (1 + step) / (10 + step)."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for mean, value in zip(self.average.buffers(), self.network.buffers(), strict=True):
            mean.copy_(value)


def learning_rate(recipe: TrainRecipe, step: int) -> float:
    """For ``step`` from 0: a straight climb, then the recipe's fall."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    fallen = (step - recipe.warmup) // recipe.hold * recipe.hold
    done = fallen / max(1, recipe.steps - recipe.warmup)
    left = (1 + math.cos(math.pi * done)) / 2 if recipe.schedule == "cosine" else 1 - done
    return recipe.final_rate + (recipe.learning_rate - recipe.final_rate) * left
