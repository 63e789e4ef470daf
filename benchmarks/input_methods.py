"""A pinyin2hanzi model beside input-method engines: accuracy on files of Chinese text, and time a line.

    python benchmarks/input_methods.py DIRECTORY [--model RUN|FILE.onnx] [--libime PROGRAM DICTIONARY LANGUAGE_MODEL] [--runs N]

Every run of 2 to 40 hanzi of every .txt file of DIRECTORY is typed as toneless syllables with the boundaries given. Engines that were
measured elsewhere are printed from peers.tsv; libime is measured here when it is named (libime.cpp says how to build PROGRAM).
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bmtool.commands.loading import load_model
from bmtool.commands.measuring import measure as measured
from bmtool.data.tally import Tally
from bmtool.measure.bootstrap import RESAMPLES
from bmtool.predict.examples import Example
from bmtool.tasks.pinyin2hanzi.examples import file
from bmtool.tasks.pinyin2hanzi.metrics import Evaluation
from bmtool.tasks.pinyin2hanzi.predict import Translator, best_ways
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS

TIMED = 300  # runs of each file that are timed one by one


def measure(predictor: Translator, examples: list[Example]) -> tuple[str, float, np.ndarray]:
    """(accuracies as text, runs a second in batches, milliseconds of single runs)."""
    began = time.perf_counter()
    best_ways(predictor.model, [e.raw for e in examples], 1)
    rate = len(examples) / (time.perf_counter() - began)
    figures = measured(Evaluation, predictor, examples, columns=1 + RESAMPLES).figures
    shown = " / ".join(
        f"{100 * figures[name].value:.2f} ({100 * figures[name].low:.1f} - {100 * figures[name].high:.1f})"
        for name in ("character_accuracy", "sentence_accuracy")
    )
    milliseconds = []
    for example in examples[:: max(1, len(examples) // TIMED)][:TIMED]:
        began = time.perf_counter()
        best_ways(predictor.model, [example.raw], 1)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return shown, rate, np.array(milliseconds)


def libime(command: list[str], examples: list[Example]) -> tuple[str, np.ndarray]:
    """(accuracies as text, milliseconds of single runs) of libime on the same runs."""
    typed = "".join("'".join(INPUTS[number] for number in e.raw) + "\n" for e in examples)
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=True)
    right = hanzi = whole = 0
    milliseconds = []
    for line, example in zip(done.stdout.splitlines(), examples, strict=True):
        took, written = line.split("\t")
        milliseconds.append(int(took) / 1000)
        true = "".join(example.truth)  # a run holds nothing but hanzi
        right += sum(a == b for a, b in zip(true, written))
        hanzi += len(true)
        whole += true == written
    return f"{100 * right / hanzi:.2f} / {100 * whole / len(examples):.2f}", np.array(milliseconds)


def quantiles(values: np.ndarray) -> str:
    return " / ".join(f"{value:.1f}" for value in np.percentile(values, [50, 95, 99]))


def peers(domains: list[str]) -> list[tuple[str, list[str]]]:
    lines = Path(__file__).with_name("peers.tsv").read_text(encoding="utf-8").splitlines()
    heading, *rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(row[0], [dict(zip(heading, row)).get(domain, "") for domain in domains]) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--libime", nargs=3, metavar=("PROGRAM", "DICTIONARY", "LANGUAGE_MODEL"))
    parser.add_argument("--runs", type=int, help="only so many runs of each file, evenly spread")
    arguments = parser.parse_args()
    predictor = load_model(arguments.model, print, task="pinyin2hanzi").predictor
    domains, ours, theirs, times, their_times, rates = [], [], [], [], [], []
    for path in sorted(arguments.directory.glob("*.txt")):
        examples = list(file(path, "run", Tally(), [predictor]))
        if arguments.runs:
            examples = examples[:: max(1, len(examples) // arguments.runs)][: arguments.runs]
        shown, rate, milliseconds = measure(predictor, examples)
        domains.append(path.stem)
        ours.append(shown)
        rates.append(rate)
        times.append(milliseconds)
        print(f"{path.stem}: {len(examples):,} runs  {shown}  {rate:,.0f} runs/s", file=sys.stderr)
        if arguments.libime:
            shown, milliseconds = libime(arguments.libime, examples)
            theirs.append(shown)
            their_times.append(milliseconds)
    if not domains:
        sys.exit(f"no .txt file in {arguments.directory}")
    print("characters right % / whole runs right %, with 95 % intervals\n")
    print("| | " + " | ".join(domains) + " |\n| --- |" + " --- |" * len(domains))
    rows = [(f"bmtool ({arguments.model})", ours), *([("libime, this run", theirs)] if theirs else []), *peers(domains)]
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nmilliseconds a run, one at a time, p50 / p95 / p99: bmtool {quantiles(np.concatenate(times))}", end="")
    print(f", libime {quantiles(np.concatenate(their_times))}" if their_times else "")
    print(f"runs a second in batches: {min(rates):,.0f} - {max(rates):,.0f}")


if __name__ == "__main__":
    main()
