"""A run on a cluster of three Ray nodes on this machine, one of which goes and one of which comes in mid-run.

    python -m tests.pipeline.isolation.nodes SOURCE SINK SETTINGS

Prints the run's state and failures, and how many batches had begun when the node went and in the end.
"""

import json
import logging
import sys
import tempfile
import threading
import time
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


def exchange(cluster: Cluster, going: object, marks: Path, told: list[int]) -> None:
    """Once six batches have begun, one node goes at once and another comes."""
    while len(begun := list(marks.iterdir())) < 6:
        time.sleep(0.05)
    told.append(len(begun))
    cluster.remove_node(going, allow_graceful=False)
    cluster.add_node(num_cpus=1)


def main(source: str, sink: str, settings: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    going = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    marks = Path(sink).parent / "marks"
    marks.mkdir()
    chains.prepare = partial(prepare_slowly, marks=marks)
    told: list[int] = []
    with tempfile.TemporaryDirectory() as empty:
        environment = {"working_dir": empty}
        ray.init(cluster.address, runtime_env=environment, logging_level=logging.ERROR, log_to_driver=False)
        thread = threading.Thread(target=exchange, args=(cluster, going, marks, told), daemon=True)
        thread.start()
        job = make_job(source, sink, Config.model_validate_json(settings))
        outcome = restore(job, Retry(), Trial(), quiet=True)
        thread.join(60)
        told.append(len(list(marks.iterdir())))
        print(json.dumps({"state": outcome.state, "failures": dict(outcome.tally.failures), "begun": told}))
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
