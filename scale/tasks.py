"""What Airflow knows of a run's tasks: each try of each of them, on which worker, and how it ended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dynamics_demo.airflow_api import AirflowApi, Run

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a task; instants are seconds since 1970, 0 for one that has not come yet."""

    task: str
    map_index: int
    number: int
    state: str
    worker: str
    began: float
    ended: float

    @property
    def step(self) -> str:
        """The task without the group that it stands in, such as `extract`."""
        return self.task.rpartition(".")[2]

    @property
    def name(self) -> str:
        """The task as a person calls it, such as `extract 7`; slices count from 1."""
        return self.step if self.map_index < 0 else f"{self.step} {self.map_index + 1}"

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return max(0.0, self.ended - self.began)


def read_latest(airflow: AirflowApi, run: Run) -> list[Try]:
    """Return the latest try of each task of a run."""
    return [_try(row) for row in _rows(airflow, run)]


def read_tries(airflow: AirflowApi, run: Run) -> list[Try]:
    """Return all tries of all tasks of a run that ran, by their beginning."""
    tries: list[Try] = []
    for row in _rows(airflow, run):
        again = row["try_number"] > 1
        tries += [_try(one) for one in _earlier(airflow, run, row)] if again else [_try(row)]
    return sorted((one for one in tries if one.worker and one.began), key=lambda one: one.began)


def lost_tries(tries: Sequence[Try], worker: str) -> list[Try]:
    """Return the tries that ended with a worker that was killed."""
    return [one for one in tries if one.worker == worker and one.state != "success"]


def _rows(airflow: AirflowApi, run: Run) -> Iterator[Mapping[str, Any]]:
    for offset in range(0, 100_000, _PAGE):
        parameters = {"limit": _PAGE, "offset": offset}
        rows = airflow.call("GET", f"{path_of(run)}/taskInstances", params=parameters).json()["task_instances"]
        yield from rows
        if len(rows) < _PAGE:
            return


def _earlier(airflow: AirflowApi, run: Run, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    place = f"{path_of(run)}/taskInstances/{row['task_id']}"
    place += f"/{row['map_index']}/tries" if row["map_index"] >= 0 else "/tries"
    return list(airflow.call("GET", place).json()["task_instances"])


def path_of(run: Run) -> str:
    """The path of a run below the REST API."""
    return f"/dags/{run.dag_id}/dagRuns/{run.run_id}"


def _try(row: Mapping[str, Any]) -> Try:
    return Try(
        task=str(row["task_id"]),
        map_index=int(row.get("map_index", -1)),
        number=int(row["try_number"]),
        state=str(row["state"]),
        worker=str(row["hostname"] or ""),
        began=instant(row["start_date"]),
        ended=instant(row["end_date"]),
    )


def instant(text: str | None) -> float:
    """Seconds since 1970 of an instant as the REST API writes it; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
