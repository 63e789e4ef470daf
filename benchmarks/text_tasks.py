"""What pretraining gives on labelled text: an encoder finetuned, the same network from scratch, and a simple model, by number of examples.

    python benchmarks/text_tasks.py FOLDER DIR --encoder RUN --sets thucnews cluener --examples 50 500 all --seeds 1 2 3

FOLDER holds TASK/SET/train.jsonl and dev.jsonl (or .jsonl.xz), TASK one of classification, ner, qa; runs and data lie in DIR afterwards,
and what is there already is not done again. A part of the training file is the validation split; figures are of dev.jsonl, which nothing
has seen. One JSON object a line: set, examples, seed, what the model is, its figures with intervals, and seconds.
"""

import argparse
import hashlib
import json
import lzma
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load

CONFIGS = Path(__file__).parent.parent / "configs"
SHAPE = ("width", "layers", "heads", "feedforward", "context")
# Passes over the examples, steps at least and at most, and tokens of a step: of many examples and of few.
PASSES, FEWEST, MOST, TOKENS, FEW_TOKENS = 5, 120, 6000, 2048, 512
VALID = 0.1
EVERY = 12  # validations of a training


@dataclass(frozen=True)
class Kind:
    """The folder of a task, its configurations, and the figures that are shown."""

    task: str
    simple: str | None
    figures: tuple[str, ...]
    columns: dict[str, str]
    more: tuple[str, ...] = ()


KINDS = {
    "classification": Kind("text-classification", "svm", ("accuracy", "macro_f1"), {}),
    "ner": Kind("token-classification", "bilstm-crf", ("f1",), {"spans": "entities"}),
    # Every question of these sets has an answer: no texts without one.
    "qa": Kind("question-answering", None, ("exact_match", "f1"), {}, ("negatives=0",)),
}


def lines(path: Path) -> list[str]:
    """Of a .jsonl, or of one that is packed."""
    if path.is_file():
        return path.read_text("utf-8").splitlines()
    with lzma.open(path.with_suffix(".jsonl.xz"), "rt", encoding="utf-8") as stream:
        return stream.read().splitlines()


def chosen(every: Sequence[str], count: int | None, seed: int) -> list[str]:
    """So many of the lines, by a hash of each and the seed; all in another order where no number is given."""
    order = sorted(every, key=lambda line: hashlib.blake2b(f"{seed}{line}".encode()).digest())
    return order[:count]


def steps_of(rows: Sequence[str], batch_tokens: int) -> int:
    characters = sum(len(str(value)) for row in rows for value in texts(json.loads(row)))
    return max(FEWEST, min(MOST, PASSES * characters // batch_tokens))


def texts(row: dict[str, Any]) -> list[str]:
    return [row[name] for name in ("text", "question", "context") if name in row]


def settings(kind: Kind, place: Path, rows: Sequence[str], *, tokenizer: str, shape: dict[str, Any]) -> list[str]:
    """Overrides of a configuration for a network."""
    batch_tokens = TOKENS if len(rows) > 1000 else FEW_TOKENS
    steps = steps_of(rows, batch_tokens)
    every = max(1, steps // EVERY)
    given = {
        "run": place / "run", "data.source": place / "train.jsonl", "data.prepared": place / "prepared",
        "data.columns": json.dumps(kind.columns), "data.valid_share": VALID, "data.test_share": 0.0, "data.tokenizer": tokenizer,
        "train.steps": steps, "train.batch_tokens": batch_tokens, "train.validate_every": every, "train.save_every": every,
        "schedule.warmup_steps": steps // 10, **{f"model.{key}": value for key, value in shape.items()},
    }  # fmt: skip
    return [f"{key}={value}" for key, value in given.items()]


def trained(kind: Kind, how: str, place: Path, rows: Sequence[str], *, encoder: Path, more: Sequence[str]) -> Path:  # noqa: PLR0913
    """The run, whose data lie beside it; `more` are overrides of any model."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    config = CONFIGS / kind.task / f"{kind.simple if how == 'simple' else 'encoder'}.yaml"
    if how == "simple":
        data = ("source", "prepared", "columns", "valid_share", "test_share")
        given = settings(kind, place, rows, tokenizer="char", shape={})
        kept = [one for one in given if one.startswith(("run=", *(f"data.{key}=" for key in data)))]
        return pretrain(config, [*kept, *more])
    shape = {key: getattr(load(encoder / "config.yaml").model, key) for key in SHAPE}
    given = [*settings(kind, place, rows, tokenizer=str(encoder), shape=shape), *kind.more, *more]
    return finetune(config, encoder, given) if how == "finetuned" else pretrain(config, given)


def measured(args: argparse.Namespace, name: str, count: int | None, seed: int) -> Iterator[dict[str, Any]]:
    (folder,) = [path for key in KINDS for path in [args.folder / key / name] if path.is_dir()]
    kind, rows = KINDS[folder.parent.name], chosen(lines(folder / "train.jsonl"), count, seed)
    dev = args.out / name / "dev.jsonl"
    dev.parent.mkdir(parents=True, exist_ok=True)
    dev.write_text("\n".join(lines(folder / "dev.jsonl")) + "\n", encoding="utf-8")
    for how in args.models:
        if how == "simple" and kind.simple is None:
            continue
        place, began = args.out / name / f"{count or 'all'}-{seed}-{how}", time.perf_counter()
        more = [f"seed={seed}", *(args.set if how != "simple" else [])]
        run = trained(kind, how, place, rows, encoder=args.encoder, more=more)
        seconds = time.perf_counter() - began
        figures = evaluate([run], data=str(dev)).figures
        shown = {
            key: [round(100 * v, 2) for v in (figures[key].value, figures[key].low, figures[key].high)]
            for key in kind.figures
        }
        yield {"set": name, "examples": len(rows), "seed": seed, "model": how, **shown, "seconds": round(seconds, 1)}


def number(text: str) -> int | None:
    return None if text == "all" else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--examples", nargs="+", type=number, default=[None])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--models", nargs="+", choices=("finetuned", "scratch", "simple"), default=["finetuned", "scratch", "simple"]
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the networks")
    args = parser.parse_args()
    for name in args.sets:
        for count in args.examples:
            for seed in args.seeds:
                for found in measured(args, name, count, seed):
                    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
