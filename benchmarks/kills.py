"""Kills runs and lets the next one end: the sink must be what an unbroken run makes of it.

    python benchmarks/kills.py [--steps 160] [--ray 40] [--every] [--seed N]

``--steps``: plain processes that die before a step of what they write (result, crop, part, tidying, compaction, record,
lease) or half-way through it, once to three times in a row, in archives of their own. ``--ray``: whole Ray runs, of
which SIGKILL takes the driver, the raylet or a worker at a random moment. Prints each kill with its seed and ends with
1 if one of them changed anything.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.pipeline.killing import (
    Kill,
    Place,
    check_kill,
    files_of,
    forked,
    one_thread,
    portrait,
    prepared,
    rows_of,
    run,
)

COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()", "restore"]
CONFIG = """
aligned = true
method = "classic"
[methods.classic]
method = "classic"
parameters = { size = 64 }
[write]
keep = ["crops"]
[run]
batch = 1
part_rows = 2
small_parts = 3
"""
ARCHIVE = 10  # kills in one archive
FACES = 24
VICTIMS = ("driver", "raylet", "worker")
PATIENCE = 120.0  # seconds


def steps(count: int, seed: int, folder: Path) -> Iterator[bool]:
    """Kills at steps, ten an archive; whether each was survived."""
    places = [fresh_place(folder / f"steps-{at}", random.Random(seed + at)) for at in range(0, count, ARCHIVE)]
    for number in range(count):
        dice, place = random.Random(seed + number), places[number // ARCHIVE]
        kills = [Kill(dice.randint(1, len(place.steps)), dice.random() < 0.5) for _ in range(dice.choice((1, 1, 2, 3)))]
        yield survived(f"seed {seed + number}: {kills}", place, kills)


def every_step(seed: int, folder: Path) -> Iterator[bool]:
    """A kill at every step of one run, and two in a row at every fourth; whether each was survived."""
    place = fresh_place(folder / "every", random.Random(seed))
    print("steps:", json.dumps([step.replace(f"file://{place.sink}/", "") for step in place.steps]), flush=True)
    for step in range(1, len(place.steps) + 1):
        kill = Kill(step, halfway=step % 2 == 0)
        yield survived(f"step {step}", place, [kill])
        if step % 4 == 0:
            yield survived(f"steps {step} and {step // 2}", place, [kill, Kill(step // 2, halfway=True)])


def fresh_place(folder: Path, dice: random.Random) -> Place:
    """An archive of its own, made in a child so that this process stays small."""
    if forked(lambda: prepared(folder, dice)):
        raise RuntimeError(f"no archive in {folder}")
    return Place(folder)


def survived(what: str, place: Place, kills: list[Kill]) -> bool:
    try:
        check_kill(place, *kills)
    except (AssertionError, RuntimeError) as error:
        print(f"{what}: CHANGED {error}", flush=True)
        return False
    print(f"{what}: same", flush=True)
    return True


def ray_kills(count: int, seed: int, folder: Path) -> Iterator[bool]:
    """Kills of whole runs; each sink is killed three times, unless it is done before, then compared."""
    source, config = folder / "faces", folder / "job.toml"
    source.mkdir(parents=True)
    for index in range(FACES):
        portrait(64, index).save(source / f"{index:02}.png")
    config.write_text(CONFIG)
    sink, began = folder / "sink", time.monotonic()
    restore(source, sink, config).wait()
    longest, expected = time.monotonic() - began, (rows_of(sink), files_of(sink))
    kills, dice = 0, random.Random(seed)
    while kills < count:
        shutil.rmtree(sink)
        for _ in range(min(3, count - kills)):
            dead = kill_at(source, sink, config, dice.choice(VICTIMS), dice.uniform(0.5, longest), dice)
            print(f"seed {seed}, kill {kills + 1}: {dead or 'the run ended before'}", flush=True)
            kills += dead is not None
        good = restore(source, sink, config).wait() in {0, 3} and (rows_of(sink), files_of(sink)) == expected
        print("same" if good else "CHANGED", flush=True)
        yield good


def restore(source: Path, sink: Path, config: Path) -> subprocess.Popen[bytes]:
    command = [*COMMAND, str(source), str(sink), "--config", str(config)]
    return subprocess.Popen(command, cwd=source.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_at(source: Path, sink: Path, config: Path, victim: str, moment: float, dice: random.Random) -> str | None:
    """Start a run and kill a process of it after ``moment`` seconds, or as soon as there is one; what was killed, None
    if the run ended first. Ends with the run.
    """
    process = restore(source, sink, config)
    time.sleep(moment)
    found = processes(process.pid, victim)
    while process.poll() is None and not found:
        time.sleep(0.2)
        found = processes(process.pid, victim)
    if process.poll() is not None:
        return None
    family = processes(process.pid, "any")
    dice.choice(found).send_signal(signal.SIGKILL)
    name = f"{victim} after {moment:.1f} s"
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        name += f", and the driver, which did not end within {PATIENCE:.0f} s"
    bury(family)
    return name


def processes(driver: int, victim: str) -> list[psutil.Process]:
    """The driver, or those of its children that are the raylet, or actors at work."""
    try:
        parent = psutil.Process(driver)
        children = parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    if victim == "driver":
        return [parent]
    if victim == "any":
        return children
    return [child for child in children if matches(child, victim)]


def matches(process: psutil.Process, victim: str) -> bool:
    try:
        text = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "raylet/raylet" in text if victim == "raylet" else text.startswith("ray::")


def bury(family: list[psutil.Process]) -> None:
    """Kill what a dead driver or raylet left of its own run."""
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--ray", type=int, default=40)
    parser.add_argument("--every", action="store_true", help="instead: once at every step of one run")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daguerre-kills-") as name:
        folder, began = Path(name), time.monotonic()
        one_thread()
        warm(folder / "warm")
        if options.every:
            good = list(every_step(options.seed, folder))
        else:
            good = [*steps(options.steps, options.seed, folder), *ray_kills(options.ray, options.seed + 10**6, folder)]
    kills = len(good) if options.every else options.steps + options.ray
    print(f"{kills} kills, {len(good) - sum(good)} changed something, {time.monotonic() - began:.0f} s")
    return 0 if all(good) else 1


def warm(folder: Path) -> None:
    """Import everything before the first fork."""
    (folder / "in").mkdir(parents=True)
    portrait(64, 0).save(folder / "in" / "0.png")
    run(folder / "in", folder / "out")


if __name__ == "__main__":
    sys.exit(main())
