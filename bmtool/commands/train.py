"""`pretrain` and `finetune`: one function. Checks, prepares data, describes the run, and starts a sitting."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.suggest import suggest
from bmtool.base.units import short
from bmtool.commands import bases, cards, following, refusals
from bmtool.commands.initialise import require_same_vocabulary, start_from
from bmtool.commands.loading import DEFAULT
from bmtool.commands.prepare_data import fingerprint, make_current
from bmtool.commands.teaching import require_teacher, teach
from bmtool.config.load import load
from bmtool.config.schema import BaseConfig
from bmtool.config.text import TOKENIZERS
from bmtool.engine import adapters, distributed, fitting, longer, precision
from bmtool.engine.checkpoint import name_of
from bmtool.engine.device import Device, choose, keep_memory, make_deterministic
from bmtool.engine.ending import end
from bmtool.engine.kept import step_of
from bmtool.engine.observing import Observer
from bmtool.engine.pruning import zeros
from bmtool.engine.ranking import deciding
from bmtool.engine.record import Base
from bmtool.engine.run_dir import RunDir
from bmtool.engine.session import Session
from bmtool.engine.task import Best, Task, Trained, require_examples
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.errors import ConfigError, Interrupted
from bmtool.tracking.tracker import Trackers

# Of the sections of a gradient-trained model, what a fit heeds too.
OF_A_FIT = {"train.threads"}


def pretrain(config: str | Path, overrides: list[str] | None = None) -> Path:
    """Train `config` from scratch, or go on where its run directory stopped. Returns the run directory."""
    return _said(train(load(config, overrides), parent=None))


def finetune(config: str | Path, parent: str | Path | None = None, overrides: list[str] | None = None) -> Path:
    """Train `config` from the best weights of the run `parent`, or from those its model names. Returns the run directory."""
    return _said(train(load(config, overrides), parent_of(parent), finetunes=True))


def parent_of(named: str | Path | None) -> RunDir | None:
    """The run that a finetuning starts from, if one is named. ConfigError for the model that comes with bmtool."""
    if str(named) == DEFAULT:
        raise ConfigError(
            "the model that comes with bmtool holds 8-bit weights, which cannot be trained on: train its recipe on your text, which "
            "`bmtool init pinyin2hanzi --name base --data PATH` writes, and name that run with --from"
        )
    return RunDir.open(named) if named is not None else None


def _said(run: Path) -> Path:
    """The run itself; what comes next is said."""
    Console(speaks=distributed.rank() == 0).say(f"next: {following.command('evaluate', run)}")
    return run


def train(
    config: BaseConfig, parent: RunDir | None, *, finetunes: bool = False, observer: Observer | None = None
) -> Path:
    """Returns the run directory. Under an `observer` the training is quiet, and the data are taken as they are prepared."""
    kind: Any = kind_of(config)
    require_sense(kind, config, parent, finetunes)
    refusals.require_training(config)
    run, is_main = RunDir(config.run), distributed.rank() == 0
    device = choose(config.train)
    keep_memory(device.device)
    run.require_same(config)
    onward = longer.start(run, config, Console(speaks=is_main).warn) if is_main else None
    if observer is None:
        make_current(config, run)
    with run.lock() if is_main else nullcontext():
        console = Console(run.path / "log.txt" if is_main else None, speaks=is_main, quiet=observer is not None)
        seed_everything(config.seed)
        make_deterministic(config.train.deterministic)
        with Trackers(config.tracking if is_main else [], console.warn) as trackers:
            if kind.fitted:
                _fit(_Start(kind.fresh(config), run, device, trackers, observer=observer), console)
            else:
                with distributed.process_group(device.device), _noted_signals() as stop:
                    start = _Start(kind.fresh(config), run, device, trackers, parent, finetunes, onward, observer)
                    _inherit(start)
                    _learn(start, console, stop)
    return run.path


def kind_of(config: BaseConfig) -> type[Task]:
    """The class of the task that a configuration is for."""
    return registry.find(config.task).load("task").of(config)


# --- before anything is done ---


def require_sense(kind: type[Task], config: BaseConfig, parent: RunDir | None = None, finetunes: bool = False) -> None:
    """ConfigError for what this kind of task cannot do, has no use for, or lacks."""
    if issubclass(kind, Trained):
        _require_phases(kind, config)
        require_teacher(config)
        _require_whole(config)
        if finetunes:
            _require_weights(kind, config, parent)
        elif why := kind.untrainable_from_scratch(config):
            raise ConfigError(why)
        else:
            _require_from_scratch(config)
        return
    if finetunes:
        raise ConfigError(
            f"models of {config.task} are fitted, not trained by gradient steps: there is nothing to finetune, use `bmtool pretrain`"
        )
    if distributed.world_size() > 1:
        raise ConfigError(f"models of {config.task} are fitted by one process: start it without torchrun")
    if idle := sorted(_idle(config) - OF_A_FIT):
        raise ConfigError(
            f"{', '.join(idle)}: of no effect on models of {config.task}, which are fitted; leave them out"
        )


def _require_weights(kind: type[Trained], config: BaseConfig, parent: RunDir | None) -> None:
    """ConfigError when finetuning has nothing to start from."""
    if parent is None and kind.pretrained_from(config) is None:
        raise ConfigError("finetuning starts from a run: name it with --from (this model holds no weights of its own)")
    if parent is not None and (taken := _taken(kind, config)) and not Path(taken).exists():
        raise ConfigError(
            f"{kind.numbered_by}: there is no {taken}: take that of the run to start from, --set {kind.numbered_by}={parent.path}"
        )
    if parent is not None and kind_of(parent.config()).fitted:
        raise ConfigError(f"{parent.path} was fitted: it holds no weights to start from, name another run with --from")


def _taken(kind: type[Trained], config: BaseConfig) -> str | None:
    """The run whose words, classes or columns a configuration takes; None where they are learned."""
    taken = getattr(config.data, kind.numbered_by.partition(".")[2], None)
    return None if taken in TOKENIZERS else taken


def _require_from_scratch(config: BaseConfig) -> None:
    """ConfigError for what can only be done to weights that have been learned."""
    for key in ("lora", "prune"):
        if getattr(config.finetune, key):
            raise ConfigError(
                f"finetune.{key} is for weights that have been learned: use `bmtool finetune`, or leave it out"
            )


def _require_whole(config: BaseConfig) -> None:
    """ConfigError for what needs weights that are not shared out."""
    asked = {
        "finetune.lora": config.finetune.lora,
        "finetune.prune": config.finetune.prune,
        "train.teacher": config.train.teacher,
    }
    if config.train.sharding == "full" and (named := [key for key, value in asked.items() if value]):
        raise ConfigError(f"{named[0]} does not go with train.sharding: full: leave one of them out")


def _require_phases(kind: type[Trained], config: BaseConfig) -> None:
    for name in config.optim.phases:
        if name not in kind.phases:
            raise ConfigError(
                f"optim.phases.{name}: {config.task} has no such phase{suggest(name, list(kind.phases))} "
                f"(its phases are {', '.join(kind.phases)})"
            )


def _idle(config: BaseConfig) -> set[str]:
    """The keys about gradient steps that are set to something."""
    found = set()
    for name in ("train", "optim", "schedule", "finetune"):
        section = getattr(config, name)
        for key, field in type(section).model_fields.items():
            if getattr(section, key) != field.get_default(call_default_factory=True):
                found.add(f"{name}.{key}")
    return found


# --- the run and its sitting ---


@dataclass(frozen=True)
class _Start:
    """What a training begins with."""

    task: Any  # Trained, or Fitted
    run: RunDir
    device: Device
    trackers: Trackers
    parent: RunDir | None = None
    finetunes: bool = False
    onward: longer.Start | None = None
    observer: Observer | None = None


def _inherit(start: _Start) -> None:
    """What a task takes from its parent but weights. ConfigError with the way out when it counts its inputs otherwise."""
    task, parent = start.task, start.parent
    if parent is None:
        return
    require_same_vocabulary(task, task.config, parent)
    task.require_readable(parent.path)
    if parent.info()["task"] == task.config.task:
        task.inherit(parent.assets)


def _facts(task: Task, device: Device, parent: RunDir | None, best: Best | None) -> dict[str, Any]:
    """What run.json says of a run beside its configuration."""
    prepared = Path(task.config.data.prepared)
    return {
        "seed": task.config.seed, "device": device.reason, "data_hash": task.identity.data_hash,
        "vocabulary": task.identity.vocabulary, "parent": str(parent.path) if parent else None,
        "prepared": str(prepared.resolve()), "fingerprint": fingerprint(prepared), "best": best and best._asdict(),
    }  # fmt: skip


def _begin(start: _Start, console: Console, best: Best | None, pins: dict[str, Base] | None = None) -> None:
    """Describe the run; of one that goes on say what is changed."""
    run, task = start.run, start.task
    facts = _facts(task, start.device, start.parent, best) | (pins or {})
    run.require_same(task.config, facts)
    if upgrade := run.upgrade():
        console.say(upgrade)
    newest = run.checkpoints(console.warn).names()[-1:]
    resumed = start.onward.name if start.onward else next(iter(newest), name_of(0))
    rewinds = start.onward is not None and [resumed] != newest
    for line in run.change(task.config, step_of(resumed), resume_from=resumed if rewinds else None):
        console.say(line)
    if start.onward:
        console.say(start.onward.said)
    run.begin(task.config, facts, task.assets)


def _fit(start: _Start, console: Console) -> None:
    task, run, again = start.task, start.run, start.run.exists
    _begin(start, console, None)
    console.say(f"{run.path}: {task.config.task}; {start.device.where}")
    with _ended_by_signals():
        reached = fitting.fit(run, task, console, trackers=start.trackers, again=again, observer=start.observer)
    if reached is not None:
        end(run, task, console, device=start.device, reached=reached, trackers=start.trackers)


def _learn(start: _Start, console: Console, stop: list[int]) -> None:
    task, config, run = start.task, start.task.config, start.run
    is_main = distributed.rank() == 0
    for split in ("train", "valid"):
        require_examples(split, task.batches(split, None).examples)
    best, pins = deciding(task, config.train.best), bases.pins(task, run, start.parent, console.warn)
    start_from(start.parent, task, run, console, base=pins.get("base"), finetunes=start.finetunes)
    teach(task, run, pins.get("teacher"), console)
    if is_main:
        _begin(start, console, best, pins)
    distributed.barrier()
    rewound = run.info().get("resume_from")
    resumes = rewound or distributed.on_first(run.checkpoints(console.warn).newest)
    trainer = _trainer(start, resumes is not None)
    if is_main and trainer.pruned is not None:
        run.note(zeros=zeros(task.modules))
    session = Session(run, trainer, console, best=best, trackers=start.trackers, observer=start.observer)
    _introduce(trainer, console)
    if resumes is not None:
        session.resume(resumes, rewinds=rewound is not None)
    reached = session.train(stop)
    if is_main and reached is not None:
        ended, device = _unsharded(task, start.device) if trainer.is_sharded else (task, start.device)
        end(run, ended, console, device=device, reached=reached, trackers=start.trackers)


def _trainer(start: _Start, resumes: bool) -> Trainer:
    """Of the run, whose precision is settled once and written down."""
    config, run = start.task.config, start.run
    kept = distributed.on_first(lambda: run.info().get("precision"))
    device = precision.begun(start.device, config.train.precision, kept, resumes=resumes)
    trainer = Trainer(start.task, config, device)
    chosen = precision.settle(trainer, kept, resumes=resumes)
    if distributed.rank() == 0 and kept is None:
        run.note(precision=chosen, device=trainer.device.reason)
    return trainer


def _unsharded(task: Task, device: Device) -> tuple[Task, Device]:
    """The task anew for what comes last, which one process does; in the machine's memory, since one GPU's may be too small."""
    return type(task).fresh(task.config), replace(device, device=torch.device("cpu"))


def _introduce(trainer: Trainer, console: Console) -> None:
    config, processes = trainer.config, distributed.world_size()
    console.say(f"{config.run}: {config.task}, {_size(trainer)}")
    for line in _additions(trainer):
        console.say(line)
    if config.train.validate_every > config.train.steps:
        console.say(
            f"train.validate_every ({config.train.validate_every:,}) is more than train.steps: validated once, at the last step"
        )
    if remark := trainer.task.remark():
        console.say(remark)
    holding = ", each with a part of the weights (train.sharding: full)" if trainer.is_sharded else ""
    console.say(f"device: {trainer.device.reason}" + (f"; {processes} processes{holding}" if processes > 1 else ""))
    if config.train.sharding == "full" and processes == 1:
        console.say("train.sharding: full: this is one process, which holds everything; torchrun starts more")


def _size(trainer: Trainer) -> str:
    total = sum(p.numel() for p in trainer.named.values())
    trained = sum(p.numel() for p in trainer.named.values() if p.requires_grad)
    core = trainer.task.core_parameters
    parts = [f"{short(total, 2)} parameters"]
    parts += [f"{short(trained, 2)} of them trained"] if trained < total else []
    return ", ".join(parts + ([f"{short(core, 2)} in the dense core"] if core else []))


def _additions(trainer: Trainer) -> Iterator[str]:
    """What finetuning has done to the network."""
    settings, task = trainer.config.finetune.lora, trainer.task
    if settings is not None:
        yield adapters.said(task.modules["backbone"], settings)
    if trainer.pruned is not None:
        yield f"pruned: {cards.pruned({'zeros': zeros(task.modules)})}"


# --- signals ---


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """A list that receives SIGINT and SIGTERM; the loop looks at it between steps. A second SIGINT stops at once."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    with _handled(note):
        yield received


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A fit has no steps between which to stop: SIGINT and SIGTERM end it where it is, with Interrupted."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted("stopped by a signal: nothing is saved of half a fit, the same command does it again")

    with _handled(end):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Only the main thread of a program hears of signals; another one is not stopped by them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
