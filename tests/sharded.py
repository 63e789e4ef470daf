"""What two processes do for tests/test_sharding.py, which starts them: `torchrun ... sharded.py CONFIG FOLDER SETTING...`.

A run in one go (whole), one in two sittings (parts), and what is asked of a sharded trainer; FOLDER has a run of one process (one).
"""

import sys
from pathlib import Path

import torch

from bmtool import registry
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.engine import distributed, shard_files, shards
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer
from bmtool.errors import ResourceError

PATH, FOLDER, *SETTINGS = sys.argv[1:]
LAST = "step-00000008"


def run(name: str, *more: str) -> Path:
    return pretrain(PATH, [*SETTINGS, "train.sharding=full", f"run={FOLDER}/{name}", *more])


def taken_over(checkpoint: str, run: str) -> Trainer:
    """A sharded trainer with what a checkpoint of a run holds."""
    config = load(PATH, [*SETTINGS, "train.sharding=full"])
    trainer = Trainer(registry.find(config.task).load("task").of(config).fresh(config), config, choose(config.train))
    kept = Checkpoints(Path(FOLDER) / run, print)
    trainer.load(kept.weights(checkpoint), kept.state(checkpoint, trainer.mesh)["trainer"])
    return trainer


def flat(state, path: str = "") -> dict:
    if isinstance(state, (dict, list)):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: leaf for key, one in pairs for name, leaf in flat(one, f"{path}/{key}").items()}
    return {path: state}


def what_one_process_saved_is_shared_out() -> None:
    """Weights, moments and averages; each process holds about half of them."""
    trainer, kept = taken_over("step-00000004", "one"), Checkpoints(Path(FOLDER) / "one", print)
    state = flat(trainer.state_dict()) | trainer.weights()
    held = {name: leaf for name, leaf in state.items() if isinstance(leaf, torch.Tensor)}
    rows = sum(shards.local(tensor).numel() for tensor in held.values())
    assert 0.4 < rows / sum(tensor.numel() for tensor in held.values()) < 0.6
    given = flat(kept.state("step-00000004")["trainer"]) | kept.weights("step-00000004")
    for name, tensor in shards.whole(held).items():
        assert torch.equal(tensor, given[name]), name


class Full(shard_files.HuggingFaceStorageWriter):
    """A disk with no room for what the second process writes."""

    def write_data(self, plan, planner):
        if distributed.rank() == 1:
            raise OSError(28, "No space left on device")
        return super().write_data(plan, planner)


def a_full_disk_ends_all_and_leaves_what_there_was() -> None:
    trainer, kept = taken_over(LAST, "whole"), Checkpoints(Path(FOLDER) / "whole", print)
    writer, shard_files.HuggingFaceStorageWriter = shard_files.HuggingFaceStorageWriter, Full
    state = {"step": 8, "trainer": trainer.state_dict()}
    try:
        shard_files.save(kept, LAST, trainer.weights(), state, metrics={}, elapsed_s={})
    except ResourceError as error:
        assert "No space left on device. The one before is untouched" in str(error), error
    else:
        raise AssertionError("it was written")
    shard_files.HuggingFaceStorageWriter = writer
    assert kept.problem(LAST) is None and not list(kept.directory.glob(".*"))


if __name__ == "__main__":
    with distributed.process_group(torch.device("cpu")):
        run("whole")
        run("parts", "train.stop_after=4")
        run("parts")
        run("half", "train.precision=bf16", "train.ema=0", "train.stop_after=4")
        what_one_process_saved_is_shared_out()
        a_full_disk_ends_all_and_leaves_what_there_was()
