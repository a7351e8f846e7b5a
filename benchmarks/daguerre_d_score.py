"""What each score of ``daguerre-d`` means, by what its training never saw: held-out portraits and pictures.

    python benchmarks/daguerre_d_score.py FACELESS PORTRAITS MARKS.csv [--weights FILE] [--scenes 120]

Searched as in a run are the held-out tenth of FACELESS (``scripts/make_faceless.py``), and scenes of 512 pixels made of
held-out portraits before such pictures. For each score it prints the share of the scenes' faces that is found, and the
false faces in scenes and in pictures.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from infra.storage import Storage, absolute
from models.detector import Detection, Detector, DetectorSettings, all_detectors
from models.detectors.daguerre_d import WEIGHTS
from models.training.album import Album
from models.training.mosaic import Scene, scene
from models.training.tasks.daguerre_d import FOUND, shared_by
from stages.albums import backgrounds, marked

SEED = 1844
SIDE = 512
SETTINGS = DetectorSettings(0.3, (1280, 640, 320, 160))
SCORES = np.arange(0.4, 0.96, 0.025)


def parted(found: Sequence[Detection], one: Scene) -> tuple[list[float], list[float]]:
    """The scores of the finds that show a face of the scene, best first and each once, and of those that do not."""
    left = set(range(len(one.boxes)))
    hits: list[float] = []
    false: list[float] = []
    for find in found:
        box = np.array(find.box)
        best = max(range(len(one.boxes)), key=lambda number: shared_by(box, one.boxes[number]), default=-1)
        shown = best >= 0 and shared_by(box, one.boxes[best]) >= FOUND
        if shown and best in left:
            hits.append(find.score)
            left.discard(best)
        elif not shown:
            false.append(find.score)
    return hits, false


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("faceless", "portraits", "marks"):
        parser.add_argument(name)
    parser.add_argument("--weights", type=Path, default=WEIGHTS.place)
    parser.add_argument("--scenes", type=int, default=120)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector: Detector = all_detectors()["daguerre-d"].build({WEIGHTS.name: options.weights}, SETTINGS)
    kinds = [kind.split()[1] for kind in backgrounds(Storage(), absolute(options.faceless))]
    kinds = [kind for kind in kinds if kind]
    portraits = marked(Storage(), absolute(options.portraits), absolute(options.marks), 400).split()[1]
    hits: list[float] = []
    in_scenes: list[float] = []
    faces = 0
    for index in range(options.scenes):
        album = Album(portraits, index % len(portraits), kinds)
        one = scene(album, SIDE, np.random.default_rng([SEED, index]))
        right, wrong = parted(detector.detect([one.pixels])[0], one)
        hits, in_scenes, faces = hits + right, in_scenes + wrong, faces + len(one.boxes)
    pictures = [picture for kind in kinds for picture in kind]
    in_pictures = [find.score for picture in pictures for find in detector.detect([picture])[0]]
    print(f"{options.scenes} scenes with {faces} faces, {len(pictures)} pictures without any\n")
    print("| score | faces found | false in scenes | false in pictures |\n|---|---|---|---|")
    for score in SCORES:
        found, wrong, alone = (sum(one >= score for one in these) for these in (hits, in_scenes, in_pictures))
        print(f"| {score:.3f} | {found / max(1, faces):.1%} | {wrong} | {alone} |")


if __name__ == "__main__":
    main()
