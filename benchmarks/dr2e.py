"""DR2's U-Net and SPARNetHD on the CPU, beside the original code, with random weights.

    OMP_NUM_THREADS=1 python benchmarks/dr2e.py FOLDER [--network unet|sparnethd|both] [--threads 1] [--runs 5]

FOLDER is a clone of ``Kaldwin0106/DR2_Drgradation_Remover``. The two take turns in one process, so that other work on
the machine slows both. Wall-clock and CPU seconds of this process, median and least; the outputs are compared too.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from models.nets.adm_unet import AdmUNet
from models.nets.adm_unet_cpu import CpuUNet
from models.nets.sparnet import SparnetHD
from models.nets.sparnet_cpu import CpuSparnet
from models.spectral_norm import folded

Run = Callable[[], torch.Tensor]
STEP = 424


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
    parser = argparse.ArgumentParser(description="DR2E's networks on the CPU, beside the original code")
    parser.add_argument("original", type=Path)
    parser.add_argument("--network", choices=[*PAIRS, "both"], default="both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(arguments)
    sys.path.insert(0, str(given.original))
    torch.set_num_threads(given.threads)
    for name in PAIRS if given.network == "both" else [given.network]:
        with torch.no_grad():
            compare(name, PAIRS[name](), given.runs)


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


def unets() -> tuple[Run, Run]:
    original = drawn(import_module("DRDR.unet").UNetModel(in_channels=3, out_channels=6))
    network = AdmUNet().eval().requires_grad_(False)
    network.load_state_dict(original.state_dict())
    ours = CpuUNet(network)
    images, steps = torch.randn(1, 3, 256, 256), torch.tensor([STEP])
    return lambda: original(images, steps), lambda: ours(images, steps)


def sparnets() -> tuple[Run, Run]:
    original = drawn(import_module("SPAR.models").createModel("SPARNetHD2D"))
    network = SparnetHD().eval().requires_grad_(False)
    network.load_state_dict(folded(original.state_dict()))
    ours = CpuSparnet(network)
    faces = torch.rand(1, 3, 512, 512) * 2 - 1
    return lambda: original(faces), lambda: ours(faces)


def drawn(network: nn.Module) -> nn.Module:
    """``network`` ready for inference, with weights that keep its signal alive."""
    torch.manual_seed(1839)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, float(parameter[0].numel()) ** -0.5)
        elif name.endswith("weight"):
            nn.init.ones_(parameter)
    return network.eval().requires_grad_(False)


PAIRS: dict[str, Callable[[], tuple[Run, Run]]] = {"unet": unets, "sparnethd": sparnets}

if __name__ == "__main__":
    main()
