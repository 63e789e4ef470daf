"""`compare`: several configurations, and the baselines of their task, trained on the same data and measured on the same examples."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from rich.markup import escape
from rich.table import Table

from bmtool import registry
from bmtool.base.console import Console, answer
from bmtool.base.suggest import suggest
from bmtool.base.units import duration, short
from bmtool.commands import following, refusals, runs_tables, train
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import load_model
from bmtool.commands.measuring import fingerprint
from bmtool.commands.prepare_data import make_current
from bmtool.config import shipped
from bmtool.config.load import load
from bmtool.config.schema import BaseConfig, Train
from bmtool.engine import distributed
from bmtool.engine.kept import WEIGHTS
from bmtool.engine.record import Record
from bmtool.engine.run_dir import RunDir
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.meter import is_lower_better
from bmtool.predict.examples import Example
from bmtool.runs.contents import evaluations, plain, time_spent
from bmtool.runs.summary import FINISHED, best, summed_up

# Of the run of the first configuration, to call the folder of the baselines beside it.
SUFFIX = "-baselines"
# Examples that a model is timed on, so many at once, and seconds after which it is enough.
TIMED, AT_ONCE, ENOUGH_S = 4096, 256, 2.0


@dataclass(frozen=True)
class Member:
    """One line of the table."""

    name: str
    config: BaseConfig
    finetunes: bool = False
    parent: RunDir | None = None

    @property
    def run(self) -> RunDir:
        return RunDir(self.config.run)

    @property
    def is_trained(self) -> bool:
        return summed_up(self.config.run).state == FINISHED


@dataclass(frozen=True)
class Asked:
    """Which baselines to leave out, what the models are measured on and sorted by, and the run that configurations are finetuned from."""

    without: Sequence[str] = ()
    split: str = "test"
    # that which decides the best checkpoint of the first
    figure: str | None = None
    parent: str | Path | None = None


def compare(
    configs: Sequence[str | Path], overrides: list[str] | None = None, asked: Asked = Asked(), *, as_json: bool = False
) -> dict[str, Any]:
    """Train what is not trained yet, measure all, and print one table, the best first. Returns what `--json` shows.

    Baselines lie in RUN-baselines, beside the run of the first configuration. ConfigError for different tasks, or where there is only one
    model; DataError when the models would be measured on other examples.
    """
    refusals.require_measurable(asked.split, None, None)
    members = _members(configs, list(overrides or []), asked)
    console = Console()
    _prepare(members, asked.split)
    for number, one in enumerate(members, 1):
        console.say(f"{one.name} ({number} of {len(members)}): {one.run.path}")
        _train(one, console)
        _measure(one, asked.split)
    found = _found(members, asked)
    _show(found, console, as_json=as_json)
    return found


# --- before anything is done ---


def _members(configs: Sequence[str | Path], overrides: list[str], asked: Asked) -> list[Member]:
    """Baselines first. ConfigError for all that is wrong and needs no data to be seen."""
    if distributed.world_size() > 1:
        raise ConfigError("compare trains one model after the other, in one process: start it without torchrun")
    loaded, parent = [load(path, overrides) for path in configs], train.parent_of(asked.parent)
    first = loaded[0]
    for path, other in zip(configs, loaded):
        if other.task != first.task:
            raise ConfigError(
                f"{configs[0]} is of {first.task}, {path} of {other.task}: their figures cannot be compared"
            )
    given = [Member(_name(one), one, parent is not None or one.starts_from_others, parent) for one in loaded]
    members = [*_others(_baselines(first, asked.without), given), *given]
    _require_sense(members, first.task, asked)
    return members


def _others(baselines: Iterator[Member], given: Sequence[Member]) -> Iterator[Member]:
    """Without those that would be trained twice, which is said: a configuration that was begun from a baseline and left as it was."""
    for one in baselines:
        if (same := next((other for other in given if _is_same(one, other)), None)) is None:
            yield one
        else:
            Console().say(f"{one.name}: {same.name} is the same, which is trained once")


def _is_same(one: Member, other: Member) -> bool:
    return not other.finetunes and one.config.model_dump(exclude={"run"}) == other.config.model_dump(exclude={"run"})


def _name(config: BaseConfig) -> str:
    return Path(config.run).resolve().name


def _baselines(first: BaseConfig, without: Sequence[str]) -> Iterator[Member]:
    """Those of the task, as they ship, on the data of the first configuration. ConfigError for one to be left out that is none."""
    places = {place.rpartition("/")[2]: place for place in registry.find(first.task).baselines}
    names = list(places)
    for name in without:
        if name not in names:
            there = ", ".join(names) or "none"
            raise ConfigError(
                f"--without: {first.task} has no baseline {name!r}{suggest(name, names)} (there are {there})"
            )
    for name in names:
        if name not in without:
            yield Member(name, _baseline(first, name, shipped.called(places[name]).path))


def _baseline(first: BaseConfig, name: str, path: Path) -> BaseConfig:
    """On the data, with the seed and the threads of the first; a network on its device."""
    settings: dict[str, Any] = {
        "task": first.task, "run": f"{Path(first.run)}{SUFFIX}/{name}", "data": first.data.model_dump(), "seed": first.seed,
    }  # fmt: skip
    heeded = ("threads",) if train.kind_of(load(path)).fitted else ("threads", "device")
    for key in heeded:
        if (value := getattr(first.train, key)) != Train.model_fields[key].default:
            settings[f"train.{key}"] = value
    return load(path, [], settings)


def _require_sense(members: list[Member], task: str, asked: Asked) -> None:
    if len(members) < 2:
        raise ConfigError(f"there is nothing to compare with: name two configs or more ({task} has no baselines here)")
    places = [Path(one.config.run).resolve() for one in members]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise ConfigError(f"two configs name the run {twice}: give each its own `run`")
    figures = list(registry.find(task).load("evaluation").names)
    if asked.figure is not None and asked.figure not in figures:
        raise ConfigError(
            f"--figure: {task} has no figure {asked.figure!r}{suggest(asked.figure, figures)} (there are {', '.join(figures)})"
        )
    for one in members:
        one.run.require_same(one.config)
        if not one.is_trained:
            train.require_sense(train.kind_of(one.config), one.config, one.parent, one.finetunes)
            refusals.require_training(one.config)


def _prepare(members: list[Member], split: str) -> None:
    """Each preparation once. DataError when the examples of a split are others in one than in another."""
    first: dict[str, Member] = {}
    for one in members:
        first.setdefault(str(Path(one.config.data.prepared).resolve()), one)
    for one in first.values():
        make_current(one.config, one.run)
    digests = {_digest(one.config, split): one for one in (first.values() if len(first) > 1 else ())}
    if len(digests) > 1:
        one, other, *_ = digests.values()
        raise DataError(
            f"the {split} split of {one.config.data.prepared} has other examples than that of {other.config.data.prepared}: give both "
            "the same data.source and shares"
        )


def _examples(config: BaseConfig, split: str, reads: Sequence[Any] = ()) -> Iterator[Example]:
    kit = registry.find(config.task).load("examples")
    return kit.split(config.data, Path(config.data.prepared), split, reads)


def _digest(config: BaseConfig, split: str) -> str:
    """Of the examples of a split, in whatever order."""
    each = sorted(fingerprint(one.raw) + fingerprint(one.truth) for one in _examples(config, split))
    return hashlib.sha256(b"".join(each)).hexdigest()


# --- one model ---


def _train(one: Member, console: Console) -> None:
    if one.is_trained:
        console.say("trained before")
    else:
        train.train(one.config, one.parent, finetunes=one.finetunes)


def _measure(one: Member, split: str) -> None:
    if _report(one, split) is None:
        evaluate([one.run.path], split=split)


def _report(one: Member, split: str) -> dict[str, Any] | None:
    """That of the weights and the data that are used now."""
    record = Record.open(one.run.path)
    chosen, data_hash = best(record, _silent), record.info()["data_hash"]
    reports = (report for report in evaluations(record, chosen, _silent) if report["name"] == split)
    return next((held for held in reports if held["is_current"] and held["data_hash"] == data_hash), None)


def _silent(message: str) -> None:
    """What is wrong with a run has been said when it was trained and measured."""


def _size(record: Record) -> int:
    """Bytes of the weights that are used, and of the files that belong to them."""
    chosen = best(record, _silent)
    assert chosen is not None
    weights = record.kept(_silent).directory / chosen.name / WEIGHTS
    return weights.stat().st_size + sum(file.stat().st_size for file in (record.path / "assets").iterdir())


def _per_second(one: Member, split: str) -> float:
    """Examples that are read and answered in a second: the median of blocks of AT_ONCE, after a first one that is not counted."""
    predictor = load_model(one.run.path, _silent).predictor
    inputs = list(islice((example.raw for example in _examples(one.config, split, [predictor])), TIMED))
    _answer(predictor, inputs[:AT_ONCE])
    until, rates = time.perf_counter() + ENOUGH_S, []
    for first in range(0, len(inputs), AT_ONCE):
        began, block = time.perf_counter(), inputs[first : first + AT_ONCE]
        _answer(predictor, block)
        rates.append(len(block) / (time.perf_counter() - began))
        if time.perf_counter() > until:
            break
    return median(rates)


def _answer(predictor: Any, inputs: Sequence[Any]) -> None:
    """What the evaluation has left out is not asked."""
    read = []
    for raw in inputs:
        try:
            read.append(predictor.read(raw))
        except BadInput:
            continue
    predictor.predict(read)


# --- all of them ---


def _found(members: list[Member], asked: Asked) -> dict[str, Any]:
    """As JSON: the figure that decides, and the models with all their figures, the best first."""
    figure = asked.figure or summed_up(members[-1].run.path).key
    rows = [_row(one, asked.split) for one in members]
    if without := next((row for row in rows if figure not in row["figures"]), None):
        raise ConfigError(
            f"--figure: {without['name']} has no figure {figure!r} (it has {', '.join(without['figures'])})"
        )
    rows.sort(key=lambda row: _placed(row["figures"][figure]["value"], figure))
    task = members[0].config.task
    return plain(
        {"task": task, "split": asked.split, "figure": figure, "unit": registry.find(task).takes, "models": rows}
    )


def _placed(value: float | None, figure: str) -> tuple[bool, float]:
    """The best first, and what has no figure, as nothing of it is in the split, last."""
    return value is None, (value or 0.0) * (1 if is_lower_better(figure) else -1)


def _row(one: Member, split: str) -> dict[str, Any]:
    record, report = Record.open(one.run.path), _report(one, split)
    assert report is not None
    return {
        "name": one.name, "run": str(one.run.path), "model": getattr(one.config.model, "kind", one.config.task),
        "examples": report["examples"], "figures": report["metrics"],
        "train_s": time_spent(record.events(_silent))["whole_s"], "bytes": _size(record),
        "per_second": round(_per_second(one, split), 1),
    }  # fmt: skip


def _show(found: dict[str, Any], console: Console, *, as_json: bool) -> None:
    """Results on stdout, what to do next on stderr."""
    first, second = found["models"][:2]
    if as_json:
        answer(json.dumps(found, ensure_ascii=False))
    else:
        runs_tables.write(_table(found))
    console.say(
        f"{found['unit']}s a second are of the runs, on this machine; an export answers faster\n"
        f"next: {following.command('runs', 'compare', first['run'], second['run'])} (what differs, and is it significant?)"
    )


def _table(found: dict[str, Any]) -> Table:
    figure, rows = found["figure"], found["models"]
    title = f"{found['split']}: {rows[0]['examples']:,} examples"
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("model", figure, "trained in", "size", f"{found['unit']}s/s"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in rows:
        value = runs_tables.interval(row["figures"][figure])
        size, speed = f"{short(row['bytes'])}B", f"{row['per_second']:,.0f}"
        table.add_row(escape(row["name"]), value, _seconds(row["train_s"]), size, speed)
    return table


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
