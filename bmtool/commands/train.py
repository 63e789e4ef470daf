"""`pretrain` and `finetune`: one function. Sets a run up, drives the trainer, saves, stops."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.units import duration
from bmtool.commands.initialise import freeze, initialise, require_same_vocabulary
from bmtool.commands.loading import DEFAULT
from bmtool.commands.prepare_data import prepare
from bmtool.config.load import load
from bmtool.config.schema import BaseConfig
from bmtool.engine import distributed
from bmtool.engine.checkpoint import Checkpoints, require_space
from bmtool.engine.device import choose
from bmtool.engine.run_dir import RunDir
from bmtool.engine.trainer import Stepped, Trainer, seed_everything
from bmtool.errors import ConfigError, DataError, Interrupted


def pretrain(config: str | Path, overrides: list[str] | None = None) -> Path:
    """Train `config` from scratch, or go on where its run directory stopped. Returns the run directory."""
    return train(load(config, overrides), parent=None)


def finetune(config: str | Path, parent: str | Path | None = None, overrides: list[str] | None = None) -> Path:
    """Train `config` from the best weights of the run `parent`, or from those its model names. Returns the run directory."""
    if str(parent) == DEFAULT:
        raise ConfigError(
            "the model that comes with bmtool holds 8-bit weights, which cannot be trained on: train its recipe on your text\n"
            "  make pretrained TEXT=...\nor name a run of your own with --from"
        )
    return train(load(config, overrides), parent=RunDir.open(parent) if parent is not None else None, finetunes=True)


def train(config: BaseConfig, parent: RunDir | None, *, finetunes: bool = False) -> Path:
    _require_data(config)
    run = RunDir(config.run)
    device = choose(config.train)
    is_main = distributed.rank() == 0
    with _locked(run, is_main), distributed.process_group(device.device), _signals() as stop:
        console = Console(run.path / "log.txt" if is_main else None, speaks=is_main)
        seed_everything(config.seed)
        torch.use_deterministic_algorithms(config.train.deterministic)
        task = registry.find(config.task).load("task").fresh(config)
        _require_batches(task, config)
        if parent is not None:
            _inherit(task, config, parent)
        elif finetunes and not task.pretrained:
            raise ConfigError(
                "finetuning starts from a run: name it with --from (this model holds no weights of its own)"
            )
        facts = {
            "seed": config.seed, "device": device.reason, "data_hash": task.identity.data_hash,
            "vocabulary": task.identity.vocabulary, "parent": str(parent.path) if parent else None,
        }  # fmt: skip
        if is_main:
            run.begin(config, facts, task.assets)
        distributed.barrier()
        resumes = Checkpoints(run.path, console.warn).newest()
        if parent is not None:
            initialise(task, config, parent, console, announce=resumes is None)
        elif finetunes:
            freeze(task.modules, config.finetune)
        trainer = Trainer(task, config, device)
        session = _Session(run, trainer, console, is_main)
        console.say(f"{config.run}: {config.task}, {_size(trainer)}")
        console.say(
            f"device: {device.reason}"
            + (f"; {distributed.world_size()} processes" if distributed.world_size() > 1 else "")
        )
        if resumes is not None:
            session.resume(resumes)
        session.train(stop)
        if is_main:
            _settle(run, task, console)
    return run.path


def _settle(run: RunDir, task: Any, console: Console) -> None:
    """What a task chooses on the validation split, with the best weights."""
    checkpoints = Checkpoints(run.path, console.warn)
    weights = checkpoints.weights(checkpoints.best())
    for part, module in task.modules.items():
        module.load_state_dict({key: weights[f"{part}.{key}"] for key in module.state_dict()})
        module.eval()
    run.keep(task.settle())


def _require_data(config: BaseConfig) -> None:
    """Prepare what was not prepared yet. Of several processes each would, so they must find it done."""
    if distributed.world_size() == 1 and not (Path(config.data.prepared) / "manifest.json").is_file():
        prepare(config)


def _require_batches(task: Any, config: BaseConfig) -> None:
    """DataError now rather than a failure hours later when the validation split is empty."""
    for split in ("train", "valid"):
        if task.batches(split, None).examples == 0:
            raise DataError(
                f"the {split} split is empty: give more text, or a larger data.{split}_share, and prepare the data again"
            )


def _inherit(task: Any, config: BaseConfig, parent: RunDir) -> None:
    """ConfigError with the way out when `parent` counts its inputs otherwise; else what the task takes from it but weights."""
    require_same_vocabulary(task, config, parent)
    if parent.info()["task"] == config.task:
        task.inherit(parent.assets)


@contextmanager
def _locked(run: RunDir, is_main: bool) -> Iterator[None]:
    if not is_main:
        yield
        return
    with run.lock():
        yield


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that receives SIGINT and SIGTERM; the loop looks at it between steps. A second SIGINT stops at once."""
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size(trainer: Trainer) -> str:
    total = sum(p.numel() for p in trainer.named.values())
    trained = sum(p.numel() for p in trainer.named.values() if p.requires_grad)
    core = getattr(trainer.task, "core_parameters", None)
    parts = [f"{total / 1e6:.2f} M parameters"]
    parts += [f"{trained / 1e6:.2f} M of them trained"] if trained < total else []
    return ", ".join(parts + ([f"{core / 1e6:.2f} M in the dense core"] if core else []))


class _Session:
    """One sitting of a training: logging, validating, saving and stopping around the trainer's steps."""

    def __init__(self, run: RunDir, trainer: Trainer, console: Console, is_main: bool):
        self.run, self.trainer, self.console, self.is_main = run, trainer, console, is_main
        self.settings, self.best_of = trainer.config.train, trainer.task.best
        self.checkpoints = Checkpoints(run.path, console.warn)
        self.ranking: list[tuple[float, str]] = []  # best first, of checkpoints that exist
        self.best_value, self.waited, self.elapsed_before = None, 0, 0.0
        self.began, self.window = time.perf_counter(), []  # steps since the last line of the log
        self.metrics: dict[str, float] = {}
        self.saved_step = self.validated_step = -1
        self.tensorboard = _tensorboard(run.path) if is_main else None

    # -- start and resume ---------------------------------------------------------------------------------------------

    def resume(self, name: str) -> None:
        state = self.checkpoints.state(name)
        self.trainer.load(self.checkpoints.weights(name), state["trainer"])
        self.best_value, self.waited = state["best_value"], state["waited"]
        self.elapsed_before, self.metrics = state["elapsed_s"], state["metrics"]
        self.saved_step = self.trainer.step
        self.ranking = self._rank_existing()
        if self.is_main:
            self.run.forget_after(self.trainer.step)
        self.console.say(f"resuming from {name}; {self.trainer.step:,} of {self.settings.steps:,} steps are done")

    def _rank_existing(self) -> list[tuple[float, str]]:
        metric = self.best_of.metric
        found = [
            (manifest["metrics"][metric], name)
            for name in self.checkpoints.names()
            if (manifest := self.checkpoints.manifest(name))["step"] <= self.trainer.step
            and metric in manifest["metrics"]
        ]
        return sorted(found, reverse=self.best_of.mode == "max")

    # -- the sitting --------------------------------------------------------------------------------------------------

    def train(self, stop: list[int]) -> None:
        until = min(self.settings.steps, self.settings.stop_after or self.settings.steps)
        if self.trainer.step >= until or self._has_stopped_improving():
            done = f"{self.trainer.step:,} of {self.settings.steps:,} steps are done"
            self.console.say(
                f"nothing left to do: {done} (stop_after {self.settings.stop_after}, patience {self.settings.patience})"
            )
            return
        self._prepare()
        self.console.start_progress(self.trainer.step, until)
        try:
            for stepped in self.trainer.run(until):
                self._after(stepped, until)
                if self._asked_to_stop(stop):
                    self._save()
                    raise Interrupted(
                        f"stopped by a signal after step {stepped.step}, state saved: run the same command to go on"
                    )
                if self._has_stopped_improving():
                    self.console.say(
                        f"stopping early: {self.best_of.metric} has not improved for {self.waited} validations"
                    )
                    break
        finally:
            self.console.stop_progress()
        self._finish()

    def _prepare(self) -> None:
        if self.is_main:
            shares = (
                4 if self.trainer.average is not None else 3
            )  # weights, two moments, and the live weights beside an average
            weights = sum(t.numel() * t.element_size() for t in self.trainer.weights().values())
            kept = self.settings.keep_last + self.settings.keep_best + 1
            require_space(self.run.path, int(shares * weights * kept))
            self.trainer.draw(self.run.plots)
        memory = self.trainer.rehearse()
        if memory:
            self.console.say(f"rehearsed one batch: peak memory {memory / 1e9:.2f} GB")

    def _after(self, stepped: Stepped, until: int) -> None:
        self.window.append(stepped)
        if stepped.step % self.settings.log_every == 0 or stepped.step in (1, until):
            self._log(stepped)
        if stepped.step % self.settings.validate_every == 0 or stepped.step == self.settings.steps:
            self._validate()
        if stepped.step % self.settings.save_every == 0 or stepped.step in (self.validated_step, until):
            self._save()

    def _asked_to_stop(self, stop: list[int]) -> bool:
        return distributed.sum_numbers([float(len(stop))], self.trainer.device.device)[0] > 0

    def _has_stopped_improving(self) -> bool:
        return 0 < self.settings.patience <= self.waited

    @property
    def elapsed_s(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    def _log(self, stepped: Stepped) -> None:
        window, self.window = self.window, []
        seconds, tokens = sum(s.elapsed_s for s in window), sum(s.tokens for s in window)
        values = {}
        for phase in stepped.losses:
            prefix = "train/" if phase == "model" else f"train/{phase}_"
            values[f"{prefix}loss"] = sum(s.losses[phase] for s in window) / len(window)
            values[f"{prefix}grad_norm"] = sum(s.grad_norms[phase] for s in window) / len(window)
        unit = self.trainer.task.unit
        values |= {"train/rate_factor": stepped.rate_factor, f"train/{unit}_per_s": tokens / seconds}
        if not self.is_main:
            return
        self._event(stepped.step, values)
        left = duration((self.settings.steps - stepped.step) * seconds / len(window))
        losses = " ".join(
            f"{name.removeprefix('train/')} {value:.4f}" for name, value in values.items() if name.endswith("loss")
        )
        line = f"step {stepped.step:,}/{self.settings.steps:,}  {losses}  {tokens / seconds:,.0f} {unit}/s  left {left}"
        self.console.progress(stepped.step, line)

    def _event(self, step: int, values: dict[str, float]) -> None:
        self.run.event(step=step, elapsed_s=round(self.elapsed_s, 2), **values)
        if self.tensorboard is not None:
            for name, value in values.items():
                self.tensorboard.add_scalar(name, value, step)

    def _validate(self) -> None:
        self.metrics, self.validated_step = self.trainer.validate(), self.trainer.step
        value = self.metrics[self.best_of.metric]
        improved = self.best_value is None or (
            value < self.best_value if self.best_of.mode == "min" else value > self.best_value
        )
        self.best_value = value if improved else self.best_value
        self.waited = 0 if improved else self.waited + 1
        self.trainer.plateau.see(improved)
        if self.is_main:
            self._event(self.trainer.step, {f"valid/{name}": figure for name, figure in self.metrics.items()})
            self.trainer.draw(self.run.plots)
        figures = "  ".join(f"{name} {figure:.4f}" for name, figure in self.metrics.items())
        self.console.say(f"step {self.trainer.step:,}  valid  {figures}{'  (best so far)' if improved else ''}")

    def _save(self) -> None:
        """Save the current step once; keep the newest and the best."""
        step = self.trainer.step
        if step == self.saved_step:
            return
        self.saved_step = step
        name = f"step-{step:08d}"
        validated = step == self.validated_step
        if validated:
            entry = (self.metrics[self.best_of.metric], name)
            ranking = sorted([*self.ranking, entry], key=lambda e: e[0], reverse=self.best_of.mode == "max")
            self.ranking = ranking[: self.settings.keep_best]
        if self.is_main:
            self.checkpoints.save(name, self.trainer.weights(), self._state(), self.metrics if validated else {})
            if self.ranking:
                self.checkpoints.mark_best(self.ranking[0][1])
            self.checkpoints.prune(keep_last=self.settings.keep_last, best=[name for _, name in self.ranking])
        distributed.barrier()

    def _state(self) -> dict:
        return {
            "step": self.trainer.step, "trainer": self.trainer.state_dict(), "best_value": self.best_value, "waited": self.waited,
            "elapsed_s": self.elapsed_s, "metrics": self.metrics,
        }  # fmt: skip

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._save()
        self._average_best()
        if not self.is_main:
            return
        from bmtool.engine import plots

        drawn = plots.curves(self.run.events(), self.run.plots)
        best = "" if self.best_value is None else f"; best {self.best_of.metric} {self.best_value:.4f}"
        self.console.say(f"done: {self.trainer.step:,} steps in {duration(self.elapsed_s)}{best}")
        self.console.say(
            f"run directory {self.run.path}; plots {self.run.plots} ({', '.join(path.name for path in drawn)})"
        )

    def _average_best(self) -> None:
        """Average the best checkpoints (Izmailov et al. 2018) and keep the result if it validates better than each of them."""
        names = [name for _, name in self.ranking[: self.settings.average_best]]
        if len(names) < 2:
            return
        sets = [self.checkpoints.weights(name) for name in names]
        mean = {
            key: torch.stack([s[key].float() for s in sets]).mean(0).to(value.dtype) for key, value in sets[0].items()
        }
        self.trainer.average = None
        self.trainer.load_weights(mean)
        metrics = self.trainer.validate()
        value, best = metrics[self.best_of.metric], self.ranking[0][0]
        better = value < best if self.best_of.mode == "min" else value > best
        verdict = "kept as best" if better else "not better, left out"
        self.console.say(f"average of {len(names)} checkpoints: {self.best_of.metric} {value:.4f}, {verdict}")
        if better and self.is_main:
            self.checkpoints.save("averaged", mean, {"step": self.trainer.step}, metrics)
            self.checkpoints.mark_best("averaged")
            self.best_value = value


def _tensorboard(run: Path) -> Any:
    """A writer of event files when tensorboard is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"))
