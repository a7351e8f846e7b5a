"""How good ``daguerre-s`` is, and how quick: held-out portraits and scikit-image's, aged at three strengths.

    python benchmarks/daguerre_s.py PORTRAITS LANDMARKS.csv OUT [--weights FILE] [--faces 79] [--side 256] [--off 0]

Faces are those that ``daguerre train`` holds out: the last tenth by the SHA-256 of their names. Of each strength
(``models.degradations.archival.judged``) it prints the mean PSNR, SSIM and shift of the mean chroma of the damaged face
(brought to size by bicubic interpolation, as the damage does), of ``classic`` and of ``daguerre-s``; then both on faces
without damage, and CPU seconds a face. At the eyes and the mouth it tells besides the PSNR how sharp they are: how much
of the truth's fine detail is there (0 to 1, whatever noise is beside it) and how well what is there goes with the
truth's (correlation). ``--off`` moves each face by that share of the side, in a direction of its own, as landmarks do
that are off (the windows of eyes and mouth stay where the template has them). Contact sheets go to OUT: truth, damaged,
classic, daguerre-s.
"""

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage import data
from skimage.metrics import structural_similarity

from infra.storage import Storage, absolute
from models.degradations.archival import Strength, judged, toned
from models.degradations.chain import Image
from models.method import Faces, Restorer, all_methods
from models.methods.daguerre_s import WEIGHTS
from models.training.tasks.daguerre_s import moved
from stages.geometry import cut, similarity, template
from stages.portraits import portraits

SITTER = np.array([[204, 104], [247, 105], [223, 128], [204, 144], [242, 145]], dtype=np.float64)  # by eye
STRENGTHS: tuple[Strength, ...] = ("mild", "medium", "heavy")
SEED = 1840
SHOWN = 6
FINE = 3 / 256  # of the side: the sigma of the blur that takes fine detail away
WINDOWS = ((0.10, 0.07), (0.10, 0.07), (0.14, 0.07))  # of the side, from the middle of an eye or the mouth: x, y
NAMES = ("damaged", "classic", "daguerre-s")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one face: PSNR in dB, SSIM, and by how many levels (of 255) the mean Cb or Cr moved from the damaged face; at
    the eyes and mouth the PSNR, the share of the truth's fine detail, and the correlation with it.
    """

    psnr: float
    ssim: float
    chroma: float
    features: float
    share: float
    like: float


def faces_of(source: str, landmarks: str, count: int, side: int) -> Iterator[Image]:
    """The sitter of scikit-image's portrait first, then the held-out portraits."""
    sitter = cut(np.asarray(data.astronaut()), similarity(SITTER, template("ffhq", side)), side)
    for face in chain([sitter], portraits(Storage(), absolute(source), side, absolute(landmarks)).split()[1][:count]):
        yield face.astype(np.float32) / np.float32(255)


def restored(method: Restorer, face: Image, side: int) -> tuple[Image, float]:
    """The face by ``method``, brought to ``side`` for it and back by its change, and CPU seconds."""
    begun = time.process_time()
    crop = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) if side != len(face) else face
    crops = torch.from_numpy(np.ascontiguousarray(crop.clip(0, 1).transpose(2, 0, 1)))[None]
    result = method.restore(Faces.plain(crops, [0])).faces[0].permute(1, 2, 0).numpy()
    if side != len(face):
        change = cv2.resize(result - crop, (len(face), len(face)), interpolation=cv2.INTER_AREA)
        result = (face + change).clip(0, 1)
    return np.rint(result * 255).astype(np.float32) / np.float32(255), time.process_time() - begun


def compared(face: Image, damaged: Image, truth: Image) -> Figures:
    error = max(float(((face - truth) ** 2).mean()), 1e-10)
    ssim: Any = structural_similarity(face, truth, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5)
    shift = np.abs((chroma(face) - chroma(damaged)).mean(axis=(0, 1)))
    squares = np.concatenate([((face - truth) ** 2)[window].ravel() for window in windows(len(truth))])
    own, true = fine(face), fine(truth)
    together = float(own @ true)
    return Figures(
        -10 * float(np.log10(error)),
        float(ssim),
        float(shift.max()),
        -10 * float(np.log10(max(squares.mean(), 1e-10))),
        together / float(true @ true),
        together / float(np.sqrt((own @ own) * (true @ true))),
    )


def windows(side: int) -> list[tuple[slice, slice]]:
    """Of the eyes and the mouth of an aligned face."""
    left, right, _, *mouth = template("ffhq", side)
    boxes: list[tuple[slice, slice]] = []
    for middle, half in zip((left, right, np.mean(mouth, axis=0)), WINDOWS, strict=True):
        (x, y), (right_end, bottom) = np.rint([middle - side * np.array(half), middle + side * np.array(half)]).astype(
            int
        )
        boxes.append((slice(y, bottom), slice(x, right_end)))
    return boxes


def fine(face: Image) -> NDArray[np.float32]:
    """The fine detail of eyes and mouth, in a row."""
    grey = cv2.cvtColor(face.astype(np.float32), cv2.COLOR_RGB2GRAY)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), FINE * len(face))
    return np.asarray(np.concatenate([detail[window].ravel() for window in windows(len(face))]), np.float32)


def chroma(face: Image) -> NDArray[np.float32]:
    """Cb and Cr (S, S, 2) of ITU-R BT.601, in levels of 255."""
    return np.asarray(255 * cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb)[..., 1:], np.float32)


def row(name: str, figures: Sequence[Figures]) -> str:
    psnr, ssim, shift, features, share, like = np.array([astuple(one) for one in figures]).T
    return (
        f"| {name} | {psnr[1:].mean():.2f} | {ssim[1:].mean():.4f} | {shift[1:].mean():.2f} | {shift.max():.2f} "
        f"| {features[1:].mean():.2f} | {share[1:].mean():.2f} | {like[1:].mean():.3f} "
        f"| {psnr[0]:.2f} | {ssim[0]:.4f} | {features[0]:.2f} | {share[0]:.2f} | {like[0]:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits")
    parser.add_argument("landmarks")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS.place)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--off", type=float, default=0.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    methods = all_methods()
    classic, own = methods["classic"], methods["daguerre-s"]
    restorers = {
        "classic": (classic.build({}, classic.parameters(), "cpu", "float32"), 512),
        "daguerre-s": (own.build({WEIGHTS.name: options.weights}, own.parameters(), "cpu", "float32"), options.side),
    }
    faces = list(faces_of(options.portraits, options.landmarks, options.faces, options.side))
    print(f"{len(faces) - 1} held-out portraits and one of another origin, {options.side} x {options.side}, ", end="")
    print(f"{platform.machine()}, torch {torch.__version__}, one thread\n")
    seconds: dict[str, list[float]] = {name: [] for name in restorers}
    for strength in (*STRENGTHS, None):
        print(f"\n{strength or 'no damage'}\n")
        eyes = "eyes and mouth: PSNR | detail | its correlation"
        print(f"| | PSNR | SSIM | chroma shift, mean | largest | {eyes} | other origin: PSNR | SSIM | {eyes} |")
        print("|---" * 13 + "|")
        found: dict[str, list[Figures]] = {name: [] for name in NAMES}
        sheet: list[Image] = []
        for index, face in enumerate(faces):
            rng = np.random.default_rng([SEED, index])
            step = options.off * options.side * np.exp(1j * index)
            truth = toned()(moved(face, round(step.imag), round(step.real)), rng)
            damaged = judged(strength, options.side)(truth, rng) if strength else truth
            pictures = {"damaged": damaged}
            for name, (method, side) in restorers.items():
                pictures[name], took = restored(method, damaged, side)
                seconds[name].append(took)
            for name, picture in pictures.items():
                found[name].append(compared(picture, damaged, truth))
            if index < SHOWN:
                sheet.append(np.hstack([truth, *pictures.values()]))
        for name in NAMES:
            print(row(name, found[name]), flush=True)
        levels = np.rint(np.vstack(sheet) * 255).astype(np.uint8)
        Pillow.fromarray(levels).save(options.out / f"{strength or 'clean'}.png")
    print("\nCPU seconds a face: " + ", ".join(f"{name} {np.median(took):.2f}" for name, took in seconds.items()))


if __name__ == "__main__":
    main()
