"""What a study has found: a table or JSON, the best configuration as YAML, a picture."""

import json
from typing import Any

from rich.table import Table

from bmtool.base.console import Terminal, answer
from bmtool.base.files import write_text
from bmtool.commands.trials import Asked, Trials, short
from bmtool.tuning.space import value_at
from bmtool.tuning.study import Row

BEST, PICTURE = "best.yaml", "tune.png"


def find(trials: Trials) -> dict[str, Any]:
    """What `--json` shows: the figure, every trial, the best one. Its configuration and the picture are written."""
    study, folder = trials.study, trials.asked.folder
    best = study.best()
    found: dict[str, Any] = {
        "figure": study.figure, "direction": "min" if study.minimises else "max", "study": str(folder),
        "trials": [_trial(trials.asked, row) for row in study.rows()], "best": None, "config": None,
    }  # fmt: skip
    if best is None:
        return found
    write_text(folder / BEST, _configuration(trials, best))
    _draw(trials, f"{folder}: the best {study.figure} is {best.value:.4f}, of trial {best.number}")
    return found | {"best": _trial(trials.asked, best), "config": str(folder / BEST)}


def _draw(trials: Trials, title: str) -> None:
    # matplotlib takes half a second to import.
    from bmtool.tuning.picture import draw

    draw(trials.study, title, trials.asked.folder / PICTURE)


def _trial(asked: Asked, row: Row) -> dict[str, Any]:
    run = asked.run(row.number)
    return {
        "trial": row.number, "state": row.state, "value": row.value, "values": asked.space.settings(row.raw),
        "run": str(run.path) if run.exists else None, "remark": row.reason,
    }  # fmt: skip


def _configuration(trials: Trials, best: Row) -> str:
    """That of the best trial for a run beside the trials, under a head that says where it is from."""
    asked, study = trials.asked, trials.study
    head = [
        f"# {asked.training(asked.folder / BEST)}",
        f"# The best of {trials.ended} trials of {asked.path}: trial {best.number}, {study.figure} {best.value:.4f} of the validation.",
    ]
    for key, value in asked.space.settings(best.raw).items():
        before = value_at(asked.config, key)
        head.append(f"# {key}: {short(value)}" + (f", was {short(before)}" if before != value else ", as it was"))
    text = asked.written(best, asked.folder / "best")
    body = [line for line in text.splitlines() if not line.startswith("# bmtool ")]
    return "\n".join([*head, *body, ""])


def show(trials: Trials, found: dict[str, Any], *, as_json: bool) -> None:
    """Results on stdout, what to do next on stderr."""
    if as_json:
        answer(json.dumps(found, ensure_ascii=False))
    elif found["trials"]:
        Terminal().print(_table(trials, found))
    say, best, folder = trials.console.say, found["best"], trials.asked.folder
    if best is None:
        say("no trial is complete, so there is no best one")
        return
    where = best["run"] or "its run is gone"
    say(f"best: trial {best['trial']}, {found['figure']} {best['value']:.4f}{_against(trials, found)}: {where}")
    say(f"picture {folder / PICTURE}; the settings, for another training: {trials.asked.training(folder / BEST)}")
    if best["run"]:
        say(f"the validation has chosen, so ask the test split: {_measuring(trials, found)}")


def _measuring(trials: Trials, found: dict[str, Any]) -> str:
    """The command that measures the best trial, against the configuration itself where that is another."""
    own, best = found["trials"][0], found["best"]
    is_other = trials.own is not None and own["state"] == "complete" and own["run"] not in (None, best["run"])
    return f"bmtool evaluate {best['run']}" + (f" --baseline {own['run']}" if is_other else "")


def _against(trials: Trials, found: dict[str, Any]) -> str:
    """The figure of the configuration itself, which is tried first."""
    own = found["trials"][0]
    is_known = trials.own is not None and own["state"] == "complete"
    return f" ({own['value']:.4f} as the configuration is)" if is_known else ""


def _table(trials: Trials, found: dict[str, Any]) -> Table:
    table = Table(title=f"{trials.asked.folder}: {trials.ended} trials", show_edge=False)
    for heading in ("trial", "state", found["figure"], *trials.study.space, "remark"):
        table.add_column(heading, justify="left" if heading in ("state", "remark") else "right")
    for row in found["trials"]:
        state = "best" if found["best"] and row["trial"] == found["best"]["trial"] else row["state"]
        value = "" if row["value"] is None else f"{row['value']:.4f}"
        table.add_row(str(row["trial"]), state, value, *map(short, row["values"].values()), row["remark"])
    return table
