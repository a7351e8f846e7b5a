"""What a job would do: photos, methods, pools, weights, resources. Starts no Ray and reads no photo."""

import os

from pipeline.estimate import estimate, keep, lines
from pipeline.job import Job
from pipeline.resources import check_fits, needs
from pipeline.retry import Retry
from pipeline.run import check_limit, opened, placed
from pipeline.subset import ALL, Share
from pipeline.work import Trial, plan_work
from stages.recipe import Recipe


def describe(
    job: Job, retry: Retry, trial: Trial, new_recipe: bool, share: Share = ALL, sample: int | None = None
) -> list[str]:
    """The plan in lines for people. Raises what ``restore`` would raise before it starts.

    With ``sample`` so many photos are worked on, and an estimate is stored in the sink for the run's record.
    """
    check_limit(job.config.run.max_failed)
    job = placed(job, new_recipe)
    work = plan_work(job, opened(job), retry, trial, share)
    cluster = cluster_of(job)
    check_fits(job, cluster)
    told = [
        f"source   {job.source}",
        f"sink     {job.sink}",
        f"recipe   {job.recipe.hash}",
        f"photos   {work.listed} listed, {work.done.total()} done, {work.passed} not photos, "
        f"{work.due} to do ({work.bytes_todo / 1e6:.1f} MB)",
        *detector(job.recipe),
        *methods(job.recipe),
        *(f"pool     {need.step}: {need.count} x {need.cpus:g} CPU, {need.gpus:g} GPU" for need in needs(job)),
        f"cluster  {cluster['CPU']:g} CPU, {cluster.get('GPU', 0):g} GPU",
    ]
    if sample is None:
        return told
    found = estimate(job, work, sample, max(cluster["CPU"], job.config.run.grows_to.cpus))
    keep(job.storage, job.sink, job.run_id, found)
    return [*told, *lines(found)]


def cluster_of(job: Job) -> dict[str, float]:
    """The resources of the cluster that the job would run on."""
    run = job.config.run
    address = run.ray or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        from pipeline.cluster import connect

        with connect(run) as cluster:
            return dict(cluster)
    return {"CPU": float(run.cpus or local_cpus()), "GPU": float(local_gpus())}


def local_cpus() -> int:
    """The processors that a local Ray would count."""
    from ray._private.utils import get_num_cpus

    return int(get_num_cpus())


def local_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def detector(recipe: Recipe) -> list[str]:
    if recipe.detect is None:
        return ["detect   none: each file is one aligned face"]
    how = recipe.detect
    return [f"detect   {how.detector}, score {how.score:g}, faces of {how.smallest:g} px and more"]


def methods(recipe: Recipe) -> list[str]:
    rules = [f"rule     {rule.name}: {rule.use}" for rule in recipe.rules]
    used = [f"method   {name}: {method.method} at {method.size} px" for name, method in recipe.methods.items()]
    return [*rules, f"default  {recipe.default}, strength {recipe.strength:g}", *used]
