"""What is typed and what comes out: a tagger whose network has no opinion, over n-grams of the embedded sentences."""

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from conftest import SAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from bmtool.chinese.annotate import annotate, with_mark
from bmtool.chinese.readings import labeller
from bmtool.chinese.syllables import alike
from bmtool.errors import DataError
from bmtool.ngram import estimate
from bmtool.ngram.model import pack
from bmtool.predict.batches import BATCH_TOKENS, SMALL, batches
from bmtool.tasks.pinyin2hanzi import decode, tagger, typed
from bmtool.tasks.pinyin2hanzi.predict import Wishes, best_ways, translate
from bmtool.tasks.pinyin2hanzi.proofread import proofread
from bmtool.tasks.pinyin2hanzi.tagger import TaggerPredictor
from bmtool.tasks.pinyin2hanzi.typed import lexicon
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice, linear, straighten
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, SPECIALS, build

EXTRA = """
先生们早上好 西安是一座古城 我们去西安看城墙 方案已经通过 他很反感 小猫爱吃鱼 中国人民 北京大学 学习计算机
他们是好人 她们在唱歌 买东西 卖东西 回来了 飞走了 是的 四个人 时间 世界 你好世界 天气很好 我们一起去公园散步
""".split()  # noqa: SIM905


class Undecided:
    """A network that finds every candidate as likely as any other."""

    def log_p(self, source_BT, known_BT, pairs_BTC):
        real = pairs_BTC >= 0
        return np.where(real, -np.log(np.maximum(real.sum(axis=-1, keepdims=True), 1)), -1e9)


@pytest.fixture(scope="module")
def predictor() -> TaggerPredictor:
    lines = [line for path in sorted(SAMPLE.glob("sentences/*.txt")) for line in path.read_text("utf-8").splitlines()]
    text = "\n".join([*lines, *EXTRA * 5])
    toned = labeller().lazy(text, tones=True)
    hanzi = [c for c in text if "一" <= c <= "鿿"]
    seen = Counter((reading.rstrip("12345"), h) for h, reading in zip(hanzi, toned) if reading)
    vocabulary = build(dict(seen), min_count=1, charset="gb2312")
    number = np.maximum(vocabulary.target_lookup() - SPECIALS + 1, 0)
    codes = np.array([min(ord(c), 0xFFFF) for c in text])
    counted = estimate.count([number[codes]], 4)
    ngram = pack(estimate.prune(estimate.kneser_ney(counted, len(vocabulary.hanzi) + 1), counted, 100_000))
    tones = np.zeros((vocabulary.pairs, 6), np.uint8)
    for h, reading in zip(hanzi, toned):
        pair = vocabulary.pair_id(INPUT_ID[reading.rstrip("12345")], h) if reading else -1
        if pair >= 0:
            tones[pair, int(reading[-1])] = 255
    settings_ = {"beam": 50, "network_weight": 0.4, "temperature": 1.0}
    return TaggerPredictor(vocabulary, Undecided(), ngram, tones, settings_, 64)


def best(predictor: TaggerPredictor, line: str, **options) -> str:
    return translate(predictor, [line], 1, Wishes(**options))[0].text


def texts(predictor: TaggerPredictor, line: str, n_best: int = 10, **options) -> list[str]:
    return [text for text, _ in translate(predictor, [line], n_best, Wishes(**options))[0].n_best]


# --- search ---


def exhaustive(predictor: TaggerPredictor, source: list[int]) -> tuple[str, np.ndarray]:
    """The best way to write a source, by trying every one, and the scores of all."""
    candidates = predictor.channel.candidates([linear(source)])
    choices = [range(candidates.first[t], candidates.first[t + 1]) for t in range(len(source))]
    chosen = np.array(list(itertools.product(*choices)))
    score, history = candidates.score[chosen].sum(axis=1), np.zeros(len(chosen), np.int64)
    for symbol in [*candidates.symbols[chosen, 0].T, np.zeros(len(chosen), np.int64)]:
        score += predictor.ngram.log_p(predictor.ngram.contexts(history), np.arange(len(chosen)), symbol)
        history = predictor.ngram.extend(history, symbol)
    best_one = int(score.argmax())
    return "".join(predictor.vocabulary.pair_hanzi[p] for p in candidates.pair[chosen[best_one]]), score


@pytest.mark.parametrize("n_best", [1, 5])
@pytest.mark.parametrize("typed_", ["ni hao", "si ge ren", "mai dong xi"])
def test_a_wide_search_finds_what_trying_everything_finds(predictor, typed_, n_best, monkeypatch):
    monkeypatch.setattr(decode, "MARGIN", 100.0)
    source = [INPUT_ID[s] for s in typed_.split()]
    candidates = predictor.channel.candidates([linear(source)])
    [(paths, log_mass)] = decode.search(
        predictor.ngram, [linear(source)], candidates, beam=5000, n_best=n_best, before=np.zeros(1, np.int64), temperature=1.4
    )  # fmt: skip
    text, scores = exhaustive(predictor, source)
    path, score = paths[0], scores.max()
    assert log_mass == pytest.approx(np.logaddexp.reduce(scores / 1.4), abs=1e-3)
    np.testing.assert_allclose([path.score for path in paths], np.sort(scores)[::-1][: len(paths)], atol=1e-4)
    assert "".join(predictor.vocabulary.pair_hanzi[p] for p in candidates.pair[list(path.candidates)]) == text
    assert path.score == pytest.approx(score, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["ni", "hao", "shi", "jie", "xi", "an"]), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    )
)
def test_lines_do_not_disturb_each_other(predictor, lines):
    sources = [[INPUT_ID[s] for s in line] for line in lines]
    together = best_ways(predictor, sources, 3)
    for source, expected in zip(sources, together):
        alone = best_ways(predictor, [source], 3)[0]
        assert [r.hanzi for r in alone] == [r.hanzi for r in expected]
        np.testing.assert_allclose([r.log_probability for r in alone], [r.log_probability for r in expected], atol=1e-6)


def test_probabilities_of_the_ways_are_ordered_and_no_more_than_one(predictor):
    found = best_ways(predictor, [[INPUT_ID[s] for s in ["shi", "jian"]]], 10)[0]
    p = np.exp([r.log_probability for r in found])
    assert (np.diff(p) <= 0).all()
    assert 0 < p.sum() <= 1 + 1e-9
    assert len({r.hanzi for r in found}) == len(found)


def test_what_the_network_rules_out_is_not_searched_but_for_the_best(predictor):
    network = np.array([-0.1, -20.0, -3.0, -30.0, -25.0, -40.0])
    first = np.array([0, 3, 6])
    assert tagger.likely(network, first, 1).tolist() == [True, False, True, False, True, False]
    assert tagger.likely(network, first, 2).tolist() == [True, False, True, True, True, False]


# --- letters ---


@pytest.mark.parametrize("line, text", [
    ("ni hao shi jie", "你好世界"),
    ("nihaoshijie", "你好世界"),
    ("nihao shijie", "你好世界"),
    ("women qu xi'an kan chengqiang", "我们去西安看城墙"),
    ("womenquxiankanchengqiang", "我们去西安看城墙"),
    ("fang'an yijing tongguo", "方案已经通过"),
    ("fanganyijingtongguo", "方案已经通过"),
    ("beijingdaxue", "北京大学"),
    ("ni hoa shijie", "你好世界"),
    ("zhognguorenmin", "中国人民"),
    ("zhongguo renmni", "中国人民"),
    ("", ""),
])  # fmt: skip
def test_joined_letters_and_slips(predictor, line, text):
    assert best(predictor, line) == text


def test_letters_that_mean_two_things_give_both(predictor):
    assert {"先", "西安"} <= set(texts(predictor, "xian", 30))
    assert {"方案", "反感"} <= set(texts(predictor, "fangan", 30))
    assert set(texts(predictor, "xi'an", 30)) & {"先"} == set()


@pytest.mark.parametrize("line", ["hello world", "iPhone", "python", "github", "NASA IBM", "A4 MP3", "xq", "ok"])
def test_words_that_are_no_pinyin_stay(predictor, line):
    assert best(predictor, line) == line


def test_what_stays_is_reported_only_where_it_looks_like_pinyin(predictor):
    found = translate(predictor, ["wo ai hello NASA iPhone qwrt strng"])[0]
    assert found.unread == ["qwrt", "strng"]


@pytest.mark.parametrize(
    "line", ["s" * 10_000, "sheng" * 2_000, "a" * 10_000, "x'" * 5_000, "zhzhzh " * 2_000, "ni1" * 3_000, "'" * 10_000]
)
def test_any_input_is_answered_at_once(predictor, line):
    began = time.process_time()
    translate(predictor, [line], 1, Wishes(initials=True, fuzzy=tuple(typed.FUZZY)))
    assert time.process_time() - began < 10


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aeionghuzxs'12345 üv:，。A好é"), max_size=24))
def test_nothing_that_can_be_typed_breaks_it(predictor, line):
    for parts in (
        typed.read(line, predictor.vocabulary, max_length=8),
        typed.read(line, predictor.vocabulary, max_length=64, initials=True),
    ):
        for part in parts:
            reached = {0}
            for arc in part.lattice.arcs:
                assert arc.end > arc.start
                if arc.start in reached:
                    reached.add(arc.end)
            assert part.lattice.size in reached
    found = translate(predictor, [line], 3)[0]
    assert found.text == found.n_best[0][0]
    assert bool(found.text) == bool(line.strip())


# --- tones ---


def test_tones_narrow_the_candidates(predictor):
    assert best(predictor, "mai3 dong1xi") == "买东西"
    assert best(predictor, "mai4 dong1xi") == "卖东西"
    assert best(predictor, "mǎi dōngxi") == "买东西"
    assert best(predictor, "màidōngxi") == "卖东西"


def test_a_wrong_tone_is_forgiven(predictor):
    assert best(predictor, "ni1 hao4 shi2 jie1") == "你好世界"


# --- fuzzy sounds and initials ---


@pytest.mark.parametrize("name, one, other", [
    ("z/zh", "zong", "zhong"), ("c/ch", "chun", "cun"), ("s/sh", "si", "shi"), ("n/l", "nan", "lan"), ("f/h", "fu", "hu"),
    ("r/l", "ren", "len"), ("an/ang", "guan", "guang"), ("en/eng", "shen", "sheng"), ("in/ing", "xin", "xing"), ("hui/fei", "hui", "fei"),
])  # fmt: skip
def test_fuzzy_sounds_go_both_ways(name, one, other):
    assert other in alike(one, [name])
    assert one in alike(other, [name])
    assert alike(one, []) == []


def test_fuzzy_sounds_combine():
    assert set(alike("zan", ["z/zh", "an/ang"])) == {"zhan", "zang", "zhang"}


def test_fuzzy_is_off_unless_asked_for_and_never_beats_what_was_typed(predictor):
    assert "是的" not in texts(predictor, "si de")
    assert "是的" in texts(predictor, "si de", fuzzy=("s/sh",))
    assert best(predictor, "si ge ren", fuzzy=tuple(typed.FUZZY)) == "四个人"


def test_initials(predictor):
    assert best(predictor, "bjdx") == "bjdx"
    assert best(predictor, "bjdx", initials=True) == "北京大学"
    assert best(predictor, "beijdx", initials=True) == "北京大学"


# --- mixed text, context, lexicon ---


def test_hanzi_and_marks_stay_and_help(predictor):
    assert best(predictor, "北京 daxue，2024年 hao!") == "北京大学，2024年好!"
    assert best(predictor, "们 zai chang ge", context="她").startswith("们")


def test_context_helps_to_choose_and_is_not_written(predictor):
    assert best(predictor, "an", context="西") == "安"
    assert best(predictor, "an", context="方") == "案"
    assert best(predictor, "", context="北京") == ""


def test_words_of_a_lexicon_win_where_they_fit(predictor):
    words = lexicon.Lexicon([("聚伞花序", ("ju", "san", "hua", "xu"), 1.0)])
    for line in ("ju san hua xu", "jusanhuaxu", "jusan huaxu"):
        assert best(predictor, line) != "聚伞花序"
        assert best(predictor, line, lexicon=words) == "聚伞花序"
    assert best(predictor, "ni hao shi jie", lexicon=words) == "你好世界"
    assert best(predictor, "jusan", lexicon=words) == best(predictor, "jusan")


def test_the_weight_of_a_word_counts(predictor):
    entries = [("泥嚎", ("ni", "hao"), 1e-6), ("拟号", ("ni", "hao"), 1e9)]
    assert best(predictor, "ni hao", lexicon=lexicon.Lexicon(entries[:1])) == "你好"
    assert best(predictor, "ni hao", lexicon=lexicon.Lexicon(entries)) == "拟号"


def test_a_lexicon_file(tmp_path, predictor):
    path = tmp_path / "words.tsv"
    path.write_text("# my words\n聚伞花序\n重庆\tchong qing\n郗僧施\txi seng shi\t5\n银行\t2\n", encoding="utf-8")
    words = lexicon.load(path)
    assert words.words == 4
    assert best(predictor, "xi seng shi", lexicon=words) == "郗僧施"


@pytest.mark.parametrize("line, word", [
    ("abc", "hanzi"), ("好\tni hao", "one syllable a hanzi"), ("好\thao\t-1", "weight"), ("好\thao\tx", "weight"),
    ("好\thao\t1\t2", "three columns"), ("好\tqqq", "one syllable a hanzi"),
])  # fmt: skip
def test_a_broken_line_of_a_lexicon_is_named(line, word, tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("你好\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"words.tsv:2: .*{word}"):
        lexicon.load(path)


# --- alternatives, proofreading, annotation ---


def test_alternatives_say_where_and_what(predictor):
    [found] = translate(predictor, ["nihao 世jie!"])
    [(_, written)] = found.ways
    weighed = predictor.weigh(written)
    assert [w[0].text for w in weighed] == ["你", "好", "世", "界", ""]
    for candidates in weighed:
        assert sum(c.probability for c in candidates) == pytest.approx(1.0)
    assert [arc.span for arc in written.arcs][:4] == [(0, 2), (2, 5), (6, 7), (7, 10)]


def test_proofreading_finds_what_was_put_wrong(predictor):
    assert proofread(predictor, ["我门一起去公圆散步。", "北京大学", ""]) == [
        [(1, 2, "门", "们"), (6, 7, "圆", "园")],
        [],
        [],
    ]


@pytest.mark.parametrize("toned, marked", [
    ("ni3", "nǐ"), ("lv4", "lǜ"), ("lve4", "lüè"), ("hao3", "hǎo"), ("dou1", "dōu"), ("gui4", "guì"), ("jiu3", "jiǔ"), ("xiong2", "xióng"),
    ("ma5", "ma"), ("de", "de"), ("er2", "ér"), ("n2", "ń"), ("hng5", "hng"), ("m2", "ḿ"), ("yuan2", "yuán"), ("ê4", "ề"),
])  # fmt: skip
def test_tone_marks(toned, marked):
    assert with_mark(toned) == marked


def test_annotation():
    reader = labeller()
    assert annotate(reader, "你好，世界！3个 OK") == "nǐ hǎo，shì jiè！3 gè OK"
    assert annotate(reader, "银行很行", "numbers") == "yin2 hang2 hen3 xing2"
    assert annotate(reader, "好<b>", "ruby") == "<ruby>好<rt>hǎo</rt></ruby>&lt;b&gt;"
    assert annotate(reader, "") == ""


@given(st.text(st.sampled_from("你好行长 ，a1<\n"), max_size=20))
def test_annotation_loses_nothing(line):
    reader = labeller()
    shown = annotate(reader, line, "ruby")
    assert shown.count("<ruby>") == sum("一" <= c <= "鿿" for c in line)
    assert [c for c in shown if "一" <= c <= "鿿"] == [c for c in line if "一" <= c <= "鿿"]


def test_lattices():
    assert linear([5, 6]).is_linear
    word = Arc(0, 2, 5, word="你好", numbers=(5, 6), cost=3.0)
    straight = straighten([word, Arc(2, 3, 7)])
    assert [(a.number, a.word, a.cost) for a in straight.arcs] == [(5, "你", 3.0), (6, "好", 0.0), (7, "", 0.0)]
    assert straight.is_linear and not Lattice((word,), 2).is_linear


@given(st.lists(st.integers(0, 130), max_size=80))
def test_batches_hold_every_line_once_and_little_padding(lengths):
    found = list(batches(lengths))
    assert sorted(number for batch in found for number in batch) == [n for n, length in enumerate(lengths) if length]
    for batch in found:
        real = [lengths[number] for number in batch]
        assert len(batch) == 1 or len(batch) * max(real) <= max(SMALL, min(BATCH_TOKENS, 2 * sum(real)))
