"""Texts with their units coloured by what they add to an answer: a page, a picture, JSON lines, or the terminal."""

import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.style import Style
from rich.text import Text

from bmtool.base.console import Terminal, visible, warn
from bmtool.base.files import write_text
from bmtool.measure.attribution import SHARES
from bmtool.measure.report import show as shown

if TYPE_CHECKING:  # it makes what is shown here
    from bmtool.text.labelled.explain import Explained

TOP = 5  # units that a line names
WIDE = 48.0  # hanzi in a line of a picture; a letter is about half as wide
_FOR, _AGAINST = (214, 96, 77), (67, 147, 195)  # colours of what speaks for an answer, and against it
_TAKEN = SHARES.index(0.2)

_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Why</title>
<style>
body { font: 16px/1.9 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
h2 { font-size: 1em; margin: 2em 0 .2em } p { margin: .2em 0; white-space: pre-wrap } small { color: #555 }
mark { color: #111; padding: .1em 0 }
</style></head><body>
<p>Red speaks for the answer, blue against it.</p>
@BODY@
</body></html>
"""


class Piece(NamedTuple):
    """Some characters, and what they add as a share of the most that any unit does, -1 ... 1; 0 where they are no unit."""

    text: str
    strength: float
    adds: float = 0.0


def write(found: "Sequence[Explained]", given: int, path: Path) -> Path:
    """By the ending of the path: .html, .jsonl, or a picture."""
    _say_left_out(found, given)
    suffix = path.suffix.lower()
    if suffix in (".html", ".htm"):
        write_text(path, _PAGE.replace("@BODY@", "\n".join(map(_section, found))))
    elif suffix == ".jsonl":
        write_text(path, "".join(json.dumps(one.record(), ensure_ascii=False) + "\n" for one in found))
    else:
        _draw(found, path)
    return path


def show(found: "Sequence[Explained]", given: int) -> None:
    """On stdout: in colours on a terminal, and what speaks most for an answer and against it in words."""
    _say_left_out(found, given)
    out = Terminal(soft_wrap=True)
    for one in found:
        out.print(Text(visible(title(one)), style="bold"))
        for pieces in lines(one):
            line = Text()
            for piece in pieces:
                line.append(visible(piece.text), _style(piece.strength))
            out.print(line)
        out.print(Text(visible(most(one)), style="dim"))


def _say_left_out(found: "Sequence[Explained]", given: int) -> None:
    if given > len(found):
        warn(f"the first {len(found):,} of {given:,} texts are explained")


def title(one: "Explained") -> str:
    """The answer, and what becomes of it without some units."""
    whole, top, random = (
        shown(float(v)) for v in (one.deletion.whole, one.deletion.top[_TAKEN], one.deletion.random[_TAKEN])
    )
    return f"{one.answer} {whole}; without the {SHARES[_TAKEN]:.0%} that add most {top}, without as many at random {random}"


def most(one: "Explained") -> str:
    """The units that add most, and those that take most away."""
    order = np.argsort(-np.abs(one.added), kind="stable")[:TOP]
    named = [one.units[place] for place in order]
    return ", ".join(f"{one.texts[u.text][u.start : u.stop]} {one.added[place]:+.4f}" for u, place in zip(named, order))


def lines(one: "Explained") -> Iterator[list[Piece]]:
    """The pieces of each text, all of its characters among them."""
    scale = float(np.abs(one.added).max(initial=0)) or 1.0
    for number, text in enumerate(one.texts):
        pieces, at = [], 0
        for unit, adds in zip(one.units, one.added.tolist()):
            if unit.text == number:
                pieces += [Piece(text[at : unit.start], 0.0)] if at < unit.start else []
                pieces.append(Piece(text[unit.start : unit.stop], adds / scale, adds))
                at = unit.stop
        yield [*pieces, Piece(text[at:], 0.0)] if at < len(text) else pieces


def colour(strength: float) -> tuple[int, int, int]:
    """From white on, the stronger the farther."""
    red, green, blue = _FOR if strength > 0 else _AGAINST
    share = min(1.0, abs(strength))
    return round(255 + share * (red - 255)), round(255 + share * (green - 255)), round(255 + share * (blue - 255))


def _style(strength: float) -> Style:
    return Style(color="black", bgcolor="rgb({},{},{})".format(*colour(strength))) if strength else Style()


# --- a page ---


def _section(one: "Explained") -> str:
    body = "".join(f"<p>{''.join(map(_marked, pieces))}</p>\n" for pieces in lines(one))
    return f"<h2>{html.escape(title(one))}</h2>\n{body}<small>{html.escape(most(one))}</small>"


def _marked(piece: Piece) -> str:
    text = html.escape(visible(piece.text))
    if not piece.strength:
        return text
    return '<mark style="background:rgb({},{},{})" title="{:+.4f}">{}</mark>'.format(
        *colour(piece.strength), piece.adds, text
    )


# --- a picture ---


def _draw(found: "Sequence[Explained]", path: Path) -> None:
    from bmtool.base import drawing  # matplotlib, which predicting does without

    if any(drawing.lacks_letters(text) for one in found for text in one.texts):
        warn(
            "this machine has no font for some of the letters, which are boxes in the picture: a page (.html) has them all"
        )
    rows = [row for one in found for row in _rows(one)]
    canvas, area = drawing.plt.subplots(figsize=(9, 0.3 * len(rows) + 0.2), layout="constrained")
    area.set(xlim=(0, WIDE), ylim=(len(rows), 0))
    area.axis("off")
    for down, row in enumerate(rows):
        at = 0.0
        for piece in row:
            wide = sum(map(_width, piece.text))
            if piece.strength:
                back = [shade / 255 for shade in colour(piece.strength)]
                area.fill(
                    [at, at + wide, at + wide, at],
                    [down + 0.1, down + 0.1, down + 0.9, down + 0.9],
                    color=back,
                    linewidth=0,
                )
            area.text(at, down + 0.5, piece.text, fontsize=10, va="center", parse_math=False)
            at += wide
    drawing.save(canvas, path)


def _rows(one: "Explained") -> Iterator[list[Piece]]:
    """A title, and lines of WIDE at most, letter by letter."""
    yield [Piece(visible(title(one)), 0.0)]
    for pieces in lines(one):
        row: list[Piece] = []
        wide = 0.0
        for letter in (Piece(visible(letter), *piece[1:]) for piece in pieces for letter in piece.text):
            width = sum(map(_width, letter.text))
            if row and wide + width > WIDE:
                yield row
                row, wide = [], 0.0
            row.append(letter)
            wide += width
        yield row


def _width(letter: str) -> float:
    return 1.0 if ord(letter) >= 0x2E80 else 0.52
