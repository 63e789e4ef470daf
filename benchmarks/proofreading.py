"""How many homophone errors `translate --proofread` finds, and how many of its findings are errors.

    python benchmarks/proofreading.py FILE... [--model RUN|FILE.onnx] [--lines N] [--share 0.03]

In the text of each FILE a share of the hanzi is exchanged for another hanzi of the same syllable, drawn by how often it is written; what
is reported for the text as it was counts as false too.
"""

import argparse
from pathlib import Path

import numpy as np

from bmtool.chinese.hanzi import is_hanzi
from bmtool.chinese.readings import labeller
from bmtool.commands.loading import load_model
from bmtool.tasks.pinyin2hanzi.proofread import proofread
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, Vocabulary

THRESHOLDS = (2.0, 4.0, 6.0, 8.0)


def spoil(line: str, vocabulary: Vocabulary, share: float, random: np.random.Generator) -> str:
    """The line with errors."""
    syllables = iter(labeller().lazy(line))
    out = []
    for character in line:
        syllable = next(syllables) if is_hanzi(character) else ""
        others = {h: n + 1 for h, n in vocabulary.candidates.get(syllable, {}).items() if h != character}
        if others and INPUT_ID.get(syllable) and random.random() < share:
            weights = np.array(list(others.values()), float)
            out.append(str(random.choice(list(others), p=weights / weights.sum())))
        else:
            out.append(character)
    return "".join(out)


def places(findings: list) -> dict[int, str]:
    """Place -> suggestion, hanzi by hanzi."""
    return {f.start + i: hanzi for f in findings for i, hanzi in enumerate(f.suggested)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.03)
    arguments = parser.parse_args()
    model = load_model(arguments.model, print, task="pinyin2hanzi").predictor.model
    random = np.random.default_rng(0)
    lines = [
        line for path in arguments.files for line in path.read_text("utf-8").splitlines()[: arguments.lines] if line
    ]
    spoiled = [spoil(line, model.vocabulary, arguments.share, random) for line in lines]
    errors = sum(a != b for line, bad in zip(lines, spoiled) for a, b in zip(line, bad))
    hanzi = sum(map(is_hanzi, "".join(lines)))
    print(f"{len(lines):,} lines, {hanzi:,} hanzi, {errors:,} of them wrong\n")
    print(
        "| threshold, nats | precision | recall | corrected | found in 10,000 right hanzi |\n| --- | --- | --- | --- | --- |"
    )
    for threshold in THRESHOLDS:
        found = right = corrected = 0
        for line, bad, findings in zip(lines, spoiled, proofread(model, spoiled, threshold)):
            for place, suggestion in places(findings).items():
                found += 1
                right += line[place] != bad[place]
                corrected += line[place] != bad[place] and suggestion == line[place]
        false = sum(len(places(findings)) for findings in proofread(model, lines, threshold))
        figures = right / max(found, 1), right / max(errors, 1), corrected / max(errors, 1)
        print(
            f"| {threshold:g} | " + " | ".join(f"{100 * f:.1f} %" for f in figures) + f" | {1e4 * false / hanzi:.1f} |"
        )


if __name__ == "__main__":
    main()
