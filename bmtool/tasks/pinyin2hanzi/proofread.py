"""Homophone errors in existing text: what it would be written as, were it typed as pinyin."""

from collections.abc import Iterator
from typing import NamedTuple

from bmtool.chinese import pinyin
from bmtool.chinese.readings import labeller
from bmtool.tasks.pinyin2hanzi.tagger import TaggerPredictor
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, input_id

THRESHOLD = 6.0  # nats by which another hanzi has to be better


class Finding(NamedTuple):
    """Characters start ... end of a line, and what seems to be meant."""

    start: int
    end: int
    found: str
    suggested: str


def proofread(predictor: TaggerPredictor, lines: list[str], threshold: float = THRESHOLD) -> list[list[Finding]]:
    """What seems wrong in each line; neighbouring hanzi are one finding."""
    parts = [(number, part) for number, line in enumerate(lines) for part in _parts(line, predictor.max_length)]
    sources = [[number for number, _, _ in part] for _, part in parts]
    texts = [[text for _, text, _ in part] for _, part in parts]
    out: list[list[Finding]] = [[] for _ in lines]
    for (number, part), better in zip(parts, predictor.doubt(sources, texts, threshold)):
        for (_, old, at), new in zip(part, better):
            if new != old:
                _add(out[number], Finding(at, at + 1, old, new))
    return out


def _add(findings: list[Finding], new: Finding) -> None:
    if findings and findings[-1].end == new.start:
        last = findings.pop()
        new = Finding(last.start, new.end, last.found + new.found, last.suggested + new.suggested)
    findings.append(new)


def _parts(line: str, max_length: int) -> Iterator[list[tuple[int, str | None, int]]]:
    """(input number, hanzi or None, place in the line) of each token, at most `max_length` at once."""
    syllables = iter(labeller().lazy(line))
    part = []
    for token in pinyin.tokenise(line):
        if token.kind == "hanzi" and (syllable := next(syllables)):
            part.append((INPUT_ID[syllable], token.text, token.start))
        else:
            part.append(
                (input_id(token if token.is_copy else pinyin.Token(token.text, "other", False)), None, token.start)
            )
        if len(part) == max_length:
            yield part
            part = []
    if part:
        yield part
