"""Training of the shipped recipe, configs/pinyin2hanzi/base.yaml, against the machine's matrix products and the Hugging Face Trainer.

python benchmarks/training_speed.py [--steps 5] [--rounds 3] [--threads 1 2] [--precisions fp32 bf16]

The Trainer trains the same model in the same precision: on the same batches, and on batches as it would make them, of examples in any order
padded to the longest. Everything is measured in turn; each first step warms up and does not count.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import common
import numpy as np
import torch

# Before transformers, which imports torchvision itself.
from bmtool import torchvision  # noqa: F401
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.trainer import seed_everything
from bmtool.tasks.pinyin2hanzi.task import Batch, Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import Trainer as HfTrainer
from transformers import TrainerCallback, TrainingArguments


class Speed(NamedTuple):
    """A second's real tokens, and a second's positions with padding."""

    tokens: float
    positions: float


def speed(batches: list[Batch], seconds: float) -> Speed:
    return Speed(sum(b.tokens for b in batches) / seconds, sum(b.source.numel() for b in batches) / seconds)


# --- ours ---


def ours(config, steps: int) -> Speed:
    return speed(*common.trained(config, steps))


# --- theirs ---


class Wrapped(torch.nn.Module):
    """The task's model as the Hugging Face Trainer wants it: keyword inputs, a mean loss."""

    def __init__(self, task: Task):
        super().__init__()
        self.model = task.model

    def forward(self, source: torch.Tensor, pair: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
        total, _, count = self.model.loss(Batch(source, pair, target, 0), 0.0)
        return {"loss": total / count}


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def in_any_order(task: Task, config, steps: int) -> list[Batch]:
    """Batches of as many examples as hold `batch_tokens` on average, padded to the longest."""
    source = task.batches("train", 1).source
    size = round(config.train.batch_tokens * source.examples / source.tokens)
    random = np.random.default_rng(1)
    return [source.collate(random.integers(0, source.examples, size)) for _ in range(steps)]


def theirs(config, folder: Path, steps: int, *, same: bool) -> Speed:
    seed_everything(1)
    task = Task.fresh(config)
    ordered = task.batches("train", 1)
    batches = [ordered[p] for p in range(steps + 1)] if same else in_any_order(task, config, steps + 1)
    items = [{"source": b.source, "pair": b.pair, "target": b.target} for b in batches]
    arguments = TrainingArguments(
        output_dir=str(folder / "hf"), max_steps=steps + 1, per_device_train_batch_size=1, learning_rate=config.optim.lr, max_grad_norm=1.0,
        report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True, remove_unused_columns=False,
        bf16=config.train.precision == "bf16",
    )  # fmt: skip
    clock = Clock()
    trainer = HfTrainer(
        model=Wrapped(task), args=arguments, train_dataset=items, data_collator=lambda held: held[0], callbacks=[clock]
    )
    # In the order of the list, as ours.
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(items)
    trainer.train()
    return speed(batches[1:], clock.ends[-1] - clock.ends[0])


# --- the table ---


def measure(config, folder: Path, arguments: argparse.Namespace) -> None:
    rounds = []
    for _ in range(arguments.rounds):
        choose(config.train)  # so many threads
        rate, mine = common.matmul_rate(), ours(config, arguments.steps)
        same, padded = (theirs(config, folder, arguments.steps, same=same) for same in (True, False))
        rounds.append((rate, mine, same, padded))
    rate, mine, same, padded = zip(*rounds)
    core = Task.fresh(config).core_parameters
    used = [6 * core * m.tokens / 1e9 / r for m, r in zip(mine, rate)]
    print(f"\n{config.train.precision}, threads {config.train.threads}; medians (min - max)")
    print(f"float32 matrix product            {common.spread(rate)} GFLOP/s")
    for name, speeds in (("bmtool", mine), ("Trainer, same batches", same), ("Trainer, its own batches", padded)):
        tokens, positions = zip(*speeds)
        print(f"{name:33} {common.spread(tokens)} tokens/s, {common.spread(positions)} with padding")
    print(f"share of the float32 rate         {common.spread(used)}")
    for name, speeds in (("the same batches", same), ("its own batches", padded)):
        ratios = [m.tokens / t.tokens for m, t in zip(mine, speeds)]
        print(f"bmtool / Trainer, {name:15} {common.spread(ratios)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    arguments = parser.parse_args()
    print(f"{common.processor()}; PyTorch {torch.__version__}; {arguments.rounds} rounds of {arguments.steps} steps")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = common.settings(folder)
        common.bmtool("prepare-data", common.CONFIG, *(part for value in overrides for part in ("--set", value)))
        for threads in arguments.threads:
            for precision in arguments.precisions:
                changes = [*overrides, f"train.threads={threads}", f"train.precision={precision}"]
                measure(load(common.CONFIG, changes), folder, arguments)


if __name__ == "__main__":
    main()
