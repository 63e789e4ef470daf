"""One sitting of a training: logging, validating, saving and stopping around the trainer's steps."""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bmtool.base.console import Console
from bmtool.base.units import duration
from bmtool.engine import distributed
from bmtool.engine.checkpoint import require_space
from bmtool.engine.ranking import Ranking, shown
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Best
from bmtool.engine.trainer import Stepped, Trainer
from bmtool.engine.window import Window
from bmtool.errors import Interrupted

AVERAGED = "averaged"  # the checkpoint that is the mean of the best


class Session:
    """Of several processes the first writes; what they decide is the same on all."""

    def __init__(self, run: RunDir, trainer: Trainer, console: Console, best: Best):
        self.run, self.trainer, self.console = run, trainer, console
        self.is_main = distributed.rank() == 0
        self.settings, self.best = trainer.config.train, best
        self.checkpoints = run.checkpoints(console.warn)
        self.ranking = Ranking(best, self.settings.keep_best)
        self.window, self.metrics = Window(), dict[str, float]()
        self.began, self.elapsed_before = time.perf_counter(), 0.0
        self.saved_step = self.validated_step = -1
        self.warned = False  # that the figure that decides is not a number
        self.tensorboard = _tensorboard(run.path) if self.is_main else None

    # -- start and resume ---------------------------------------------------------------------------------------------

    def resume(self, name: str) -> None:
        state = self.checkpoints.state(name)
        self.trainer.load(self.checkpoints.weights(name), state["trainer"])
        self.ranking.value, self.ranking.waited = state["best_value"], state["waited"]
        self.elapsed_before, self.metrics = state["elapsed_s"], state["metrics"]
        self.window = Window(**state["window"] or {})
        self.saved_step = self.trainer.step
        self._rank_existing()
        if self.is_main:
            self.run.forget_after(self.trainer.step)
        self.console.say(f"resuming from {name}; {self.trainer.step:,} of {self.settings.steps:,} steps are done")

    def _rank_existing(self) -> None:
        manifests = {
            name: self.checkpoints.manifest(name)
            for name in self.checkpoints.names()
            if self.checkpoints.problem(name) is None
        }
        self.ranking.enter(
            (manifest["metrics"][self.best.metric], name)
            for name, manifest in manifests.items()
            if manifest["step"] <= self.trainer.step and self.best.metric in manifest["metrics"]
        )

    # -- the sitting --------------------------------------------------------------------------------------------------

    def train(self, stop: list[int]) -> None:
        """Step until all is done, or a signal in `stop` asks to end: Interrupted then, with the state saved."""
        until = min(self.settings.steps, self.settings.stop_after or self.settings.steps)
        if self.trainer.step >= until or self._has_stopped_improving():
            self._say_nothing_is_left()
            return
        self._prepare()
        self.console.start_progress(self.trainer.step, until)
        try:
            self._step(until, stop)
        finally:
            self.console.stop_progress()
        self._finish()

    def _step(self, until: int, stop: list[int]) -> None:
        for stepped in self.trainer.run(until):
            self._after(stepped, until)
            if self._asked_to_stop(stop):
                self._save()
                raise Interrupted(
                    f"stopped by a signal after step {stepped.step}, state saved: run the same command to go on"
                )
            if self._has_stopped_improving():
                self.console.say(
                    f"stopping early: {self.best.metric} has not improved for {self.ranking.waited} validations"
                )
                return

    def _say_nothing_is_left(self) -> None:
        done = f"{self.trainer.step:,} of {self.settings.steps:,} steps are done"
        self.console.say(
            f"nothing left to do: {done} (stop_after {self.settings.stop_after}, patience {self.settings.patience})"
        )

    def _prepare(self) -> None:
        if self.is_main:
            # Weights, two moments, and the live weights beside an average.
            shares = 4 if self.trainer.average is not None else 3
            weights = sum(t.numel() * t.element_size() for t in self.trainer.weights().values())
            kept = self.settings.keep_last + self.settings.keep_best + 1
            require_space(self.run.path, int(shares * weights * kept))
            self.trainer.draw(self.run.plots)
        self.trainer.rehearse()
        if self.trainer.device.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated()
            self.console.say(f"rehearsed one batch: peak memory {memory / 1e9:.2f} GB")

    def _after(self, stepped: Stepped, until: int) -> None:
        self.window.add(stepped)
        if stepped.step % self.settings.log_every == 0 or stepped.step in (1, until):
            self._log(stepped)
        if stepped.step % self.settings.validate_every == 0 or stepped.step == self.settings.steps:
            self._validate()
        if stepped.step % self.settings.save_every == 0 or stepped.step in (self.validated_step, until):
            self._save()

    def _asked_to_stop(self, stop: list[int]) -> bool:
        return distributed.sum_numbers([float(len(stop))], self.trainer.device.device)[0] > 0

    def _has_stopped_improving(self) -> bool:
        return 0 < self.settings.patience <= self.ranking.waited

    @property
    def elapsed_s(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    # -- what is said, measured and saved -----------------------------------------------------------------------------

    def _log(self, stepped: Stepped) -> None:
        window, self.window = self.window, Window()
        if self.is_main:
            unit = self.trainer.task.unit
            self._event(stepped.step, window.figures(stepped.rate_factor, unit))
            self.console.progress(stepped.step, window.line(stepped.step, self.settings.steps, unit))

    def _event(self, step: int, values: dict[str, float]) -> None:
        self.run.event(step=step, elapsed_s=round(self.elapsed_s, 2), **values)
        if self.tensorboard is not None:
            for name, value in values.items():
                self.tensorboard.add_scalar(name, value, step)

    def _validate(self) -> None:
        self.metrics, self.validated_step = self.trainer.validate(), self.trainer.step
        value = self.metrics[self.best.metric]
        improved = self.ranking.see(value)
        if math.isnan(value):
            self._warn_of_no_number()
        else:
            self.trainer.plateau.see(improved)
        if self.is_main:
            self._event(self.trainer.step, {f"valid/{name}": figure for name, figure in self.metrics.items()})
            self.trainer.draw(self.run.plots)
        said = shown(self.metrics, self.best) + ("  (best so far)" if improved else "")
        self.console.say(f"step {self.trainer.step:,}  valid  {said}")

    def _warn_of_no_number(self) -> None:
        if not self.warned:
            self.console.warn(
                f"{self.best.metric} of the validation split is not a number (it may hold one class only): it cannot say which "
                "checkpoint is best; give data.valid more rows, or set another train.best"
            )
        self.warned = True

    def _save(self) -> None:
        """Save the current step once; keep the newest and the best."""
        step = self.trainer.step
        if step == self.saved_step:
            return
        self.saved_step = step
        name, metrics = f"step-{step:08d}", self.metrics if step == self.validated_step else {}
        if metrics:
            self.ranking.enter([(metrics[self.best.metric], name)])
        if self.is_main:
            self.checkpoints.save(name, self.trainer.weights(), self._state(), metrics)
            if self.ranking.names:
                self.checkpoints.mark_best(self.ranking.names[0])
            self.checkpoints.prune(keep_last=self.settings.keep_last, best=self.ranking.names)
        distributed.barrier()

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.trainer.step, "trainer": self.trainer.state_dict(), "best_value": self.ranking.value,
            "waited": self.ranking.waited, "elapsed_s": self.elapsed_s, "metrics": self.metrics, "window": asdict(self.window),
        }  # fmt: skip

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._save()
        self._average_best()
        if not self.is_main:
            return
        value = self.ranking.value
        none = (
            "" if self.validated_step < 0 else f"; {self.best.metric} was never a number: the last checkpoint is used"
        )
        best = none if value is None else f"; best {self.best.metric} {value:.4f}"
        self.console.say(f"done: {self.trainer.step:,} steps in {duration(self.elapsed_s)}{best}")
        say_where(self.run, self.console)

    def _average_best(self) -> None:
        """Average the best checkpoints (Izmailov et al. 2018) and keep the result if it validates better than each of them."""
        names = self.ranking.names[: self.settings.average_best]
        if len(names) < 2:
            return
        sets = [self.checkpoints.weights(name) for name in names]
        mean = {
            key: torch.stack([s[key].float() for s in sets]).mean(0).to(value.dtype) for key, value in sets[0].items()
        }
        self.trainer.average = None
        self.trainer.load_weights(mean)
        metrics = self.trainer.validate()
        value = metrics[self.best.metric]
        better = self.ranking.is_better_than_all(value)
        verdict = "kept as best" if better else "not better, left out"
        self.console.say(f"average of {len(names)} checkpoints: {self.best.metric} {value:.4f}, {verdict}")
        if better:
            self.ranking.value = value
        if better and self.is_main:
            self.checkpoints.save(AVERAGED, mean, {"step": self.trainer.step, "metrics": metrics}, metrics)
            self.checkpoints.mark_best(AVERAGED)


def say_where(run: RunDir, console: Console) -> None:
    """Draw the curves of a run and say where it lies."""
    from bmtool.engine import plots

    drawn = plots.curves(run.events(), run.plots)
    console.say(f"run directory {run.path}; plots {run.plots} ({', '.join(path.name for path in drawn)})")


def _tensorboard(run: Path) -> Any:
    """A writer of event files when tensorboard is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"))
