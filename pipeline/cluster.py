"""The connection to Ray: an existing cluster, or one of this process's own on this machine."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import ray
from ray.data import DataContext

from infra.config import Run
from infra.errors import NoCluster

BLOCK_BYTES = 32 * 2**20
INIT_DEATHS = 10  # a constructor of ours builds nothing: who dies in it was taken away with its node


@contextmanager
def connect(run: Run) -> Generator[Mapping[str, float]]:
    """Connect for one run and yield the cluster's resources. A connection that is already there is used and left
    alone.
    """
    ours = not ray.is_initialized()
    with tempfile.TemporaryDirectory(prefix="daguerre-") as empty:
        if ours:
            start(run, empty)
        try:
            quiet()
            yield ray.cluster_resources()
        finally:
            if ours:
                ray.shutdown()


def start(run: Run, empty: str) -> None:
    """Ray puts the driver's folder first on each worker's path, where a folder ``models`` could shadow ours: give it
    an empty one.
    """
    address = run.ray or os.environ.get("RAY_ADDRESS") or "local"
    local = address == "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core prints warnings about Ray Data's own actors
    os.environ.setdefault(
        "RAY_memory_monitor_refresh_ms", "0"
    )  # it would end the actor, not the child, again and again
    store = run.object_store_mb * 2**20 if local and run.object_store_mb else None
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            num_cpus=run.cpus if local else None,
            object_store_memory=store,
            include_dashboard=False if local else None,
            runtime_env={"working_dir": empty},
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except ConnectionError as error:
        raise NoCluster(f"cannot reach the Ray cluster at {address}: {error}", "check run.ray or RAY_ADDRESS") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray takes SIGTERM for itself, and leaves at once


def quiet() -> None:
    """Ray Data's own settings for this driver."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.max_consecutive_actor_init_deaths = INIT_DEATHS
    for name in ("ray.data", "ray.data._internal.execution"):
        logging.getLogger(name).setLevel(logging.ERROR)
