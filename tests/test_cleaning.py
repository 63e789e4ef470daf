"""Cleaning, cutting, masking and filtering text."""

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bmtool.config.text import Clean
from bmtool.text import steps
from bmtool.text.boilerplate import is_boilerplate
from bmtool.text.cleaning import clean, clean_block
from bmtool.text.decode import Lines
from bmtool.text.sentences import split_sentences

OFF = dict.fromkeys(("html", "markdown", "nfkc", "invisible", "simplify", "mask"), False)
MIXED = st.text(alphabet="好天气，。！？；…“”‘’「」（）() \t\u3000\u200b\ufeff\x07Ａ１①a1<b>&;#*-_`[]é\u0301한ᄒ")


def one(text: str, **settings) -> str:
    return clean([text], Clean(**OFF | settings))[0]


@pytest.mark.parametrize("given_text, expected", [
    ("ＡＢＣ１２３，好。", "ABC123，好。"),
    ("①⑴", "1(1)"),
    ("cafe\u0301", "café"),
    ("！？：；（）…", "！？：；（）…"),
])  # fmt: skip
def test_nfkc_keeps_chinese_punctuation(given_text, expected):
    assert one(given_text, nfkc=True) == expected
    assert one(given_text) == given_text


@pytest.mark.parametrize("given_text, expected", [
    ("零\u200b宽\ufeff字\u202e", "零宽字"),
    ("控\x07制", "控 制"),
    ("两\u3000个\x85 空格 ", "两 个 空格"),
])  # fmt: skip
def test_invisible_characters_go(given_text, expected):
    assert one(given_text, invisible=True) == expected


@pytest.mark.parametrize("given_text, expected", [
    ("<p>第一段</p><p>第二<b>段</b></p>", "第一段 第二段"),
    ("你好&nbsp;世界&lt;3&#20320;", "你好 世界<3你"),
    ("前<script>var a = 1 < 2;</script>后", "前 后"),
    ("<!-- 注释 -->正文<br/>下一行", "正文 下一行"),
    ("a<b 而且 c>d", "a<b 而且 c>d"),
    ("若 x < 3 则 y > 4", "若 x < 3 则 y > 4"),
])  # fmt: skip
def test_html(given_text, expected):
    assert one(given_text, html=True) == expected


@pytest.mark.parametrize("given_text, expected", [
    ("## 标题", "标题"),
    ("- 一项", "一项"),
    ("> 引用", "引用"),
    ("看[这里](http://a.b/c)和![图](d.png)", "看这里和图"),
    ("**很**重要,`代码`,__下划__", "很重要,代码,下划"),
    ("|---|:--:|", ""),
    ("```python", ""),
    ("-5 度", "-5 度"),
    ("2 * 3 * 4", "2 * 3 * 4"),
    ("C# 和 #话题#", "C# 和 #话题#"),
    ("***的还不如人家***的", "***的还不如人家***的"),
    ("显示为 `-' 和 `|'", "显示为 `-' 和 `|'"),
    ("``不是代码``", "``不是代码``"),
])  # fmt: skip
def test_markdown(given_text, expected):
    assert one(given_text, markdown=True) == expected


def test_traditional_to_simplified():
    pytest.importorskip("opencc")
    assert one("漢語的頭髮和發展", simplify=True) == "汉语的头发和发展"


@pytest.mark.parametrize("given_text, expected", [
    ("见https://example.com/a?b=c。", "见<URL>。"),
    ("写信给 zhang.san@example.com.cn吧", "写信给 <EMAIL>吧"),
    ("电话13812345678或+86 138-1234-5678,", "电话<PHONE>或<PHONE>,"),
    ("座机010-62345678,热线400-123-4567", "座机<PHONE>,热线<PHONE>"),
    ("身份证11010519491231002X", "身份证<ID>"),
    ("2023年有12345678人", "2023年有12345678人"),
    ("订单号138123456789012", "订单号138123456789012"),
])  # fmt: skip
def test_mask(given_text, expected):
    assert one(given_text, mask=True) == expected


PRIVATE = st.sampled_from(
    ["13912345678", "a.b@c.com", "www.x.cn/y", "440524188001010014", "021-87654321", "https://我"]
)


@given(st.lists(PRIVATE | st.text(alphabet="好，。 "), max_size=8).map("好".join))
def test_masking_leaves_nothing_to_mask_and_the_rest_as_it_was(text):
    masked = steps.mask(text)
    assert steps.mask(masked) == masked
    assert not any(secret in masked for secret in ("1391234", "@", "www", "4405241", "8765432"))
    assert masked.count("好") == text.count("好")


@given(st.lists(MIXED.filter(lambda s: "\n" not in s), max_size=6))
@example(["a\ufeff\u0301"])
def test_lines_are_cleaned_apart_and_only_once(lines):
    lines = [line.replace("\t", " ") for line in lines]
    settings = Clean(simplify=False, mask=True)
    together = clean(lines, settings)
    assert together == [clean([line], settings)[0] for line in lines]
    assert all("\n" not in line and line == line.strip() for line in together)
    plain = Clean(**OFF | {"nfkc": True, "invisible": True})
    once = clean(lines, plain)
    assert clean(once, plain) == once


def test_every_step_is_counted_with_the_lines_it_changed():
    changed = []
    clean(["<b>好</b>", "Ａ", "好", "好\u200b"], Clean(), changed)
    assert [(line, step) for line, step, _ in changed] == [(0, "html"), (3, "invisible"), (1, "nfkc")]
    assert changed[2][2] == "'Ａ' → 'A'"


@pytest.mark.parametrize("line, expected", [
    ("今天好。明天呢？", ["今天好。", "明天呢？"]),
    ("他说：“走吧！我们去。”然后走了。真的吗？！是。", ["他说：“走吧！我们去。”", "然后走了。", "真的吗？！", "是。"]),
    ("“好。坏。”他叫“老王。”", ["“好。坏。”", "他叫“老王。”"]),
    ("他叫“老王”来了。走。", ["他叫“老王”来了。", "走。"]),
    ("这里（见上文。第三节）结束。完", ["这里（见上文。第三节）结束。", "完"]),
    ("没有关上的“引号。后面！", ["没有关上的“引号。", "后面！"]),
    ("……", ["……"]),
    ("「你来。我走！」「好。」", ["「你来。我走！」", "「好。」"]),
    ("", []),
])  # fmt: skip
def test_sentences_keep_quotations_whole(line, expected):
    assert list(split_sentences(line)) == expected


@given(MIXED.map(lambda s: " ".join(s.split())))
def test_sentences_give_the_text_back(line):
    sentences = list(split_sentences(line))
    assert "".join(sentences).replace(" ", "") == line.replace(" ", "")
    assert all(sentence.strip() == sentence and sentence for sentence in sentences)


def test_many_open_quotes_are_cut_at_once():
    line = "“" * 50_000 + "好。" * 50_000
    assert len(list(split_sentences(line))) == 50_000


@pytest.mark.parametrize("line", [
    "责任编辑：王小明", "【打印本页】 【关闭窗口】", "版权所有 某某公司 2020", "点击查看全文", "上一篇：某个题目", "京ICP备12345678号",
    "未经授权，不得转载", "扫描二维码关注我们", "Copyright © 2020 Example", "分享到：微信 微博 QQ空间", "相关阅读：",
])  # fmt: skip
def test_boilerplate(line):
    assert is_boilerplate(line)


@pytest.mark.parametrize("line", [
    "未经允许，他走进了房间。", "请问供配电系统的责任编辑是谁?", "函数会返回列表中的下一个元素", "他把成功的喜悦分享到每个人",
    "上一条新闻还没看完",
    "相关阅读：割点和桥", "扫码点单强制关注公众号属侵权", "编辑部的故事很好看。",
    "记者:每个月都得走几回吗?", "作者：我没有想过，只是写下来。",
])  # fmt: skip
def test_what_only_mentions_such_words_is_kept(line):
    assert not is_boilerplate(line)


@pytest.mark.parametrize("line, settings, reason", [
    ("一", {}, "fewer than 2 hanzi"),
    ("好" * 30, {"max_repeats": 8}, "a character more than 8 times in a row"),
    ("好不" * 30, {"max_characters": 50}, "longer than 50 characters"),
    ("好的 this is nearly all English", {}, "under 30% hanzi"),
    ("\u200b", {}, "nothing left after cleaning"),
    ("", {}, "empty line"),
    ("点击查看全文", {}, "boilerplate"),
])  # fmt: skip
def test_filters(line, settings, reason):
    found = clean_block(Lines([line, "这一行没有问题。"]), Clean(**settings))
    assert [(number, why) for number, why, _ in found.dropped] == [(0, reason)]
    assert found.sentences == ["这一行没有问题。"] and found.line.tolist() == [1]


def test_every_step_can_be_switched_off():
    settings = Clean(**OFF, boilerplate=False, sentences=False, min_hanzi=0, min_hanzi_share=0.0, max_repeats=0)
    lines = ["<b>一</b>。## Ａ", "点击查看全文", "哈" * 99, "English."]
    assert clean_block(Lines(list(lines)), settings).sentences == lines


def test_columns_are_cleaned_apart_and_never_cut():
    found = clean_block(Lines(["ni３ hao。 \t  你好。世界。", "yi er\tab"]), Clean())
    assert found.sentences == ["ni3 hao。\t你好。世界。"]
    assert found.dropped == [(1, "fewer than 2 hanzi", "yi er\tab")]


def test_no_character_is_passed_over():
    """`clean` gives each step only the lines that it may concern: nothing that a step would change is left out."""
    bits = steps.bits_of_characters()
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000 or code == 0x0A:
            continue
        character = chr(code)
        for name, step in (("nfkc", steps.nfkc), ("invisible", steps.invisible)):
            if not bits[code] & steps.STEPS[name][0]:
                assert step(character) == character and step(f"e{character}") == f"e{character}", (name, hex(code))
