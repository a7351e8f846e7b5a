"""What does a face cost by ELSFace? CPU time on one thread, beside the original's code where there is a copy.

    OMP_NUM_THREADS=1 python benchmarks/elsface.py [--original CHECKOUT] [--repeats 9]

Random weights, float32. CHECKOUT is a copy of FVL2020/ELSFace; its network gets our weights and must give the same
faces. Ours and the original's runs alternate; told is the median.
"""

import argparse
import importlib
import platform
import statistics
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import nn

from models.nets.elsface import INPUT_SIDE, ELSFace, Factor

Work = Callable[[], torch.Tensor]
FACTORS: tuple[Factor, ...] = (4, 8)
BATCHES = (1, 8)
SAME = 1e-5  # relative error between the two codes


def original(checkout: Path, network: ELSFace, factor: Factor) -> nn.Module:
    """The published code's network at its own default options, with the weights of ``network``."""
    stand_in("timm.models.layers", DropPath=nn.Identity, trunc_normal_=nn.init.trunc_normal_, to_2tuple=doubled)
    for name, parts in MMEDIT.items():
        stand_in(name, **dict.fromkeys(parts))
    sys.path.insert(0, str(checkout))
    sys.argv = ["option.py", "--scale", str(factor // 2)]
    options = importlib.import_module("option").args
    options.scale = [factor // 2]
    found = importlib.import_module("model.elsface").make_model(options)
    found.load_state_dict(network.state_dict())
    return found.eval()


# What the original's files import for networks that it does not build.
MMEDIT = {
    "mmedit.models.backbones.sr_backbones.rrdb_net": ("RRDB",),
    "mmedit.models.builder": ("build_component",),
    "mmedit.models.common": ("PixelShufflePack", "make_layer"),
    "mmedit.models.registry": ("BACKBONES",),
    "mmedit.utils": ("get_root_logger",),
}


def stand_in(name: str, **parts: object) -> None:
    """A module ``name`` that holds ``parts``, and its packages, for a library that is not installed."""
    names = name.split(".")
    for count in range(1, len(names)):
        sys.modules.setdefault(".".join(names[:count]), types.ModuleType(names[count - 1]))
    module = types.ModuleType(name)
    module.__dict__.update(parts)
    sys.modules[name] = module


def doubled(side: int) -> tuple[int, int]:
    return side, side


def pair(factor: Factor, batch: int, checkout: Path | None) -> list[Work]:
    """``batch`` faces by ours and, with a ``checkout``, by the original."""
    network = ELSFace(factor).eval()
    faces = torch.rand(batch, 3, INPUT_SIDE, INPUT_SIDE)
    if checkout is None:
        return [partial(network, faces)]
    theirs = original(checkout, network, factor)
    found, expected = network(faces), theirs(faces)
    if (found - expected).norm() > SAME * expected.norm():
        raise RuntimeError("the two codes do not give the same faces")
    return [partial(network, faces), partial(theirs, faces)]


def cpu_seconds(works: list[Work], repeats: int) -> list[float]:
    """Medians over ``repeats`` rounds, after one to warm up."""
    rounds = [[timed(work) for work in works] for _ in range(repeats + 1)][1:]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def timed(work: Work) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, metavar="CHECKOUT")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    memory = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}; {time.strftime('%B %Y')}"
    print(f"{platform.machine()}, {memory}; {versions}. CPU s a face, one thread, median.\n")
    print("| Network | batch | ours | original | ratio |\n|---|---|---|---|---|")
    for factor in FACTORS:
        for batch in BATCHES:
            works = pair(factor, batch, options.original)
            ours, *theirs = (seconds / batch for seconds in cpu_seconds(works, options.repeats))
            beside = f"{theirs[0]:.3f} | {theirs[0] / ours:.2f}" if theirs else "- | -"
            print(f"| x{factor} | {batch} | {ours:.3f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
