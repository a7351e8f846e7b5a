"""What does a face cost by GPEN and VQFR? CPU time on one thread, beside GPEN's original code where there is a copy.

    OMP_NUM_THREADS=1 python benchmarks/gpen.py [--original CHECKOUT] [--only gpen-256 vqfr-v2-texture] [--repeats 3]

Random weights, float32. CHECKOUT is a copy of yangxy/GPEN: its network gets our weights, and must give the same face.
"""

import argparse
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import nn

from models.nets.gpen import GPEN, GPEN_256, GPEN_512, GpenSizes
from models.nets.vqfr_v1 import VQFRv1
from models.nets.vqfr_v2 import VQFRv2

Work = Callable[[], torch.Tensor]

GPENS = {"gpen-256": GPEN_256, "gpen-512": GPEN_512}
VQFRS = ("vqfr-v1", "vqfr-v2-texture", "vqfr-v2-fidelity")
SAME = 1e-5  # relative error between the two codes


def original(checkout: Path, sizes: GpenSizes, network: GPEN) -> nn.Module:
    """The published code's network with the weights of ``network``."""
    sys.path.insert(0, str(checkout / "face_model"))
    code = importlib.import_module("gpen_model")
    found = code.FullGenerator(
        *(sizes.side, sizes.width, sizes.mapping_layers),
        channel_multiplier=sizes.multiplier,
        narrow=sizes.narrow,
        device="cpu",
    )
    found.load_state_dict(network.state_dict())
    return found.eval()


def gpen(sizes: GpenSizes, checkout: Path | None) -> tuple[Work, Work | None]:
    """One face by ours and, with a ``checkout``, by the original."""
    network = GPEN(sizes).eval()
    face = torch.rand(1, 3, sizes.side, sizes.side) * 2 - 1
    ours = partial(network, face)
    if checkout is None:
        return ours, None
    theirs = original(checkout, sizes, network)
    found, expected = ours(), theirs(face)[0]
    if (found - expected).norm() > SAME * expected.norm():
        raise RuntimeError("the two codes do not give the same face")
    return ours, lambda: theirs(face)[0]


def vqfr(name: str) -> Work:
    """One face by ours, with weights that keep the size of the signal."""
    network = VQFRv1() if name == "vqfr-v1" else VQFRv2()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    face = torch.rand(1, 3, 512, 512) * 2 - 1
    if isinstance(network, VQFRv1):
        return partial(network.eval(), face)
    return partial(network.eval(), face, [0.5 if name == "vqfr-v2-fidelity" else 0.0])


def cpu_seconds(work: Work, repeats: int) -> float:
    """The median over ``repeats`` runs, after one to warm up."""
    times: list[float] = []
    for _ in range(repeats + 1):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, metavar="CHECKOUT")
    parser.add_argument("--only", nargs="+", default=[*GPENS, *VQFRS], choices=[*GPENS, *VQFRS])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    memory = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}; {time.strftime('%B %Y')}"
    print(f"{platform.machine()}, {memory}; {versions}. CPU s a face, one thread, median.\n")
    print("| Network | ours | original |\n|---|---|---|")
    for name in options.only:
        ours, theirs = gpen(GPENS[name], options.original) if name in GPENS else (vqfr(name), None)
        beside = f"{cpu_seconds(theirs, options.repeats):.2f}" if theirs else "-"
        print(f"| {name} | {cpu_seconds(ours, options.repeats):.2f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
