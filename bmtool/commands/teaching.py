"""`train.teacher`: the run whose answers are learned beside the right ones."""

from bmtool import registry
from bmtool.base.console import Console
from bmtool.commands import bases
from bmtool.commands.loading import restore
from bmtool.config.schema import BaseConfig
from bmtool.engine.record import Base
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Trained
from bmtool.errors import ConfigError, DataError


def require_teacher(config: BaseConfig) -> None:
    """ConfigError for a teacher of another task, or one that was fitted; DataError when it is no run."""
    if config.train.teacher is None:
        return
    theirs = RunDir.open(config.train.teacher).config()
    if theirs.task != config.task:
        raise ConfigError(
            f"train.teacher: {config.train.teacher} is a run of {theirs.task}, and {config.task} is to be learned"
        )
    if registry.find(theirs.task).load("task").of(theirs).fitted:
        raise ConfigError(
            f"train.teacher: {config.train.teacher} was fitted: name a run that was trained by gradient steps"
        )


def teach(task: Trained, run: RunDir, base: Base | None, console: Console) -> None:
    """Give a task the teacher that its run holds on to, if any. DataError when that has changed, or nothing can be learned from it."""
    asked = task.config.train
    if base is None:
        return
    place = bases.found(run, base, "teacher")
    _, teacher, name = restore(place, console.warn, device="cpu", checkpoint=base["checkpoint"])
    assert isinstance(teacher, Trained)
    if why := task.refuses(teacher):
        raise DataError(f"train.teacher: nothing can be learned from {asked.teacher}: {why}")
    task.teacher = teacher
    task.helpers = {**task.helpers, **{f"teacher.{part}": module for part, module in teacher.modules.items()}}
    share, temperature = asked.teacher_weight, asked.teacher_temperature
    console.say(
        f"teacher: {asked.teacher} ({name}); its answers are {share:g} of the loss, at temperature {temperature:g}"
    )
