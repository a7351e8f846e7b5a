"""What the engine itself costs: a method that sleeps as a GPU would, against the bare loop around the same sleep.

    PYTHONPATH=. python -m benchmarks.engine [--batches 60] [--workers 1 2 4 8] [--photos 8] [--megabytes 2]

Photos of 2 MB are read, cross to the method's worker with a crop of 512 pixels, which sleeps 1 s a batch, and cross to
the last step, which stores nothing: all that is left is Ray Data, the child processes, the messages, the ledger and the
manifest. With ``--workers`` the method's pool has so many actors, on as many simulated nodes of one CPU, and so
many times the batches to do. Prints a JSON line a round: seconds from the first batch to the last, the bare loop's, the
share of the engine, and where the rest went (start of Ray and children, seconds of each step).
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.cluster_utils import Cluster

from benchmarks import engine_stages
from infra.config import Config
from pipeline import chains
from pipeline.engine import on_ray
from pipeline.job import make_job
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.run import restore
from pipeline.work import Trial

STORE = 600 * 2**20  # a node; simulated nodes have 150 MB if nothing is said, which holds back pools of two actors


def bare(batches: int) -> float:
    """Seconds of the loop around the sleep alone."""
    started = time.perf_counter()
    for _ in range(batches):
        time.sleep(engine_stages.SECONDS)
    return time.perf_counter() - started


def round_of(folder: Path, workers: int, batches: int, size: int, feeders: int) -> dict[str, Any]:
    """One run with ``workers`` on as many nodes, each with ``batches`` of ``size`` photos to do. ``feeders`` actors
    read, and as many finish.
    """
    times: list[float] = []

    def timed(outcome: Outcome) -> Generator[pa.Table]:
        for table in on_ray(outcome):
            times.append(time.perf_counter())
            yield table

    step = {"cpus": 0.25, "min_size": feeders, "max_size": feeders}
    method = {"method": "classic", "pool": {"cpus": 0.5, "min_size": workers, "max_size": workers}}
    run = {"batch": size, "prepare": step, "finish": step}
    given = {"aligned": True, "method": "classic", "methods": {"classic": method}, "run": run}
    job = make_job(str(folder / "in"), str(folder / f"out-{workers}"), Config.model_validate(given))
    started = time.perf_counter()
    outcome = restore(job, Retry(), Trial(limit=size * batches * workers), quiet=True, engine=timed)
    steady = times[-1] - times[0]
    loop = bare(batches) / batches * (len(times) - 1) / workers
    return {
        "workers": workers,
        "feeders": feeders,
        "photos": size,
        "batches": len(times),
        "seconds": round(steady, 2),
        "bare": round(loop, 2),
        "engine": round(steady / loop - 1, 4),
        "efficiency": round(loop / steady, 4),
        "before the first batch": round(times[0] - started, 1),
        "steps": {name: round(value, 2) for name, value in outcome.tally.seconds.items()},
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--photos", type=int, default=8, help="in a batch, which sleeps 1 s")
    parser.add_argument(
        "--feeders", type=int, help="actors that read, and as many that finish; a quarter of the workers"
    )
    parser.add_argument("--megabytes", type=float, default=2)
    arguments = parser.parse_args()
    chains.prepare, chains.finish = engine_stages.prepare, engine_stages.finish
    chains.restore = engine_stages.restore
    most = max(arguments.workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "empty").mkdir()
        for number in range(arguments.photos * arguments.batches * most):
            (folder / "in" / f"{number:06d}.jpg").write_bytes(os.urandom(int(arguments.megabytes * 1e6)))
        for workers in arguments.workers:
            node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}
            cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
            for _ in range(workers):
                cluster.add_node(**node)
            environment = {"working_dir": str(folder / "empty")}
            ray.init(cluster.address, runtime_env=environment, logging_level=logging.ERROR, log_to_driver=False)
            feeders = arguments.feeders or max(1, workers // 4)
            told = round_of(folder, workers, arguments.batches, arguments.photos, feeders)
            print(json.dumps(told), flush=True)
            ray.shutdown()
            cluster.shutdown()


if __name__ == "__main__":
    main()
