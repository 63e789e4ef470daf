"""One sitting of a training: logging, validating, saving and stopping around the trainer's steps."""

import math
import time
from dataclasses import asdict
from typing import Any

import torch

from bmtool.base.console import Console
from bmtool.base.files import fsync
from bmtool.base.units import duration
from bmtool.engine import distributed, tracked
from bmtool.engine.checkpoint import name_of, require_space
from bmtool.engine.ending import Reached
from bmtool.engine.kept import AVERAGED, BEST, LAST
from bmtool.engine.longer import is_of_any_length
from bmtool.engine.observing import Observer
from bmtool.engine.optim import settled_steps
from bmtool.engine.ranking import Ranking, shown
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Best
from bmtool.engine.trainer import Stepped, Trainer
from bmtool.engine.window import Window
from bmtool.errors import Interrupted
from bmtool.tracking.tracker import Trackers


class Session:
    """Of several processes the first writes; what they decide is the same on all."""

    def __init__(  # noqa: PLR0913
        self, run: RunDir, trainer: Trainer, console: Console, *, best: Best, trackers: Trackers, observer: Observer | None = None
    ):  # fmt: skip
        self.run, self.trainer, self.console = run, trainer, console
        self.trackers, self.observer = trackers, observer
        self.is_main = distributed.rank() == 0
        self.settings, self.best = trainer.config.train, best
        self.checkpoints = run.checkpoints(console.warn)
        self.ranking = Ranking(best, self.settings.keep_best)
        self.recent: list[str] = []  # checkpoints that were due, the newest last
        self.onward: list[str] = []  # what a longer training needs to go on: a checkpoint, and the best ones of then
        self.rewinds = False  # whether there are newer checkpoints than the one it goes on from
        self.window, self.metrics = Window(), dict[str, float]()
        self.began, self.elapsed_before = time.perf_counter(), 0.0
        self.saved_step = self.validated_step = -1
        self.warned = False  # that the figure that decides is not a number

    # -- start and resume ---------------------------------------------------------------------------------------------

    def resume(self, name: str, *, rewinds: bool = False) -> None:
        """Go on from a checkpoint: all that is decided later is decided by its state, whatever else lies beside it."""
        self.rewinds = rewinds
        state = self.checkpoints.state(name, self.trainer.mesh)
        self.trainer.load(self.checkpoints.weights(name), state["trainer"])
        self.elapsed_before, self.metrics = state["elapsed_s"]["training"], state["metrics"]
        self.window = Window(**state["window"] or {}, elapsed_s=state["elapsed_s"]["window"])
        self.saved_step, self.onward = self.trainer.step, state["onward"]
        self._rank(name, state)
        self.console.say(f"resuming from {name}; {self.trainer.step:,} of {self.settings.steps:,} steps are done")
        self._tell_of_processes(state["processes"] or self.trainer.world)

    def _tell_of_processes(self, before: int) -> None:
        now, micro = self.trainer.world, self.settings.accumulate
        if before != now:
            self.console.say(
                f"{before} processes until here, {now} from here on: a step reads {now * micro} batches, it read {before * micro}"
            )

    def _rank(self, resumed: str, state: dict[str, Any]) -> None:
        """The ranking that the state holds, but for checkpoints that are damaged."""
        names = self.checkpoints.names()
        names = names[: names.index(resumed) + 1]
        self.ranking.load(state["ranking"])
        damaged = distributed.on_first(lambda: self._damaged(sorted({*names, *self.ranking.names} - {resumed})))
        whole = [name for name in names if name not in damaged]
        self.ranking.leave(damaged)
        if state["ranking"]["ranked"] is None:
            self._rank_existing(whole)
        recent = whole if state["recent"] is None else state["recent"]
        self.recent = [name for name in recent if name not in damaged][-self.settings.keep_last :]

    def _damaged(self, names: list[str]) -> list[str]:
        """Those that cannot be used, each with a warning."""
        problems = {name: problem for name in names if (problem := self.checkpoints.problem(name)) is not None}
        for name, problem in problems.items():
            self.console.warn(f"checkpoint {name} is damaged and left out: {problem}")
        return list(problems)

    def _rank_existing(self, names: list[str]) -> None:
        """For a state that holds no ranking: of equal ones the earliest is first."""
        manifests = {name: self.checkpoints.manifest(name) for name in names}
        self.ranking.enter(
            (manifest["metrics"][self.best.metric], name)
            for name, manifest in manifests.items()
            if self.best.metric in manifest["metrics"]
        )

    # -- the sitting --------------------------------------------------------------------------------------------------

    def train(self, stop: list[int]) -> Reached | None:
        """Step until all is done, or a signal in `stop` asks to end: Interrupted then, with the state saved.

        Returns what the end is reached with, None when it was reached before.
        """
        until = min(self.settings.steps, self.settings.stop_after or self.settings.steps)
        if self.trainer.step < until and not self._has_stopped_improving():
            self._prepare()
            self.console.start_progress(self.trainer.step, until)
            try:
                self._step(until, stop)
            finally:
                self.console.stop_progress()
        elif self.run.has_ended(self._reached):
            self._say_nothing_is_left()
            return None
        self._finish()
        return self._reached

    @property
    def _reached(self) -> Reached:
        return {"step": self.trainer.step, "average_best": self.settings.average_best}

    def _step(self, until: int, stop: list[int]) -> None:
        for stepped in self.trainer.run(until):
            self._after(stepped, until)
            if self.observer is not None and stepped.step == self.validated_step:
                self.observer(stepped.step, self.metrics)
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
        why = [
            f"train.{name} is {value}" for name in ("stop_after", "patience") if (value := getattr(self.settings, name))
        ]
        self.console.say(f"nothing left to do: {done}" + (f" ({', '.join(why)})" if why else ""))

    def _prepare(self) -> None:
        if self.is_main:
            self._require_space()
            tracked.begin(self.trackers, self.run, self.trainer.config, self.trainer.step)
            self.run.go_on()
            self.run.forget_after(self.trainer.step, self.console.warn)
        if self.trainer.step == 0:
            self.trainer.draw(self.run.plots)
        self.trainer.rehearse()
        if self.rewinds:
            self._tidy()
        if self.trainer.device.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated()
            self.console.say(f"rehearsed one batch: peak memory {memory / 1e9:.2f} GB")

    def _require_space(self) -> None:
        # Weights, two moments, and the live weights beside an average.
        shares = 4 if self.trainer.average is not None else 3
        weights = sum(t.numel() * t.element_size() for t in self.trainer.weights().values())
        kept = self.settings.keep_last + self.settings.keep_best + 1
        if settled_steps(self.settings.steps, self.trainer.config.schedule):
            kept += 1 + self.settings.keep_best
        require_space(self.run.path, int(shares * weights * kept))

    def _after(self, stepped: Stepped, until: int) -> None:
        self.window.add(stepped)
        if stepped.step % self.settings.log_every == 0 or stepped.step in (1, self.settings.steps):
            self._log(stepped)
        elif stepped.step == until:  # a line, but no event: metrics do not tell where a run was stopped
            self._show()
        if stepped.step % self.settings.validate_every == 0 or stepped.step == self.settings.steps:
            self._validate()
        if self._is_due() or stepped.step == until:
            self._save()

    def _is_due(self) -> bool:
        """Whether the step has a checkpoint in any sitting; one that is saved for stopping goes with the next."""
        return self.trainer.step % self.settings.save_every == 0 or self.trainer.step == self.validated_step

    def _asked_to_stop(self, stop: list[int]) -> bool:
        return distributed.sum_numbers([float(len(stop))], self.trainer.device.device)[0] > 0

    def _has_stopped_improving(self) -> bool:
        return 0 < self.settings.patience <= self.ranking.waited

    @property
    def elapsed_s(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    # -- what is said, measured and saved -----------------------------------------------------------------------------

    def _log(self, stepped: Stepped) -> None:
        self._show()
        if self.is_main:
            self._event(stepped.step, self.window.figures(stepped.rate_factor, self.trainer.task.unit))
        self.window = Window()

    def _show(self) -> None:
        if self.is_main:
            step = self.trainer.step
            self.console.progress(step, self.window.line(step, self.settings.steps, self.trainer.task.unit))

    def _event(self, step: int, values: dict[str, float]) -> None:
        self.run.event(step=step, elapsed_s=round(self.elapsed_s, 2), **values)
        self.trackers.log(step, values)

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
        step, metrics = self.trainer.step, dict[str, float]()
        if step == self.saved_step:
            return
        self.saved_step = step
        if self._is_due():
            self.recent = [*self.recent, name_of(step)][-self.settings.keep_last :]
        if step == self.validated_step:
            metrics = self.metrics
            self.ranking.enter([(metrics[self.best.metric], name_of(step))])
        if self._is_due() and is_of_any_length(step, self.trainer.config):
            self.onward = [name_of(step), *self.ranking.names]
        self._write(name_of(step), metrics)
        self._tidy()

    def _write(self, name: str, metrics: dict[str, float]) -> None:
        """The checkpoint: of several processes the first, or each what it holds."""
        elapsed_s = {"training": self.elapsed_s, "window": self.window.elapsed_s}
        if self.is_main:
            fsync(self.run.metrics)
        if self.trainer.is_sharded:
            from bmtool.engine import shard_files

            weights, state = self.trainer.weights(), self._state()
            shard_files.save(self.checkpoints, name, weights, state, metrics=metrics, elapsed_s=elapsed_s)
        elif self.is_main:
            self.checkpoints.save(name, self.trainer.weights(), self._state(), metrics=metrics, elapsed_s=elapsed_s)

    def _state(self) -> dict[str, Any]:
        window = asdict(self.window)
        del window["elapsed_s"]
        return {
            "step": self.trainer.step, "trainer": self.trainer.state_dict(), "ranking": self.ranking.state(),
            "recent": self.recent, "onward": self.onward, "metrics": self.metrics, "window": window,
            "processes": self.trainer.world,
        }  # fmt: skip

    def _tidy(self) -> None:
        """Point at the newest and the best checkpoint, and delete those that are neither."""
        newest, best = name_of(self.trainer.step), self.ranking.names
        if self.is_main:
            self.checkpoints.mark(LAST, newest)
            self.checkpoints.mark(BEST, best[0] if best else None)
            self.checkpoints.prune({newest, *best, *self.recent, *self.onward})
        if self.is_main and self.rewinds:
            self.run.note(resume_from=None)
        self.rewinds = False
        distributed.barrier()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """What a kill may have cut off, all of it: the checkpoint of the last step is saved."""
        self._tidy()
        self._average_best()
        value = self.ranking.value
        none = f"; {self.best.metric} was never a number: the last checkpoint is used" if self.metrics else ""
        best = none if value is None else f"; best {self.best.metric} {value:.4f}"
        self.console.say(f"done: {self.trainer.step:,} steps in {duration(self.elapsed_s)}{best}")

    def _average_best(self) -> None:
        """Average the best checkpoints (Izmailov et al. 2018) and keep the result if it validates better than each of them."""
        names, wanted = self.ranking.names[: self.settings.average_best], self.settings.average_best
        if len(names) < 2:
            if wanted > len(names):
                self.console.say(f"no average: of the {wanted} best checkpoints there are {len(names)}")
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
            state = {"step": self.trainer.step, "metrics": metrics}
            self.checkpoints.save(AVERAGED, mean, state, metrics=metrics, elapsed_s={})
            self.checkpoints.mark(BEST, AVERAGED)
