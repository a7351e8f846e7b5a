"""``daguerre demo``."""

import shutil
from pathlib import Path

from infra.config import load
from infra.errors import ConfigError
from infra.storage import Storage
from pipeline.exits import OK, Exit

DEFAULT = Path("daguerre-demo")


def demo(folder: Path = DEFAULT) -> Exit:
    """Make a small archive of old photos with known truth, restore it, print the gain and write its report.

    Parameters
    ----------
    folder
        a folder that does not exist yet, or the one of an earlier demo
    """
    from pipeline.demo import run
    from pipeline.reporting import write_for

    if folder.exists() and any(folder.iterdir()) and not (folder / "truth.json").exists():
        raise ConfigError(f"{folder} is not empty and holds no demo", "choose a new folder")
    shutil.rmtree(folder / "restored", ignore_errors=True)  # an earlier demo's, perhaps by another recipe
    print("Making a small archive out of a public-domain portrait, with known truth")
    result = run(folder, restore)
    print("\n".join(result.lines()))
    sink = result.sink.absolute()
    for uri in write_for(Storage(), f"file://{sink}", f"file://{folder.absolute()}"):
        print(uri)
    return OK


def restore(source: str, sink: str) -> None:
    """The demo's job: the defaults, which need no download."""
    from pipeline.commands.archive import summary
    from pipeline.job import make_job
    from pipeline.retry import Retry
    from pipeline.run import restore as run
    from pipeline.work import Trial

    print("Restoring it (Ray takes some seconds to start)", flush=True)
    config = load(None)
    print("\n".join(summary(run(make_job(source, sink, config), Retry(), Trial()))))
