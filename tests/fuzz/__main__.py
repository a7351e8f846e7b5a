"""Rounds by hand.

python -m tests.fuzz --files 10000 --seed 7 [--write] [--workers 2] [--photos DIR]
python -m tests.fuzz --seed 7 --show 4711 > file      the bytes of one file of a round
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import corpus
from tests.fuzz.harness import ROOT, Round
from tests.fuzz.worker import case

PHOTOS = ROOT.parent / "shared" / "photos"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="restore, and open the results again")
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--show", type=int, metavar="NUMBER")
    options = parser.parse_args()
    seeds = corpus(options.photos if options.photos.is_dir() else None)
    if options.show is not None:
        name, data, done = case(seeds, options.seed, options.show)
        print(name, len(data), *done, file=sys.stderr)
        sys.stdout.buffer.write(data)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = Round(seeds, Path(folder), options.seed, options.write).run(options.files, options.workers)
    print(f"seed {options.seed}, {len(seeds)} files in the corpus", *found.lines(), sep="\n", flush=True)
    return 0 if found.clean else 1


if __name__ == "__main__":
    sys.exit(main())
