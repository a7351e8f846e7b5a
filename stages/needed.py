"""Which weights files a job uses: all that its detector, methods and helpers need, of several forms of a model one."""

from collections.abc import Iterable, Sequence

from infra.config import Config
from infra.weights import WeightStore
from models.checkpoint import Checkpoint
from stages.recipe import checkpoints


def needed(config: Config, store: WeightStore, fetch: bool = False) -> list[Checkpoint]:
    """The files that a job with this config uses, here or not; what is missing is fetched first if it may be."""
    return [chosen(forms, store, fetch) for forms in alternatives(checkpoints(config))]


def alternatives(files: Iterable[Checkpoint]) -> list[list[Checkpoint]]:
    """The files in groups of which one is needed: the forms of one model, or a file by itself."""
    groups: dict[tuple[str, str], list[Checkpoint]] = {}
    for file in files:
        groups.setdefault(("role", file.role) if file.role else ("file", file.name), []).append(file)
    return list(groups.values())


def chosen(forms: Sequence[Checkpoint], store: WeightStore, fetch: bool) -> Checkpoint:
    """Of the forms of one model the first that is here, else the one that would be fetched."""
    present = next((form for form in forms if store.find(form) is not None), None)
    if present is not None:
        return present
    wanted = next((form for form in forms if form.url), forms[0])
    if fetch:
        store.fetch(wanted)
    return wanted
