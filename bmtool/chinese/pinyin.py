"""Pinyin as people type it and Chinese as people write it, both cut into the same tokens. Needs the standard library only.

A token is a syllable (or, in text, a hanzi) or a *copy*: punctuation, a number, a Latin word or any other symbol that
stands in input and output alike. Copies are seen by the model as a class (`copy_class`), never translated.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from bmtool.chinese.variants import ERHUA, LATIN, LETTERS, SPELLINGS

VERSION = 2  # of the rules in this file; kept in every prepared data set, run and exported model

# Every toneless syllable that some hanzi is read with; ü is v.
SYLLABLES = tuple(
    """
a ai an ang ao ba bai ban bang bao bei ben beng bi bian biang biao bie bin bing bo bong bu ca cai can cang cao ce cei
cen ceng cha chai chan chang chao che chen cheng chi chong chou chu chua chuai chuan chuang chui chun chuo ci cong cou
cu cuan cui cun cuo da dai dan dang dao de dei den deng di dia dian diao die din ding diu dong dou du duan dui dun duo
e ei en eng er fa fan fang fei fen feng fiao fo fou fu ga gai gan gang gao ge gei gen geng gong gou gu gua guai guan
guang gui gun guo ha hai han hang hao he hei hen heng hm hng hong hou hu hua huai huan huang hui hun huo ji jia jian
jiang jiao jie jin jing jiong jiu ju juan jue jun ka kai kan kang kao ke kei ken keng kong kou ku kua kuai kuan kuang
kui kun kuo la lai lan lang lao le lei len leng li lia lian liang liao lie lin ling liu lo long lou lu luan lun luo lv
lve m ma mai man mang mao me mei men meng mi mian miao mie min ming miu mo mou mu n na nai nan nang nao ne nei nen
neng ng ni nia nian niang niao nie nin ning niu nong nou nu nuan nun nuo nv nve o ou pa pai pan pang pao pei pen peng
pi pian piao pie pin ping po pou pu qi qia qian qiang qiao qie qin qing qiong qiu qu quan que qun ran rang rao re ren
reng ri rong rou ru rua ruan rui run ruo sa sai san sang sao se sen seng sha shai shan shang shao she shei shen sheng
shi shou shu shua shuai shuan shuang shui shun shuo si song sou su suan sui sun suo ta tai tan tang tao te tei teng ti
tian tiao tie ting tong tou tu tuan tui tun tuo wa wai wan wang wei wen weng wo wong wu xi xia xian xiang xiao xie xin
xing xiong xiu xu xuan xue xun ya yan yang yao ye yi yin ying yo yong you yu yuan yue yun za zai zan zang zao ze zei
zen zeng zha zhai zhan zhang zhao zhe zhei zhen zheng zhi zhong zhou zhu zhua zhuai zhuan zhuang zhui zhun zhuo zi
zong zou zu zuan zui zun zuo ê
""".split()  # noqa: SIM905 (a wall of text reads better than 426 lines)
)
_KNOWN = frozenset(SYLLABLES)
ALONE_ONLY = frozenset(("m", "n", "ng", "hm", "hng", "ê"))  # never found inside letters written together
_LONGEST = max(map(len, SYLLABLES))

# What the model sees in place of a copy.
PUNCTUATION = ("。", "，", "？", "！", "：", "；", "、", "（", "）", "“", "《", "》", "…", "—")
_PUNCTUATION_CLASS = {mark: mark for mark in PUNCTUATION} | dict(
    zip(".,?!:;()\"”‘’'「」『』·-~～", "。，？！：；（）“““““““““、———")
)
COPY_CLASSES = ("<number>", "<latin>", "<symbol>", *PUNCTUATION)

HANZI = "㐀-䶿一-鿿〇"
_LETTER = "A-Za-zÀ-ÖØ-öø-ɏǍ-ǜḀ-ỿ\u0300-\u030c"
_WORD = (
    rf"(?P<latin>[{_LETTER}](?:[{_LETTER}0-9]|['’](?=[{_LETTER}])|(?<=[nNlL][uU]):)*)"
    r"|(?P<number>[0-9]+(?:[.,:][0-9]+)*)"
)
WORD = re.compile(_WORD)  # the only tokens of more than one character
_TOKEN = re.compile(rf"(?P<hanzi>[{HANZI}])|{_WORD}|(?P<other>\S)")
_HANZI_RUN = re.compile(f"[{HANZI}]+")
_TONE_MARKS = dict.fromkeys(map(ord, "\u0304\u0301\u030c\u0300"))
_TONED_PIECES = re.compile(r"['’]|(?<=[a-zê])[1-5](?![0-9])")


class Token(NamedTuple):
    """`text` is a syllable in canonical spelling, a hanzi, or a copy as it was written."""

    text: str
    kind: str  # "syllable", "hanzi", "number", "latin" or "other"
    spaced: bool  # white space stood before it
    start: int = 0  # where it begins in the line

    @property
    def is_copy(self) -> bool:
        return self.kind not in ("syllable", "hanzi")


def tokenise(text: str) -> Iterator[Token]:
    """Chinese text as hanzi and copies."""
    end = 0
    for match in _TOKEN.finditer(text):
        yield Token(match.group(), str(match.lastgroup), match.start() > end, match.start())
        end = match.end()


def tokenise_pinyin(text: str) -> Iterator[Token]:
    """Typed pinyin as syllables and copies; hanzi that stand in the input are copies of kind "other"."""
    for token in tokenise(unicodedata.normalize("NFC", text)):
        if token.kind == "hanzi":
            yield Token(token.text, "other", token.spaced, token.start)
        elif token.kind != "latin" or (syllables := read_syllables(token.text)) is None:
            yield token
        else:
            for index, syllable in enumerate(syllables):
                yield Token(syllable, "syllable", token.spaced and index == 0, token.start)


def copy_class(token: Token) -> str:
    """The member of COPY_CLASSES that stands for a copy in the model's input."""
    if token.kind in ("number", "latin"):
        return f"<{token.kind}>"
    return _PUNCTUATION_CLASS.get(token.text, "<symbol>")


def looks_mistyped(token: Token) -> bool:
    """Whether a copied word was probably meant as pinyin: small letters only, yet neither a run of syllables nor a word that is usual."""
    return token.kind == "latin" and token.text.isalpha() and token.text.islower() and token.text not in LATIN


def is_hanzi(character: str) -> bool:
    return _HANZI_RUN.fullmatch(character) is not None


def hanzi_runs(text: str) -> list[str]:
    """Every maximal run of hanzi."""
    return _HANZI_RUN.findall(text)


@lru_cache(maxsize=1 << 16)
def read_syllables(word: str) -> tuple[str, ...] | None:
    """The canonical syllables of a typed word, or None if it is no pinyin.

    Understands tone marks and tone numbers, the spellings in `variants`, apostrophes, capitals and syllables written together.
    A word in capitals with digits (A4, MP3) is no pinyin.
    """
    if len(word) > 1 and word.isupper() and any(c.isdigit() for c in word):
        return None
    bare = unicodedata.normalize("NFD", word.lower()).translate(_TONE_MARKS)
    bare = unicodedata.normalize("NFC", bare)
    for written, meant in LETTERS:
        bare = bare.replace(written, meant)
    syllables: list[str] = []
    for piece in _TONED_PIECES.split(bare):
        if piece:
            cut = _segment(piece)
            if cut is None:
                return None
            syllables += cut
    return tuple(syllables) or None


def is_one_syllable(word: str) -> bool:
    """Whether a typed word, without its tone, is a syllable as it stands."""
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word.lower()).translate(_TONE_MARKS)).rstrip(
        "12345"
    )
    for written, meant in LETTERS:
        bare = bare.replace(written, meant)
    return canonical(bare) is not None


def canonical(syllable: str) -> str | None:
    """The one spelling used everywhere of a bare, lower-case syllable; None if there is no such syllable."""
    syllable = SPELLINGS.get(syllable, syllable)
    return syllable if syllable in _KNOWN else None


def read_toned(typed: str) -> str | None:
    """One syllable in canonical spelling with its tone number, if it was given: `lv4` for lǜ, lü4 and lv4; None for no syllable."""
    decomposed = unicodedata.normalize("NFD", typed.lower())
    marks = [tone for tone, mark in enumerate("\u0304\u0301\u030c\u0300", start=1) if mark in decomposed]
    syllables = read_syllables(typed)
    if syllables is None or len(syllables) != 1 or len(marks) > 1:
        return None
    digit = typed[-1] if typed[-1] in "12345" else ""
    return syllables[0] + (str(marks[0]) if marks else digit)


def _segment(letters: str) -> list[str] | None:
    """`letters` as the fewest syllables, the longer one first among equals; None if they do not fit."""
    if (whole := canonical(letters)) is not None:
        return [whole]
    best: list[tuple[int, int] | None] = [None] * len(letters) + [(0, 0)]  # from here: syllables needed, first length
    for start in range(len(letters) - 1, -1, -1):
        for size in range(1, min(_LONGEST, len(letters) - start) + 1):
            rest = best[start + size]
            syllable = _inside(letters, start, size)
            fits = rest is not None and syllable is not None and syllable not in ALONE_ONLY
            if fits and (best[start] is None or rest[0] + 1 <= best[start][0]):
                best[start] = (rest[0] + 1, size)
    if best[0] is None:
        return None
    cut, start = [], 0
    while start < len(letters):
        size = best[start][1]
        cut.append(_inside(letters, start, size))
        start += size
    return cut


def _inside(letters: str, start: int, size: int) -> str | None:
    """The syllable at a place in joined letters, where `r` after another syllable is erhua."""
    piece = letters[start : start + size]
    return ERHUA[1] if piece == ERHUA[0] and start else canonical(piece)


def join(pieces: list[tuple[str, Token]]) -> str:
    """Output text from (output, input token) pairs: spaces survive only between two copies."""
    out: list[str] = []
    previous_copy = False
    for text, token in pieces:
        if token.spaced and token.is_copy and previous_copy:
            out.append(" ")
        out.append(text)
        previous_copy = token.is_copy
    return "".join(out)
