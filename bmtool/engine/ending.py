"""The end of a training or a fit: what comes after the last checkpoint.

All of it is a function of what lies in the run directory, so that it is done again, from its start, when it was cut off.
"""

from bmtool.base.console import Console
from bmtool.engine import tracked
from bmtool.engine.device import Device
from bmtool.engine.run_dir import RunDir
from bmtool.engine.series import series
from bmtool.engine.task import Task
from bmtool.tracking.tracker import Trackers

Reached = dict[str, int]  # what an end was reached with; another step, or another setting, is another end


def end(  # noqa: PLR0913
    run: RunDir, task: Task, console: Console, *, device: Device, reached: Reached, trackers: Trackers
) -> None:  # fmt: skip
    """Keep what the task chooses with its best weights, draw the curves, say where all lies, and write down that this is done."""
    from bmtool.engine import plots

    checkpoints = run.checkpoints(console.warn)
    best = checkpoints.best()
    task.restore(checkpoints.weights(best), device.device)
    run.keep(task.settle())
    if task.fitted:  # else drawn after each validation
        task.draw(run.plots)
    marked = plots.Drawn(run.name, series(run.events(console.warn)), checkpoints.step(best))
    drawn = plots.curves(marked, run.plots)
    console.say(f"run directory {run.path}; plots {run.plots} ({', '.join(path.name for path in drawn)})")
    tracked.begin(trackers, run, task.config, reached["step"])
    tracked.end(trackers, run, checkpoints.manifest(best)["metrics"], reached["step"])
    run.end(reached)
