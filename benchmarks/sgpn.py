"""SGPN's speed: the rasteriser by itself, the networks beside the original's, faces a second on a GPU.

    python -m benchmarks.sgpn rasterise
    python -m benchmarks.sgpn networks ORIGINAL     one after the other, on the CPU, in float32
    python -m benchmarks.sgpn gpu ORIGINAL          the method in bfloat16, rendering included, beside the original

``ORIGINAL`` is a checkout of TencentYoutuResearch/FaceRestoration-sgpn. Weights are drawn; speed does not need others.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import Device
from models.face_model_file import face_arrays
from models.method import Faces
from models.methods.sgpn import Sgpn, SgpnParts
from models.nets.face_model import COEFFICIENTS, FaceModel
from models.nets.face_model_picture import SIDE, projected
from models.nets.face_reconstruction import FaceReconstruction, fused
from models.nets.sgpn import SGPN
from models.ops.rasterize import NONE, barycentrics, interpolated, visible

VERTICES, TRIANGLES = 35709, 70789  # of the face model that is used with the published weights
BATCHES = (1, 8, 32)

Run = Callable[[], object]


def sheet() -> tuple[torch.Tensor, torch.Tensor]:
    """A head-sized shell (V, 3) with as many vertices and triangles (T, 3) as the published face."""
    side = 189
    across = torch.linspace(-1, 1, side)
    rows, columns = torch.meshgrid(across, across, indexing="ij")
    x, y = columns * (1 - rows**2 / 2).sqrt(), rows * (1 - columns**2 / 2).sqrt()
    points = torch.stack([0.75 * x, 0.95 * y, 0.8 * (1.02 - x**2 - y**2).clamp(min=0).sqrt()], -1).view(-1, 3)
    index = torch.arange(side * side).view(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    both = torch.cat([torch.stack([a, c, b], -1).view(-1, 3), torch.stack([b, c, d], -1).view(-1, 3)])
    whole = both[(both < VERTICES).all(1)]
    return points[:VERTICES], torch.cat([whole, whole[: TRIANGLES - len(whole)]])


def seconds(run: Run, times: int) -> tuple[float, float]:
    """Medians of CPU and wall seconds, after one run that does not count."""
    run()
    spent: list[tuple[float, float]] = []
    for _ in range(times):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    return statistics.median(cpu for cpu, _ in spent), statistics.median(wall for _, wall in spent)


def rasterise() -> None:
    torch.set_num_threads(1)
    points, triangles = sheet()
    placed = projected(points[None])

    def draw() -> torch.Tensor:
        shown = visible(placed, triangles, SIDE)
        return interpolated(points[None], triangles, shown, barycentrics(placed, triangles, shown))

    covered = (visible(placed, triangles, SIDE) != NONE).float().mean()
    cpu, wall = seconds(draw, 20)
    print(f"{len(points)} vertices, {len(triangles)} triangles, {SIDE} px, {covered:.0%} covered, one thread")
    print(f"visible, weights and colours of a face: {cpu:.3f} CPU-s, {wall:.3f} s")


def original(folder: Path, device: Device) -> tuple[Any, Any]:
    """Encoder and generator, and the reconstruction network, of the original's code."""
    sys.path.insert(0, str(folder))
    from face_d3dfr.d3dfr_pytorch import ReconNetWrapper  # pyright: ignore[reportMissingImports]
    from face_restoration.model_sgpn import FullGenerator_SGPN  # pyright: ignore[reportMissingImports]

    return FullGenerator_SGPN().eval().to(device), ReconNetWrapper().eval().to(device)


def inputs(count: int, device: Device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops, pictures of shapes, coefficients, and the reconstruction's pictures."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((count, 3, 512, 512), (count, 3, 512, 512), (count, COEFFICIENTS), (count, 3, SIDE, SIDE))
    crops, pictures, coefficients, small = (torch.rand(shape, generator=generator).to(device) for shape in shapes)
    return 2 * crops - 1, 2 * pictures - 1, coefficients, small


def networks(folder: Path) -> None:
    crops, pictures, coefficients, small = inputs(1, "cpu")
    theirs, their_reconstruction = original(folder, "cpu")
    ours, our_reconstruction = SGPN().eval(), fused(FaceReconstruction().eval())
    runs: dict[str, Run] = {
        "original": lambda: (their_reconstruction(small), theirs(crops, pictures, coefficients)),
        "ours": lambda: (our_reconstruction(small), ours(crops, pictures, coefficients)),
    }
    with torch.inference_mode():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name, run in runs.items():
                cpu, wall = seconds(run, 3)
                print(f"{threads} threads, {name}: {cpu:.2f} CPU-s, {wall:.2f} s", flush=True)


def gpu(folder: Path) -> None:
    points, triangles = sheet()
    parts = SgpnParts(fused(FaceReconstruction().eval()), face_model(points, triangles), SGPN().eval())
    ours = Sgpn(parts, "cuda", "bfloat16")
    theirs, their_reconstruction = original(folder, "cuda")
    for count in BATCHES:
        crops, pictures, coefficients, small = inputs(count, "cuda")
        faces = Faces.plain(crops / 2 + 0.5, [0] * count)
        runs: dict[str, Run] = {
            "ours, bfloat16, with rendering": lambda faces=faces: ours.restore(faces),
            "original, float32, networks alone": lambda given=(crops, pictures, coefficients), small=small: (
                their_reconstruction(small),
                theirs(*given),
            ),
        }
        for name, run in runs.items():
            _, wall = seconds(lambda run=run: waited(run), 10)
            print(f"batch {count}, {name}: {count / wall:.1f} faces/s", flush=True)


def waited(run: Run) -> None:
    with torch.inference_mode():
        run()
    torch.cuda.synchronize()


def face_model(points: torch.Tensor, triangles: torch.Tensor) -> FaceModel:
    """The shell as a face that no coefficient changes much."""
    random, count = np.random.default_rng(1), len(points)
    bases = {"idBase": 80, "exBase": 64, "texBase": 80}
    arrays = {key: random.normal(0, 1e-4, (3 * count, width)) for key, width in bases.items()}
    arrays |= {"meanshape": points.numpy().reshape(1, -1), "meantex": np.full((1, 3 * count), 128.0)}
    around = random.integers(1, len(triangles) + 2, (count, 8))
    arrays |= {"tri": triangles.numpy() + 1, "point_buf": around, "keypoints": np.arange(1, 69)[None]}
    return FaceModel(face_arrays(arrays, "the shell"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rasterise"]:
            rasterise()
        case ["networks", folder]:
            networks(Path(folder))
        case ["gpu", folder]:
            gpu(Path(folder))
        case _:
            sys.exit(__doc__)
