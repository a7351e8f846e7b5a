"""One export, in order: choose, hash, group, split, write the shards, and the card last.

Every step depends on the settings and the chosen rows alone, and writes under names that follow from them: an export
that was killed is finished by the same command, and the bytes are those of one that was not.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa

from infra.config import Config
from infra.errors import ConfigError
from infra.storage import Storage
from models.degradations.named import all_degradations
from pipeline.export import copies, pictures, shards, splits
from pipeline.export.card import card
from pipeline.export.crew import Crew, crew
from pipeline.export.pictures import Made, Place
from pipeline.export.selection import Selection, digest, select, stored_crops
from pipeline.export.settings import Settings, check_packages
from pipeline.export.workplace import Hashed, Workplace
from pipeline.job import check_apart, code_version
from pipeline.ledger import parquet
from stages.codec import Limits

CHUNK = 512  # faces that are hashed at once
log = logging.getLogger(__name__)
INDEX = pa.schema(
    [
        ("key", pa.string()),
        ("uri", pa.string()),
        ("face", pa.int32()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("left_out", pa.string()),
    ]
)


@dataclass(slots=True)
class Plan:
    """Every chosen face: its ``keys`` and ``groups``, its split, and why it is left out ("" if it is not); the shards
    by name, with the places of their faces.
    """

    faces: pa.Table
    keys: list[str]
    groups: list[str]
    splits: list[str]
    left_out: list[str]
    shards: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a process needs to make one shard and to store it."""

    work: Workplace
    place: Place
    settings: Settings
    name: str
    rows: Sequence[Mapping[str, Any]]
    keys: Sequence[str]
    groups: Sequence[str]


def export(config: Config, sink: str, out: str, settings: Settings, workers: int) -> dict[str, Any]:
    """Write the data set of ``settings`` below the URI ``out``; its record, as it stands in ``export.json``."""
    check_packages(settings.format)
    check_degradation(settings)
    check_apart(sink, out)
    storage = Storage(config.storage)
    storage.check_sink(out)
    found = select(storage, sink, settings.what, settings.where)
    faces, counts = found.faces, found.counts
    if not faces.num_rows:
        raise ConfigError("no face is left to export", f"of {counts['faces']} faces {counts['usable']} can be exported")
    work = Workplace(storage, out, settings.fingerprint(digest(faces), code_version()))
    if work.begin():
        log.info("%s is whole already", out)
        return work.read("export.json")
    limits = Limits(config.read.max_bytes, config.read.max_pixels, frozenset(config.read.formats))
    place = Place(storage, sink, limits)
    faces = stored_crops(storage, sink, faces)
    with crew(workers) as hands:
        plan = planned(faces, settings, hash_all(work, place, faces, hands))
        notes = write_shards(work, place, settings, plan, hands)
    return finish(work, settings, plan, notes, found)


def check_degradation(settings: Settings) -> None:
    known = all_degradations()
    if settings.degradation not in known:
        raise ConfigError(f"there is no degradation {settings.degradation}", f"known: {', '.join(known)}")


def hash_all(work: Workplace, place: Place, faces: pa.Table, hands: Crew) -> Hashed:
    """The perceptual hash of every face, or why there is none; what was hashed before is not hashed again."""
    starts = range(0, faces.num_rows, CHUNK)
    known = [work.hashes(number) for number in range(len(starts))]
    lacking = [number for number, found in enumerate(known) if found is None]
    tasks = [(place, faces.slice(starts[number], CHUNK)) for number in lacking]
    for number, found in zip(lacking, hands.each(hash_chunk, tasks), strict=True):
        work.keep_hashes(number, found)
        known[number] = found
        log.info("%d of %d faces looked at", min((number + 1) * CHUNK, faces.num_rows), faces.num_rows)
    return [one for found in known for one in found or []]


def hash_chunk(task: tuple[Place, pa.Table]) -> Hashed:
    place, faces = task
    return pictures.hashes(place, faces.to_pylist(maps_as_pydicts="strict"))


def planned(faces: pa.Table, settings: Settings, hashed: Hashed) -> Plan:
    """Groups, splits, duplicates and shards."""
    sha256 = [str(value) for value in faces.column("sha256").to_pylist()]
    photos = np.unique(np.array(sha256), return_inverse=True)[1].astype(np.int64)
    there = np.array([place for place, (value, _) in enumerate(hashed) if value is not None], np.int64)
    words = copies.words([value for value, _ in hashed if value is not None])
    first, second = (there[found] for found in copies.near_pairs(words, settings.near))
    groups = splits.group_keys(copies.groups(photos, first, second), sha256)
    plan = Plan(faces, keys_of(faces), groups, [], [reason for _, reason in hashed])
    plan.splits = [splits.split_of(key, settings.seed, settings.splits) for key in groups]
    if settings.duplicates == "drop":
        for place, other in enumerate(copies.duplicates(best_first(faces), first, second).tolist()):
            if other >= 0:
                plan.left_out[place] = f"duplicate of {plan.keys[other]}"
    plan.shards = shards_of(plan, settings)
    return plan


def keys_of(faces: pa.Table) -> list[str]:
    """The faces' names: content, place and number."""
    columns = (faces.column(name).to_pylist() for name in ("sha256", "uri", "index"))
    return [
        f"{sha256[:12]}-{hashlib.sha256(uri.encode()).hexdigest()[:6]}-{index:03d}"
        for sha256, uri, index in zip(*columns, strict=True)
    ]


def best_first(faces: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The places of faces, those with the most pixels first; of equals the order that they have."""
    side = faces.column("side").combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    return np.argsort(-side, kind="stable")


def shards_of(plan: Plan, settings: Settings) -> dict[str, list[int]]:
    """The shards' names and the places of their faces, groups shuffled by their keys."""
    found: dict[str, list[int]] = {}
    order = splits.shuffled(plan.groups, settings.seed)
    for split, _ in settings.splits:
        mine = [place for place in order if plan.splits[place] == split and not plan.left_out[place]]
        starts = range(0, len(mine), settings.shard_faces)
        for number, start in enumerate(starts):
            name = f"data/{split}-{number:05d}-of-{len(starts):05d}.{shards.suffix(settings)}"
            found[name] = mine[start : start + settings.shard_faces]
    return found


def write_shards(
    work: Workplace, place: Place, settings: Settings, plan: Plan, hands: Crew
) -> dict[str, dict[str, Any]]:
    """Write every shard that is not there yet; the notes of all by their names. The processes that make shards store
    them too: no shard passes through this one.
    """
    notes = {name: work.shard(name) for name in plan.shards}
    lacking = [name for name, note in notes.items() if note is None]
    made = hands.each(store_shard, tasks_of(work, place, settings, plan, lacking))
    for name, note in zip(lacking, made, strict=True):
        notes[name] = note
        log.info("%s: %d faces", name, note["faces"])
    return {name: note for name, note in notes.items() if note is not None}


def tasks_of(
    work: Workplace, place: Place, settings: Settings, plan: Plan, names: Sequence[str]
) -> Iterator[ShardTask]:
    """The tasks of shards, each made when it is its turn: in memory are the rows of those that are being made."""
    for name in names:
        at = plan.shards[name]
        rows = plan.faces.take(pa.array(at, pa.int64())).to_pylist(maps_as_pydicts="strict")
        keys, groups = [plan.keys[place] for place in at], [plan.groups[place] for place in at]
        yield ShardTask(work, place, settings, name, rows, keys, groups)


def store_shard(task: ShardTask) -> dict[str, Any]:
    """Make and store one shard, if any of its faces can be had; its note."""
    content, note = make_shard(task)
    if note["faces"]:
        task.work.keep_shard(task.name, content, note)
    return note


def make_shard(task: ShardTask) -> tuple[bytes, dict[str, Any]]:
    """One shard's bytes, and its note: faces, bytes, sha256, and why faces had to be left out, by their keys."""
    made = pictures.make(task.place, task.settings, task.rows)
    samples: list[shards.Sample] = []
    left_out: dict[str, str] = {}
    for row, key, group, one in zip(task.rows, task.keys, task.groups, made, strict=True):
        if one.reason:
            left_out[key] = one.reason
        else:
            samples.append(shards.Sample(one.pictures, facts(row, key, group, one)))
    content = shards.content(task.settings, samples)
    origins = Counter(str(sample.facts["origin"]) for sample in samples)
    note = {"faces": len(samples), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return content, note | {"left_out": left_out, "origins": dict(sorted(origins.items()))}


def facts(row: Mapping[str, Any], key: str, group: str, made: Made) -> dict[str, Any]:
    """The columns ``shards.FACTS`` of one face."""
    names = ["path", "sha256", "page", "score", "side", "method", "strength", "seed", "recipe"]
    figures = {name: sorted(row[name].items()) for name in ("before", "after")}
    empty = {"degradation": None, "degradation_seed": None}
    own = {"key": key, "group": group, "face": row["index"]}
    return own | {name: row[name] for name in names} | figures | empty | dict(made.facts)


def finish(
    work: Workplace, settings: Settings, plan: Plan, notes: Mapping[str, Mapping[str, Any]], found: Selection
) -> dict[str, Any]:
    """Index, card and record."""
    places = {key: at for at, key in enumerate(plan.keys)}
    for note in notes.values():
        for key, reason in note["left_out"].items():
            plan.left_out[places[key]] = reason
    work.storage.write(f"{work.out}/index.parquet", parquet(index(plan)))
    record = recorded(settings, plan, notes, found) | {"fingerprint": work.fingerprint}
    work.storage.write(f"{work.out}/README.md", card(record).encode())
    work.end(record)
    return record


def index(plan: Plan) -> pa.Table:
    """Every chosen face: where it is, or why it is left out."""
    shard = {place: name for name, places in plan.shards.items() for place in places}
    there = [None if reason else shard.get(place) for place, reason in enumerate(plan.left_out)]
    found = {
        "key": plan.keys,
        "uri": plan.faces.column("uri").to_pylist(),
        "face": plan.faces.column("index").to_pylist(),
        "group": plan.groups,
        "split": plan.splits,
        "shard": there,
        "left_out": [reason or None for reason in plan.left_out],
    }
    return pa.table(found, schema=INDEX)


def recorded(
    settings: Settings, plan: Plan, notes: Mapping[str, Mapping[str, Any]], found: Selection
) -> dict[str, Any]:
    """The record of a finished export: what was asked, what came of it, the sha256 of each shard."""
    kept = [at for at, reason in enumerate(plan.left_out) if not reason]
    reasons = Counter(kind_of(reason) for reason in plan.left_out if reason)
    return {
        "settings": settings.model_dump(mode="json"),
        "code_version": code_version(),
        "counts": found.counts | {"exported": len(kept), "photos_exported": photos_of(plan, kept)},
        "splits": {name: sum(plan.splits[at] == name for at in kept) for name, _ in settings.splits},
        "left_out": dict(sorted(reasons.items())),
        "methods": methods(plan, kept, found) if settings.what == "pairs" else {},
        "shards": {name: dict(note) for name, note in sorted(notes.items()) if note["faces"]},
    }


def methods(plan: Plan, places: Sequence[int], found: Selection) -> dict[str, str]:
    """The methods that made the restored pictures: their names in the config, and in the registry."""
    names, recipes = (cast("list[str]", plan.faces.column(name).to_pylist()) for name in ("method", "recipe"))
    used = sorted({(recipes[at], names[at]) for at in places})
    return {name: str(found.recipes[recipe]["methods"][name]["method"]) for recipe, name in used}


def photos_of(plan: Plan, places: Sequence[int]) -> int:
    uris = plan.faces.column("uri").to_pylist()
    return len({uris[at] for at in places})


def kind_of(reason: str) -> str:
    return (
        "duplicate"
        if reason.startswith("duplicate of ")
        else reason.split(": ", maxsplit=1)[0] + " not as its row says"
    )
