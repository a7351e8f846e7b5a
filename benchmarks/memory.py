"""Does memory grow with the archive? Private memory (USS) of the driver and of each worker, for 200 and 2,000 photos.

    python benchmarks/memory.py [--photos 200 2000] [--out FOLDER]

Makes archives of small photos (copies of one degraded portrait under other names), restores each with the command line
and an object store of 500 MB, and samples the processes twice a second. The steady part is the last half of each
process's samples while work is going on; its median is compared. YuNet is used where ``DAGUERRE_WEIGHTS`` has it, else
the cascade.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from skimage.data import astronaut

CONFIG = """
[run]
object_store_mb = 500
part_rows = 50
[detect]
detector = "{detector}"
"""
Samples = dict[str, list[float]]


def make_archive(folder: Path, count: int) -> None:
    """``count`` photos of about 240 x 240 pixels: eight different ones under many names."""
    folder.mkdir(parents=True)
    head = Image.fromarray(astronaut()).crop((60, 0, 380, 320)).resize((240, 240))
    for index in range(8):
        noise = np.random.default_rng(index).normal(0, 8, (240, 240, 3))
        out = io.BytesIO()
        Image.fromarray((np.asarray(head) + noise).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
        for copy in range(index, count, 8):
            (folder / f"{copy:06d}.jpg").write_bytes(out.getvalue())


def role_of(process: psutil.Process, driver: int) -> str | None:
    """ "driver", or the title that Ray gives a worker at its work; None for Ray's own processes."""
    if process.pid == driver:
        return "driver"
    title = " ".join(process.cmdline()[:1])
    return f"worker {process.pid}" if title.startswith("ray::") and "IDLE" not in title else None


def sample(driver: int) -> dict[str, float]:
    """The private memory, in MB, of the driver and of the workers that are at work."""
    found: dict[str, float] = {}
    parent = psutil.Process(driver)
    for process in [parent, *parent.children(recursive=True)]:
        try:
            role = role_of(process, driver)
            if role:
                found[role] = process.memory_full_info().uss / 1e6
        except psutil.Error:
            continue
    return found


def restore(source: Path, sink: Path, config: Path) -> tuple[Samples, float]:
    """Run the job; samples by process, and its seconds."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "restore", str(source), str(sink)]
    started = time.monotonic()
    job = subprocess.Popen([*command, "--config", str(config)])
    samples: Samples = defaultdict(list)
    while job.poll() is None:
        for role, value in sample(job.pid).items():
            samples[role].append(value)
        time.sleep(0.5)
    if job.returncode:
        raise SystemExit(f"the job ended with {job.returncode}")
    return samples, time.monotonic() - started


def steady(samples: Samples) -> dict[str, float]:
    """The median of the last half of each process's samples; workers in order of size, under names that both runs
    share.
    """
    medians = {
        role: statistics.median(values[len(values) // 2 :]) for role, values in samples.items() if len(values) > 9
    }
    workers = sorted((value for role, value in medians.items() if role != "driver"), reverse=True)
    return {"driver": medians["driver"]} | {f"worker {index}": value for index, value in enumerate(workers, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs=2, default=[200, 2000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    detector = "yunet" if os.environ.get("DAGUERRE_WEIGHTS") else "cascade"
    figures: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        config = folder / "job.toml"
        for count in options.photos:
            make_archive(folder / f"in-{count}", count)
            config.write_text(CONFIG.format(detector=detector))
            samples, seconds = restore(folder / f"in-{count}", folder / f"out-{count}", config)
            figures.append(steady(samples))
            print(f"{count} photos: {seconds:.0f} s, peak driver {max(samples['driver']):.0f} MB", flush=True)
    small, large = figures
    for role in sorted(small.keys() | large.keys()):
        before, after = small.get(role, float("nan")), large.get(role, float("nan"))
        print(f"{role}: {before:.1f} MB -> {after:.1f} MB ({(after / before - 1) * 100:+.1f} %)")


if __name__ == "__main__":
    main()
