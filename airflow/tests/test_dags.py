"""What can be told of the DAGs without running them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).parents[1] / "dags"
NAMES = {"train_and_promote", "verify_candidates", "maintenance", "backtest_challenger"}


@pytest.fixture(scope="module")
def bag(airflow_database: None) -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS)


def test_every_dag_imports(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == NAMES == {file.stem for file in DAGS.glob("*.py")}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_dag_has_a_cycle(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    dag.check_cycle()
    assert len(list(dag.topological_sort())) > 0


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_task_is_tried_again_ends_in_time_and_tells_of_its_failure(
    bag: DagBag, name: str
) -> None:
    dag = bag.dags[name]
    assert isinstance(dag.dagrun_timeout, timedelta)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    for task in dag.tasks:
        task_arguments = getattr(task, "partial_kwargs", None) or vars(task)
        assert task.retries > 0, task.task_id
        assert task.execution_timeout is not None, task.task_id
        assert task.on_failure_callback, (task.task_id, task_arguments)


def test_a_schedule_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from model_lifecycle.settings import schedule

    assert schedule("AIRFLOW_TRAIN_SCHEDULE", "0 3 * * *") == "0 3 * * *"
    monkeypatch.setenv("AIRFLOW_TRAIN_SCHEDULE", "15 * * * *")
    assert schedule("AIRFLOW_TRAIN_SCHEDULE", "0 3 * * *") == "15 * * * *"
    monkeypatch.setenv("AIRFLOW_TRAIN_SCHEDULE", "none")
    assert schedule("AIRFLOW_TRAIN_SCHEDULE", "0 3 * * *") is None
