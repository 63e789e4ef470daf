"""Ratings of public sets: RMSE and MAE, seconds and memory, of one model in a process of its own each.

    python benchmarks/rating_prediction.py DATA WORK [--sets ml-100k ml-1m] [--models bpmf ...]

DATA and WORK are those of recommendation.py. Models are fitted to the training rows (80 %), settings were chosen on the validation rows
(10 %), figures are of the test rows (10 %), with intervals over resampled rows. Seconds are those of the processor, of as many cores as
OMP_NUM_THREADS says.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from recommendation import write

from bmtool import registry
from bmtool.base.memory import resident
from bmtool.commands.measuring import measure
from bmtool.commands.prepare_data import prepare
from bmtool.config.load import parse
from bmtool.data.prepared import MANIFEST
from bmtool.measure.bootstrap import RESAMPLES

SETS = ("ml-100k", "ml-1m")
SVDPP = {"kind": "svdpp"}
ITEMS = {"kind": "item-knn"}
USERS = {"kind": "user-knn"}
BPMF = {"kind": "bpmf", "factors": 24, "draws": 60}
MODELS: dict[str, dict[str, Any]] = {
    "biases": {"kind": "biases"},
    "svd": {"kind": "svd"},
    "svdpp": SVDPP,
    "item-knn": ITEMS,
    "item-knn, msd": ITEMS | {"similarity": "msd"},
    "user-knn": USERS,
    "bpmf": BPMF,
    "blend": {"kind": "blend", "parts": [BPMF, SVDPP, ITEMS, USERS]},
}


def config(data: Path, work: Path, name: str, model: dict[str, Any]) -> Any:
    log = work / name / "log.tsv"
    if not log.is_file():
        write(data, work, name)
    settings = {
        "source": str(log), "prepared": str(work / name / "ratings"), "columns": {"rating": "rating", "split": "s_hash"}, "split": "given",
    }  # fmt: skip
    return parse({
        "task": "rating-prediction", "run": str(work / name / "run"), "data": settings, "model": model, "seed": 1,
    })  # fmt: skip


def one(made: Any) -> dict[str, float]:
    """Fit, and measure on the test rows."""
    if not (Path(made.data.prepared) / MANIFEST).is_file():
        prepare(made)
    entry = registry.find(made.task)
    task = entry.load("task").fresh(made)
    began = time.process_time()
    *_, last = task.fit(lambda said: print(said, file=sys.stderr))
    fitted = time.process_time() - began
    reader = task.predictor()
    found = list(entry.load("examples").split(made.data, Path(made.data.prepared), "test", [reader]))
    began = time.process_time()
    figures = measure(entry.load("evaluation"), reader, found, columns=1 + RESAMPLES).figures
    taken = time.process_time() - began
    out = {name: figures[name].value for name in ("rmse", "mae")}
    return out | {
        "rmse_low": figures["rmse"].low, "rmse_high": figures["rmse"].high, "valid_rmse": (task.result or last)["valid/rmse"],
        "fit_s": fitted, "measured_s": taken, "peak_mb": resident() / 1e6,
        "model_mb": sum(np.asarray(values).nbytes for values in task.arrays().values()) / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--one", help="a model as JSON, of one set")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(config(given.data, given.work, given.sets[0], json.loads(given.one)))))
        return
    for name in given.sets:
        for label in given.models:
            places = [str(given.data), str(given.work), "--sets", name]
            command = [sys.executable, __file__, *places, "--one", json.dumps(MODELS[label])]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = done.stdout.splitlines()[-1] if done.returncode == 0 else json.dumps({"failed": done.stderr[-300:]})
            print(json.dumps({"set": name, "model": label} | json.loads(said)), flush=True)


if __name__ == "__main__":
    main()
