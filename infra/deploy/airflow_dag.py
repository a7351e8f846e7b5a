"""A nightly run as an Airflow DAG (Airflow 3): put it into the DAG folder of workers that have Daguerre installed.

Variables: ``daguerre_source``, ``daguerre_sink``, and ``daguerre_options`` as a JSON list. The Ray cluster is
``RAY_ADDRESS`` in the workers' environment, credentials are the workers' own role. What an exit code means for a
scheduler stands in docs/operations.md.
"""
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false

import subprocess
from datetime import datetime, timedelta

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import Variable, dag, task

DONE = frozenset({0, 3})  # 3: some photos failed; the manifest says which
AGAIN = frozenset({75, 130, 137, 143, -2, -9, -15})  # negative: subprocess says which signal ended it


def judged(code: int) -> str:
    """What to do after ``code``: "done", "retry" or "look"."""
    return "done" if code in DONE else "retry" if code in AGAIN else "look"


@dag(
    schedule="15 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["daguerre"],
)
def daguerre_nightly() -> None:
    """Work on what arrived since the last run."""

    @task
    def restore() -> int:
        options = Variable.get("daguerre_options", default=[], deserialize_json=True)
        places = [Variable.get("daguerre_source"), Variable.get("daguerre_sink")]
        code = subprocess.run(["daguerre", "--json-logs", "restore", *places, *options], check=False).returncode
        if judged(code) == "look":
            raise AirflowFailException(f"daguerre ended with {code}: trying again would end the same way")
        if judged(code) == "retry":
            raise AirflowException(f"daguerre ended with {code}: the same command goes on")
        return code

    restore()


daguerre_nightly()
