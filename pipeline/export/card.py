"""The data set's card, ``README.md``: what is in it, how it was chosen, under which licences, and what was left out."""

import json
from collections.abc import Mapping
from typing import Any

from models.method import all_methods

Record = Mapping[str, Any]

WHAT = {
    "pairs": "Pairs of an input crop and the restored crop that a method made of it.",
    "aligned": "Faces, aligned by five landmarks to the FFHQ template, cut from untouched photos.",
    "degraded": "Aligned faces of photos (`clean`), and what a seeded degradation made of them (`degraded`).",
}
ORIGINS = {
    "stored": "crops that the run stored (`--keep crops`)",
    "recut": "cut once more from the photo, restored ones from its result, which has the paste's strength and mask",
}
READ = {
    "webdataset": 'webdataset.WebDataset("data/{split}-{{00000..{last:05d}}}-of-{count:05d}.tar").decode("pil")',
    "parquet": "duckdb.sql(\"SELECT * FROM 'data/{split}-*.parquet'\")",
    "huggingface": 'datasets.load_dataset("<this folder>", split="{split}")',
}


def card(record: Record) -> str:
    """The card's text. It holds no time: the same export has the same card."""
    settings, counts = record["settings"], record["counts"]
    parts = [
        head(record),
        f"# Faces of an archive: {settings['what']}\n\n{WHAT[settings['what']]} Made by Daguerre "
        f"{record['code_version']} (`daguerre export`).",
        "## Counts\n\n" + table(("Split", "Faces"), record["splits"].items()),
        f"{counts['exported']} faces of {counts['photos_exported']} photos. All faces of a photo, and those of its "
        "copies, are in one split.",
        "## Chosen\n\n" + table(("Step", "Faces"), chosen(record)),
        "## Left out\n\n" + (table(("Why", "Faces"), record["left_out"].items()) if record["left_out"] else "Nothing."),
        "`index.parquet` has every chosen face with its split, its shard, and why it was left out.",
        "## Settings\n\n```json\n" + json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False) + "\n```",
        "## Pictures\n\n" + pictures(record),
        "## Licences\n\n" + licences(record),
        "## Reading it\n\n```python\n" + reading(record) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def head(record: Record) -> str:
    """The front matter by which Hugging Face finds the splits."""
    kind = record["settings"]["format"]
    ending = "tar" if kind == "webdataset" else "parquet"
    lines = ["---", "license: other", "license_name: see-below", "configs:", "- config_name: default", "  data_files:"]
    for split, faces in record["splits"].items():
        if faces:
            lines += [f"  - split: {split}", f"    path: data/{split}-*.{ending}"]
    return "\n".join([*lines, "---"])


def chosen(record: Record) -> list[tuple[str, int]]:
    counts, settings = record["counts"], record["settings"]
    where = " ".join(settings["where"].split()).replace("|", "\\|")
    return [
        (f"in the manifest ({counts['photos']} photos)", counts["faces"]),
        (f"that {settings['what']} can be made of", counts["usable"]),
        (f"let through by the filter `{where}`" if where else "no filter", counts["chosen"]),
        ("exported", counts["exported"]),
    ]


def pictures(record: Record) -> str:
    """Size, coding, and where the pictures come from."""
    settings = record["settings"]
    size = settings["size"] or (512 if settings["what"] != "pairs" else None)
    side = f"{size} x {size} pixels" if size else "each as large as its method's crop"
    origins: dict[str, int] = {}
    for note in record["shards"].values():
        for name, count in note["origins"].items():
            origins[name] = origins.get(name, 0) + count
    lines = [f"sRGB, {settings['image'].upper()}, {side}."]
    lines += [f"- {count} {ORIGINS[name]}" for name, count in sorted(origins.items())]
    if settings["what"] == "degraded":
        lines.append(f"- degradation `{settings['degradation']}`; each face's seed is in `degradation_seed`")
    return "\n".join([lines[0], "", *lines[1:]])


def licences(record: Record) -> str:
    """Those of the photos, as the exporter states them, and of the weights that made restored faces."""
    known = all_methods()
    stated = record["settings"]["licence"] or "not stated by whoever made this export: ask before you use or pass it on"
    lines = [f"- Photos: {stated}"]
    for name, method in sorted(record["methods"].items()):
        spec = known.get(method)
        lines.append(f"- Restored by `{name}` ({method}), weights: {spec.licence if spec else 'unknown'}")
    lines.append("- The faces are those of people. Their rights do not end with a photo's licence.")
    return "\n".join(lines)


def reading(record: Record) -> str:
    split = next((name for name, faces in record["splits"].items() if faces), "train")
    count = sum(name.startswith(f"data/{split}-") for name in record["shards"])
    return READ[record["settings"]["format"]].format(split=split, last=max(0, count - 1), count=count)


def table(head: tuple[str, str], rows: Any) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {count} |" for name, count in rows)]
    return "\n".join(lines)
