"""A run on a cluster of three Ray nodes on this machine, which change in mid-run.

    python -m tests.pipeline.isolation.nodes SOURCE SINK SETTINGS CHANGE

CHANGE is a method of ``Nodes``. Prints the run's state and failures, how many batches had begun at the change and in
the end, the methods that were given up, and how many processes prepared photos.
"""

import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from infra.config import Config
from pipeline import chains
from pipeline.job import make_job
from pipeline.retry import Retry
from pipeline.run import restore
from pipeline.work import Trial
from tests.pipeline.isolation.bad_chains import prepare_slowly


class Nodes:
    """A head without CPUs and two nodes with one each; ``change`` is what happens to them in mid-run."""

    def __init__(self, gpus: int) -> None:
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(True, head_node_args=head, shutdown_at_exit=False)  # else only main threads add nodes
        self.going = self.cluster.add_node(num_cpus=1, num_gpus=gpus)
        self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()

    def exchange(self) -> None:
        """One goes at once, another comes."""
        self.go()
        self.cluster.add_node(num_cpus=1)

    def go(self) -> None:
        self.cluster.remove_node(self.going, allow_graceful=False)

    def bring_gpu(self) -> None:
        time.sleep(8)
        self.cluster.add_node(num_cpus=1, num_gpus=1)


GPUS = {"exchange": 0, "go": 1, "bring_gpu": 0}  # of the node that goes
BEGUN = {"exchange": 6, "go": 6, "bring_gpu": 1}  # batches before the change; without the GPU soon no more begin


def change_later(change: Callable[[], None], batches: int, marks: Path, told: list[int]) -> None:
    while len(begun := list(marks.iterdir())) < batches:
        time.sleep(0.05)
    change()
    told.append(len(begun))


def main(source: str, sink: str, settings: str, change: str) -> None:
    nodes = Nodes(GPUS[change])
    try:
        print(json.dumps(told(source, sink, settings, change, nodes)))
    finally:
        ray.shutdown()
        nodes.cluster.shutdown()


def told(source: str, sink: str, settings: str, change: str, nodes: Nodes) -> dict[str, object]:
    marks = Path(sink).parent / "marks"
    marks.mkdir()
    chains.prepare = partial(prepare_slowly, marks=marks)
    begun: list[int] = []
    with tempfile.TemporaryDirectory() as empty:
        environment = {"working_dir": empty}
        ray.init(nodes.cluster.address, runtime_env=environment, logging_level=logging.ERROR, log_to_driver=False)
        what = (getattr(nodes, change), BEGUN[change], marks, begun)
        thread = threading.Thread(target=change_later, args=what, daemon=True)
        thread.start()
        job = make_job(source, sink, Config.model_validate_json(settings))
        outcome = restore(job, Retry(), Trial(), quiet=True)
        thread.join(60)
        begun.append(len(list(marks.iterdir())))
    pool = len({mark.name.split("-")[1] for mark in marks.iterdir()})
    failures, away = dict(outcome.tally.failures), sorted(outcome.away)
    return {"state": outcome.state, "failures": failures, "begun": begun, "away": away, "pool": pool}


if __name__ == "__main__":
    main(*sys.argv[1:])
