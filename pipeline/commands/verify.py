"""``daguerre verify`` and ``daguerre gc``: whether a sink holds what its manifest says, and what may go."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from infra.config import load
from infra.errors import ConfigError
from infra.logs import hide
from infra.storage import Storage
from pipeline.commands.look import opened
from pipeline.exits import FINDINGS, OK, Exit

INFORMS = {"earlier"}  # kinds of lines that are no findings


def verify(
    sink: str,
    *,
    subset: str | None = None,
    threads: int = 8,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    config: Path | None = None,
) -> Exit:
    """Check that every row has its result, with its sha256, and that nothing is there that no row mentions.

    Parameters
    ----------
    sink
        the sink of a run
    subset
        read only a share of the results, "1%", or one part of several, "3/10"; the same ones each time
    threads
        how many results are read at once
    as_json
        findings as JSON lines
    config
        TOML file with the job's settings, for the store's endpoint
    """
    from pipeline.subset import WHOLE, subset_of
    from pipeline.verify import Check

    if threads < 1:
        raise ConfigError(f"--threads {threads}: must be at least 1", "leave it out for 8")
    part = subset_of(subset) if subset else WHOLE
    storage, root = sink_of(sink, config)
    check, kinds = Check(storage, root, part, threads), Counter[str]()
    for finding in check.findings():
        kinds[finding.kind] += 1
        print(line(finding.kind, finding.uri, finding.detail, as_json))
    wrong = Counter({kind: count for kind, count in kinds.items() if kind not in INFORMS})
    counts = check.counts
    say(f"{counts['rows']} rows, {counts['read']} results read, {counts['objects']} objects listed")
    say(f"{kinds['earlier']} earlier results, kept" if kinds["earlier"] else "")
    say(f"{wrong.total()} findings: {', '.join(f'{n} {kind}' for kind, n in sorted(wrong.items()))}" if wrong else "ok")
    return FINDINGS if wrong else OK


def gc(
    sink: str,
    *,
    delete: Annotated[bool, Parameter(negative=())] = False,
    older_than: str = "24h",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    config: Path | None = None,
) -> Exit:
    """List what crashed runs left: results and crops that no row mentions, and unfinished files.

    Parameters
    ----------
    sink
        the sink of a run
    delete
        remove what is listed
    older_than
        keep what is younger: 24h, 30m, 7d
    as_json
        JSON lines
    config
        TOML file with the job's settings, for the store's endpoint
    """
    from pipeline.orphans import Collector, age_of

    age = age_of(older_than)
    storage, root = sink_of(sink, config)
    collector, count = Collector(storage, root, age, delete), 0
    for orphan in collector.orphans():
        count += 1
        print(line(orphan.kind, orphan.entry.uri, orphan.detail, as_json))
    kept = collector.counts
    say(f"{count} found, {kept['removed']} removed" + ("" if delete or not count else "; --delete removes them"))
    say(f"{kept['young']} younger than {older_than}, kept" if kept["young"] else "")
    say(f"{kept['earlier']} of photos that have a row, kept" if kept["earlier"] else "")
    return OK


def sink_of(sink: str, config: Path | None) -> tuple[Storage, str]:
    settings = load(config)
    hide(settings.storage.secret, settings.storage.token)
    return opened(sink, settings)


def line(kind: str, uri: str, detail: str, as_json: bool) -> str:
    """A line for machines: JSON, or three columns with a tab between, what cannot be printed escaped."""
    if as_json:
        return json.dumps({"kind": kind, "uri": uri, "detail": detail})
    return "\t".join(printable(text) for text in (kind, uri, detail))


def printable(text: str) -> str:
    r"""``text`` with backslashes doubled and all that would break the line or a terminal as ``\n``, ``\x1b`` and so."""
    return "".join(
        letter if letter.isprintable() and letter != "\\" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def say(text: str) -> None:
    """A line of the summary, on stderr."""
    if text:
        print(text, file=sys.stderr)
