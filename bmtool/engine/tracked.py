"""What the trackers of a training are told of its run."""

from bmtool.config.schema import BaseConfig
from bmtool.config.settings import settings
from bmtool.engine.run_dir import RunDir
from bmtool.tracking.tracker import Subject, Trackers


def begin(trackers: Trackers, run: RunDir, config: BaseConfig, step: int) -> None:
    """Let them follow a training that has `step` steps behind it, under the names that they gave it before."""
    info = run.info()
    known = info.get("tracking") or {}
    changes = [line for change in info.get("changes") or [] for line in change["changed"]]
    subject = Subject(run.path, config.task, {one.key: one.value for one in settings(config)}, changes, step, None)
    # Of one that is left out for a sitting the name is kept: it may be asked for again.
    if (names := known | trackers.begin(subject, known)) != known:
        run.note(tracking=names)


def end(trackers: Trackers, run: RunDir, figures: dict[str, float], step: int) -> None:
    """Tell them the figures of the best checkpoint, the configuration and the pictures."""
    trackers.end(step, figures, [run.path / "config.yaml", *sorted(run.plots.glob("*.png"))])
