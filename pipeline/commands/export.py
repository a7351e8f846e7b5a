"""``daguerre export``."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import ValidationError

from infra.config import load
from infra.errors import ConfigError
from infra.logs import hide
from infra.storage import absolute
from pipeline.commands.look import opened
from pipeline.exits import OK, Exit
from pipeline.export.settings import Coding, Format, Settings, What, check_packages, splits_of


def export(
    sink: str,
    out: str,
    *,
    what: Annotated[What, Parameter(help="which pictures")] = "pairs",
    format: Annotated[Format, Parameter(help="what the shards are")] = "webdataset",
    where: str = "",
    size: int | None = None,
    image: Coding = "png",
    degradation: str = "archival",
    splits: str = "train=0.9,validation=0.05,test=0.05",
    near: int = 24,
    duplicates: Literal["drop", "keep"] = "drop",
    shard_faces: int = 256,
    seed: int = 0,
    licence: str = "",
    workers: int | None = None,
    config: Path | None = None,
) -> Exit:
    """Take training data out of what SINK holds, into the empty folder or prefix OUT.

    Parameters
    ----------
    sink
        the sink of a run
    out
        where the data set goes; given again after a stop, the export goes on
    where
        condition in SQL on photo.<column> and face.<field>, such as "face.side > 128"
    size
        side of all pictures in pixels; that of each method's crop (pairs) or 512 if left out
    image
        how pictures are stored
    degradation
        what clean faces become: archival, mild, medium, heavy, vspbfr, elsface
    splits
        names and shares
    near
        bits of 256 by which the hashes of copies differ at most; 0: the same hash
    duplicates
        whether a face of which a better copy is exported is left out
    shard_faces
        faces a shard at most
    seed
        of splits, order and degradations
    licence
        the photos' licence, for the card
    workers
        processes; all of this machine's cores if left out
    config
        TOML file with the job's settings, for the store's endpoint
    """
    try:
        settings = Settings(
            what=what,
            format=format,
            where=where,
            size=size,
            image=image,
            degradation=degradation,
            splits=splits_of(splits),
            near=near,
            duplicates=duplicates,
            shard_faces=shard_faces,
            seed=seed,
            licence=licence,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ConfigError(f"--{name}: {first['msg']}", "daguerre export --help lists the options") from None
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: must be at least 1", "leave it out for all cores")
    check_packages(settings.format)
    from pipeline.export.export import export as run

    loaded = load(config)
    hide(loaded.storage.secret, loaded.storage.token)
    _, root = opened(sink, loaded)
    record = run(loaded, root, absolute(out), settings, workers or len(os.sched_getaffinity(0)))
    print("\n".join(summary(record)))
    return OK


def summary(record: dict[str, Any]) -> list[str]:
    """What an export came to, in lines for people."""
    counts, shards = record["counts"], record["shards"]
    size = sum(note["bytes"] for note in shards.values())
    lines = [f"{counts['faces']} faces, {counts['usable']} usable, {counts['chosen']} chosen"]
    lines += [f"left out: {count} {reason}" for reason, count in record["left_out"].items()]
    lines.append("split: " + ", ".join(f"{count} {name}" for name, count in record["splits"].items()))
    lines.append(f"{counts['exported']} faces in {len(shards)} shards, {size} bytes")
    return lines
