"""One sitting of a fit: a task that counts, solves or hands over to a library, from its start to a single checkpoint."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from bmtool.base.console import Console
from bmtool.base.units import duration
from bmtool.engine import tracked
from bmtool.engine.checkpoint import name_of
from bmtool.engine.ending import Reached
from bmtool.engine.kept import BEST, LAST
from bmtool.engine.observing import Observer
from bmtool.engine.ranking import shown
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Fitted
from bmtool.tracking.tracker import Trackers

VALID = "valid/"


def fit(  # noqa: PLR0913
    run: RunDir, task: Fitted, console: Console, *, trackers: Trackers, again: bool, observer: Observer | None = None
) -> Reached | None:
    """Fit and save, unless it is done. Returns what the end is reached with, None when nothing is left to do.

    `again` says that a run was begun here before: without a checkpoint it was interrupted.
    """
    checkpoints = run.checkpoints(console.warn)
    name = checkpoints.newest()
    if name is not None:
        reached = {"step": checkpoints.manifest(name)["step"]}
        if run.has_ended(reached):
            console.say(f"nothing left to do: {run.path} is fitted ({name})")
            return None
        console.say(f"{run.path} is fitted ({name}); what comes after is done now")
    else:
        if again:
            console.say("the fit before this one was interrupted: it is done again from its start")
        name, reached = _fit(run, task, console, trackers, observer)
    for pointer in (LAST, BEST):
        checkpoints.mark(pointer, name)
    return reached


def _fit(
    run: RunDir, task: Fitted, console: Console, trackers: Trackers, observer: Observer | None
) -> tuple[str, Reached]:
    """The checkpoint, and the step that it is of."""
    run.go_on()
    run.forget_after(0, console.warn)
    tracked.begin(trackers, run, task.config, 0)
    began = time.perf_counter()
    task.draw(run.plots)
    step, figures = 0, dict[str, float]()
    for step, figures in enumerate(task.fit(console.say), 1):
        run.event(step=step, elapsed_s=round(time.perf_counter() - began, 2), **figures)
        trackers.log(step, figures)
        if step % task.every == 0:
            console.say(f"{task.unit} {step:,}  valid  {shown(_valid(figures), task.best)}")
            if observer is not None:
                observer(step, _valid(figures))
    elapsed_s = time.perf_counter() - began
    step, metrics = max(1, step), _valid(task.result or figures)
    run.checkpoints(console.warn).save(
        name_of(step), _tensors(task.arrays()), {"step": step, "metrics": metrics},
        metrics=metrics, elapsed_s={"training": elapsed_s},
    )  # fmt: skip
    console.say(f"done: fitted in {duration(elapsed_s)}")
    return name_of(step), {"step": step}


def _valid(figures: Mapping[str, float]) -> dict[str, float]:
    return {key.removeprefix(VALID): value for key, value in figures.items() if key.startswith(VALID)}


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """What safetensors takes; a task whose arrays hold anything but numbers fails here, before something is written."""
    return {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
