"""Training a method's network, on Ray Train: one process on a CPU, one a GPU, or several."""

import logging
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model
from torch import nn

from infra.config import Run
from infra.errors import ConfigError
from infra.storage import Storage
from models.training.album import Albums
from models.training.recipe import TrainRecipe
from models.training.squares import Squares
from models.training.task import TrainingSpec, all_trainings
from models.training.trainer import Place, Trainer, Wrap
from pipeline.cluster import connect
from pipeline.training_folder import TrainingFolder
from stages.albums import backgrounds, marked
from stages.photo import Pixels
from stages.portraits import portraits

log = logging.getLogger(__name__)

VALIDATED = 16  # held-out faces


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training. ``data``, ``landmarks``, ``faceless`` and ``out`` are absolute URIs; ``loaders`` make examples
    beside each of the ``workers``; a worker that dies is started again up to ``retries`` times and goes on from the
    newest checkpoint.
    """

    method: str
    recipe: TrainRecipe
    storage: Storage
    data: str
    out: str
    landmarks: str | None = None
    faceless: str | None = None
    include: tuple[str, ...] = ()
    workers: int = 1
    gpu: bool = False
    threads: int = 1
    loaders: int = 0
    retries: int = 3

    @property
    def spec(self) -> TrainingSpec:
        return all_trainings()[self.method]

    @property
    def folder(self) -> TrainingFolder:
        return TrainingFolder(self.storage, self.out)

    def sources(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """What the task takes: those to train on, and those that are held out."""
        if self.spec.takes != "photos":
            faces = portraits(self.storage, self.data, self.recipe.size, self.landmarks, self.include).split()
            return faces if self.spec.takes == "faces" else self._squares(*faces)
        if not self.landmarks or not self.faceless:
            hint = "give both: --landmarks FILE.csv --faceless FOLDER"
            raise ConfigError(f"{self.method} needs marked faces, and pictures without any", hint)
        photos = marked(self.storage, self.data, self.landmarks, self.recipe.size, self.include)
        faceless = [kind.split() for kind in backgrounds(self.storage, self.faceless)]
        train, held_out = photos.split()
        return (
            Albums(train, [kind for kind, _ in faceless]),
            Albums(held_out, [kind for _, kind in faceless if kind]),
        )

    def _squares(self, train: Sequence[Pixels], held_out: Sequence[Pixels]) -> tuple[Squares, Squares]:
        """The faces with the squares in ``faceless``, which are all trained on."""
        others = portraits(self.storage, self.faceless, self.recipe.size) if self.faceless else ()
        return Squares(train, others), Squares(held_out)

    def facts(self) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        recipe = self.recipe.model_dump(mode="json")
        facts = {"method": self.method, "recipe": recipe, "data": self.data, "landmarks": self.landmarks}
        return facts | ({"faceless": self.faceless} if self.faceless else {})


def train(job: TrainJob, run: Run) -> str:
    """Train to the recipe's last step, going on from the newest checkpoint; gives the URI of the weights."""
    if job.recipe.batch % job.workers:
        raise ConfigError(f"a batch of {job.recipe.batch} cannot be shared by {job.workers} workers", "change one")
    job.folder.open(job.facts())
    scaling = ScalingConfig(
        num_workers=job.workers,
        use_gpu=job.gpu,
        resources_per_worker={"CPU": job.threads, **({"GPU": 1} if job.gpu else {})},
    )
    with connect(run), tempfile.TemporaryDirectory(prefix="daguerre-") as scratch:
        config = RunConfig(name="train", storage_path=scratch, failure_config=FailureConfig(max_failures=job.retries))
        TorchTrainer(worker, train_loop_config={"job": job}, scaling_config=scaling, run_config=config).fit()
    return export(job)


def worker(config: Mapping[str, Any]) -> None:
    """What each of Ray Train's processes does."""
    job: TrainJob = config["job"]
    context = ray.train.get_context()
    torch.set_num_threads(job.threads)
    device = str(get_device())
    place = Place(device, context.get_world_rank(), context.get_world_size(), job.loaders)
    for step in steps(job, place, shared if place.world > 1 else None):
        ray.train.report({"step": step})


def shared(network: nn.Module) -> nn.Module:
    """``network`` with its gradients averaged over all processes."""
    return prepare_model(network, move_to_device=False)


def steps(job: TrainJob, place: Place, wrap: Wrap | None = None) -> Generator[int]:
    """The training in this process, to its end; gives each step at which something was stored."""
    learning, held_out = job.sources()
    trainer = Trainer(job.spec.build(job.recipe), job.recipe, learning, place, wrap)
    if (state := job.folder.newest()) is not None:
        trainer.resume(state)
    while trainer.step < job.recipe.steps:
        losses = list(trainer.run(next_stop(trainer.step, job.recipe)))
        if place.rank == 0:
            store(job, trainer, losses, held_out[:VALIDATED])
        yield trainer.step


def next_stop(step: int, recipe: TrainRecipe) -> int:
    """The next step after ``step`` at which there is something to store."""
    stops = [(step // every + 1) * every for every in (recipe.validate_every, recipe.checkpoint_every)]
    return min(*stops, recipe.steps)


def store(job: TrainJob, trainer: Trainer, losses: Sequence[float], held_out: Sequence[Any]) -> None:
    """Figures, pictures and the checkpoint of this step, the checkpoint last."""
    recipe, step = job.recipe, trainer.step
    last = step == recipe.steps
    due = (last or step % recipe.validate_every == 0) and len(held_out) > 0
    validation = trainer.task.validate(trainer.average, held_out) if due else None
    job.folder.tell(step, {"loss": float(np.mean(losses))}, validation)
    if validation is not None:
        job.folder.draw_curves()
        log.info("step %d: %s", step, ", ".join(f"{name} {value:.2f}" for name, value in validation.figures.items()))
    if last or step % recipe.checkpoint_every == 0:
        job.folder.save(trainer.state())


def export(job: TrainJob) -> str:
    """Store the averaged weights of a finished training as the method takes them."""
    state = job.folder.newest()
    if state is None or state["step"] < job.recipe.steps:
        raise RuntimeError(f"the training in {job.out} did not reach its last step")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        job.spec.export(state["average"], path)
        return job.folder.put_weights(path)
