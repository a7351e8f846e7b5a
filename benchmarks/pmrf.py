"""PMRF's networks on the CPU, beside the original code, with random weights.

    OMP_NUM_THREADS=1 python benchmarks/pmrf.py FOLDER [--network flow|mmse|both] [--threads 1] [--runs 5]

FOLDER is a clone of ``ohayonguy/PMRF``. Its neighbourhood attention is natten's; here plain torch operations stand in
for natten (they gather each token's keys; ``--natten tiled`` lends it our own way), and for three helpers of timm. The
two take turns in one process, so that other work on the machine slows both. Wall-clock and CPU seconds of this process,
median and least; the outputs are compared too. ``--compiled`` lets the original compile its small functions, as it does
by default. ``--peak original|ours`` runs one side alone, once, and prints the peak of memory during the run (Linux).
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from models.nets.hdit import IMAGENET_256_SP4, HDiT
from models.nets.swinir import L, SwinIR
from models.ops.neighbourhood_attention import Way, neighbourhood_attention

Run = Callable[[], torch.Tensor]
TIME = 0.36


@dataclass
class Times:
    """Seconds of one side's runs."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    def add(self, run: Run) -> torch.Tensor:
        wall, cpu = time.perf_counter(), time.process_time()
        found = run()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return found

    def __str__(self) -> str:
        wall, cpu = (f"{statistics.median(values):.2f} / {min(values):.2f}" for values in (self.wall, self.cpu))
        return f"wall {wall} s, CPU {cpu} s"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="PMRF's networks on the CPU, beside the original code")
    parser.add_argument("original", type=Path)
    parser.add_argument("--network", choices=[*PAIRS, "both"], default="both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--natten", choices=["plain", "tiled"], default="plain")
    parser.add_argument("--peak", choices=["original", "ours"])
    given = parser.parse_args(arguments)
    prepare(given.original, given.compiled, given.natten)
    torch.set_num_threads(given.threads)
    for name in PAIRS if given.network == "both" else [given.network]:
        with torch.inference_mode():
            pair = PAIRS[name](given.side)
            if given.peak:
                peak(f"{name}, {given.peak}", pair[given.peak == "ours"])
            else:
                compare(name, pair, given.runs)


def prepare(original: Path, compiled: bool, way: Way) -> None:
    """Let the original's modules be found, with stand-ins for what is not installed."""
    os.environ["K_DIFFUSION_USE_COMPILE"] = str(int(compiled))
    sys.path.insert(0, str(original))
    sys.modules["natten"] = module(has_fused_na=lambda: True, functional=module(na2d=partial(stand_in, way)))
    layers = module(DropPath=nn.Identity, to_2tuple=lambda side: (side, side), trunc_normal_=nn.init.trunc_normal_)
    sys.modules |= {"timm": module(), "timm.models": module(), "timm.models.layers": layers}


def module(**members: Any) -> ModuleType:
    made = ModuleType("stand_in")
    made.__dict__.update(members)
    return made


def stand_in(
    way: Way, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kernel: int, *, scale: float
) -> torch.Tensor:
    """natten's ``na2d``."""
    if scale != 1:
        raise ValueError(scale)
    return neighbourhood_attention(queries, keys, values, kernel=kernel, way=way)


def compare(name: str, pair: tuple[Run, Run], runs: int) -> None:
    """Let both take turns, and print."""
    times = Times(), Times()
    expected, found = (run() for run in pair)
    for _ in range(runs):
        for side, run in zip(times, pair, strict=True):
            side.add(run)
    error = float((found - expected).norm() / expected.norm())
    print(f"{name}, {torch.get_num_threads()} thread(s), {runs} runs each: median / least")
    print(f"  original {times[0]}")
    print(f"  ours     {times[1]}, relative difference of the outputs {error:.1e}")
    wall = statistics.median(times[0].wall) / statistics.median(times[1].wall)
    cpu = statistics.median(times[0].cpu) / statistics.median(times[1].cpu)
    print(f"  ours is {wall:.2f} times as fast, {cpu:.2f} times by CPU time", flush=True)


def peak(name: str, run: Run) -> None:
    """The highest memory of this process during one run, and what it had before."""
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    run()
    print(f"{name}: peak {memory('VmHWM') - before:.0f} MiB above the {before:.0f} MiB before the run", flush=True)


def memory(field: str) -> float:
    """A field of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def flows(side: int) -> tuple[Run, Run]:
    original = drawn(import_module("utils.create_arch").create_arch("hdit_ImageNet256Sp4"))
    ours = HDiT(IMAGENET_256_SP4).eval().requires_grad_(False)
    ours.load_state_dict(original.state_dict(), assign=True)
    images, times = torch.rand(1, 3, side, side), torch.tensor([TIME])
    return lambda: original(images, times), lambda: ours(images, times)


def regressors(side: int) -> tuple[Run, Run]:
    original = drawn(import_module("utils.create_arch").create_arch("swinir_L"))
    ours = SwinIR(L).eval().requires_grad_(False)
    ours.load_state_dict(original.state_dict(), assign=True)
    images = torch.rand(1, 3, side, side)
    return lambda: original(images), lambda: ours(images)


def drawn(network: nn.Module) -> nn.Module:
    """``network`` ready for inference, with weights that keep its signal alive."""
    torch.manual_seed(1839)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, float(parameter[0].numel()) ** -0.5)
        elif name.endswith("weight"):
            nn.init.ones_(parameter)
    return network.eval().requires_grad_(False)


PAIRS: dict[str, Callable[[int], tuple[Run, Run]]] = {"flow": flows, "mmse": regressors}

if __name__ == "__main__":
    main()
