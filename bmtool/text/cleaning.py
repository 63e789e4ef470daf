"""Cleaning text: each step takes and gives a whole block of lines, so that a corpus is cleaned at the speed of a few passes over it.

Only "\\n" ends a line here. Columns of a record are separated by a tab, which every step keeps.
"""

import html
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bmtool.chinese.hanzi import hanzi_mask
from bmtool.chinese.traditional import to_simplified
from bmtool.config.text import Clean
from bmtool.text.sources import Lines

# --- steps ---

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


_NAVIGATION = "加入收藏|打印本页|关闭窗口|设为首页|网站地图|联系我们|关于我们|返回顶部|回到顶部|返回首页|返回列表|用户协议|隐私政策"
_BOILERPLATE = re.compile(
    rf"(?:(?:{_NAVIGATION})[ |·/、【】\[\]]*)+"
    "|(?:点击|阅读|查看|展开|收起)(?:此处|这里)?(?:查看|阅读|进入)?(?:全文|原文|更多|详情)(?:>>|»|…)?"
    "|[上下]一[篇页条](?:[:：].{0,60})?"
    "|(?:相关(?:阅读|新闻|推荐|链接|文章)|原文链接|热门推荐|猜你喜欢|延伸阅读|版权声明|免责声明)[:：]?"
    "|(?:(?:责任|本文|值班)?编辑|责编|来源|作者|校对|摄影)[:：][^，。？！；,?!;]{0,20}"
    "|版权所有.{0,40}|(?:Copyright|COPYRIGHT|copyright|©).{0,80}|.{0,20}[Aa]ll [Rr]ights [Rr]eserved.{0,20}"
    "|.{0,30}(?:ICP备|公网安备).{0,30}"
    "|(?:未经(?:授权|许可|允许)[,，]?)?(?:请勿|不得|严禁|禁止|谢绝)(?:擅自)?转载.{0,10}|.{0,10}转载请(?:注明|标明).{0,20}"
    "|请?(?:微信)?(?:扫码|扫一扫|扫描?(?:下方|上方)?二维码|长按(?:识别)?(?:下方)?二维码)(?:即可)?(?:关注|下载|加入)(?:我们|.{0,4}公众号)?"
    "|(?:分享|转发)到[:：]?(?:[ 、|]|微信|微博|朋友圈|QQ空间|QQ好友)*"
)
_AROUND = " 【】[]()（）<>《》|·*#-—_.。!！…"


def is_boilerplate(line: str) -> bool:
    """Whether a line is nothing but what web pages put around their text: navigation, credits, copyright, "share", "scan the code"."""
    return _BOILERPLATE.fullmatch(line.strip(_AROUND)) is not None


# Every step with a bit, which marks the characters without which it changes nothing.
STEPS: dict[str, tuple[int, Callable[[str], str]]] = {
    "html": (1, strip_html),
    "markdown": (2, strip_markdown),
    "invisible": (8, invisible),  # before NFKC: what it removes may have stood between a letter and its accent
    "nfkc": (4, nfkc),
    "simplify": (16, to_simplified),
    "mask": (32, mask),
}
_SPACE = 64


@lru_cache(maxsize=1)
def _bits() -> np.ndarray:
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
    bits[[code for code in range(0x10000) if chr(code).isspace()]] |= _SPACE
    bits[[ord(c) for c in "<&"]] |= STEPS["html"][0]
    bits[[ord(c) for c in "#>-*+_`["]] |= STEPS["markdown"][0]
    bits[hanzi_mask(np.arange(len(bits)))] |= STEPS["simplify"][0]
    bits[ord("\n")] = 0
    bits[ord("0") : ord("9") + 1] |= STEPS["mask"][0]
    bits[[ord(c) for c in ":.@"]] |= STEPS["mask"][0]
    return bits


def clean(lines: list[str], settings: Clean, changed: list[tuple[int, str, str]] | None = None) -> list[str]:
    """The lines after every step that is switched on; `changed` receives (line, step, "before → after") of each change.

    A step sees only the lines that hold a character it may concern.
    """
    if not lines:
        return []
    lines, text = list(lines), Text(lines)
    concerned = np.bitwise_or.reduceat(_bits()[text.codes], text.starts)
    concerned[text.lengths == 0] = 0
    for name, (bit, step) in STEPS.items():
        rows = np.flatnonzero(concerned & bit).tolist()
        if not getattr(settings, name) or not rows:
            continue
        before = [lines[row] for row in rows]
        after = step("\n".join(before)).split("\n")
        for row, old, new in zip(rows, before, after, strict=True):
            if old != new:
                lines[row] = new
                concerned[row] = 255  # it may hold other characters now
                if changed is not None:
                    changed.append((row, name, _difference(old, new)))
    for row in np.flatnonzero(concerned & _SPACE).tolist():
        lines[row] = "\t".join(" ".join(cell.split()) for cell in lines[row].split("\t"))
    return lines


def _difference(old: str, new: str) -> str:
    """Both from shortly before the first character in which they differ."""
    at = max(0, next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new))) - 10)
    return f"{old[at : at + 40]!r} → {new[at : at + 40]!r}"


# --- sentences ---

_ENDS = "。！？!?；;…"
_CLOSING = "”’」』）)》】\"'"
_QUOTES = "“”", "‘’", "「」", "『』", "（）", "()", "《》"
QUOTE_LENGTH = 200  # a longer quotation is cut like other text
_INNER_END = re.compile(f"[{_ENDS}][^{re.escape(_ENDS + _CLOSING)}]")
_PIECE = re.compile(
    "|".join(f"{re.escape(a)}[^{re.escape(a + b)}]{{0,{QUOTE_LENGTH}}}{re.escape(b)}" for a, b in _QUOTES)
    + f"|[{_ENDS}]+"
)
_AFTER_END = re.compile(f"[{re.escape(_ENDS + _CLOSING)}]*")


def split_sentences(line: str) -> Iterator[str]:
    """`line` cut after each sentence end, with the closing quotes and brackets that follow it; never inside a quotation.

    A quotation ends the sentence when it ends with a sentence end itself: “走吧！” is one, 他叫“老王”来了。 is not cut.
    """
    start = position = 0
    while match := _PIECE.search(line, position):
        position = match.end()
        piece = match.group()
        if piece[0] in _ENDS or (len(piece) > 2 and piece[-2] in _ENDS and piece[0] in "“‘「『"):
            position = _AFTER_END.match(line, position).end()
            if sentence := line[start:position].strip():
                yield sentence
            start = position
    if rest := line[start:].strip():
        yield rest


# --- a block ---


@dataclass
class Cleaned:
    """Sentences of a block with the line each comes from, and what happened to the others."""

    sentences: list[str]
    line: np.ndarray  # uint32, from 0 within the block
    lines: list[str]  # cleaned, whole
    dropped: list[tuple[int, str, str]]  # line, reason, text
    changed: list[tuple[int, str, str]]  # line, step, before and after


def clean_block(lines: Lines, settings: Clean) -> Cleaned:
    """Clean, cut and filter the lines of one block."""
    changed: list[tuple[int, str, str]] = []
    dropped = [(number, reason, held) for number, (reason, held) in lines.dropped.items() if reason]
    cleaned = clean(lines.text, settings, changed)
    sentences, origin = [], []
    for number, line in enumerate(cleaned):
        if not line:
            if number not in lines.dropped:
                dropped.append(
                    (number, "nothing left after cleaning" if lines.text[number].strip() else "empty line", "")
                )
        elif settings.boilerplate and is_boilerplate(line):
            dropped.append((number, "boilerplate", line))
        elif settings.sentences and _INNER_END.search(line) and "\t" not in line:
            cut = list(split_sentences(line))
            sentences += cut
            origin += [number] * len(cut)
        else:
            sentences.append(line)
            origin.append(number)
    reasons = unfit(sentences, settings)
    for index in np.flatnonzero(reasons):
        dropped.append((origin[index], _REASONS[reasons[index]](settings), sentences[index]))
    keep = np.flatnonzero(reasons == 0)
    dropped.sort(key=lambda item: item[0])
    return Cleaned([sentences[i] for i in keep], np.array(origin, np.uint32)[keep], cleaned, dropped, changed)


_REASONS: dict[int, Callable[[Clean], str]] = {
    1: lambda s: f"fewer than {s.min_hanzi} hanzi",
    2: lambda s: f"longer than {s.max_characters} characters",
    3: lambda s: f"under {s.min_hanzi_share:.0%} hanzi",
    4: lambda s: f"a character more than {s.max_repeats} times in a row",
}


def unfit(sentences: list[str], settings: Clean) -> np.ndarray:
    """For each sentence the key in _REASONS of the first filter that it fails, 0 where it fits; uint8.

    Of a record with columns the last one is measured.
    """
    reasons = np.zeros(len(sentences), np.uint8)
    if not sentences:
        return reasons
    text = Text([s.rpartition("\t")[2] for s in sentences])
    hanzi = text.sums(text.is_hanzi)
    visible = text.lengths - text.sums(text.codes == ord(" "))
    reasons[repeated(text, settings.max_repeats)] = 4
    reasons[hanzi < settings.min_hanzi_share * visible] = 3
    reasons[text.lengths > settings.max_characters] = 2
    reasons[hanzi < settings.min_hanzi] = 1
    return reasons


def repeated(text: "Text", limit: int) -> np.ndarray:
    """Mask of sentences in which one character other than a space stands more than `limit` times in a row; 0: none."""
    found = np.zeros(len(text.lengths), bool)
    if limit:
        same = (text.codes[1:] == text.codes[:-1]) & (text.codes[1:] != ord(" "))
        bounds = np.flatnonzero(np.diff(same, prepend=False, append=False)).reshape(-1, 2)
        found[text.row(bounds[bounds[:, 1] - bounds[:, 0] >= limit, 0])] = True
    return found


class Text:
    """Sentences as one array of code points, with a newline after each, and sums over them."""

    def __init__(self, sentences: list[str]):
        joined = "\n".join(sentences) + "\n"
        self.joined = joined
        self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        ends = np.flatnonzero(self.codes == ord("\n"))
        self.starts = np.append(0, ends[:-1] + 1)
        self.lengths = ends - self.starts

    @property
    def is_hanzi(self) -> np.ndarray:
        return hanzi_mask(self.codes)

    def row(self, positions: np.ndarray) -> np.ndarray:
        """The sentence that each position lies in."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of one value a character over each sentence, int64."""
        return np.add.reduceat(values, self.starts, dtype=np.int64)
