"""Does the estimate hold what a run then takes? 2,000 photos made of a few, one run, and estimates from 200 of them.

    PYTHONPATH=. python benchmarks/estimate.py PHOTOS WEIGHTS [--photos 2000] [--sample 200] [--seeds 10] [--archive N]

PHOTOS is a folder of photos with and without faces and ``manifest.csv`` (columns ``file`` and ``faces``), WEIGHTS one
with the detector's. Each photo is reduced at random to 240 to 720 pixels and stored as JPEG; the method is ``classic``
at 256 pixels, everything else as by default. Prints what the run came to and a JSON line a seed: faces and seconds
with their intervals, and whether these hold the run's.
"""

import argparse
import csv
import json
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from infra.config import Config
from pipeline.estimate import estimate
from pipeline.job import make_job
from pipeline.ledger import load
from pipeline.retry import Retry
from pipeline.run import restore
from pipeline.work import Trial, plan_work

SIDES = (240, 720)  # pixels
FACES = 4
SEED = 1839
CLASSIC = {"method": "classic", "parameters": {"size": 256}}


def photos_of(folder: Path) -> list[Image.Image]:
    """The photos of the manifest with at most ``FACES`` faces, as far as Pillow opens them, in RGB."""
    photos: list[Image.Image] = []
    with (folder / "manifest.csv").open(newline="") as table:
        files = [
            line["file"] for line in csv.DictReader(table) if line["faces"].isdigit() and int(line["faces"]) <= FACES
        ]
    for file in files:
        try:
            with Image.open(folder / file) as photo:
                photos.append(photo.convert("RGB"))
        except (OSError, UnidentifiedImageError):
            continue
    return photos


def archive(photos: list[Image.Image], count: int, folder: Path, seed: int) -> None:
    """``count`` photos below ``folder``, each one of ``photos`` at a random size."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(count):
        photo = photos[int(rng.integers(len(photos)))]
        factor = min(1.0, rng.uniform(*SIDES) / max(photo.size))
        size = max(32, round(photo.width * factor)), max(32, round(photo.height * factor))
        photo.resize(size, reducing_gap=2).save(folder / f"{number:05}.jpg", quality=int(rng.integers(70, 96)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--archive", type=int, default=SEED, help="seed of the photos")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["DAGUERRE_WEIGHTS"] = str(options.weights.absolute())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive(photos_of(options.source), options.photos, folder / "in", options.archive)
        config = Config.model_validate({"method": "classic", "methods": {"classic": CLASSIC}})
        job = make_job(str(folder / "in"), str(folder / "out"), config)
        outcome = restore(job, Retry(), Trial(), quiet=True)
        actual = {"faces": outcome.tally.faces.total(), "seconds": outcome.seconds}
        print(json.dumps({"photos": options.photos, "cpus": os.cpu_count()} | actual), flush=True)
        inside = dict.fromkeys(actual, 0)
        for seed in range(options.seeds):
            fresh = make_job(str(folder / "in"), str(folder / f"out-{seed}"), config)
            work = plan_work(fresh, load(fresh.storage, fresh.sink, fresh.source), Retry(), Trial())
            found = estimate(fresh, work, options.sample, os.cpu_count() or 1, seed)
            holds = {key: found[key]["low"] <= actual[key] <= found[key]["high"] for key in actual}
            inside = {key: inside[key] + holds[key] for key in inside}
            told = {key: [round(found[key][bound], 1) for bound in ("value", "low", "high")] for key in actual}
            print(json.dumps({"seed": seed} | told | {"holds": holds, "load": os.getloadavg()[0]}), flush=True)
        print(json.dumps({"inside": inside, "of": options.seeds}))


if __name__ == "__main__":
    main()
