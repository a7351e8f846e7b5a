"""How long the export of many faces takes.

    python benchmarks/export.py [--faces 10000] [--side 256] [--workers 2] [--ways N ...]

Makes a sink of so many faces below a temporary folder, as a run with ``--keep crops`` leaves it (manifest rows, input
and restored crops of ``--side`` pixels as PNG, photos of 640 x 800 pixels as JPEG), and exports it several ways: pairs
out of the stored crops, aligned and degraded faces. The faces are clouds of colour with the noise of a scan, so that
PNGs are as large as those of photos. Prints a JSON line a way: seconds, CPU seconds of all processes.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from infra.config import Config
from pipeline.export.export import export
from pipeline.export.settings import Settings
from pipeline.ledger import RECIPE, parquet
from pipeline.manifest import SCHEMA
from stages.geometry import similarity, template
from stages.photo import Pixels

DISTINCT = 200  # photos that are made; the others are the same ones with another corner pixel
WIDTH, HEIGHT, NOISE = 640, 800, 4.0
WAYS: dict[str, dict[str, Any]] = {
    "pairs, stored crops": {"what": "pairs"},
    "pairs, stored crops, Hugging Face": {"what": "pairs", "format": "huggingface"},
    "aligned, 512 px, JPEG": {"what": "aligned", "image": "jpeg", "size": 512},
    "degraded, 256 px": {"what": "degraded", "size": 256},
}


def photo(seed: int) -> Pixels:
    """(800, 640, 3) uint8 BGR."""
    rng = np.random.default_rng(seed)
    clouds = cv2.resize(rng.integers(0, 256, (20, 16, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (clouds + rng.normal(0, NOISE, clouds.shape)).clip(0, 255).astype(np.uint8)


def fill(root: Path, faces: int, side: int) -> None:
    """The sink, with one face a photo."""
    points = template("ffhq", 512) + [64, 144]
    matrix = similarity(points, template("ffhq", side))
    for folder in ("archive", "sink/crops", "sink/manifest"):
        (root / folder).mkdir(parents=True)
    pictures = [photo(seed) for seed in range(min(DISTINCT, faces))]
    rows: list[dict[str, Any]] = []
    for number in range(faces):
        picture = np.roll(pictures[number % DISTINCT], number // DISTINCT * 12, axis=0)
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        name = f"{number:06d}.jpg"
        (root / "archive" / name).write_bytes(coded.tobytes())
        crop = cv2.warpAffine(picture, matrix, (side, side))
        for kind, pixels in (("input", crop), ("restored", cv2.GaussianBlur(crop, (0, 0), 0.8))):
            path = root / "sink" / "crops" / f"{name}.0.{kind}.png"
            cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        rows.append(row(root, name, hashlib.sha256(coded.tobytes()).hexdigest(), matrix, points, side))
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    recipe = {"methods": {"classic": {"method": "classic"}}}
    content = parquet(table.replace_schema_metadata({RECIPE: json.dumps(recipe).encode()}))
    (root / "sink" / "manifest" / "000001-20261121T000000Z-0000-00001.parquet").write_bytes(content)


def row(root: Path, name: str, sha256: str, matrix: Any, points: Any, side: int) -> dict[str, Any]:
    face = {"index": 0, "page": 0, "status": "restored", "reason": "", "box": [64.0, 144.0, 512.0, 512.0]}
    face |= {"landmarks": points.ravel().tolist(), "score": 0.9, "side": 512.0, "method": "classic", "rule": "default"}
    face |= {"strength": 1.0, "paste": "difference", "seed": 1, "affine": matrix.ravel().tolist()}
    face |= {"before": [("sharpness", 0.5)], "after": [("sharpness", 0.6)], "figures": []}
    facts = {"uri": f"file://{root}/archive/{name}", "path": name, "sha256": sha256, "status": "restored"}
    facts |= {"width": WIDTH, "height": HEIGHT, "target": name, "detector": "yunet", "faces": [face]}
    return facts | {"run_id": "made", "recipe": "made", "before": [], "after": [], "seconds": [], "weights": []}


def measured(root: Path, workers: int, ways: Sequence[int]) -> Iterator[dict[str, Any]]:
    for way, settings in (list(WAYS.items())[number] for number in ways):
        started, used = time.perf_counter(), os.times()
        out = root / way.replace(" ", "-").replace(",", "")
        record = export(Config(), f"file://{root}/sink", f"file://{out}", Settings.model_validate(settings), workers)
        now = os.times()
        cpu = sum(now[:4]) - sum(used[:4])
        size = sum(note["bytes"] for note in record["shards"].values())
        facts = {"way": way, "faces": record["counts"]["chosen"], "exported": record["counts"]["exported"]}
        yield facts | {"seconds": round(time.perf_counter() - started, 1), "cpu": round(cpu, 1), "MB": size // 10**6}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=256, help="of the stored crops; the default method has 256")
    parser.add_argument("--ways", type=int, nargs="+", choices=range(len(WAYS)), default=range(len(WAYS)))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), arguments.faces, arguments.side)
        for line in measured(Path(folder), arguments.workers, arguments.ways):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
