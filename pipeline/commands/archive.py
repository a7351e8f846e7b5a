"""``daguerre restore`` and ``daguerre plan``."""

import sys
from collections.abc import Collection
from typing import Annotated

from cyclopts import Parameter

from infra.config import Config
from infra.errors import ConfigError
from infra.storage import Storage, absolute
from infra.uris import scheme_of
from infra.weights import WeightStore
from pipeline.commands.options import JobOptions
from pipeline.exits import OK, SOME_FAILED, STOPPED, TRY_LATER, Exit
from pipeline.job import make_job
from pipeline.record import Outcome
from pipeline.retry import Retry
from pipeline.subset import ALL, share_of
from pipeline.work import Trial
from stages.needed import needed
from stages.photo import FaultClass, Status

NO_OPTIONS = JobOptions()


def restore(source: str, sink: str, *, options: JobOptions = NO_OPTIONS) -> Exit:
    """Restore the faces of every photo in SOURCE that SINK does not hold yet.

    Parameters
    ----------
    source
        a folder, bucket prefix or photo; or a .parquet or .csv list with a "uri" column
    sink
        a folder or bucket prefix: results in photos/, rows in manifest/, run facts in runs/
    """
    from pipeline.run import restore as run

    retry, trial = choice(options)
    share = share_of(options.share) if options.share else ALL
    config = options.load()
    check_places(config, source, sink, but=("s3",))
    job = make_job(source, sink, config, options.fetch)
    outcome = run(job, retry, trial, options.new_recipe, share=share, take_over=options.take_over)
    print("\n".join(summary(outcome)))
    return exit_of(outcome)


def plan(
    source: str,
    sink: str,
    *,
    estimate: Annotated[bool, Parameter(negative=())] = False,
    estimate_sample: int = 200,
    options: JobOptions = NO_OPTIONS,
) -> Exit:
    """Say what ``restore`` would do, and refuse what it would refuse. Reads no photo and writes nothing to the sink,
    unless an estimate is asked for.

    Parameters
    ----------
    source
        as for restore
    sink
        as for restore
    estimate
        work on a sample and say what all would come to; stored in the sink for the run's record
    estimate_sample
        photos of the sample
    """
    from pipeline.plan import describe

    retry, trial = choice(options)
    share = share_of(options.share) if options.share else ALL
    if estimate_sample < 2:
        raise ConfigError(f"--estimate-sample {estimate_sample}: must be at least 2", "leave it out for 200")
    config = options.load()
    check_places(config, source, sink)
    print("\n".join(weights(config)))
    job = make_job(source, sink, config, options.fetch)
    print("\n".join(describe(job, retry, trial, options.new_recipe, share, estimate_sample if estimate else None)))
    return OK


def weights(config: Config) -> list[str]:
    """Each weights file that the job needs, found or missing."""
    store = WeightStore.from_environment(Storage(config.storage), config.weights)
    found = {file.name: store.find(file) for file in needed(config, store)}
    return [f"weights  {name} {path or 'missing'}" for name, path in found.items()] or ["weights  none needed"]


def choice(options: JobOptions) -> tuple[Retry, Trial]:
    """Which photos, checked."""
    known = [kind.value for kind in FaultClass]
    for kind in options.retry:
        if kind not in known:
            raise ConfigError(f"--retry: there is no failure class {kind}", f"known: {', '.join(known)}")
    for name, value in (("--limit", options.limit), ("--sample", options.sample)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} {value}: must be at least 1", "leave it out for the whole archive")
    if options.limit is not None and options.sample is not None:
        raise ConfigError("--limit and --sample exclude each other", "use one of them")
    return Retry(options.retry_failed, frozenset(options.retry)), Trial(options.limit, options.sample)


def check_places(config: Config, source: str, sink: str, but: Collection[str] = ()) -> None:
    """The source must be there and the sink possible, before anything slow begins.

    Places of the schemes ``but`` are left to the run's own first requests, which say the same a little later.
    """
    storage = Storage(config.storage)
    if scheme_of(absolute(source)) not in but:
        storage.check_source(absolute(source))
    if scheme_of(absolute(sink)) not in but:
        storage.check_sink(absolute(sink))


def summary(outcome: Outcome) -> list[str]:
    """What a run came to, in lines for people; the sum is checked here."""
    counts, work, tally = outcome.counts, outcome.work, outcome.tally
    parts = [f"{counts.get(status.value, 0)} {status.value}" for status in Status]
    if outcome.unreached:
        parts.append(f"{outcome.unreached} not reached")
    lines = [f"{work.listed} listed = {' + '.join(parts)}"]
    lines.append(f"{tally.total} worked on now, {work.done.total()} done before, {tally.source_bytes} bytes read")
    if tally.faces:
        lines.append("faces: " + ", ".join(f"{count} {status}" for status, count in sorted(tally.faces.items())))
    lines += [f"failed: {count} {kind}" for kind, count in sorted(tally.failures.items())]
    if work.vanished:
        lines.append(
            f"{work.vanished} photos of this sink are no longer in {outcome.job.source} (kept here), "
            f"first {work.missing[0]}"
        )
    lines.append(f"{outcome.state} after {outcome.seconds:.1f} s: {outcome.job.sink} (run {outcome.job.run_id})")
    return lines


def exit_of(outcome: Outcome) -> Exit:
    """The exit code of a run."""
    if outcome.state == "interrupted":
        raise KeyboardInterrupt
    if outcome.state == "stopped":
        limit = outcome.job.config.run.max_failed
        print(f"error: stopped: more than {limit} of the photos failed", file=sys.stderr)
        return STOPPED
    if outcome.state == "waiting":
        left, seconds = outcome.work.due - outcome.tally.total, outcome.job.config.run.wait_seconds
        print(
            f"error: {left} photos wait for {', '.join(sorted(outcome.away))}: the cluster had no place for it in "
            f"{seconds:g} s\n\nhint: the same command later does the rest; look after the machines",
            file=sys.stderr,
        )
        return TRY_LATER
    return SOME_FAILED if outcome.tally.photos[Status.FAILED] else OK
