"""What is lost by being small, on digits: a small network with and without a teacher, a large one with most of its weights pruned.

python benchmarks/small_models.py teacher     a small student, alone and taught by the network of digits.yaml, 5 seeds
python benchmarks/small_models.py prune       that network with a share of its weights pruned, without and with finetuning
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import finetune, pretrain

DIGITS = Path(__file__).parent.parent / "configs" / "image-classification" / "digits.yaml"
SEEDS = range(1, 6)
STUDENTS = {"10 labels a class": ["data.per_class=10", "train.batch_size=50"], "all labels": []}
STUDENT = [
    "model={kind: mlp, widths: [16]}", "augment={crop: 0, rotation: 0}", "train.threads=1", "train.steps=300",
    "train.validate_every=300", "train.save_every=300",
]  # fmt: skip
TAUGHT = {"alone": [], "taught": [], "taught-hot": ["train.teacher_temperature=4", "train.teacher_weight=0.9"]}
TUNED = ["train.threads=1", "train.steps=200", "optim.lr=0.001", "schedule.warmup_steps=10"]
# So little is learned that it is nothing.
UNTUNED = ["train.threads=1", "train.steps=1", "optim.lr=1.0e-30", "train.ema=0", "schedule.warmup_steps=0"]


def accuracy(run: Path) -> float:
    """Of the test split, in percent."""
    return 100 * evaluate([run]).figures["accuracy"].value


def half(values: list[float]) -> float:
    """Of a 95 % interval of a mean of five, by Student's t."""
    return 2.776 * statistics.stdev(values) / len(values) ** 0.5


def large(folder: Path) -> Path:
    """digits.yaml as it ships."""
    return pretrain(DIGITS, [f"data.prepared={folder / 'all'}", f"run={folder / 'large'}", "train.threads=1"])


def teacher(folder: Path) -> None:
    parent = large(folder)
    print(f"teacher: {accuracy(parent):.2f} %")
    for number, (name, data) in enumerate(STUDENTS.items()):
        place = f"data.prepared={folder / f'data-{number}'}"
        found: dict[str, list[float]] = {}
        for how, settings in TAUGHT.items():
            taught = [f"train.teacher={parent}"] if how != "alone" else []
            runs = [folder / f"{how}-{number}-{seed}" for seed in SEEDS]
            common = [*STUDENT, *data, *taught, *settings, place]
            found[how] = [
                accuracy(pretrain(DIGITS, [*common, f"run={run}", f"seed={seed}"])) for run, seed in zip(runs, SEEDS)
            ]
            gains = [other - alone for other, alone in zip(found[how], found["alone"])]
            said = f"{statistics.mean(found[how]):.2f} +- {half(found[how]):.2f} %"
            print(f"{name}, {how}: {said}, {statistics.mean(gains):+.2f} +- {half(gains):.2f}")


def prune(folder: Path) -> None:
    parent = large(folder)
    print(f"as it is: {accuracy(parent):.2f} %")
    for share in (0.5, 0.8, 0.9, 0.95):
        for name, how in (("only pruned", UNTUNED), ("and finetuned", TUNED)):
            place = [f"data.prepared={folder / 'all'}", f"run={folder / f'{name}-{share}'}", f"finetune.prune={share}"]
            print(f"{share:.0%} pruned, {name}: {accuracy(finetune(DIGITS, parent, [*how, *place])):.2f} %")


if __name__ == "__main__":
    parts: dict[str, Callable[[Path], None]] = {"teacher": teacher, "prune": prune}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(parts))
    chosen = parts[parser.parse_args().what]
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.reconfigure(line_buffering=True)
        chosen(Path(name))
