"""Recommenders on public sets: figures, seconds and memory, of one model in a process of its own each.

    python benchmarks/recommendation.py DATA WORK [--sets ml-100k ...] [--models ease ...]

DATA holds ml-100k, ml-1m, amazon-beauty and gowalla as tab-separated text (fields: see `write`), with the splits in columns; they are
turned into what is read here, under WORK. Settings were chosen on the validation rows; figures are of the test rows, and all items
that a user has not taken are ranked. gowalla is fitted on training and validation rows, as published figures of it are. Seconds are
those of the processor, of as many cores as OMP_NUM_THREADS says.
"""

import argparse
import csv
import json
import lzma
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bmtool import registry
from bmtool.base.memory import resident
from bmtool.commands.measuring import measure
from bmtool.commands.prepare_data import prepare
from bmtool.config.load import parse
from bmtool.data.prepared import MANIFEST
from bmtool.predict.ranking import Evaluation
from bmtool.tables.interactions import examples

GIVEN = {"split": "given"}
SETS: dict[str, dict[str, Any]] = {
    "ml-100k": GIVEN | {
        "columns": {"time": "timestamp", "split": "s_loo"}, "items": {"source": "items.tsv", "title": "title", "text": ["genres"]},
    },
    "ml-1m": GIVEN | {
        "columns": {"rating": "rating", "split": "s_hash"}, "min_rating": 3.0,
        "items": {"source": "items.tsv", "title": "title", "text": ["genres"]},
    },
    "amazon-beauty": GIVEN | {
        "columns": {"time": "position", "split": "s_loo"}, "items": {"source": "items.tsv", "text": ["attributes"]},
    },
    "gowalla": GIVEN | {"columns": {"split": "split"}},
}  # fmt: skip
STEP = {"kind": "transitions", "window": 1, "last": 1}
CHAIN = {"kind": "transitions", "window": 3, "last": 6, "decay": 0.6}
MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "ml-100k": {
        "popularity": {"kind": "popularity"},
        "transitions, first order": STEP,
        "transitions": CHAIN,
        "item-knn": {"kind": "item-knn", "neighbours": 200, "decay": 0.9},
        "user-knn": {"kind": "user-knn", "neighbours": 100},
        "content": {"kind": "content"},
        "ease": {"kind": "ease", "l2": 100.0},
        "edlae": {"kind": "edlae", "dropout": 0.3, "l2": 50.0},
        "slim": {"kind": "slim", "l2": 50.0, "l1": 2.0},
        "als": {"kind": "als", "factors": 32, "alpha": 5.0, "l2": 10.0},
        "puresvd": {"kind": "puresvd", "factors": 50},
        "gf-cf": {"kind": "gf-cf", "factors": 64},
        "blend": {"kind": "blend", "parts": [
            CHAIN, {"kind": "edlae", "l2": 50.0, "decay": 0.95}, {"kind": "gf-cf", "factors": 64, "decay": 0.9},
        ]},
    },
    "ml-1m": {
        "popularity": {"kind": "popularity"},
        "item-knn": {"kind": "item-knn", "neighbours": 200},
        "user-knn": {"kind": "user-knn", "neighbours": 100},
        "content": {"kind": "content"},
        "ease": {"kind": "ease", "l2": 500.0},
        "edlae": {"kind": "edlae", "dropout": 0.5, "l2": 600.0},
        "slim": {"kind": "slim", "l2": 200.0, "l1": 5.0},
        "als": {"kind": "als", "factors": 64, "alpha": 5.0, "l2": 10.0},
        "puresvd": {"kind": "puresvd", "factors": 64},
        "gf-cf": {"kind": "gf-cf", "factors": 128},
        "blend": {"kind": "blend", "parts": [
            {"kind": "edlae", "dropout": 0.5, "l2": 600.0}, {"kind": "gf-cf", "factors": 128}, {"kind": "item-knn", "neighbours": 200},
        ]},
    },
    "amazon-beauty": {
        "popularity": {"kind": "popularity"},
        "transitions, first order": STEP,
        "transitions": CHAIN,
        "item-knn": {"kind": "item-knn", "neighbours": 200, "decay": 0.8},
        "content": {"kind": "content"},
        "als": {"kind": "als", "factors": 64, "alpha": 10.0, "l2": 1.0},
        "gf-cf": {"kind": "gf-cf", "factors": 128, "decay": 0.8},
        "blend": {"kind": "blend", "parts": [CHAIN, {"kind": "gf-cf", "factors": 128, "decay": 0.8}, {"kind": "content", "decay": 0.7}]},
    },
    "gowalla": {
        "popularity": {"kind": "popularity"},
        "item-knn": {"kind": "item-knn", "neighbours": 200},
        "als": {"kind": "als", "factors": 64, "alpha": 10.0, "l2": 1.0},
        "gf-cf": {"kind": "gf-cf", "factors": 256, "neighbours": 800},
    },
}  # fmt: skip
SHOWN = ("ndcg@10", "recall@10", "recall@20", "ndcg@20", "hr@10", "coverage@10", "auc")


def read(path: Path) -> Iterator[str]:
    """The lines of a file, packed or not."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        yield from (line.rstrip("\n") for line in stream)


def write(data: Path, work: Path, name: str) -> Path:
    """The interactions of a set as one table, and its items beside it."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.tsv"
    if name == "gowalla":
        with log.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerow(("user", "item", "split"))
            for split in ("train", "valid", "test"):
                rows = (line.split("\t") for line in list(read(data / name / f"{split}.tsv.xz"))[1:])
                writer.writerows((user, item, split) for user, items in rows for item in items.split())
        return log
    source = "interactions" if name == "amazon-beauty" else "ratings"
    log.write_text("\n".join(read(data / name / f"{source}.tsv.xz")) + "\n", encoding="utf-8")
    items = next(path for path in (data / name / "items.tsv", data / name / "items.tsv.xz") if path.is_file())
    (folder / "items.tsv").write_text("\n".join(read(items)) + "\n", encoding="utf-8")
    return log


def config(data: Path, work: Path, name: str, model: dict[str, Any]) -> Any:
    log = work / name / "log.tsv"
    if not log.is_file():
        write(data, work, name)
    settings = {"source": str(log), "prepared": str(work / name / "prepared")} | SETS[name]
    if "items" in settings:
        settings |= {"items": settings["items"] | {"source": str(log.with_name("items.tsv"))}}
    return parse({
        "task": "recommendation", "run": str(work / name / "run"), "data": settings, "model": model, "refit": name == "gowalla",
    })  # fmt: skip


def one(made: Any) -> dict[str, float]:
    """Fit, and measure on the test rows."""
    if not (Path(made.data.prepared) / MANIFEST).is_file():
        prepare(made)
    entry = registry.find(made.task)
    task = entry.load("task").of(made).fresh(made)
    began = time.process_time()
    solved = task._solved(task.matrix("test" if made.refit else "valid"), lambda said: print(said, file=sys.stderr))
    task.load(solved)
    fitted = time.process_time() - began
    reader = task.predictor()
    found = list(examples.split(made.data, Path(made.data.prepared), "test", [reader]))
    began = time.process_time()
    measured = measure(Evaluation, reader, found)
    taken = time.process_time() - began
    size = sum(np.asarray(values).nbytes for values in task.arrays().values())
    return {name: measured.figures[name].value for name in SHOWN} | {
        "fit_s": fitted, "measured_s": taken, "peak_mb": resident() / 1e6, "model_mb": size / 1e6, "users": measured.examples,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(MODELS))
    parser.add_argument("--models", nargs="*")
    parser.add_argument("--one", help="a model as JSON, of one set")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(config(given.data, given.work, given.sets[0], json.loads(given.one)))))
        return
    for name in given.sets:
        for label, model in MODELS[name].items():
            if given.models and label not in given.models:
                continue
            command = [
                sys.executable,
                __file__,
                str(given.data),
                str(given.work),
                "--sets",
                name,
                "--one",
                json.dumps(model),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = done.stdout.splitlines()[-1] if done.returncode == 0 else json.dumps({"failed": done.stderr[-300:]})
            print(json.dumps({"set": name, "model": label} | json.loads(said)), flush=True)


if __name__ == "__main__":
    main()
