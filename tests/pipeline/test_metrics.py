"""Metrics: the same figures as the run record's, on the way to Prometheus and at the end."""

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pytest
import ray

from pipeline.metrics import COUNTERS, GAUGES, Metrics
from pipeline.record import Outcome
from tests.pipeline.conftest import in_process, restoring

Restoring = Callable[..., Outcome]
Figures = dict[str, dict[str, float]]
DASHBOARD = Path(__file__).resolve().parents[2] / "infra" / "deploy" / "grafana.json"
RAYS_OWN = {"data_operator_queued_blocks", "cluster_active_nodes"}
SCRAPES = 60.0  # seconds within which Ray hands on what was counted


def expected(record: dict[str, Any]) -> Figures:
    """What the metrics must say by the run record; nothing is counted that is 0."""
    found: Figures = {
        "daguerre_photos_total": record["worked"],
        "daguerre_faces_total": record["faces"],
        "daguerre_failures_total": record["failures"],
        "daguerre_source_bytes_total": {"": record["source_bytes"]},
        "daguerre_stage_seconds_total": record["stage_seconds"],
        "daguerre_events_total": record["events"],
        "daguerre_batches_total": {"": record["batches"].get("batches", 0)},
        "daguerre_batch_faces_total": {"": record["batches"].get("batch_faces", 0)},
    }
    exact = {name: {tag: float(value) for tag, value in series.items() if value} for name, series in found.items()}
    return {name: series for name, series in exact.items() if series}


def record_of(sink: Path) -> dict[str, Any]:
    """The newest run record."""
    return json.loads(max((sink / "runs").glob("*.json")).read_text())


class Stand:
    """In place of Ray's counters and gauges: keeps what it is told."""

    figures: defaultdict[str, defaultdict[str, float]]

    def __init__(self, name: str, text: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.keys = name, tag_keys

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == set(self.keys)
        assert value > 0
        self.figures[self.name]["".join(tags[key] for key in self.keys if key != "run")] += value

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.figures[self.name][""] = value


def test_over_waves_the_counters_come_to_the_run_records_figures(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.metrics.Counter", Stand)
    monkeypatch.setattr("ray.util.metrics.Gauge", Stand)
    monkeypatch.setattr(Stand, "figures", defaultdict(lambda: defaultdict(float)), raising=False)

    def counting(outcome: Outcome) -> Generator[pa.Table]:
        metrics = Metrics(outcome)
        for table in in_process(outcome):
            yield table
            metrics.show()

    restoring(counting)(archive, tmp_path / "out", run={"batch": 1, "wave": 2, "part_rows": 3})
    counted: Figures = {name: dict(series) for name, series in Stand.figures.items()}
    assert counted.pop("daguerre_photos_due") == {"": 6}
    assert counted.pop("daguerre_photos_waiting") == {"": 0}
    wanted = expected(record_of(tmp_path / "out"))
    assert set(counted) == set(wanted)
    for name, series in wanted.items():
        assert counted[name] == pytest.approx(series), name
    assert wanted["daguerre_batch_faces_total"][""] >= wanted["daguerre_batches_total"][""] > 0


def scraped(others: Set[str] = frozenset()) -> tuple[Figures, set[str]]:
    """Our counters as Prometheus would read them now, and the runs that they are of, without ``others``: Ray goes on
    telling what earlier runs counted.
    """
    from prometheus_client.parser import text_string_to_metric_families

    node = ray.nodes()[0]
    with urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found: Figures = {}
    runs = set[str]()
    for sample in (sample for family in families for sample in family.samples):
        name = sample.name.removeprefix("ray_")
        if name in COUNTERS and sample.labels["run"] not in others:
            found.setdefault(name, {})[sample.labels.get(COUNTERS[name][0], "")] = sample.value
            runs.add(sample.labels["run"])
    return found, runs


@contextmanager
def watching(others: Set[str]) -> Generator[list[float]]:
    """How many photos each scrape found, for as long as the block lasts, those of ``others`` apart."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(sum(scraped(others)[0].get("daguerre_photos_total", {}).values()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_scrape_of_a_running_job_shows_the_counters_and_at_the_end_the_records_figures(
    archive: Path, tmp_path: Path, run_on_ray: Restoring
) -> None:
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="needs daguerre[metrics]")
    earlier = scraped()[1]
    with watching(earlier) as seen:
        outcome = run_on_ray(archive, tmp_path / "out", run={"batch": 1})
        wanted, end = expected(record_of(tmp_path / "out")), time.monotonic() + SCRAPES
        while (found := scraped(earlier)[0]) != {name: pytest.approx(series) for name, series in wanted.items()}:
            assert time.monotonic() < end, (found, wanted)
            time.sleep(0.5)
    assert scraped(earlier)[1] == {outcome.job.run_id}
    assert seen == sorted(seen)
    assert seen[-1] == sum(outcome.tally.photos.values()) + sum(outcome.tally.passed.values())


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"\bray_(\w+)", query)}
    assert named == {*COUNTERS, *GAUGES, *RAYS_OWN}
    for panel in board["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert f"by ({label})" in target["expr"]
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])


def test_the_document_names_every_metric() -> None:
    text = (DASHBOARD.parents[2] / "docs" / "operations.md").read_text()
    assert [name for name in [*COUNTERS, *GAUGES] if f"`ray_{name}`" not in text] == []
