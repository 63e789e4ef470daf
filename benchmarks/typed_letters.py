"""Sentences that come out whole when pinyin is typed in other ways than syllable by syllable.

    python benchmarks/typed_letters.py FILE... [--model RUN|FILE.onnx] [--sentences N]

From Chinese text: runs of 6 to 14 and of 16 to 36 hanzi, and runs in which one Latin word stands, either one of
`variants.LATIN` or in capitals. Their pinyin is typed syllable by syllable, then without a space, then with one slip at a
random place (two letters exchanged, one too many, too few, another one; three of ten give other pinyin that is right).
"""

import argparse
import re
import string
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from bmtool.chinese import pinyin
from bmtool.chinese.hanzi import HANZI, hanzi_runs
from bmtool.chinese.readings import labeller
from bmtool.chinese.variants import LATIN
from bmtool.commands.loading import load_model
from bmtool.tasks.pinyin2hanzi.predict import translate

ONE = f"[{HANZI}]"
MIXED = re.compile(f"(?<![A-Za-z{HANZI}])({ONE}{{2,9}})([A-Za-z]{{2,9}})({ONE}{{0,9}})(?![A-Za-z{HANZI}])")


def runs(text: str, least: int, most: int) -> list[str]:
    """Runs of hanzi of these lengths."""
    return [run for run in hanzi_runs(text) if least <= len(run) <= most]


def mixed(text: str, chosen: Callable[[str], bool]) -> list[str]:
    """Runs of hanzi and one Latin word that is chosen."""
    return ["".join(match.groups()) for match in MIXED.finditer(text) if chosen(match[2])]


def spelled(text: str) -> list[str]:
    """The syllables of the hanzi, and Latin words."""
    syllables = iter(labeller().lazy(text))
    return [next(syllables) if token.kind == "hanzi" else token.text for token in pinyin.tokenise(text)]


def slip(letters: str, random: Random) -> str:
    """The letters with one slip."""
    at, letter = random.randrange(len(letters) - 1), random.choice(string.ascii_lowercase)
    one, two = letters[at], letters[at + 1]
    return letters[:at] + random.choice([two + one, two, letter + one + two, letter + two]) + letters[at + 2 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--sentences", type=int, default=500)
    arguments = parser.parse_args()
    model = load_model(arguments.model, print, task="pinyin2hanzi").predictor.model
    random = Random(0)
    text = "\n".join(path.read_text("utf-8") for path in arguments.files)
    kinds = {
        "6 to 14 hanzi": runs(text, 6, 14),
        "16 to 36 hanzi": runs(text, 16, 36),
        "with a usual Latin word": mixed(text, lambda word: word in LATIN),
        "with a word in capitals": mixed(text, lambda word: word.isupper() and word.lower() not in LATIN),
    }
    print(
        "| typed | sentences | whole | without a space | with a slip | ms a sentence, each |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, found in kinds.items():
        sentences = random.sample(sorted(set(found)), min(arguments.sentences, len(set(found))))
        syllables = [spelled(sentence) for sentence in sentences]
        joined = ["".join(words) for words in syllables]
        shares, times = [], []
        for lines in ([" ".join(words) for words in syllables], joined, [slip(letters, random) for letters in joined]):
            began = time.perf_counter()
            answers = translate(model, lines)
            times.append(f"{1e3 * (time.perf_counter() - began) / max(1, len(lines)):.1f}")
            right = sum(answer.text == sentence for answer, sentence in zip(answers, sentences))
            shares.append(f"{100 * right / max(1, len(sentences)):.1f} %")
        print(f"| {name} | {len(sentences)} | {' | '.join(shares)} | {', '.join(times)} |", flush=True)


if __name__ == "__main__":
    main()
