"""`tune`: hyper-parameters by trials, each of them a normal run."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import NotRequired, TypedDict

from bmtool import registry
from bmtool.base import changes
from bmtool.base.console import Console
from bmtool.base.files import damaged, lock, read_json, write_json, write_text
from bmtool.base.needs import require
from bmtool.base.suggest import suggest
from bmtool.commands import findings, refusals, train
from bmtool.commands.initialise import require_same_vocabulary
from bmtool.commands.prepare_data import make_current
from bmtool.commands.trials import Asked, Trials
from bmtool.config import resuming
from bmtool.config.load import dump, load, of_run
from bmtool.config.schema import BaseConfig
from bmtool.data.prepared import described
from bmtool.engine import distributed
from bmtool.engine.ranking import deciding
from bmtool.engine.task import Best, Fitted, Task, Trained
from bmtool.errors import BmtoolError, ConfigError, Interrupted
from bmtool.measure.meter import is_lower_better
from bmtool.runs.finding import STUDY
from bmtool.tuning import space as spaces
from bmtool.tuning.effect import require_effect
from bmtool.tuning.study import FORESTS, OPTUNA, Row, Study

# Of the run that a configuration names, to call the study beside it.
SUFFIX = "-tune"
JOURNAL, ABOUT, CONFIG = "journal.jsonl", STUDY, "config.yaml"


@dataclass(frozen=True)
class Plan:
    """What to try, `seconds` in this sitting; without a figure or a seed those of the configuration."""

    vary: list[str]
    trials: int = 20
    figure: str | None = None
    seconds: float | None = None
    seed: int | None = None
    # the run whose weights trials start from
    parent: str | Path | None = None


class About(TypedDict):
    """What study.json says: what all trials of a study share, beside the configuration."""

    vary: dict[str, str]
    figure: str
    mode: str
    seed: int
    data_hash: str
    # the run that trials start from
    parent: NotRequired[str | None]


def tune(
    config: str | Path, plan: Plan, overrides: list[str] | None = None, *, as_json: bool = False
) -> dict[str, Any]:
    """Try `plan.trials` settings of `config`, or go on where its study stopped. Prints a table and returns what `--json` shows.

    The study lies beside the run that the configuration names, in RUN-tune. Interrupted by a signal, once what was found is shown.
    """
    asked = _asked(str(config), plan, list(overrides or []))
    refusals.require_folder(asked.folder, "run")
    with lock(
        asked.folder, f"{asked.folder} is in use by another tune: wait for it, or choose another with --set run=DIR"
    ):
        console = Console(asked.folder / "log.txt")
        study = _opened(asked, plan, console)
        trials = Trials(asked, study, console, count=plan.trials, seconds=plan.seconds)
        _introduce(trials)
        stopped = False
        try:
            trials.go_on()
        except (Interrupted, KeyboardInterrupt):
            stopped = True
        found = findings.find(trials)
        findings.show(trials, found, as_json=as_json)
        if stopped:
            raise Interrupted(
                f"stopped by a signal: {trials.ended} of {plan.trials} trials have ended; the same command goes on"
            )
        _require_some(study.rows())
        return found


# --- before anything is done ---


def _asked(path: str, plan: Plan, overrides: list[str]) -> Asked:
    """ConfigError for all that is wrong with what is asked and needs no data to be seen."""
    for package in (OPTUNA, FORESTS):
        require(package)
    if distributed.world_size() > 1:
        raise ConfigError("tune runs its trials one after the other, in one process: start it without torchrun")
    base = load(path, overrides)
    kind, parent = train.kind_of(base), train.parent_of(plan.parent)
    finetunes = parent is not None or base.starts_from_others
    if plan.figure is not None and kind.fitted:
        _require_figure(plan.figure, base.task)
    elif plan.figure is not None:
        overrides.append(f"train.best={plan.figure}")
    configured = partial(load, path, overrides)
    space = spaces.read(plan.vary, configured)
    require_effect(space, base, finetunes=finetunes)
    for key, held in space.items():
        for value in held.ends:
            train.require_sense(kind, configured({key: value}), parent, finetunes)
    base = configured({})
    refusals.require_training(base)
    return Asked(path, overrides, base, space, Path(f"{Path(base.run)}{SUFFIX}"), finetunes, parent)


def _require_figure(figure: str, task: str) -> None:
    """ConfigError for a figure that models of a task do not have; what a trained one has is known once there are data."""
    names = list(registry.find(task).load("evaluation").names)
    if figure not in names:
        raise ConfigError(
            f"--figure: {task} has no figure {figure!r}{suggest(figure, names)} (there are {', '.join(names)})"
        )


# --- the study ---


def _opened(asked: Asked, plan: Plan, console: Console) -> Study:
    """The study that lies there, or a new one on data that are prepared. ConfigError or DataError where it is another."""
    base, folder = asked.config, asked.folder
    make_current(base, asked.run(1))
    best = _deciding(asked, plan.figure)
    seed = base.seed if plan.seed is None else plan.seed
    about: About = {
        "vary": asked.space.described(), "figure": best.metric, "mode": best.mode, "seed": seed,
        "data_hash": described(Path(base.data.prepared))["data_hash"],
        "parent": str(asked.parent.path) if asked.parent else None,
    }  # fmt: skip
    if (folder / ABOUT).is_file():
        _require_same(asked, about)
        console.say(f"going on with the study in {folder}")
    else:
        write_text(folder / CONFIG, dump(base))
        write_json(folder / ABOUT, about)
    return Study(folder / JOURNAL, asked.space, best.metric, minimises=best.mode == "min", seed=seed)


def _deciding(asked: Asked, figure: str | None) -> Best:
    """The figure that trials are compared by, and which way. ConfigError that names those there are, or for an unfit parent."""
    config = asked.config
    task: Task = train.kind_of(config).fresh(config)
    if isinstance(task, Trained):
        if asked.parent is not None:
            require_same_vocabulary(task, config, asked.parent)
        return deciding(task, config.train.best)
    assert isinstance(task, Fitted)
    return task.best if figure is None else Best(figure, "min" if is_lower_better(figure) else "max")


def _configured(path: Path, again: str) -> BaseConfig:
    """What a study was begun with. DataError when the file is missing or damaged."""
    try:
        return of_run(path)
    except ConfigError as error:
        raise damaged(str(path), str(error).partition("\n")[0], again) from error


UNLIKE = ("train.steps:", "train.validate_every:")


def _require_same(asked: Asked, about: About) -> None:
    """ConfigError that lists what differs when a study of something else is here."""
    again = f"delete {asked.folder} to begin anew"
    before = read_json(asked.folder / ABOUT, About, again)
    compared = resuming.changed(_configured(asked.folder / CONFIG, again), asked.config)
    # Trials that are longer, or validated at other steps, are not pruned and compared alike.
    changed = compared.refused + [line for line in compared.told if line.startswith(UNLIKE)]
    # Studies of earlier versions were all pretrained.
    changed += changes.differences({"parent": None} | dict(before), dict(about)).values()
    if changed:
        listing = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"{asked.folder} holds a study of something else:\n{listing}\nchoose another with --set run=DIR, or delete it"
        )


def _introduce(trials: Trials) -> None:
    study, say = trials.study, trials.console.say
    for key, held in study.space.items():
        say(f"{key}: {held}")
    better = "the lower the better" if study.minimises else "the higher the better"
    say(f"{study.figure} of the validation, {better}; trials in {trials.asked.folder}")
    if trials.own is None:
        say("the configuration's own values are not among these: it is not tried itself")


# --- the end ---


def _require_some(rows: list[Row]) -> None:
    """An error of the first one's exit code when all trials have failed."""
    failed = [row for row in rows if row.state == "failed"]
    if failed and len(failed) == len(rows):
        error = BmtoolError(f"all {len(rows)} trials failed; the first: {rows[0].reason}")
        error.exit_code = rows[0].exit_code
        raise error
