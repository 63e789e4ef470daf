"""Keys that a study cannot vary, and keys that would make no difference to it: refused before any work."""

from bmtool.config import resuming
from bmtool.config.document import VARIED
from bmtool.config.schema import BaseConfig
from bmtool.errors import ConfigError
from bmtool.tuning.space import Choice, Space, value_at

_WATCHED = "says how a training is watched, kept or run, not what is learned: --set it for all trials"
_FINETUNED = "is for finetune, and trials are pretrained: --from RUN finetunes them"
_OF_FINETUNE = ("finetune.train", "finetune.last_blocks", "finetune.lora", "finetune.prune")
# What concerns reporting and yet decides which weights come of a training.
_DECIDING = {"train.patience", "train.keep_best", "train.average_best"}
REFUSED = {
    **dict.fromkeys((resuming.REPORTING | resuming.SITTING) - _DECIDING, _WATCHED),
    "task": "another task is another configuration",
    "run": "every trial has a directory of its own",
    "train.best": "all trials are compared by one figure: name it with --figure",
    "train.stop_after": "trials that stop at other steps of one schedule cannot be compared: vary train.steps",
    **{f"train.{key}": _WATCHED for key in ("device", "threads", "deterministic", "compile")},
}  # fmt: skip
# What only some values of another key heed.
HEEDED = {
    "optim.momentum": ("optim.name", ("sgd", "rmsprop")),
    "optim.betas": ("optim.name", ("adam", "adamw", "muon")),
    "schedule.final": ("schedule.name", ("linear", "cosine", "exponential", "wsd")),
    "schedule.decay_steps": ("schedule.name", ("wsd",)),
    "schedule.step_every": ("schedule.name", ("step",)),
    "schedule.factor": ("schedule.name", ("step", "plateau")),
    "schedule.plateau_patience": ("schedule.name", ("plateau",)),
}


def require_effect(space: Space, config: BaseConfig, *, finetunes: bool) -> None:
    """ConfigError for a key that trials cannot differ in, or whose values all make the same model, with what to do instead."""
    for key in space:
        if key.split(".")[0] == "data":
            raise ConfigError(
                f"{VARIED} {key}: trials are compared on the same prepared data: tune two configurations, each with its own data.prepared"
            )
        if why := _refusal(key):
            raise ConfigError(f"{VARIED} {key}: {why}")
        if not finetunes and any(f"{key}.".startswith(f"{one}.") for one in _OF_FINETUNE):
            raise ConfigError(f"{VARIED} {key}: {_FINETUNED}")
        if key in HEEDED:
            _require_heeded(key, space, config)
    if "train.keep_best" in space and not config.train.average_best and "train.average_best" not in space:
        raise ConfigError(f"{VARIED} train.keep_best: {_WATCHED}")


def _refusal(key: str) -> str:
    """That of a key, or of the nearest section above it that has one."""
    while key and key not in REFUSED:
        key = key.rpartition(".")[0]
    return REFUSED.get(key, "")


def _require_heeded(key: str, space: Space, config: BaseConfig) -> None:
    other, wanted = HEEDED[key]
    held = space.get(other)
    given = tuple(held.values) if isinstance(held, Choice) else (value_at(config, other),)
    if not set(given) & set(wanted):
        raise ConfigError(
            f"{VARIED} {key}: of no effect with {other} {', '.join(map(str, given))}: only with {', '.join(wanted)} "
            f"(--set {other}={wanted[0]})"
        )
