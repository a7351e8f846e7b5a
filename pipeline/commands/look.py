"""``daguerre status``, ``report`` and ``methods``: commands that only look."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from infra.config import Config, load
from infra.errors import StorageError
from infra.storage import Storage, absolute
from pipeline.exits import OK, Exit


def status(sink: str, *, config: Path | None = None) -> Exit:
    """Say what a sink holds: photos and faces by status, failures by class, its runs.

    Parameters
    ----------
    sink
        the sink of a run
    config
        TOML file with the job's settings, for the store's endpoint
    """
    from pipeline.ledger import read_manifest
    from pipeline.reporting import run_records

    storage, root = opened(sink, load(config))
    photos, faces, failures, recipes = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for table in read_manifest(storage, root):
        for row in table.select(["status", "faces", "error", "recipe"]).to_pylist():
            photos[row["status"]] += 1
            recipes[row["recipe"]] += 1
            faces.update(face["status"] for face in row["faces"])
            if row["status"] == "failed":
                failures[f"{row['error']['class']}{' (retryable)' if row['error']['retryable'] else ''}"] += 1
    print(f"{photos.total()} photos: {counted(photos)}")
    print(f"{faces.total()} faces: {counted(faces)}")
    print(
        "\n".join(f"failed: {count} {kind}" for kind, count in sorted(failures.items())), end="\n" if failures else ""
    )
    print(f"recipe: {', '.join(recipes) or 'none yet'}")
    for run in run_records(storage, root):
        print(f"run {run['run_id']}: {run['state']}, {run['seconds']:.1f} s, {run['photos_per_second']:.2f} photos/s")
    return OK


def report(sink: str, *, config: Path | None = None, out: Path | None = None) -> Exit:
    """Write report.html and report.csv for whatever a sink holds.

    Parameters
    ----------
    sink
        the sink of a run
    config
        TOML file with the job's settings, for the store's endpoint
    out
        folder for the two files; the sink itself if left out
    """
    from pipeline.reporting import write_for

    storage, root = opened(sink, load(config))
    for uri in write_for(storage, root, absolute(str(out)) if out else root):
        print(uri)
    return OK


def methods(*, commercial: Annotated[bool, Parameter(negative=())] = False, config: Path | None = None) -> Exit:
    """List the restoration methods: papers, code, licences of the weights, and whether they are here.

    Parameters
    ----------
    commercial
        only methods whose weights may be used commercially as far as is known
    config
        TOML file with the job's settings
    """
    from infra.weights import WeightStore
    from models.method import all_methods
    from stages.needed import alternatives

    settings = load(config)
    store = WeightStore.from_environment(Storage(settings.storage), settings.weights)
    for spec in all_methods().values():
        if commercial and spec.commercial is not True:
            continue
        lacking = [
            forms
            for forms in alternatives(spec.checkpoints_for(spec.parameters()))
            if all(store.find(form) is None for form in forms)
        ]
        missing = [" or ".join(form.name for form in forms) for forms in lacking]
        state = f"missing: {', '.join(missing)}" if missing else "here" if spec.checkpoints else "none needed"
        print(f"{spec.name}: {spec.summary}")
        print(f"  paper       {spec.paper}")
        print(f"  code        {spec.code}")
        print(f"  licence     {spec.licence} ({use(spec.commercial)})")
        print(f"  weights     {state}")
    return OK


def use(commercial: bool | None) -> str:
    """Whether weights may be used commercially, in words."""
    return {True: "commercial use allowed", False: "no commercial use", None: "commercial use unclear"}[commercial]


def opened(sink: str, config: Config) -> tuple[Storage, str]:
    """The storage of a sink that exists."""
    storage, root = Storage(config.storage), absolute(sink)
    if not storage.is_folder(f"{root}/manifest"):
        raise StorageError(f"{root} holds no manifest", "give the sink of a finished or running restore")
    return storage, root


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
