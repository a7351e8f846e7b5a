"""Who works into a sink: a small file that its owner renews, so that a second run refuses.

    DST/leases/all.json         a run on everything
    DST/leases/3-of-8.json      a run with --share 3/8

Stores need no conditional PUT for it: a run writes its lease, waits a moment and reads it again. Two that start within
that moment may both go on for up to ``CHECK_SECONDS``. That costs double work and no photo: results have deterministic
names, parts have names of their own, and whoever finds another's lease stops.
"""

import json
import os
import random
import socket
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from infra.errors import SinkHeld
from infra.storage import Storage, StorageFault, StorageOptions, first_request
from pipeline.ledger import listed
from pipeline.subset import ALL, Share

CHECK_SECONDS = 5.0
SETTLE_SECONDS = 0.05, 0.15
RENEWALS = 4  # within the time that a lease holds


class LeaseLost(SinkHeld):
    """Another run has taken over: this one stops publishing, and the same command goes on later."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as whoever can see it finds it again: where its number counts, its number, and when it started."""

    host: str
    space: str
    pid: int
    started: str

    @property
    def dead(self) -> bool:
        """Whether it is known to be dead: it ran on this machine since its last start, and its number is free now or
        somebody else's.
        """
        return self.space == space() and start_of(self.pid) != self.started


@dataclass(frozen=True, slots=True)
class Lease:
    """What the file says. Times are aware UTC; ``seconds`` is how long it holds after it was ``renewed``."""

    run_id: str
    share: str
    process: Process
    since: datetime
    renewed: datetime
    seconds: float

    @property
    def expires(self) -> datetime:
        return self.renewed + timedelta(seconds=self.seconds)

    @property
    def over(self) -> bool:
        return self.process.dead or datetime.now(UTC) > self.expires

    def __str__(self) -> str:
        who = f"run {self.run_id} on {self.process.host} (process {self.process.pid})"
        return f"{who}, since {clock(self.since)}, expires {clock(self.expires)} unless renewed"

    def content(self) -> bytes:
        return json.dumps(asdict(self), indent=1, default=lambda time: time.isoformat()).encode()


class Guarded(Storage):
    """A storage that writes only while the run ``run_id`` holds the lease at ``uri``. It looks at most every
    ``CHECK_SECONDS``, in each process by itself, so that workers of a run that was given up stop as well.
    """

    def __init__(self, options: StorageOptions | None, uri: str, run_id: str) -> None:
        super().__init__(options)
        self.uri = uri
        self.run_id = run_id
        self._checked = float("-inf")

    def __reduce__(self) -> tuple[type["Guarded"], tuple[StorageOptions, str, str]]:  # type: ignore[override]
        return type(self), (self.options, self.uri, self.run_id)

    def write(self, uri: str, data: bytes | memoryview) -> None:
        """As ``Storage.write``. Raises ``LeaseLost``."""
        if uri != self.uri:
            self.check()
        super().write(uri, data)

    def delete(self, uri: str) -> None:
        """As ``Storage.delete``. Raises ``LeaseLost``."""
        if not uri.startswith(self.uri.rpartition("/")[0]):
            self.check()
        super().delete(uri)

    def check_again(self) -> None:
        """Let the next check look for itself."""
        self._checked = float("-inf")

    def check(self, again: bool = False) -> None:
        """Raise ``LeaseLost`` if the run no longer holds its lease; ``again``: look now."""
        now = time.monotonic()
        if not again and now - self._checked < CHECK_SECONDS:
            return
        lease = read(self, self.uri)
        if lease is None or lease.run_id != self.run_id:
            self.check_again()
            who = str(lease) if lease else "nobody, its file is gone"
            hint = "let the other run end; then the same command goes on from here"
            raise LeaseLost(f"run {self.run_id} lost its lease {self.uri} to {who}", hint)
        self._checked = now


class Holder:
    """The lease of a run, renewed in a thread while the context is open, then given back."""

    def __init__(self, storage: Guarded, share: Share = ALL, seconds: float = 60.0) -> None:
        now = datetime.now(UTC)
        self.storage = storage
        self.folder = storage.uri.rpartition("/")[0]
        self.share = share
        self.lease = Lease(storage.run_id, str(share), this_process(), now, now, seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self, forced: bool = False) -> "Holder":
        """Write the lease, unless another run's holds: that is ``SinkHeld``. ``forced`` takes it from anybody."""
        with first_request(self.folder):
            others = list(listed(self.storage, self.folder))
        for entry in others:
            if not beside(entry.path, self.share):
                self._refuse(read(self.storage, entry.uri), forced)
                if entry.uri != self.storage.uri:
                    self.storage.delete(entry.uri)
        self._write()
        time.sleep(random.uniform(*SETTLE_SECONDS))
        self.storage.check(again=True)
        self._thread.start()
        return self

    def _refuse(self, other: Lease | None, forced: bool) -> None:
        if other and not other.over and not forced:
            hint = "wait for its end, or give --take-over if it is dead; --share I/N lets N runs work side by side"
            raise SinkHeld(f"another run works into {self.folder.rpartition('/')[0]}: {other}", hint)

    def _write(self) -> None:
        self.storage.write(self.storage.uri, self.lease.content())

    def _renew(self) -> None:
        """Renew until told to stop or until another's lease is found."""
        while not self._stop.wait(self.lease.seconds / RENEWALS):
            try:
                self.storage.check(again=True)
                self.lease = replace(self.lease, renewed=datetime.now(UTC))
                self._write()
            except LeaseLost:
                return
            except StorageFault:
                continue  # the next turn tries again; without it the lease expires, and another run may take over

    def release(self) -> None:
        """Stop renewing, and remove the lease if it still is this run's."""
        self._stop.set()
        self._thread.join()
        try:
            self.storage.check()
            self.storage.delete(self.storage.uri)
        except (LeaseLost, StorageFault):
            return  # it is another's, or it expires

    def __enter__(self) -> "Holder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def lease_uri(sink: str, share: Share = ALL) -> str:
    return f"{sink}/leases/{name_of(share)}"


def read(storage: Storage, uri: str) -> Lease | None:
    """The lease at ``uri``; None if there is none, or none that can be understood."""
    try:
        return parsed(json.loads(storage.read(uri)))
    except StorageFault as fault:
        if fault.kind == "not_found":
            return None
        raise
    except (ValueError, KeyError, TypeError):
        return None


def parsed(data: dict[str, Any]) -> Lease:
    times = {name: datetime.fromisoformat(data[name]) for name in ("since", "renewed")}
    return Lease(data["run_id"], data["share"], Process(**data["process"]), seconds=float(data["seconds"]), **times)


def name_of(share: Share) -> str:
    return "all.json" if share.whole else f"{share.number}-of-{share.total}.json"


def beside(name: str, share: Share) -> bool:
    """Whether the lease of that name is another share's of the same division."""
    return not share.whole and name.endswith(f"-of-{share.total}.json") and name != name_of(share)


def this_process() -> Process:
    pid = os.getpid()
    return Process(socket.gethostname(), space(), pid, start_of(pid) or "")


def space() -> str:
    """Where this machine's process numbers count: its start, and the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{psutil.boot_time():.0f} "


def start_of(pid: int) -> str | None:
    """When a process of this machine started; None if there is none, or it only waits to be buried."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ticks(pid) or f"{process.create_time():.0f}"
    except psutil.Error:
        return None


def ticks(pid: int) -> str | None:
    """Clock ticks from the machine's start to the process's (proc_pid_stat(5), field 22), where Linux tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def clock(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
