"""Clicks: how fast a DeepFM trains, and what each kind of model reaches on two public logs.

    python benchmarks/click_prediction.py speed FOLDER DIR
    python benchmarks/click_prediction.py reach FOLDER DIR --sets frappe ml-100k --kinds fm deepfm --seeds 1 2 3

FOLDER holds frappe/ctr.tsv.xz (label, user, item, fields of context, split) and ml-100k/ratings.tsv.xz, items.tsv, users.tsv (s_time is the
split; a rating of 4 or more is a click). What a user liked and did not like before, strictly earlier than the row, are two histories of
ml-100k, beside how many there are and the share that was liked (`--no-history` knows user and item alone). Tables, data and runs lie in DIR
afterwards. One JSON object a line.
"""

import argparse
import csv
import json
import lzma
import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import processor, spread, trained

from bmtool.commands.evaluate import evaluate
from bmtool.commands.prepare_data import make_current
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.engine.run_dir import RunDir

CONFIGS = Path(__file__).parent.parent / "configs" / "click-prediction"
# The shape that deepctr-torch has when nothing is said.
USUAL = ["model.width=4", "model.widths=[256, 128]", "model.batch_norm=false", "model.dropout=0.0", "model.unknown=0.0"]
SPEED_STEPS, REPEATS = 150, 3
FRAPPE = ["item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city"]
# Of ml-100k, all but who and what.
OTHERS = ["gender", "occupation", "age", "year", "genres", "liked", "disliked", "seen", "share"]
# Of each set: settings of its data, and per kind what was chosen on its validation split.
COLUMNS = {
    "frappe": {"user": "user", "split": "split", "categorical": FRAPPE, "ignore": ["row"]},
    "ml-100k": {
        "user": "user", "split": "s_time", "categorical": ["item", "gender", "occupation"], "numeric": ["age", "year", "seen", "share"],
        "history": {"genres": None, "liked": "item", "disliked": "item"}, "ignore": ["timestamp", "title", "zip"],
    },
}  # fmt: skip
EVERY = [
    "train.validate_every=100",
    "train.save_every=100",
    "train.precision=fp32",
    "optim.weight_decay=0.0",
    "schedule.warmup_steps=50",
]
CHOSEN: dict[str, dict[str, list[str]]] = {
    "frappe": {
        "logistic-regression": ["train.batch_size=2048", "train.steps=900", "optim.lr=0.01", "model.unknown=0.0", "model.l2=0.0"],
        "fm": ["train.batch_size=2048", "train.steps=900", "model.width=64", "optim.lr=0.005", "model.unknown=0.0", "model.l2=0.001"],
        "deepfm": [
            "train.batch_size=2048", "train.steps=900", "model.width=16", "model.widths=[400, 400]", "model.dropout=0.2",
            "optim.lr=0.002", "model.unknown=0.0", "model.l2=0.01",
        ],
        "lightgbm": ["model.rounds=600", "model.leaves=127"],
    },
    "ml-100k": {
        "logistic-regression": ["train.batch_size=512", "train.steps=1500", "optim.lr=0.01", "model.unknown=0.0", "model.l2=0.000005"],
        "fm": ["train.batch_size=512", "train.steps=600", "model.width=8", "model.unknown=0.1", "model.l2=0.001"],
        "deepfm": ["train.batch_size=512", "train.steps=600", "model.width=8", "model.unknown=0.1", "model.l2=0.001", "model.dropout=0.3"],
        "din": ["train.batch_size=512", "train.steps=400", "model.width=8", "model.unknown=0.1", "model.l2=0.001", "model.dropout=0.3"],
    },
}  # fmt: skip


def rows(path: Path) -> Iterator[dict[str, str]]:
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as stream:
        yield from csv.DictReader(stream, delimiter="\t")


def write(path: Path, held: Iterator[dict[str, Any]]) -> Path:
    if not path.is_file():
        first = next(held)
        with path.open("w", encoding="utf-8", newline="") as stream:
            out = csv.DictWriter(stream, list(first), delimiter="\t", lineterminator="\n")
            out.writeheader()
            out.writerows([first, *held])
    return path


def frappe(folder: Path) -> Iterator[dict[str, Any]]:
    yield from rows(folder / "ctr.tsv.xz")


def movies(folder: Path) -> Iterator[dict[str, Any]]:
    """Ratings in order of time, each with who and what, and what its user had rated strictly before."""
    items = {row["item"]: row | {"year": row["year"] * row["year"].isdigit()} for row in rows(folder / "items.tsv")}
    users = {row["user"]: row for row in rows(folder / "users.tsv")}
    before: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    waiting: dict[str, deque[tuple[int, str, int]]] = defaultdict(deque)
    every = sorted(rows(folder / "ratings.tsv.xz"), key=lambda r: (int(r["timestamp"]), int(r["user"]), int(r["item"])))
    for row in every:
        user, when, label = row["user"], int(row["timestamp"]), int(int(row["rating"]) >= 4)
        while waiting[user] and waiting[user][0][0] < when:
            _, item, taken = waiting[user].popleft()
            before[user][1 - taken].append(item)
        waiting[user].append((when, row["item"], label))
        likes, dislikes = before[user]
        seen = len(likes) + len(dislikes)
        yield {
            **users[user], **items[row["item"]], "liked": "|".join(likes[-30:]), "disliked": "|".join(dislikes[-30:]),
            "seen": f"{math.log1p(seen):.3f}", "share": f"{(len(likes) + 2.2) / (seen + 4):.3f}", "timestamp": when,
            "s_time": row["s_time"], "label": label,
        }  # fmt: skip


SETS = {"frappe": frappe, "ml-100k": movies}


def settings(folder: Path, place: Path, name: str, *, history: bool = True) -> list[str]:
    """The data of a set, as settings of any configuration of the task."""
    source = write(place / f"{name}.tsv", SETS[name](folder / name))
    columns = dict(COLUMNS[name])
    if not history and "history" in columns:
        columns = {"user": "user", "split": "s_time", "categorical": ["item"], "ignore": [*columns["ignore"], *OTHERS]}
    data = {
        "source": str(source), "prepared": str(place / f"{name}-data{'' if history else '-plain'}"), "target": "label", "split": "given",
        "valid_share": 0.0, "test_share": 0.0, "columns": columns,
    }  # fmt: skip
    return [f"data={json.dumps(data)}"]


def speed(folder: Path, place: Path) -> None:
    """Rows a second of steps as `pretrain` takes them, batches included; and rows a second of processor time, all threads together, which
    says something on a busy machine too."""
    for size in (1024, 4096):
        for threads in (1, 2):
            more = [f"train.batch_size={size}", f"train.threads={threads}", "train.precision=fp32", f"train.steps={2 * SPEED_STEPS + 1}",
                    "train.validate_every=100000", "train.save_every=100000", "schedule.warmup_steps=0", *USUAL]  # fmt: skip
            config = load(
                CONFIGS / "deepfm.yaml", [*settings(folder, place, "frappe"), f"run={place / 'speed'}", *more]
            )
            make_current(config, RunDir(config.run))
            timed = [(*_seconds(config, SPEED_STEPS), _seconds(config, 2 * SPEED_STEPS)[1]) for _ in range(REPEATS)]
            wall = spread([SPEED_STEPS * size / seconds for seconds, _, _ in timed])
            processor_time = spread([SPEED_STEPS * size / (longer - shorter) for _, shorter, longer in timed])
            found = {"batch": size, "threads": threads, "rows/s": wall, "rows/processor s": processor_time}
            print(json.dumps(found | {"processor": processor()}), flush=True)


def _seconds(config: Any, steps: int) -> tuple[float, float]:
    """Of steps alone by the clock, and of the processor with all that goes before them."""
    began = time.process_time()
    _, seconds = trained(config, steps)
    return seconds, time.process_time() - began


def reach(folder: Path, place: Path, asked: argparse.Namespace) -> None:
    for name in asked.sets:
        data = settings(folder, place, name, history=not asked.no_history)
        for kind in asked.kinds:
            for seed in asked.seeds:
                run = place / "runs" / f"{name}{'-plain' if asked.no_history else ''}-{kind}-{seed}"
                more = [
                    *([] if kind == "lightgbm" else EVERY),
                    *CHOSEN[name].get(kind, []),
                    f"seed={seed}",
                    f"run={run}",
                    *asked.set,
                ]
                began = time.perf_counter()
                pretrain(str(CONFIGS / f"{kind}.yaml"), [*data, *more])
                figures = evaluate([run]).figures
                shown = {key: [round(v, 4) for v in (f.value, f.low, f.high)] for key, f in figures.items()}
                seconds = round(time.perf_counter() - began, 1)
                print(json.dumps({"set": name, "kind": kind, "seed": seed, **shown, "seconds": seconds}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "reach"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--kinds", nargs="+", default=["logistic-regression", "fm", "deepfm", "lightgbm"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--no-history", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for every run")
    asked = parser.parse_args()
    asked.place.mkdir(parents=True, exist_ok=True)
    if asked.what == "speed":
        speed(asked.folder, asked.place)
    else:
        reach(asked.folder, asked.place, asked)


if __name__ == "__main__":
    main()
