"""PMRF's flow on a GPU: how fast in which precision, what share of the chip that is, and where the time goes.

    python benchmarks/pmrf_gpu.py [--original FOLDER] [--batches 1,8,32,64] [--ways tiled,flex] [--out FILE.md]

One command does all: faces a second at K = 25 and 512 x 512 (one regressor and 25 steps of the flow, each the median of
single runs) in fp32, TF32, bf16 and bf16 compiled (static shapes, CUDA graphs), for each way of neighbourhood
attention; the share of the measured matrix rate; PSNR of bf16 against fp32 on the final image at K = 3; a profile of
one step. FOLDER is a clone of ``ohayonguy/PMRF``: its eager path in fp32 and TF32 is measured beside, with natten if
that is installed and our tiles in its place if not. Random weights. What does not fit into memory is left out and said.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from pmrf import drawn, module, stand_in
from torch import nn
from torch.profiler import ProfilerActivity, profile

from models.nets.hdit import IMAGENET_256_SP4, HDiT
from models.nets.swinir import L, SwinIR
from models.ops.neighbourhood_attention import Way
from models.samplers.rectified_flow import euler, noisy

SIDE, STEPS, SHORT, SIGMA = 512, 25, 3, 0.1
FLOW_MACS, MEAN_MACS = 252e9, 91e9  # of one face at 512, of one evaluation
WARM, RUNS = 3, 10
MATRIX = 8192  # side of the product that measures the chip
PEAK_ROWS = 15  # of the profile
Flow = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Mean = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Case:
    """One way of computing: the networks, the type, and whether matrix products may take TF32."""

    name: str
    flow: Flow
    mean: Mean
    dtype: torch.dtype
    tf32: bool


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="PMRF on a GPU")
    parser.add_argument("--original", type=Path)
    parser.add_argument("--batches", default="1,8,32,64")
    parser.add_argument("--ways", default="tiled,flex")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("error: this benchmark needs a GPU that torch can use")
    lines = list(report([int(batch) for batch in given.batches.split(",")], given.ways.split(","), given.original))
    text = "\n".join(lines) + "\n"
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    print(text)


def report(batches: Sequence[int], ways: Sequence[str], original: Path | None) -> Iterator[str]:
    """The whole report as Markdown."""
    rates = {name: matrix_rate(name) for name in KINDS}
    yield f"# pmrf_gpu.py, {torch.cuda.get_device_name()}, torch {torch.__version__}"
    yield ""
    yield "Measured matrix rates: " + ", ".join(f"{name} {rate / 1e12:.0f} TFLOPS" for name, rate in rates.items())
    yield ""
    yield "| case | batch | regressor s | step s | faces/s at K = 25 | share of the matrix rate | peak GiB |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for make in makers(ways, original):
        case = make()
        for batch in batches:
            yield measured(case, batch, rates[kind(case)])
        torch.compiler.reset()
        torch.cuda.empty_cache()
    yield ""
    yield f"bf16 against fp32 on the final image at K = {SHORT}: {agreement():.1f} dB"
    yield ""
    yield "Where a step's time goes (bf16, eager, batch 8):"
    yield ""
    yield "```"
    yield profiled()
    yield "```"


KINDS = {"fp32": (torch.float32, False), "tf32": (torch.float32, True), "bf16": (torch.bfloat16, False)}
"""The arithmetic of matrix products."""


def kind(case: Case) -> str:
    return "bf16" if case.dtype == torch.bfloat16 else "tf32" if case.tf32 else "fp32"


def makers(ways: Sequence[str], original: Path | None) -> Iterator[Callable[[], Case]]:
    """What makes each case; networks are built when it is its turn."""
    for way in ways:
        for name in KINDS:
            yield partial(ours, name, cast("Way", way), False)
        yield partial(ours, "bf16", cast("Way", way), True)
    if original is not None:
        prepare(original)
        for name in ("fp32", "tf32"):
            yield partial(theirs, name)


def ours(name: str, way: Way, compiled: bool) -> Case:
    dtype, tf32 = KINDS[name]
    flow, mean = (network.to("cuda") for network in networks(dtype))
    cast("HDiT", flow).attend_by(way)
    label = f"ours, {name}{' compiled' if compiled else ''}, {way}"
    if not compiled:
        return Case(label, flow, mean, dtype, tf32)
    fast = [torch.compile(network, mode="reduce-overhead", dynamic=False) for network in (flow, mean)]
    return Case(label, cast("Flow", fast[0]), cast("Mean", fast[1]), dtype, tf32)


def theirs(name: str) -> Case:
    create = import_module("utils.create_arch").create_arch
    flow, mean = (drawn(create(arch)).to("cuda") for arch in ("hdit_ImageNet256Sp4", "swinir_L"))
    return Case(f"original eager, {name}", flow, mean, *KINDS[name])


def networks(dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    flow, mean = HDiT(IMAGENET_256_SP4), SwinIR(L)
    for network in (flow, mean):
        drawn(network)
    return flow.compute_in(dtype), mean.compute_in(dtype)


def prepare(original: Path) -> None:
    """Let the original's modules be found, with stand-ins for what is not installed."""
    sys.path.insert(0, str(original))
    if find_spec("natten") is None:
        functions = module(na2d=partial(stand_in, "tiled"))
        sys.modules["natten"] = module(has_fused_na=lambda: True, functional=functions)
    layers = module(DropPath=nn.Identity, to_2tuple=lambda side: (side, side), trunc_normal_=nn.init.trunc_normal_)
    sys.modules |= {"timm": module(), "timm.models": module(), "timm.models.layers": layers}


def measured(case: Case, batch: int, rate: float) -> str:
    """A row of the table."""
    try:
        with torch.inference_mode(), arithmetic(case.tf32):
            torch.cuda.reset_peak_memory_stats()
            images = torch.rand(batch, 3, SIDE, SIDE, device="cuda")
            times = torch.full((batch,), 0.36, device="cuda")
            mean, step = seconds(lambda: case.mean(images)), seconds(lambda: case.flow(images, times))
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return f"| {case.name} | {batch} | out of memory | | | | |"
    whole = mean + STEPS * step
    share = 2 * batch * (MEAN_MACS + STEPS * FLOW_MACS) / whole / rate
    peak = torch.cuda.max_memory_allocated() / 2**30
    return f"| {case.name} | {batch} | {mean:.4f} | {step:.4f} | {batch / whole:.3f} | {share:.1%} | {peak:.1f} |"


def seconds(run: Callable[[], torch.Tensor]) -> float:
    """The median of several runs, by the GPU's clock."""
    for _ in range(WARM):
        run()
    found: list[float] = []
    for _ in range(RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end) / 1000)
    return statistics.median(found)


def matrix_rate(name: str) -> float:
    """FLOPS of a large matrix product in one of ``KINDS``."""
    dtype, tf32 = KINDS[name]
    one, other = torch.randn(2, MATRIX, MATRIX, device="cuda", dtype=dtype)
    with torch.inference_mode(), arithmetic(tf32):
        return 2 * MATRIX**3 / seconds(lambda: one @ other)


@contextmanager
def arithmetic(tf32: bool) -> Generator[None]:
    """Matrix products and convolutions with or without TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def agreement() -> float:
    """PSNR in dB of the final image in bf16 against fp32."""
    results: list[torch.Tensor] = []
    images = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(7)).cuda()
    noise = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8)).cuda()
    for dtype in (torch.float32, torch.bfloat16):
        flow, mean = (network.to("cuda") for network in networks(dtype))
        with torch.inference_mode(), arithmetic(False):
            source = noisy(mean(images).clamp(0, 1), noise, SIGMA)
            results.append(euler(partial(velocity, flow), source, SHORT).clamp(0, 1))
    return -10 * float((results[0] - results[1]).square().mean().log10())


def velocity(flow: Flow, state: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    return flow(state, times).float()


def profiled() -> str:
    """The kernels that take longest in a step."""
    case = ours("bf16", "tiled", False)
    images, times = torch.rand(8, 3, SIDE, SIDE, device="cuda"), torch.full((8,), 0.36, device="cuda")
    with torch.inference_mode():
        case.flow(images, times)
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            case.flow(images, times)
            torch.cuda.synchronize()
    return found.key_averages().table(sort_by="self_cuda_time_total", row_limit=PEAK_ROWS, max_name_column_width=60)


if __name__ == "__main__":
    main()
