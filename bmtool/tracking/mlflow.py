"""MLflow: where MLFLOW_TRACKING_URI says, or a database beside the run directory, `mlflow/mlflow.db`, which `mlflow ui` shows."""

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmtool.tracking.tracker import Subject

# MLflow reports its use to its maker unless it is told not to before it is imported. A server that does not answer may
# not hold up a training for minutes.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING", "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}  # fmt: skip
os.environ["MLFLOW_DISABLE_TELEMETRY"] = QUIET["MLFLOW_DISABLE_TELEMETRY"]
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
# Of the tables of a new database.
logging.getLogger("alembic").setLevel(logging.WARNING)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

MOST = 100  # settings of one call
LONGEST = 6000  # characters of a setting


class Tracker:
    """One run of the experiment that is called as the task, or as MLFLOW_EXPERIMENT_NAME says; `name` is its id."""

    def __init__(self, subject: Subject):
        with _unwarned():
            self._artifacts, uri = _places(subject.folder)
            self._client = MlflowClient(tracking_uri=uri)
            self.name: str = self._known(subject.name) or self._new(subject)
            self._last = self._logged()
            self._client.update_run(self.name, status="RUNNING")
            if subject.changes:
                self._client.set_tag(self.name, "changes", "; ".join(subject.changes))
        self._has_ended = False

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """What was logged before is what comes again when a run goes on, and is not logged twice."""
        now = int(time.time() * 1000)
        new = [Metric(key, value, now, step) for key, value in figures.items() if step > self._last.get(key, -1)]
        with _unwarned():
            self._client.log_batch(self.name, metrics=new)

    def end(self, step: int, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self._last = {key: last for key, last in self._last.items() if not key.startswith("best/")}
        self.log(step, {f"best/{name}": value for name, value in figures.items()})
        with _unwarned():
            for path in files:
                self._client.log_artifact(self.name, str(path), "plots" if path.suffix == ".png" else None)
            self._client.set_terminated(self.name, "FINISHED")
        self._has_ended = True

    def close(self) -> None:
        if not self._has_ended:
            with _unwarned():
                self._client.set_terminated(self.name, "KILLED")

    def _known(self, name: str | None) -> str | None:
        """The run that was begun before, where there is one."""
        if name is None:
            return None
        try:
            return self._client.get_run(name).info.run_id
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _new(self, subject: Subject) -> str:
        called = os.environ.get("MLFLOW_EXPERIMENT_NAME") or subject.task
        experiment = self._client.get_experiment_by_name(called)
        number = experiment.experiment_id if experiment else self._client.create_experiment(called, self._artifacts)
        run = self._client.create_run(number, run_name=subject.folder.resolve().name)
        settings = [Param(key, _shown(value)) for key, value in subject.settings.items()]
        for first in range(0, len(settings), MOST):
            self._client.log_batch(run.info.run_id, params=settings[first : first + MOST])
        self._client.log_batch(run.info.run_id, tags=[RunTag("task", subject.task), RunTag("run", str(subject.folder))])
        return run.info.run_id

    def _logged(self) -> dict[str, int]:
        """Figure -> the last step that it has been logged of."""
        names = self._client.get_run(self.name).data.metrics
        return {name: max(one.step for one in self._client.get_metric_history(self.name, name)) for name in names}


def _places(run: Path) -> tuple[str | None, str]:
    """Where files go (None: where the server says), and the address of the store."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return None, uri
    folder = run.resolve().parent / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / "artifacts").as_uri(), f"sqlite:///{folder / 'mlflow.db'}"


def _shown(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:LONGEST]


@contextmanager
def _unwarned() -> Iterator[None]:
    """What MLflow and its database library remark of each other is for their makers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
