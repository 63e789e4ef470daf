"""Image training: step time beside a plain PyTorch loop, time spent waiting for images, and what an autoencoder gives with few labels.

python benchmarks/images.py steps          ResNet-18 on images of 32 x 32: bmtool's steps and a plain loop's, in turn
python benchmarks/images.py few-labels     digits with 10 labels a class: from an autoencoder and from scratch, 5 seeds
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import spread
from torch.nn import functional

from bmtool import registry
from bmtool.commands.evaluate import evaluate
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.torchvision import torchvision, v2

CONFIGS = Path(__file__).parent.parent / "configs"
ROUNDS, STEPS, BATCH, SIZE = 5, 6, 64, 32
SEEDS = range(1, 6)
SCRATCH, TUNED = "from scratch", "from the autoencoder"


def plain_steps(images: torch.Tensor, labels: torch.Tensor) -> "callable":
    """A loop as one would write it by hand: torchvision's network and transforms, AdamW, cross-entropy."""
    network = torchvision.models.resnet18(num_classes=10)
    network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    change = v2.Compose([v2.RandomCrop(SIZE, padding=4, padding_mode="reflect"), v2.RandomHorizontalFlip()])

    def run(count: int) -> float:
        network.train()
        began = time.perf_counter()
        for _ in range(count):
            chosen = torch.randint(len(images), (BATCH,))
            batch = torch.stack([change(image) for image in images[chosen]]).float().div_(255)
            optimizer.zero_grad()
            functional.cross_entropy(network(batch), labels[chosen]).backward()
            optimizer.step()
        return (time.perf_counter() - began) / count

    return run


def steps(folder: Path) -> None:
    """Ratio of step times, round by round, and the share of a step that is waiting for the batch."""
    random = np.random.default_rng(1)
    from PIL import Image

    for label in range(10):
        (folder / "set" / str(label)).mkdir(parents=True)
        for number in range(60):
            pixels = random.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "set" / str(label) / f"{number}.png")
    values = [
        f"data.source={folder / 'set'}", f"data.prepared={folder / 'p'}", f"run={folder / 'run'}", "augment.cutmix=0",
        f"train.batch_size={BATCH}", "optim.name=adamw", "optim.lr=0.001", "optim.clip_norm=0", "views=one",
    ]  # fmt: skip
    path = CONFIGS / "image-classification" / "cifar10.yaml"
    prepare_data(path, values)
    config = load(path, values)
    seed_everything(1)
    trainer = Trainer(registry.find(config.task).load("task").fresh(config), config, choose(config.train))
    waiting = _watch(trainer)
    images = torch.from_numpy(
        trainer.task._images.pixels(np.arange(len(trainer.task._images))).transpose(0, 3, 1, 2).copy()
    )
    plain = plain_steps(images, torch.from_numpy(trainer.task._images.labels.astype(np.int64)))
    ours, theirs, ratios = [], [], []
    plain(2), list(trainer.run(2))
    waiting.clear()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        list(trainer.run(trainer.step + STEPS))
        ours.append((time.perf_counter() - began) / STEPS)
        theirs.append(plain(STEPS))
        ratios.append(ours[-1] / theirs[-1])
    share = [
        wait / (STEPS * step) for wait, step in zip(np.add.reduceat(waiting, np.arange(0, len(waiting), STEPS)), ours)
    ]
    print(f"ResNet-18, {BATCH} images of {SIZE} x {SIZE}, {torch.get_num_threads()} threads")
    print(f"bmtool      {spread(ours)} s a step, {spread([100 * s for s in share])} % of it waiting for images")
    print(f"plain loop  {spread(theirs)} s a step")
    print(f"ratio       {spread(ratios)}")


def _watch(trainer: Trainer) -> list[float]:
    """Seconds that each batch took to be made, filled as the trainer asks for them."""
    batches, seconds = trainer._train_batches, []
    made = type(batches).__getitem__

    def timed(self: object, position: int) -> object:
        began = time.perf_counter()
        batch = made(self, position)
        seconds.append(time.perf_counter() - began)
        return batch

    type(batches).__getitem__ = timed
    return seconds


def few_labels(folder: Path) -> None:
    """Test accuracy with 10 labels a class, the autoencoder having seen all training images without labels."""
    encoder, classifier = (CONFIGS / task / "digits.yaml" for task in ("autoencoder", "image-classification"))
    everything, few = f"data.prepared={folder / 'all'}", [f"data.prepared={folder / 'few'}", "data.per_class=10"]
    prepare_data(encoder, [everything])
    prepare_data(classifier, few)
    short = ["train.steps=200", "train.validate_every=200", "train.batch_size=50", "train.threads=1"]
    lower = (
        "optim.lr=0.001"  # than the configuration's 0.003: weights that are good for something are moved with more care
    )
    accuracy: dict[str, list[float]] = {SCRATCH: [], "from scratch, lower rate": [], TUNED: []}
    for seed in SEEDS:
        long = ["train.steps=1000", "train.threads=1"]
        parent = pretrain(encoder, [everything, f"run={folder / f'ae-{seed}'}", f"seed={seed}", *long])
        common = [*few, *short, f"seed={seed}"]
        runs = {
            SCRATCH: pretrain(classifier, [*common, f"run={folder / f'scratch-{seed}'}"]),
            "from scratch, lower rate": pretrain(classifier, [*common, lower, f"run={folder / f'lower-{seed}'}"]),
            TUNED: finetune(classifier, parent, [*common, lower, f"run={folder / f'tuned-{seed}'}"]),
        }
        for name, run in runs.items():
            evaluate([run])
            report = json.loads((run / "eval" / "test.json").read_text("utf-8"))
            accuracy[name].append(100 * report["metrics"]["accuracy"]["value"])
    for name, values in accuracy.items():
        half = 2.776 * statistics.stdev(values) / len(values) ** 0.5  # Student's t, 4 degrees of freedom
        print(f"{name:24} {statistics.mean(values):.2f} +- {half:.2f} %  ({', '.join(f'{v:.2f}' for v in values)})")
    gains = [b - a for a, b in zip(accuracy[SCRATCH], accuracy[TUNED])]
    half = 2.776 * statistics.stdev(gains) / len(gains) ** 0.5
    print(f"{'gain over scratch':24} {statistics.mean(gains):+.2f} +- {half:.2f} points")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "few-labels"])
    chosen = {"steps": steps, "few-labels": few_labels}[parser.parse_args().what]
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.reconfigure(line_buffering=True)
        chosen(Path(name))
