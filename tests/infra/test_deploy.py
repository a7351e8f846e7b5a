"""Every file of ``infra/deploy``, as far as it can be checked without a cloud."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import types
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from infra.config import load
from pipeline import exits

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "infra" / "deploy"
CHECKED = {
    "Dockerfile",
    "airflow_dag.py",
    "config.toml",
    "crontab",
    "grafana.json",
    "nightly.sh",
    "prometheus.yml",
    "ray-cluster.yaml",
    "raycronjob.yaml",
    "rayjob.yaml",
}
SECRETS = re.compile(r"AKIA[0-9A-Z]{16}|secret|password|access_key|BEGIN [A-Z ]*PRIVATE KEY", re.IGNORECASE)
CODES = [*(value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)), 137, 143, 99]


def document(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def test_no_file_is_left_unchecked_and_none_holds_a_secret() -> None:
    files = {path.name: path.read_text() for path in DEPLOY.iterdir() if path.is_file()}
    assert set(files) == CHECKED
    for name, text in files.items():
        lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "*"))]
        assert [line for line in lines if SECRETS.search(line)] == [], name


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycronjob.yaml"])
def test_kuberays_files_follow_its_schema(name: str) -> None:
    schema = yaml.safe_load((Path(__file__).parent / "kuberay.yaml").read_text())
    checker = Draft7Validator(schema)
    made = document(name)
    assert [error.message for error in checker.iter_errors(made)] == []
    job = made["spec"] if made["kind"] == "RayJob" else made["spec"]["jobTemplate"]
    job["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 0
    assert [error.message for error in checker.iter_errors(made)] != []


def test_the_nightly_job_is_the_single_one() -> None:
    assert document("raycronjob.yaml")["spec"]["jobTemplate"] == document("rayjob.yaml")["spec"]


def test_the_ray_cluster_follows_rays_own_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = document("ray-cluster.yaml")
    validate_config(prepare_config(cluster))
    with pytest.raises(Exception, match="min_worker"):
        validate_config(prepare_config(cluster | {"min_worker": 1}))


def test_gpu_workers_are_spot_machines_that_go_when_there_is_no_work() -> None:
    gpu = document("ray-cluster.yaml")["available_node_types"]["gpu"]
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gpu["min_workers"] == 0
    groups = {
        group["groupName"]: group for group in document("rayjob.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    }
    assert groups["gpu"]["minReplicas"] == 0
    assert groups["gpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_clusters_can_hold_the_job_of_the_config() -> None:
    """The pools at their smallest fit what the files let the clusters grow to."""
    run = load(DEPLOY / "config.toml").run
    method = load(DEPLOY / "config.toml").methods["restored"]
    types = document("ray-cluster.yaml")["available_node_types"].values()
    groups = document("rayjob.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = [
        (group["maxReplicas"], group["template"]["spec"]["containers"][0]["resources"]["limits"]) for group in groups
    ]
    for cpus, gpus in (
        (
            sum(kind["max_workers"] * kind["resources"].get("CPU", 0) for kind in types),
            sum(kind["max_workers"] * kind["resources"].get("GPU", 0) for kind in types),
        ),
        (
            sum(count * int(limit["cpu"]) for count, limit in limits),
            sum(count * int(limit.get("nvidia.com/gpu", 0)) for count, limit in limits),
        ),
    ):
        assert (cpus, gpus) == (run.grows_to.cpus, run.grows_to.gpus)
        assert run.prepare.max_size + run.finish.max_size + method.pool.max_size <= cpus
        assert method.pool.max_size * method.pool.gpus <= gpus


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile and what they are given, lines joined, comments gone."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        if line.strip():
            kind, _, rest = line.strip().partition(" ")
            yield kind, " ".join(rest.split())


def test_the_dockerfile_builds_from_what_the_repository_holds() -> None:
    found = list(steps((DEPLOY / "Dockerfile").read_text()))
    stages = [rest.split(" AS ") for kind, rest in found if kind == "FROM"]
    assert [name for _, name in stages] == ["base", "cpu", "cuda"]
    assert [parent for parent, _ in stages[1:]] == ["base", "base"]
    assert {kind for kind, _ in found} <= {"ARG", "FROM", "ENV", "RUN", "COPY", "USER", "WORKDIR"}
    copied = [name for kind, rest in found if kind == "COPY" for name in rest.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= set(copied)


def test_the_dockerfile_installs_only_extras_that_there_are() -> None:
    install = next(
        rest for kind, rest in steps((DEPLOY / "Dockerfile").read_text()) if "/src[" in rest and kind == "RUN"
    )
    wanted = re.findall(r"\w+", install.partition("[")[2].partition("]")[0])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(wanted) <= set(extras)


@pytest.mark.slow
def test_the_dockerfiles_steps_install_a_daguerre_that_ships_these_files(tmp_path: Path) -> None:
    """The steps of pip and install, run in an empty environment in which the dependencies are there already."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    there = next(path for path in sys.path if path.endswith("site-packages"))
    site = next((tmp_path / "env" / "lib").glob("*/site-packages"))
    (site / "there.pth").write_text(f"{there}\n")
    source = tmp_path / "src"
    for kind, rest in steps((DEPLOY / "Dockerfile").read_text()):
        if kind == "COPY":
            *names, target = rest.split()
            into = Path(str(source) + target.removeprefix("/src"))
            into.mkdir(parents=True, exist_ok=True)
            for name in names:
                part = f"{ROOT / name}/." if (ROOT / name).is_dir() else str(ROOT / name)
                subprocess.run(["cp", "-r", part, str(into)], check=True)
    environment = {"PATH": f"{tmp_path}/env/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    for kind, rest in steps((DEPLOY / "Dockerfile").read_text()):
        if kind == "RUN" and ("/src" in rest or rest.startswith("daguerre")):
            line = rest.replace("/usr/local/bin", f"{tmp_path}/env/bin").replace("/src", str(source))
            line = line.replace("pip install", "pip install --no-deps --no-build-isolation --no-index")
            subprocess.run(["sh", "-euc", line], check=True, env=environment, cwd=tmp_path)
    assert {path.name for path in (site / "infra" / "deploy").iterdir()} >= CHECKED
    assert (tmp_path / "env" / "bin" / "daguerre-nightly").read_bytes() == (DEPLOY / "nightly.sh").read_bytes()


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``night(3, 0)``: the nightly script with a ``daguerre`` that ends with these codes, one a call."""

    def run(*codes: int, **extra: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
        fake = tmp_path / "daguerre"
        fake.write_text('#!/bin/sh\necho "$@" >>calls\ncode=$(head -n 1 codes)\nsed -i 1d codes\nexit "$code"\n')
        fake.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DAGUERRE_PAUSE": "0", **extra}
        command = ["sh", str(DEPLOY / "nightly.sh"), "SRC", "DST", "--limit", "3"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("code", CODES)
def test_a_night_ends_as_its_exit_code_asks(
    code: int, night: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ended = night(code, 0)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert set(calls) == {"--json-logs restore SRC DST --limit 3"}
    expected = {"done": (0, 1), "retry": (0, 2), "look": (code, 1)}[exits.action(code)]
    assert (ended.returncode, len(calls)) == expected


def test_a_night_gives_up_after_its_tries(
    night: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert night(75, 137, 130, 0, DAGUERRE_TRIES="3").returncode == 75
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
    assert night(3, DAGUERRE_STRICT="1").returncode == 3


def test_a_night_that_is_told_to_stop_lets_the_run_publish(tmp_path: Path) -> None:
    fake = tmp_path / "daguerre"
    fake.write_text('#!/bin/sh\ntrap "sleep 0.5; echo published >done; exit 130" TERM\ntouch begun\nsleep 30 & wait\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(["sh", str(DEPLOY / "nightly.sh"), "A", "B"], cwd=tmp_path, env=environment) as running:
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 130
    assert (tmp_path / "done").read_text() == "published\n"


def test_the_crontab_line_runs_the_nightly_script_once_at_a_time() -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 1
    found = re.fullmatch(r"(\d+) (\d+) \* \* \* (\w+) flock -n \S+ daguerre-nightly s3://\S+ s3://\S+ .+", lines[0])
    assert found
    assert int(found[1]) < 60
    assert int(found[2]) < 24


def test_prometheus_scrapes_the_nodes_that_ray_lists() -> None:
    jobs = document("prometheus.yml")["scrape_configs"]
    assert jobs[0]["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The DAG's module, with Airflow where it is installed and with the least of it where it is not."""
    if importlib.util.find_spec("airflow") is None:
        stand_in(monkeypatch)
    spec = importlib.util.spec_from_file_location("daguerre_dag", DEPLOY / "airflow_dag.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the DAG imports of Airflow: decorators that call, variables, two exceptions."""
    sdk, exceptions, top = (
        types.ModuleType("airflow.sdk"),
        types.ModuleType("airflow.exceptions"),
        types.ModuleType("airflow"),
    )
    values = {"daguerre_source": "s3://a", "daguerre_sink": "s3://b", "daguerre_options": ["--limit", "3"]}
    made = vars(sdk)
    made["dag"] = lambda **options: lambda function: function
    made["task"] = lambda function: function
    made["Variable"] = types.SimpleNamespace(get=lambda name, **options: values[name])
    vars(exceptions)["AirflowException"] = type("AirflowException", (Exception,), {})
    vars(exceptions)["AirflowFailException"] = type("AirflowFailException", (Exception,), {})
    for module in (top, sdk, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: types.SimpleNamespace(returncode=0))


def test_the_dag_imports_and_judges_every_code_as_the_table_does(dag: types.ModuleType) -> None:
    assert {code: dag.judged(code) for code in CODES} == {code: exits.action(code) for code in CODES}


@pytest.mark.parametrize("code", [0, 3, 75, 2])
def test_the_dag_fails_for_good_retries_or_is_done(
    code: int, dag: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A plain function is the stand-in's decorator; a real Airflow's is an object whose tasks run in its scheduler.
    if not hasattr(dag.task, "__code__"):
        pytest.skip("tasks of a real Airflow need its database")
    calls: list[list[str]] = []

    def run(command: list[str], check: bool) -> types.SimpleNamespace:
        calls.append(command)
        return types.SimpleNamespace(returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    raised = {"retry": "AirflowException", "look": "AirflowFailException"}.get(exits.action(code))
    errors = vars(sys.modules["airflow.exceptions"])
    with pytest.raises(errors[raised]) if raised else nullcontext():
        dag.daguerre_nightly()
    assert calls == [["daguerre", "--json-logs", "restore", "s3://a", "s3://b", "--limit", "3"]]


def test_the_document_gives_the_table_of_schedulers() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("### Schedulers")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| `?(\d+)`? \| (done|retry|look)", section, re.MULTILINE))
    assert {int(code): word for code, word in rows.items()} == {
        code: exits.action(code) for code in CODES if code != 99
    }
    assert sorted(name for name in CHECKED if f"`{name}`" not in text) == []
