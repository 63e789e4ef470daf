"""A table of two numbers and a class, in which some labels are wrong, most of them in the south; models of it that were made once."""

import random
from functools import cache
from pathlib import Path

from conftest import ROOT

from bmtool.commands.train import pretrain

TINY = ROOT / "bmtool/tasks/tabular/tiny.yaml"
TEXTS = ROOT / "bmtool/tasks/text_classification/tiny.yaml"
OTHERS = ["region", "age", "id", "planted"]  # columns that are not learned from


def rows(count: int = 700, seed: int = 3) -> list[dict[str, str]]:
    """In `planted` stands 1 where the label is wrong."""
    draw, found = random.Random(seed), []
    for number in range(count):
        x, y, region = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice(["north", "south", "east"])
        planted = draw.random() < (0.25 if region == "south" else 0.03)
        label = "yes" if (x + y > 0) != planted else "no"
        cells = {
            "x": f"{x:.4f}",
            "y": f"{y:.4f}",
            "region": region,
            "age": str(draw.randint(18, 80)),
            "id": f"u{number}",
        }
        found.append(cells | {"planted": str(int(planted)), "label": label})
    return found


def write(path: Path, held: list[dict[str, str]]) -> Path:
    path.write_text("\n".join([",".join(held[0]), *(",".join(row.values()) for row in held)]) + "\n")
    return path


def tables(folder: Path):
    """`make(name, settings...)`: the run directory of a model of `rows()`, which lie in `folder / "rows.csv"`."""
    source = write(folder / "rows.csv", rows())

    @cache
    def make(name: str, *more: str) -> Path:
        values = [
            f"data.source={source}", f"data.prepared={folder / 'data'}", f"run={folder / name}", "data.target=label",
            f"data.columns.ignore=[{','.join(OTHERS)}]", "data.test_share=0.5", "decide=null", "train.steps=150",
            "train.validate_every=150", "train.save_every=150", *more,
        ]  # fmt: skip
        pretrain(str(TINY), values)
        return folder / name

    return make


def texts(folder: Path):
    """`make(name, settings...)`: the run directory of a classifier of the reviews that come along."""

    @cache
    def make(name: str = "texts", *more: str) -> Path:
        values = [
            f"data.prepared={folder / 'texts-data'}", f"run={folder / name}", "train.steps=80", "train.validate_every=80",
            "train.save_every=80", "data.test_share=0.4", *more,
        ]  # fmt: skip
        pretrain(str(TEXTS), values)
        return folder / name

    return make


FEW = ("train.steps=20", "train.validate_every=20", "train.save_every=20")


def read_lines(count: int) -> list[str]:
    """The first rows of the reviews."""
    return (ROOT / "data/text-classification/reviews.csv").read_text("utf-8").splitlines()[1 : 1 + count]


def pairs(folder: Path) -> Path:
    """The run directory of a classifier of two texts."""
    lines = [line.split(",")[0] for line in read_lines(60)]
    held = [
        {"text": "颜色" if n % 2 else "物流", "text_pair": line, "label": str(n % 2)} for n, line in enumerate(lines)
    ]
    values = [
        f"data.source={write(folder / 'pairs.csv', held)}", f"data.prepared={folder / 'data'}", "data.columns={}", "data.pair=true",
        f"run={folder / 'run'}", *FEW,
    ]  # fmt: skip
    pretrain(str(TEXTS), values)
    return folder / "run"


def linear(folder: Path) -> Path:
    """The run directory of a linear classifier of n-grams."""
    pretrain(
        str(TEXTS.parent / "tiny-svm.yaml"), [f"data.prepared={folder / 'linear-data'}", f"run={folder / 'linear'}"]
    )
    return folder / "linear"
