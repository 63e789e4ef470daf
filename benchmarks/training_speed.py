"""Tagger training against the machine's own matrix-product rate, and against the Hugging Face Trainer on the same batches.

The n-gram tables are left out here: their sparse gradients are beyond the AdamW of the Hugging Face Trainer.
"""

import tempfile
import time
from pathlib import Path

import common
import torch
from transformers import Trainer as HfTrainer
from transformers import TrainingArguments

from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.tasks.pinyin2hanzi.task import Batch, Task

STEPS, ROUNDS = 20, 5


def matmul_rate(size: int = 2048, repeats: int = 10) -> float:
    """float32 GFLOP/s of a square matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return repeats * 2 * size**3 / (time.perf_counter() - began) / 1e9


class Wrapped(torch.nn.Module):
    """The task's model as the Hugging Face Trainer wants it: keyword inputs, a mean loss."""

    def __init__(self, task: Task):
        super().__init__()
        self.model = task.model

    def forward(self, source: torch.Tensor, pair: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
        total, _, count = self.model.loss(Batch(source, pair, target, 0), 0.0)
        return {"loss": total / count}


class Positions(torch.utils.data.Dataset):
    """The batches our trainer reads, one an item."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        batch = self.batches[position]
        return {"source": batch.source, "pair": batch.pair, "target": batch.target}


def ours(config) -> float:
    """Tokens/s over STEPS steps after one to warm up."""
    seed_everything(1)
    trainer = Trainer(Task.fresh(config), config, choose(config.train))
    steps = trainer.run(STEPS + 1)
    next(steps)
    began = time.perf_counter()
    return sum(stepped.tokens for stepped in steps) / (time.perf_counter() - began)


def theirs(config, folder: Path) -> float:
    seed_everything(1)
    task = Task.fresh(config)
    batches = Positions(task.batches("train", 1))
    arguments = TrainingArguments(
        output_dir=str(folder / "hf"), max_steps=STEPS, per_device_train_batch_size=1, learning_rate=config.optim.lr, max_grad_norm=1.0,
        report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    trainer = HfTrainer(
        model=Wrapped(task), args=arguments, train_dataset=batches, data_collator=lambda items: items[0]
    )
    began = time.perf_counter()
    trainer.train()
    return sum(task.batches("train", 1)[p].tokens for p in range(STEPS)) / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = common.settings(folder, "model.ngram_rows=0")
        common.bmtool("prepare-data", common.CONFIG, *(part for value in overrides for part in ("--set", value)))
        config = load(common.CONFIG, overrides)
        core = Task.fresh(config).core_parameters
        rounds = []
        for _ in range(ROUNDS):
            rounds.append((matmul_rate(), ours(config), theirs(config, folder)))
    peak, mine, hf = zip(*rounds)
    used = [6 * core * tokens / 1e9 for tokens in mine]
    print(
        f"dense core {core / 1e6:.2f} M parameters, {ROUNDS} rounds of {STEPS} steps, {torch.get_num_threads()} threads; median (min - max)"
    )
    print(f"matrix product      {common.spread(peak)} GFLOP/s")
    print(f"bmtool              {common.spread(mine)} tokens/s, {common.spread(used)} GFLOP/s")
    print(f"share of the rate   {common.spread([u / p for u, p in zip(used, peak)])}")
    print(f"Hugging Face        {common.spread(hf)} tokens/s")
    print(f"bmtool / HF         {common.spread([m / h for m, h in zip(mine, hf)])}")


if __name__ == "__main__":
    main()
