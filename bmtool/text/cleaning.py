"""Cleaning the lines of a block, cutting them into sentences and filtering these."""

from dataclasses import dataclass

import numpy as np

from bmtool.config.text import Clean
from bmtool.text.boilerplate import is_boilerplate
from bmtool.text.characters import Text
from bmtool.text.decode import Lines
from bmtool.text.filters import REASONS, unfit
from bmtool.text.records import measured_texts
from bmtool.text.sentences import may_be_several, split_sentences
from bmtool.text.steps import SPACE, STEPS, bits_of_characters

WHITE_SPACE = "white space"  # made single blanks, whatever is switched on


def clean(lines: list[str], settings: Clean, changed: list[tuple[int, str, str]] | None = None) -> list[str]:
    """The lines after every step that is switched on; `changed` receives (line, step, "before → after") of each change.

    A step sees only the lines that hold a character it may concern.
    """
    if not lines:
        return []
    lines, text = list(lines), Text(lines)
    concerned = np.bitwise_or.reduceat(bits_of_characters()[text.codes], text.starts)
    concerned[text.lengths == 0] = 0
    for name, (bit, step) in STEPS.items():
        rows = np.flatnonzero(concerned & bit).tolist()
        if not getattr(settings, name) or not rows:
            continue
        before = [lines[row] for row in rows]
        after = step("\n".join(before)).split("\n")
        for row, old, new in zip(rows, before, after, strict=True):
            if old != new:
                concerned[row] = 255  # it may hold other characters now
                _change(lines, row, name, new, changed)
    for row in np.flatnonzero(concerned & SPACE).tolist():
        narrowed = "\t".join(" ".join(cell.split()) for cell in lines[row].split("\t"))
        if narrowed != lines[row]:
            _change(lines, row, WHITE_SPACE, narrowed, changed)
    return lines


def _change(lines: list[str], row: int, step: str, new: str, changed: list[tuple[int, str, str]] | None) -> None:
    if changed is not None:
        changed.append((row, step, _difference(lines[row], new)))
    lines[row] = new


def _difference(old: str, new: str) -> str:
    """Both from shortly before the first character in which they differ."""
    at = max(0, next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new))) - 10)
    return f"{old[at : at + 40]!r} → {new[at : at + 40]!r}"


@dataclass
class Cleaned:
    """Sentences of a block with the line each comes from, and what happened to the others."""

    sentences: list[str]
    line: np.ndarray  # uint32, from 0 within the block
    lines: list[str]  # cleaned, whole
    dropped: list[tuple[int, str, str]]  # line, reason, text
    changed: list[tuple[int, str, str]]  # line, step, before and after


Dropped = list[tuple[int, str, str]]


def clean_block(lines: Lines, settings: Clean, measured: int = -1) -> Cleaned:
    """Clean, cut and filter the lines of one block; of records the text in column `measured` is filtered, and none is cut."""
    changed: list[tuple[int, str, str]] = []
    dropped = [(number, reason, held) for number, (reason, held) in lines.dropped.items() if reason]
    cleaned = clean(lines.text, settings, changed)
    sentences, origin = _cut(lines, cleaned, settings, dropped)
    reasons = unfit(measured_texts(sentences, measured), settings)
    for index in np.flatnonzero(reasons):
        dropped.append((origin[index], REASONS[reasons[index]](settings), sentences[index]))
    keep = np.flatnonzero(reasons == 0)
    dropped.sort(key=lambda item: item[0])
    kept = [_whole(sentences[i], lines.targets.get(origin[i])) for i in keep]
    return Cleaned(kept, np.array(origin, np.uint32)[keep], cleaned, dropped, changed)


def _cut(lines: Lines, cleaned: list[str], settings: Clean, dropped: Dropped) -> tuple[list[str], list[int]]:
    """Sentences of plain lines, and records whole, with the line of each; lines that hold nothing of use join `dropped`."""
    sentences, origin = [], []
    for number, line in enumerate(cleaned):
        if not line:
            if number not in lines.dropped:
                why = "nothing left after cleaning" if lines.text[number].strip() else "empty line"
                dropped.append((number, why, ""))
        elif settings.boilerplate and is_boilerplate(line):
            dropped.append((number, "boilerplate", line))
        elif settings.sentences and may_be_several(line, settings.letters) and not _is_record(lines, number, line):
            cut = list(split_sentences(line, settings.letters))
            sentences += cut
            origin += [number] * len(cut)
        else:
            sentences.append(line)
            origin.append(number)
    return sentences, origin


def _is_record(lines: Lines, number: int, line: str) -> bool:
    return "\t" in line or number in lines.targets


def _whole(sentence: str, targets: str | None) -> str:
    return sentence if targets is None else f"{sentence}\t{targets}"
