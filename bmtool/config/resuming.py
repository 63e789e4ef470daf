"""What may change when a run goes on. Every key is in one of these groups, by its own name or by that of a section above it."""

from typing import NamedTuple

from bmtool.base import changes
from bmtool.config.schema import BaseConfig

# How one sitting goes: no trace of it is left in the run.
SITTING = frozenset({"run", "train.stop_after", "train.workers"})
# When to look, report, keep and stop: what a step computes stays the same.
REPORTING = frozenset({
    "tracking", "train.log_every", "train.validate_every", "train.save_every", "train.patience", "train.keep_last", "train.keep_best",
    "train.average_best", "card",
})  # fmt: skip
# Who holds what: sums may be made in another order, no more.
PLACING = frozenset({"train.sharding"})
# How long: where the schedule allows it, see `engine.longer`.
LENGTH = frozenset({"train.steps"})
# What a step computes, and on what: with another value it is another run.
COMPUTING = frozenset({
    "task", "seed", "data", "model", "head", "lexicon", "code", "noise", "features", "augment", "balance", "views", "loss", "decide",
    "decode", "calibrate", "refit", "label_smoothing", "objective", "mask_share", "overlap", "negatives", "answer_tokens",
    "optim", "schedule", "finetune",
    "train.batch_size", "train.batch_tokens", "train.accumulate", "train.precision", "train.device", "train.threads",
    "train.deterministic", "train.compile", "train.ema", "train.best", "train.teacher", "train.teacher_temperature",
    "train.teacher_weight",
})  # fmt: skip
# Of these, where a training ends.
ENDING = ("steps", "stop_after", "patience")
GROUPS = (SITTING, REPORTING, PLACING, LENGTH, COMPUTING)


class Changes(NamedTuple):
    """Lines `key: old -> new`: what would make it another run, and what is said and written down; that of a sitting is in neither."""

    refused: list[str]
    told: list[str]


def changed(old: BaseConfig, new: BaseConfig) -> Changes:
    """What differs between the configuration that a run has and the one it is to go on with."""
    out = Changes([], [])
    for key, line in changes.differences(old.model_dump(), new.model_dump()).items():
        group = group_of(key)
        if _decides_the_rate(key, new):
            out.refused.append(f"{line} (the rate of schedule.name plateau follows the validations)")
        elif group in (REPORTING, PLACING, LENGTH):
            out.told.append(line)
        elif group is not SITTING:
            out.refused.append(line)
    return out


def ends_elsewhere(old: BaseConfig, new: BaseConfig) -> bool:
    """Whether a training that was at its end may have steps before it again."""
    return any(getattr(old.train, name) != getattr(new.train, name) for name in ENDING)


def group_of(key: str) -> frozenset[str] | None:
    """The group of a key, or of the nearest section above it that has one; None where there is none, and nothing may change."""
    while key:
        for group in GROUPS:
            if key in group:
                return group
        key = key.rpartition(".")[0]
    return None


def _decides_the_rate(key: str, config: BaseConfig) -> bool:
    return key == "train.validate_every" and config.schedule.name == "plateau"
