"""``daguerre weights list | fetch | add | face-model | verify``."""

import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from infra.archives import is_archive, members
from infra.config import load
from infra.errors import WeightsError
from infra.storage import Storage
from infra.weights import WeightStore
from models.checkpoint import Checkpoint
from models.checkpoint_file import CheckpointUnreadable, recognise
from models.detector import all_detectors
from models.identity import all_identities
from models.method import all_methods
from models.quality_metric import all_metrics
from pipeline.exits import OK, OPERATOR, Exit
from stages.needed import needed

app = App(name="weights", help="List, fetch, add and verify the published weights files.")


PARSER_USE = 'paste.mask = "parser"'


def published() -> dict[str, Checkpoint]:
    """Every weights file that a method, a detector, the guard, a metric or the face parser declares, by its name."""
    from models.parser import PARSER  # imports torch

    return {file.name: file for _, files in declared() for file in files} | {PARSER.name: PARSER}


def declared() -> list[tuple[str, tuple[Checkpoint, ...]]]:
    """What declares weights files, and which."""
    specs = [*all_methods().values(), *all_detectors().values(), *all_identities().values(), *all_metrics().values()]
    return [(spec.name, spec.checkpoints) for spec in specs]


def used_by(name: str) -> str:
    """What needs a file."""
    users = [user for user, files in declared() if any(file.name == name for file in files)]
    return ", ".join(users) or PARSER_USE


def open_store(config: Path | None) -> WeightStore:
    settings = load(config)
    return WeightStore.from_environment(Storage(settings.storage), settings.weights)


@app.command(name="list")
def list_(*, config: Path | None = None) -> Exit:
    """List every known weights file: its state here, licence, size, hash and source.

    Parameters
    ----------
    config
        TOML file with the job's settings
    """
    files = published()
    for name, state in open_store(config).verify(files.values()):
        file = files[name]
        print(f"{name}: {state}, for {used_by(name)}")
        print(f"  licence  {file.licence}")
        print(f"  size     {file.size if file.size is not None else 'unknown'}")
        print(f"  sha256   {file.sha256 or 'unknown: pinned at the first fetch'}")
        print(f"  source   {'comes with the package' if file.packaged else file.url or file.steps}")
    return OK


@app.command
def fetch(
    *names: str, all_: Annotated[bool, Parameter(name="--all", negative=())] = False, config: Path | None = None
) -> Exit:
    """Download weights files by name, or those that a job needs.

    Parameters
    ----------
    names
        the files' names, as ``weights list`` gives them; without any, what a job with this config needs
    all_
        every file that has a URL
    config
        TOML file with the job's settings
    """
    files, settings = published(), load(config)
    store = open_store(config)
    unknown = sorted(set(names) - set(files))
    if unknown:
        raise WeightsError(f"there is no weights file {unknown[0]}", f"known: {', '.join(files)}")
    wanted = [file for file in files.values() if file.url] if all_ else needed(settings, store)
    for file in [files[name] for name in names] or wanted:
        print(f"{file.name}: {store.fetch(file)}")
    return OK


@app.command
def add(file: Path, *, config: Path | None = None) -> Exit:
    """Take in a weights file, or an archive of several, that you already have: it is known by its hash or its tensors.

    Parameters
    ----------
    file
        a checkpoint (.pth .pt .ckpt .safetensors .npz .onnx .mat), or a .zip or .tar archive of them
    config
        TOML file with the job's settings
    """
    if not file.is_file():
        raise WeightsError(f"there is no file {file}", "check the path")
    store = open_store(config)
    taken = [name for part in parts(file) if (name := take(store, part))]
    if not taken:
        raise WeightsError(f"{file} holds no published weights that are known here", "daguerre weights list names them")
    return OK


def parts(file: Path):
    """The file itself, or each file of an archive."""
    return members(file) if is_archive(file) and not known(file) else iter([file])


def take(store: WeightStore, path: Path) -> str | None:
    """Add one file if it is known; say what happened."""
    try:
        found = recognise(path, published().values())
    except CheckpointUnreadable as error:
        print(f"{path.name}: not taken: {error}")
        return None
    if found is None:
        print(f"{path.name}: not known")
        return None
    check_face_model(path, found)
    print(f"{path.name}: {found.name} -> {store.add(path, found)}")
    return found.name


def check_face_model(path: Path, found: Checkpoint) -> None:
    """Refuse a face model whose arrays do not fit each other: users make these files by themselves."""
    from models.face_model_file import FACE_MODELS, read_face_model

    if found in FACE_MODELS:
        try:
            read_face_model(path)
        except ValueError as error:
            raise WeightsError(str(error), "make it again: daguerre weights face-model FOLDER") from None


def known(path: Path) -> Checkpoint | None:
    try:
        return recognise(path, published().values())
    except CheckpointUnreadable:
        return None


@app.command(name="face-model")
def face_model(folder: Path, *, config: Path | None = None) -> Exit:
    """Make the morphable face's file, which may not be handed on, from what its publishers gave you, and take it in.

    Parameters
    ----------
    folder
        holds 01_MorphableModel.mat, Exp_Pca.bin, std_exp.txt, facemodel_info.mat, BFM_front_idx.mat, BFM_exp_idx.mat
    config
        TOML file with the job's settings
    """
    from models.face_model_file import FACE_MODELS
    from models.face_model_make import make_face_model

    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / FACE_MODELS[0].name
        try:
            make_face_model(folder, target)
        except ValueError as error:
            raise WeightsError(str(error), FACE_MODELS[0].steps) from None
        print(f"{target.name}: {open_store(config).add(target, FACE_MODELS[0])}")
    return OK


@app.command
def verify(*, config: Path | None = None) -> Exit:
    """Check every weights file that is here against its published or pinned hash.

    Parameters
    ----------
    config
        TOML file with the job's settings
    """
    states = open_store(config).verify(published().values())
    for name, state in states:
        print(f"{name}: {state}")
    return OPERATOR if any(state == "wrong" for _, state in states) else OK
