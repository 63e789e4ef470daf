"""A run that goes on with another number of steps: from the checkpoint at which it is the run that was planned so from its start.

A rate that does not know how many steps there are (constant, step, inverse_sqrt, plateau) lets a run go on from its end. That of wsd is
stable until the last `decay_steps`: it goes on from before them. What falls over the whole training (linear, cosine, exponential) was
another from the first step on, so that nothing can go on.
"""

from typing import NamedTuple

from bmtool.config.schema import BaseConfig, Train
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.kept import Warn, step_of
from bmtool.engine.optim import settled_steps
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError


class Start(NamedTuple):
    """The checkpoint that a run goes on from, and what there is to say of it."""

    name: str
    said: str


def is_of_any_length(step: int, config: BaseConfig) -> bool:
    """Whether the state after a step is the one that a longer training has there."""
    return step <= settled_steps(config.train.steps, config.schedule) and not _is_marked(step, config.train)


def _is_marked(step: int, train: Train) -> bool:
    """Whether a step was logged or validated only because it was the last."""
    return step == train.steps and bool(step % train.validate_every or (step % train.log_every and step > 1))


def start(run: RunDir, config: BaseConfig, warn: Warn) -> Start | None:
    """Where a run goes on that is to have another number of steps than it was planned for; None where that changes nothing.

    ConfigError with what to do instead when it cannot go on.
    """
    if not run.exists or (planned := run.config()).train.steps == config.train.steps:
        return None
    checkpoints = run.checkpoints(warn)
    newest = checkpoints.newest()
    if newest is None:
        return None
    if step_of(newest) > config.train.steps:
        done = f"{run.path} has {step_of(newest):,} steps behind it"
        raise ConfigError(
            f"train.steps: {done}, {config.train.steps:,} are fewer: choose another run with --set run=DIR"
        )
    limit = min(settled_steps(one.train.steps, config.schedule) for one in (planned, config))
    found = _found(checkpoints, limit, planned)
    if found is None:
        raise ConfigError(_refusal(run, planned, config))
    return Start(found, _said(found, newest, planned, config))


def _found(checkpoints: Checkpoints, limit: int, planned: BaseConfig) -> str | None:
    """The newest whole checkpoint within `limit`; one shortly before it where that bears marks of an end."""
    names = [name for name in checkpoints.names()[::-1] if step_of(name) <= limit and not checkpoints.problem(name)]
    near = [name for name in names if step_of(names[0]) - step_of(name) < planned.train.save_every]
    unmarked = [name for name in near if not _is_marked(step_of(name), planned.train)]
    return next(iter(unmarked or names), None)


def _said(name: str, newest: str, planned: BaseConfig, config: BaseConfig) -> str:
    steps, again = f"{config.train.steps:,} steps", step_of(newest) - step_of(name)
    lost = f"; the {again:,} steps after it are taken anew" if again else ""
    if _is_marked(step_of(name), planned.train):
        return f"going on from {name} to {steps}; that its last step was logged and validated as the last counts{lost}"
    return f"going on from {name} to {steps}, as a run that was planned so from its start{lost}"


def _refusal(run: RunDir, planned: BaseConfig, config: BaseConfig) -> str:
    schedule, steps = planned.schedule, f"{planned.train.steps:,} -> {config.train.steps:,}"
    more = config.train.steps - planned.train.steps
    instead = (
        f"train on from its weights in a run of its own: `bmtool finetune {run.path}/config.yaml --from {run.path} "
        f"--set run={run.path}-{config.train.steps} --set train.steps={max(more, planned.schedule.warmup_steps + 1)}`"
    )
    if schedule.name == "wsd":
        why = f"no checkpoint of {run.path} is from before the rate fell, {schedule.decay_steps:,} steps before the end"
    else:
        why = f"the rate of schedule.name {schedule.name} falls over all steps, so that {run.path} would be another run from its start"
    return f"train.steps: {steps}: {why}; {instead}"
