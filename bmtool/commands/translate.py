"""`translate`: typed pinyin to text, from arguments, a file or standard input, a line in and a line out; and proofreading text."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bmtool.base.suggest import suggest
from bmtool.chinese.syllables import FUZZY
from bmtool.chinese.traditional import to_traditional
from bmtool.commands.lines import chunks, standard_input, warn
from bmtool.commands.loading import load_model
from bmtool.errors import ConfigError

WORDS_SHOWN, WORD_SHOWN = 5, 40
CHOICES = 9  # that interactive mode offers, a digit each
EXPLAINED = 5  # candidates of a position


@dataclass(frozen=True)
class Reading:
    """How lines are to be read and answered; the options of the command."""

    n_best: int = 1
    context: str = ""
    fuzzy: tuple[str, ...] = ()
    initials: bool = False
    lexicon: str | None = None
    traditional: bool = False


class Translator:
    """A model that is loaded once: lines of pinyin in, `Translation`s out."""

    def __init__(self, model: str | Path = "default", warn: Callable[[str], None] = lambda message: None):
        self.predictor = load_model(model, warn, task="pinyin2hanzi").predictor

    @classmethod
    def of(cls, predictor: Any) -> "Translator":
        """Around a predictor that is loaded already."""
        made = cls.__new__(cls)
        made.predictor = predictor
        return made

    def __call__(self, lines: list[str], reading: Reading = Reading()) -> list[Any]:
        from bmtool.tasks.pinyin2hanzi import predict
        from bmtool.tasks.pinyin2hanzi.typed import lexicon

        words = lexicon.load(Path(reading.lexicon)) if reading.lexicon else None
        options = predict.Options(fuzzy_names(reading.fuzzy), reading.initials, words, reading.context)
        found = predict.translate(self.predictor, lines, reading.n_best, options)
        return [_traditional(translation) for translation in found] if reading.traditional else found

    @property
    def weighs(self) -> bool:
        """Whether the model has candidates to compare: a tagger has, an encoder-decoder has not."""
        return hasattr(self.predictor, "weigh")

    def alternatives(self, translation: Any) -> list[dict]:
        """For every hanzi of the best text its place in the line, its syllable, and what could stand there, likeliest first."""
        if not self.weighs:
            raise ConfigError("this model has no candidates to compare: that needs a tagger")
        out = []
        for part, written in translation.ways:
            weighed = iter(self.predictor.weigh(written))
            for arc, text in zip(written.arcs, written.texts):
                for place, hanzi in enumerate(text or " "):
                    candidates = next(weighed)
                    if text is not None and arc.unit >= part.given:
                        out.append(_position(arc, place, hanzi, candidates))
        return out


def _position(arc: Any, place: int, hanzi: str, candidates: list) -> dict:
    from bmtool.tasks.pinyin2hanzi.vocab import INPUTS

    syllable = INPUTS[(arc.numbers or (arc.number,))[place]]
    return {"start": arc.span[0], "end": arc.span[1], "pinyin": syllable, "text": hanzi, "candidates": candidates}


def fuzzy_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of fuzzy sounds; `all` stands for every one."""
    for name in names:
        if name not in FUZZY and name != "all":
            raise ConfigError(
                f"unknown fuzzy sound {name!r}{suggest(name, list(FUZZY))} (known are {', '.join(FUZZY)}, all)"
            )
    return tuple(FUZZY) if "all" in names else tuple(names)


def _traditional(translation: Any) -> Any:
    n_best = [(to_traditional(text), probability) for text, probability in translation.n_best]
    return replace(translation, text=n_best[0][0], n_best=n_best)


def translate(  # noqa: PLR0913
    texts: list[str], *, model: str = "default", input_file: str | None = None, reading: Reading = Reading(), as_json: bool = False,
    explain: bool = False,
) -> None:  # fmt: skip
    """Print a translation for every line; standard input is answered line by line, a file in batches.

    Words in small letters that are no pinyin are kept as they are, with a note on stderr naming them and their line.
    """
    translator = Translator(model, warn)
    for first, name, lines in chunks(texts, input_file):
        results = translator(lines, reading)
        for number, (line, result) in enumerate(zip(lines, results), start=first):
            print(_as_json(translator, line, result) if as_json else _as_text(result), flush=True)
            if explain:
                _explain(translator.alternatives(result))
            if result.unread:
                warn(f"{name}:{number}: no pinyin, kept as it is: {_listing(result.unread)}")


def proofread(path: str, *, model: str = "default", as_json: bool = False) -> None:
    """Print what seems to be a wrong hanzi in a file of text ("-" is standard input), as FILE:LINE:COLUMN."""
    from bmtool.tasks.pinyin2hanzi.proofread import proofread as search

    predictor = load_model(model, warn, task="pinyin2hanzi").predictor
    if not hasattr(predictor, "doubt"):
        raise ConfigError("this model cannot proofread: that needs a tagger")
    for first, name, lines in chunks([], path):
        for number, (line, findings) in enumerate(zip(lines, search(predictor, lines)), start=first):
            for finding in findings:
                around = line[max(0, finding.start - 10) : finding.end + 10]
                value = {"file": name, "line": number, "column": finding.start + 1} | finding._asdict()
                shown = f"{name}:{number}:{finding.start + 1}: {finding.found} → {finding.suggested}   {around}"
                print(json.dumps(value, ensure_ascii=False) if as_json else shown, flush=True)


def interactive(*, model: str = "default", reading: Reading = Reading()) -> None:
    """Read pinyin line by line, offer candidates by number, and write what was chosen; what was written is the context of what follows."""
    translator, written = Translator(model, warn), reading.context
    _say("pinyin and Enter, then a number to choose (Enter alone: 1); an empty line ends")
    while line := _ask("> ").strip():
        found = translator([line], replace(reading, n_best=CHOICES, context=written))[0]
        for number, (text, probability) in enumerate(found.n_best, start=1):
            _say(f"{number} {text}  {probability:.2f}")
        chosen = _ask("? ").strip() or "1"
        if not (chosen.isdecimal() and 1 <= int(chosen) <= len(found.n_best)):
            _say(f"expected a number from 1 to {len(found.n_best)}; nothing was written")
            continue
        text = found.n_best[int(chosen) - 1][0]
        print(text, flush=True)
        written += text


def _ask(prompt: str) -> str:
    """A line from standard input, "" at its end; the prompt goes to stderr, so that stdout holds the text alone."""
    print(prompt, end="", file=sys.stderr, flush=True)
    return standard_input().readline()


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _explain(positions: list[dict]) -> None:
    """A line for each hanzi: how likely each candidate is with the rest as it stands, and what the n-grams, the reading and the network
    say of it, in nats."""
    for position in positions:
        shown = "  ".join(
            f"{c.text} {c.probability:.3f} ({c.ngram:.1f} {c.reading:+.1f} {c.network:+.1f})"
            for c in position["candidates"][:EXPLAINED]
        )
        print(f"    {position['pinyin']:7}{position['text']}   {shown}")


def _listing(words: list[str]) -> str:
    """The first few words, each shortened to what fits a line."""
    shown = [word if len(word) <= WORD_SHOWN else f"{word[:WORD_SHOWN]}..." for word in words[:WORDS_SHOWN]]
    return ", ".join(shown) + (f" and {len(words) - WORDS_SHOWN} more" if len(words) > WORDS_SHOWN else "")


def _as_text(result: Any) -> str:
    return "\t".join(text for text, _ in result.n_best)


def _as_json(translator: Translator, line: str, result: Any) -> str:
    return json.dumps(as_value(translator, line, result, translator.weighs), ensure_ascii=False)


def as_value(translator: Translator, line: str, result: Any, alternatives: bool) -> dict:
    """A translation as JSON has it: probabilities, and with `alternatives` every syllable with its place and its candidates."""
    n_best = [{"text": text, "probability": round(probability, 6)} for text, probability in result.n_best]
    value = {
        "input": line,
        "text": result.text,
        "confidence": round(result.confidence, 6),
        "n_best": n_best,
        "unread": result.unread,
    }
    if alternatives:
        value["syllables"] = [
            {key: p[key] for key in ("start", "end", "pinyin", "text")}
            | {
                "alternatives": [
                    {"text": c.text, "probability": round(c.probability, 6)} for c in p["candidates"][:EXPLAINED]
                ]
            }
            for p in translator.alternatives(result)
        ]
    return value
