"""How often the passage that answers a question is found: by words (BM25), by vectors of an encoder, and by both.

    python benchmarks/retrieval.py FILE [--more FILE...] [--model RUN|FILE.onnx] [--size CHARACTERS]

FILE holds rows of question and context (.jsonl, or .jsonl.xz). Every context is cut into passages of at most so many characters, or stays
whole; those of --more are searched too. What is looked for is a passage with an answer in it, or any of the context of a row without one.
"""

import argparse
import json
import lzma
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.commands.documents import embedder
from bmtool.commands.loading import load_model
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, weights
from bmtool.measure.found import FoundMeter
from bmtool.measure.report import figure_of
from bmtool.text.retrieval.index import How, Index
from bmtool.text.retrieval.passages import Passage, cut

WHOLE = 1 << 30


def rows(path: Path) -> list[dict[str, Any]]:
    held = path.read_bytes()
    return [json.loads(line) for line in (lzma.decompress(held) if path.suffix == ".xz" else held).splitlines()]


def wanted(row: dict[str, Any], passages: Sequence[Passage], numbers: Sequence[int]) -> set[int]:
    """Of the passages of its context those that hold an answer; all where none does."""
    texts = [answer["text"] for answer in row.get("answers") or []]
    return {number for number in numbers if any(text in passages[number].text for text in texts)} or set(numbers)


def measured(index: Index, asked: Sequence[tuple[str, set[int]]], how: How) -> tuple[FoundMeter, float]:
    """The meter, and milliseconds a search."""
    meter, drawn, began = FoundMeter(1 + RESAMPLES), weights(), time.perf_counter()
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        found = [index.ranked(question, how) for question, _ in block]
        places = [
            next((n for n, one in enumerate(each, 1) if one in right), 0) for each, (_, right) in zip(found, block)
        ]
        meter.add(np.array(places), None, next(drawn)[: len(block)])
    return meter, 1000 * (time.perf_counter() - began) / len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--more", type=Path, nargs="*", default=[])
    parser.add_argument("--model")
    parser.add_argument("--size", type=int, default=WHOLE)
    arguments = parser.parse_args()
    questions = rows(arguments.file)
    contexts = dict.fromkeys(row["context"] for path in (arguments.file, *arguments.more) for row in rows(path))
    held = {context: cut(context, str(number), arguments.size) for number, context in enumerate(contexts)}
    passages = [passage for found in held.values() for passage in found]
    starts = dict(zip(held, np.cumsum([0, *map(len, held.values())]).tolist()))
    asked = [
        (
            row["question"],
            wanted(row, passages, range(start := starts[row["context"]], start + len(held[row["context"]]))),
        )
        for row in questions
    ]
    began = time.perf_counter()
    index = Index(passages, embedder(load_model(arguments.model, print).predictor) if arguments.model else None)
    seconds = time.perf_counter() - began
    print(
        f"{len(asked):,} questions, {len(passages):,} passages of {len(contexts):,} texts; index in {seconds:.1f} s\n"
    )
    print(
        f"| found by | {' | '.join(FoundMeter.names)} | ms a search |\n| --- |{' --- |' * (len(FoundMeter.names) + 1)}"
    )
    ways: tuple[How, ...] = ("words", "vectors", "hybrid") if arguments.model else ("words",)
    for how in ways:
        meter, spent = measured(index, asked, how)
        figures = [figure_of(name, values) for name, values in meter.figures().items()]
        cells = [f"{100 * one.value:.1f} ({100 * one.low:.1f} - {100 * one.high:.1f})" for one in figures]
        print(f"| {how} | {' | '.join(cells)} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
