"""Chinese text with its pinyin, for people who learn to read it."""

import html
import unicodedata
from collections.abc import Callable, Iterator

from bmtool.chinese import pinyin
from bmtool.chinese.readings import Labeller
from bmtool.chinese.syllables import TONE_MARKS


def with_mark(toned: str) -> str:
    """`lv4` as lǜ: the mark on a or e, on the o of ou, else on the last vowel; none for tone 5 and where the tone is unknown."""
    letters, tone = toned.rstrip("12345").replace("v", "ü"), toned[-1:]
    if tone not in "1234" or not tone:
        return letters
    for place in ("a", "e", "ou", "ê"):
        if place in letters:
            at = letters.index(place)
            break
    else:
        at = max((letters.rfind(vowel) for vowel in "iouü"), default=-1)
        at = at if at >= 0 else 0  # m, n, ng, hm, hng: on the first nasal
        if letters[at] == "h":
            at += 1
    return unicodedata.normalize("NFC", letters[: at + 1] + TONE_MARKS[int(tone) - 1] + letters[at + 1 :])


def with_number(toned: str) -> str:
    """`lv4` as lü4; the neutral tone has no number."""
    return toned.replace("v", "ü").removesuffix("5")


def _ruby(hanzi: str, toned: str) -> str:
    return f"<ruby>{hanzi}<rt>{with_mark(toned)}</rt></ruby>"


STYLES = ("marks", "numbers", "ruby")


def annotate(labeller: Labeller, line: str, style: str = "marks") -> str:
    """The pinyin of a line, syllables set apart and everything else as it stands; with `ruby` as HTML over the hanzi."""
    if style == "ruby":
        return "".join(
            _ruby(text, reading) if reading else html.escape(text) for text, reading in _read(labeller, line)
        )
    spell: Callable[[str], str] = with_mark if style == "marks" else with_number
    out: list[str] = []
    for text, reading in _read(labeller, line):
        shown = spell(reading) if reading else text
        if out and shown[:1].isalnum() and out[-1][-1:].isalnum():
            out.append(" ")
        out.append(shown)
    return "".join(out)


def _read(labeller: Labeller, line: str) -> Iterator[tuple[str, str]]:
    """(text, toned reading) of every hanzi and of what stands between; "" where there is no reading."""
    toned = iter(labeller.lazy(line, tones=True))
    end = 0
    for token in pinyin.tokenise(line):
        if token.start > end:
            yield line[end : token.start], ""
        yield token.text, next(toned) if token.kind == "hanzi" else ""
        end = token.start + len(token.text)
    if end < len(line):
        yield line[end:], ""
