"""The syllables of Mandarin: all of them, their parts, and the sounds that people do not tell apart."""

from collections.abc import Iterable

from bmtool.chinese.variants import SPELLINGS

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
LONGEST = max(map(len, (*SYLLABLES, *SPELLINGS)))  # letters of a syllable, however it is spelled
TONE_MARKS = "\u0304\u0301\u030c\u0300"  # combining, of tones 1 to 4

INITIALS = (
    "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "zh", "ch", "sh", "r", "z", "c", "s", "y", "w",
)  # fmt: skip
# Name of a switch -> (end or beginning of the syllable, the two sounds).
FUZZY = {
    "z/zh": ("initial", "z", "zh"), "c/ch": ("initial", "c", "ch"), "s/sh": ("initial", "s", "sh"), "n/l": ("initial", "n", "l"),
    "f/h": ("initial", "f", "h"), "r/l": ("initial", "r", "l"), "an/ang": ("final", "an", "ang"), "en/eng": ("final", "en", "eng"),
    "in/ing": ("final", "in", "ing"), "hui/fei": ("syllable", "hui", "fei"),
}  # fmt: skip


def canonical(syllable: str) -> str | None:
    """The one spelling used everywhere of a bare, lower-case syllable; None if there is no such syllable."""
    syllable = SPELLINGS.get(syllable, syllable)
    return syllable if syllable in _KNOWN else None


def initial_of(syllable: str) -> str:
    """The consonant a syllable begins with; "" when there is none."""
    return syllable[:2] if syllable[:2] in ("zh", "ch", "sh") else syllable[:1] if syllable[:1] in INITIALS else ""


def alike(syllable: str, fuzzy: Iterable[str]) -> list[str]:
    """The other syllables that are the same to someone who does not tell the sounds named in FUZZY apart."""
    found = {syllable}
    for name in fuzzy:
        where, one, other = FUZZY[name]
        for known in tuple(found):
            found.update(_exchanged(known, where, one, other), _exchanged(known, where, other, one))
    return sorted(found - {syllable})


def _exchanged(syllable: str, where: str, sound: str, other: str) -> set[str]:
    """The syllable with `other` in place of `sound`; empty where it does not have the sound, or there is no such syllable."""
    if where == "syllable":
        changed = other if syllable == sound else ""
    elif where == "initial":
        changed = other + syllable.removeprefix(sound) if initial_of(syllable) == sound else ""
    else:
        changed = syllable.removesuffix(sound) + other if syllable.endswith(sound) else ""
    return {changed} & _KNOWN
