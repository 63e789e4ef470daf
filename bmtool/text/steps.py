"""The steps of cleaning: each takes and gives a whole block of lines, so that a corpus is cleaned at the speed of a few passes over it.

Only "\\n" ends a line here. Columns of a record are separated by a tab, which every step keeps.
"""

import html
import re
import sys
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from bmtool.chinese.hanzi import hanzi_mask
from bmtool.chinese.traditional import to_simplified

# NFKC would make these half-width; they are put aside while it is applied, as noncharacters, which no text should hold.
_CHINESE_MARKS = "，。！？：；（）…"
_ASIDE = {ord(mark): 0xFDD0 + index for index, mark in enumerate(_CHINESE_MARKS)}
_BACK = {code: chr(mark) for mark, code in _ASIDE.items()}
_NONCHARACTERS = dict.fromkeys(_BACK, " ")


def nfkc(text: str) -> str:
    """NFKC, with Chinese punctuation left full-width."""
    return unicodedata.normalize("NFKC", text.translate(_NONCHARACTERS).translate(_ASIDE)).translate(_BACK)


def invisible(text: str) -> str:
    """Format characters (zero-width, direction, byte-order marks) are removed; control, unassigned and private ones become spaces."""
    return "".join(c if c.isprintable() or c.isspace() else " " * (unicodedata.category(c) != "Cf") for c in text)


_SCRIPT = re.compile(r"<(script|style)\b[^\n]*?</\1[ ]*>", re.I)
_ATTRIBUTES = r"(?:[ \t]+[a-z_:@][a-z0-9_:.@-]*(?:=(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'<>]+))?)*[ \t]*/?"
_INLINE = re.compile(
    rf"</?(?:a|b|i|u|s|em|strong|span|font|mark|small|sub|sup|code|tt|q|abbr|cite){_ATTRIBUTES}>", re.I
)
_TAG = re.compile(rf"<!--[^\n]*?-->|<!doctype[^<>\n]*>|</?[a-z][a-z0-9]*{_ATTRIBUTES}>", re.I)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")


def strip_html(text: str) -> str:
    """Tags (scripts and styles with what they hold) removed, a space left for those that separate; entities resolved."""
    if "<" in text:
        text = _TAG.sub(" ", _INLINE.sub("", _SCRIPT.sub(" ", text)))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()).replace("\n", " ").replace("\t", " "), text)
    return text


_MARKDOWN = (
    (re.compile(r"^[ ]*```[^\n`]*$", re.M), ""),
    (re.compile(r"^[ ]*\|?[ :]*-{3,}[ :|-]*$", re.M), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*(?:[ ]\"[^\"\n]*\")?\)"), r"\1"),
    (re.compile(r"^[ ]{0,3}#{1,6}[ ]+", re.M), ""),
    (re.compile(r"^[ ]{0,3}(?:>[ ]+)+", re.M), ""),
    (re.compile(r"^[ ]*[-*+][ ]+", re.M), ""),
    (re.compile(r"(?<!\*)\*\*(?![*\s])([^*\n]+?)(?<!\s)\*\*(?!\*)"), r"\1"),
    (re.compile(r"(?<!\w)__(?=\S)([^_\n]+?)(?<=\S)__(?!\w)"), r"\1"),
    (re.compile(r"(?<!`)`([^`'\n]+)`(?!`)"), r"\1"),
)


def strip_markdown(text: str) -> str:
    """Headings, bullets, quotes, emphasis, code marks and rules removed; of links and images their text is kept."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


_ASCII_WORD = "A-Za-z0-9"
MASKS = (
    ("<URL>", re.compile(rf"(?:\bhttps?://|\bftp://|\bwww\.)[{_ASCII_WORD}\-._~:/?#\[\]@!$&'()*+,;=%]+", re.I | re.A)),
    ("<EMAIL>", re.compile(rf"(?<![{_ASCII_WORD}])[{_ASCII_WORD}._%+-]{{1,64}}@(?:[{_ASCII_WORD}-]{{1,63}}\.)+[A-Za-z]{{2,24}}")),
    ("<ID>", re.compile(
        rf"(?<![{_ASCII_WORD}])[1-9][0-9]{{5}}(?:18|19|20)[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{{3}}[0-9Xx](?![{_ASCII_WORD}])"
    )),
        ("<PHONE>", re.compile(
        r"(?<![0-9A-Za-z.])(?:(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}"  # mobile
        r"|\(?0[1-9][0-9]{1,2}\)?[- ]?[2-9][0-9]{6,7}"  # with an area code
        r"|[48]00[- ]?[0-9]{3}[- ]?[0-9]{4})(?![0-9A-Za-z])"  # service numbers
    )),
)  # fmt: skip


def mask(text: str) -> str:
    """URLs, e-mail addresses, identity-card and phone numbers (mainland China) replaced by what they are."""
    for name, pattern in MASKS:
        text = pattern.sub(name, text)
    return text


# Every step with a bit, which marks the characters without which it changes nothing.
STEPS: dict[str, tuple[int, Callable[[str], str]]] = {
    "html": (1, strip_html),
    "markdown": (2, strip_markdown),
    "invisible": (8, invisible),  # before NFKC: what it removes may have stood between a letter and its accent
    "nfkc": (4, nfkc),
    "simplify": (16, to_simplified),
    "mask": (32, mask),
}
SPACE = 64  # the bit of characters that are white space


@lru_cache(maxsize=1)
def bits_of_characters() -> np.ndarray:
    """For every code point the steps that it may concern, uint8 [1114112]."""
    bits = np.zeros(sys.maxunicode + 1, np.uint8)
    for start in range(0, len(bits), 256):
        codes = range(start, start + 256)
        block = "".join(map(chr, codes))
        if not block.isprintable():
            hidden = [c for c in codes if not (chr(c).isprintable() or chr(c).isspace())]
            bits[hidden] |= STEPS["invisible"][0]
        if start < 0x20000 and not 0x4E00 <= start < 0x9F00:  # elsewhere are no marks but variation selectors
            bits[[c for c in codes if unicodedata.category(chr(c))[0] == "M"]] |= STEPS["nfkc"][0]
        if not unicodedata.is_normalized("NFKC", block):
            bits[[c for c in codes if not unicodedata.is_normalized("NFKC", chr(c))]] |= STEPS["nfkc"][0]
    bits[0x1100:0x1200] |= STEPS["nfkc"][0]  # jamo, which compose without being marks
    bits[list(_BACK)] |= STEPS["nfkc"][0]
    bits[[ord(mark) for mark in _CHINESE_MARKS]] &= ~np.uint8(STEPS["nfkc"][0])
    bits[[code for code in range(0x10000) if chr(code).isspace()]] |= SPACE
    bits[[ord(c) for c in "<&"]] |= STEPS["html"][0]
    bits[[ord(c) for c in "#>-*+_`["]] |= STEPS["markdown"][0]
    bits[hanzi_mask(np.arange(len(bits)))] |= STEPS["simplify"][0]
    bits[ord("\n")] = 0
    bits[ord("0") : ord("9") + 1] |= STEPS["mask"][0]
    bits[[ord(c) for c in ":.@"]] |= STEPS["mask"][0]
    return bits
