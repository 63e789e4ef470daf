"""A run in short: how it stands, and its figures. What cannot be read is said in its place, never left out."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.files import read_json
from bmtool.config.schema import BaseConfig
from bmtool.engine.kept import WEIGHTS, step_of
from bmtool.engine.record import Record
from bmtool.errors import BmtoolError, DataError
from bmtool.measure.report import OWN, Report, unfit

RUNNING, FINISHED, INTERRUPTED, FAILED, DAMAGED = STATES = ("running", "finished", "interrupted", "failed", "damaged")
ENDS_ARE_NOTED = 3  # the format of run.json from which on it says whether the end was reached
VALIDATION = "validation"
GONE = "its checkpoints are gone: restore checkpoints/, or train again elsewhere"

Figures = dict[str, dict[str, float | None]]  # name -> value, low and high; of a validation only the value


class Best(NamedTuple):
    """The checkpoint that is used: its name, step (None of an average), validation figures and the sha256 of its weights."""

    name: str
    step: int | None
    metrics: dict[str, float]
    weights: str


@dataclass(frozen=True)
class Summary:
    """`figures` are of the best checkpoint: of the test split where that was evaluated, else of the validation; `of` says which.

    `key` is the figure that decided which checkpoint is best, or the first. `steps` is None where no number of them was planned, as in a
    fit. `why` says what a state alone does not: what failed, what is damaged, which command goes on.
    """

    path: Path
    state: str
    why: str = ""
    task: str = ""
    data: str = ""
    data_hash: str = ""
    step: int = 0
    steps: int | None = None
    started: datetime | None = None
    parent: str | None = None
    of: str = ""
    key: str = ""
    figures: Figures = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        started = self.started.isoformat(timespec="seconds") if self.started else None
        return vars(self) | {"path": str(self.path), "name": self.name, "started": started}


def summed_up(path: str | Path) -> Summary:
    """Of a run directory, whatever its state."""
    record = Record(path)
    held = Summary(record.path, RUNNING if record.is_running else FAILED)
    try:
        held = replace(held, why=record.failure())
        if not record.exists:
            return _without_a_description(record, held)
        info = Record.open(path).info()
        held = replace(
            held,
            task=info["task"],
            data_hash=info["data_hash"],
            started=_time(info.get("started")),
            parent=info["parent"],
        )
        config = record.config()
        held = replace(held, data=Path(config.data.prepared).name)
        return _with_state(record, info, config, _with_figures(record, info, config, held))
    except (BmtoolError, OSError, KeyError) as error:
        # What is written at this moment may be half there.
        state = RUNNING if held.state == RUNNING else DAMAGED
        return replace(held, state=state, why=_said(error))


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {error.strerror}"
    return str(error).partition("\n")[0]


def _without_a_description(record: Record, held: Summary) -> Summary:
    """One that has not begun, or lost what it said."""
    if held.state == RUNNING:
        return replace(held, why="it is about to begin")
    if (record.path / "checkpoints").is_dir():
        return replace(held, state=DAMAGED, why="run.json is missing: restore it, or train again elsewhere")
    return (
        held
        if held.why
        else replace(held, state=INTERRUPTED, why="before its first step: start the same command again")
    )


def _time(written: str | None) -> datetime | None:
    """DataError for what is no time; one that names no zone is of UTC."""
    try:
        found = datetime.fromisoformat(written) if written else None
    except (TypeError, ValueError) as error:
        raise DataError(f"run.json: started: {str(error)[:80]}") from error
    return found.replace(tzinfo=timezone.utc) if found and found.tzinfo is None else found


# --- figures ---


def best(record: Record, warn: Callable[[str], None], config: BaseConfig | None = None) -> Best | None:
    """The checkpoint that is used, by its own word: its weights are not read. None when there is none yet."""
    kept = record.kept(warn, config)
    for name in kept.candidates():
        if not (kept.directory / name).is_dir():
            warn(f"checkpoint {name} cannot be used: there is none; trying another")
            continue
        manifest = kept.manifest(name)
        return Best(name, kept.step(name), manifest["metrics"], manifest["sha256"][WEIGHTS])
    return None


def _with_figures(record: Record, info: dict, config: BaseConfig, held: Summary) -> Summary:
    chosen = best(record, lambda message: None, config)
    of, figures = _figures(record, info, chosen) if chosen else ("", {})
    asked = [config.train.best, (info["best"] or {}).get("metric"), next(iter(figures), "")]
    key = next(name for name in asked if name in figures or name == asked[-1])
    return replace(held, of=of, figures=figures, key=key or "")


def _figures(record: Record, info: dict, chosen: Best) -> tuple[str, Figures]:
    path = record.evaluations / f"{OWN}.json"
    if path.is_file():
        report = read_json(path, Report, f"`bmtool evaluate {record.path}` measures it again")
        if not unfit(report, info["data_hash"], chosen.weights):
            return OWN, report["metrics"]
    return VALIDATION if chosen.metrics else "", {name: {"value": value} for name, value in chosen.metrics.items()}


# --- how it stands ---


def _with_state(record: Record, info: dict, config: BaseConfig, held: Summary) -> Summary:
    step = _step(record, info, config)
    # A fit has no figure that decides, and plans no steps.
    is_fit = info["format"] >= ENDS_ARE_NOTED and info["best"] is None
    held = replace(held, step=step, steps=None if is_fit else config.train.steps)
    if held.state == RUNNING:
        return held
    if _has_ended(info, held):
        return replace(held, state=FINISHED, why=_early(config, held) if _has_checkpoints(record, config) else GONE)
    if held.why:
        return held
    return replace(held, state=INTERRUPTED, why=f"`bmtool {_going_on(record, info, config)}` goes on")


def _step(record: Record, info: dict, config: BaseConfig) -> int:
    """That of the newest checkpoint, or of what was logged since, or of the end; of a run that is set back, what was logged."""
    if info.get("resume_from"):
        return record.last_step()
    ended, names = (info["ended"] or {}).get("step", 0), record.kept(lambda message: None, config).names()[-1:]
    return max(record.last_step(), *(step_of(name) for name in names), ended)


def _going_on(record: Record, info: dict, config: BaseConfig) -> str:
    if info["parent"]:
        return f"finetune {config_of(record)} --from {info['parent']}"
    return f"{'finetune' if config.says_how_to_finetune else 'pretrain'} {config_of(record)}"


def _has_checkpoints(record: Record, config: BaseConfig) -> bool:
    kept = record.kept(lambda message: None, config)
    return any((kept.directory / name).is_dir() for name in kept.candidates())


def config_of(record: Record) -> str:
    return os.path.join(record.path, "config.yaml")


def _has_ended(info: dict, held: Summary) -> bool:
    if info["format"] >= ENDS_ARE_NOTED:
        return info["ended"] is not None
    return held.steps is not None and held.step >= held.steps


def _early(config: BaseConfig, held: Summary) -> str:
    """Why a training ended before its last step; "" when it did not."""
    if held.steps is None or held.step >= held.steps:
        return ""
    if config.train.stop_after is not None and held.step >= config.train.stop_after:
        return f"train.stop_after is {config.train.stop_after}"
    return f"stopped early: {held.key} did not improve any more"
