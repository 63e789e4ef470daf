"""The trials of a study: each is a training like any other, in a run directory of its own, watched at its validations."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmtool.base import memory
from bmtool.base.console import Console
from bmtool.base.units import duration
from bmtool.commands import following, train
from bmtool.config.load import load, written
from bmtool.config.schema import BaseConfig
from bmtool.engine.run_dir import RunDir
from bmtool.errors import BmtoolError, ConfigError, DataError, Interrupted, ResourceError, Untrainable
from bmtool.tuning.space import Raw, Space
from bmtool.tuning.study import Row, Study

VALID = "valid/"
# So often a trial is begun that was killed each time; then it counts as failed, or a machine short of memory would never get past it.
STARTS = 3


class Hopeless(Exception):
    """Ends a trial that is worse than those before it."""


@dataclass(frozen=True)
class Asked:
    """What is tuned: a configuration, and the keys that vary."""

    path: str
    overrides: list[str]
    config: BaseConfig
    space: Space
    folder: Path
    # trials are finetuned, from the best weights of `parent` or from those that their network comes with
    finetunes: bool = False
    parent: RunDir | None = None

    def run(self, number: int) -> RunDir:
        return RunDir(self.folder / "trials" / f"{number:03}")

    def settings(self, raw: Mapping[str, Raw], run: Path) -> dict[str, Any]:
        """What a configuration says that others do not."""
        return {"run": str(run), **self.space.settings(raw)}

    def configured(self, row: Row) -> BaseConfig:
        """Of a trial. ConfigError where its values do not go together."""
        settings = self.settings(row.raw, self.run(row.number).path)
        return load(self.path, self.overrides, settings | self._raced(row.number))

    def _raced(self, number: int) -> dict[str, str]:
        """The precision for which the first trial has raced: trials that differ in it could not be compared."""
        first = self.run(1)
        if number == 1 or self.config.train.precision != "auto" or not first.exists:
            return {}
        return {"train.precision": first.info()["precision"]} if first.info().get("precision") else {}

    def written(self, row: Row, run: Path) -> str:
        """The configuration of a trial for another run, as YAML."""
        return written(self.path, self.overrides, self.settings(row.raw, run))

    def training(self, path: Path) -> str:
        """The command that trains a configuration as the trials are."""
        parent = ["--from", str(self.parent.path)] if self.parent else []
        return following.command("finetune" if self.finetunes else "pretrain", path, *parent)

    def said(self, row: Row) -> str:
        """The values of a trial."""
        values = self.space.settings(row.raw).items()
        return ", ".join(f"{key} {value if isinstance(value, str) else short(value)}" for key, value in values)


def short(value: Any) -> str:
    """A value as people read it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Trials:
    """The trials of a study up to so many in all, within so many seconds of this sitting."""

    def __init__(self, asked: Asked, study: Study, console: Console, *, count: int, seconds: float | None):
        self.asked, self.study, self.console, self.count = asked, study, console, count
        self.own = asked.space.of(asked.config)
        self._until = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def ended(self) -> int:
        return sum(row.state != "running" for row in self.study.rows())

    def go_on(self) -> None:
        """What is left to do of all trials. Interrupted when a signal asks to stop: the trial is gone on with next time."""
        while (row := self._next()) is not None:
            before = self.study.best()
            began = time.perf_counter()
            ended = self._tried(row)
            self._tell(ended, before, time.perf_counter() - began)

    def _next(self) -> Row | None:
        half = self.study.half()
        if half is None and self.ended >= self.count:
            return None
        if time.monotonic() >= self._until:
            self.console.say(f"the time is up: {self.ended} of {self.count} trials; the same command goes on")
            return None
        if half is not None:
            return half
        row = self.study.propose(self.own, self.count)
        if row is None:
            self.console.say(f"all {self.asked.space.size:,.0f} combinations have been tried")
        return row

    def _tried(self, row: Row) -> Row:
        """A trial that has ended, in one way or another."""
        for other in self.study.rows()[: row.number - 1]:
            if other.raw == row.raw:
                return self.study.repeat(other)
        if row.starts >= STARTS:
            return self.study.fail(f"killed {row.starts} times (out of memory?)", ResourceError.exit_code)
        self.study.start(row.starts + 1)
        try:
            return self.study.complete(self._trained(row))
        except Hopeless as end:
            return self.study.prune(str(end))
        except (Interrupted, KeyboardInterrupt):
            self.study.start(row.starts)
            raise
        except (ConfigError, DataError, Untrainable) as error:
            return self.study.fail(_first_line(error), error.exit_code)
        except (MemoryError, RuntimeError) as error:
            if not memory.is_short(error):
                raise
            return self.study.fail("out of memory", ResourceError.exit_code)

    def _trained(self, row: Row) -> float:
        """The figure of the best checkpoint."""
        asked, figure = self.asked, self.study.figure
        run, config = asked.run(row.number), asked.configured(row)
        # A half fit is done again from its start.
        is_fitted = train.kind_of(config).fitted
        last = math.inf if is_fitted else config.train.steps
        for event in [] if is_fitted else run.events(self.console.warn):
            self._hear(event["step"], _validation(event), last)
        train.train(
            config,
            asked.parent,
            finetunes=asked.finetunes,
            observer=lambda step, figures: self._hear(step, figures, last),
        )
        checkpoints = run.checkpoints(self.console.warn)
        value = float(checkpoints.manifest(checkpoints.best())["metrics"].get(figure, math.nan))
        if not math.isfinite(value):
            raise DataError(f"{figure} of the validation was never a number")
        return value

    def _hear(self, step: int, figures: Mapping[str, float], last: float) -> None:
        """Hopeless when the trial is so, unless this was its last step."""
        value = figures.get(self.study.figure, math.nan)
        if math.isfinite(value) and self.study.is_hopeless(step, value) and step < last:
            raise Hopeless(f"{self.study.figure} {value:.4f} after step {step:,}")

    def _tell(self, row: Row, before: Row | None, seconds: float) -> None:
        said = f"trial {row.number} of {self.count}: {self.asked.said(row)}: "
        if row.state == "complete":
            best = self.study.best()
            said += f"{self.study.figure} {row.value:.4f}" + "  (best so far)" * (
                best is not None and best.number == row.number
            )
        else:
            said += row.state
        said += f" ({row.reason})" if row.reason else ""
        self.console.say(f"{said}  in {duration(seconds)}")


def _validation(event: Mapping[str, Any]) -> dict[str, float]:
    return {key.removeprefix(VALID): value for key, value in event.items() if key.startswith(VALID)}


def _first_line(error: BmtoolError) -> str:
    return str(error).splitlines()[0]
