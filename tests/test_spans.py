"""Spans of texts: how they are measured, tagged, searched, voted on and shown; no model is trained."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bmtool.errors import BadInput, DataError
from bmtool.measure.bootstrap import weights
from bmtool.measure.spans import Span, SpanMeter, kind_of, overlapping, paired
from bmtool.nn import tags
from bmtool.nn.chain import NEVER, Chains, Transitions
from bmtool.nn.crf import Crf
from bmtool.predict import spans as predicting
from bmtool.predict.examples import Example
from bmtool.predict.values import Spans

TYPES = ["person", "place", "time"]


def drawn(generator: np.random.Generator, size: int, share: float = 0.5) -> list[Span]:
    """Spans of a text of so many characters, at random."""
    out, at = [], 0
    while at < size:
        length = int(generator.integers(1, 4))
        if generator.random() < share and at + length <= size:
            out.append(Span(at, at + length, str(generator.choice(TYPES))))
        at += length
    return out


def noisy(generator: np.random.Generator, spans: list[Span], size: int) -> list[Span]:
    """What a model might say in place of them."""
    out = []
    for span in spans:
        if (chance := generator.random()) < 0.2:
            continue
        if chance < 0.4:
            out.append(span._replace(label=str(generator.choice(TYPES))))
        else:
            out.append(span._replace(end=span.end - 1) if chance < 0.6 and span.end - span.start > 1 else span)
    return out or drawn(generator, size, 0.2)


# --- figures ---


def written(spans: list[Span], size: int) -> list[str]:
    numbers = tags.numbers([(s.start, s.end, TYPES.index(s.label)) for s in spans], size)
    return ["O" if n == 0 else f"{'BIES'[(n - 1) % 4]}-{TYPES[(n - 1) // 4]}" for n in numbers.tolist()]


@pytest.mark.filterwarnings("ignore")  # seqeval warns of types that are never said
def test_figures_are_those_of_seqeval():
    metrics = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOBES

    generator = np.random.default_rng(7)
    for share in (0.5, 0.1, 0.0):
        truth = [drawn(generator, 20, share) for _ in range(30)]
        said = [noisy(generator, spans, 20) for spans in truth]
        meter = SpanMeter(TYPES)
        meter.add(said, truth, np.ones((30, 1)))
        ours, by_type = meter.figures(), meter.measured().slices["type"]
        sides = [[written(spans, 20) for spans in side] for side in (truth, said)]
        for average, prefix in (("micro", ""), ("macro", "macro_")):
            for name in ("precision", "recall", "f1"):
                function = getattr(metrics, f"{name}_score")
                theirs = function(*sides, mode="strict", scheme=IOBES, average=average, zero_division=0)
                assert ours[prefix + name][0] == pytest.approx(theirs), (share, average, name)
        report = metrics.classification_report(*sides, mode="strict", scheme=IOBES, output_dict=True, zero_division=0)
        for label, figures in by_type.items():
            assert figures["f1"][0] == pytest.approx(report[label]["f1-score"])


def test_partial_matches_places_and_kinds_of_mistakes():
    truth = [
        Span(0, 2, "person"),
        Span(3, 5, "place"),
        Span(6, 9, "time"),
        Span(10, 11, "person"),
        Span(12, 13, "time"),
    ]
    said = [Span(0, 2, "person"), Span(3, 5, "person"), Span(6, 8, "time"), Span(9, 11, "place"), Span(14, 15, "time")]
    kinds = [kind_of(*pair) for pair in paired(truth, said)]
    assert kinds == [
        "right", "right place, wrong type", "right type, wrong place", "wrong place and type", "missed", "said where there is none",
    ]  # fmt: skip
    meter = SpanMeter(TYPES)
    meter.add([said, []], [truth, []], np.ones((2, 1)))
    found = {name: float(values[0]) for name, values in meter.figures().items()}
    assert found["f1"] == pytest.approx(0.2) and found["place_f1"] == pytest.approx(0.4)
    assert found["partial_f1"] == pytest.approx(0.4) and found["sentence_accuracy"] == 0.5
    measured = meter.measured()
    assert measured.notes["place taken for person"] == 1 and measured.notes["spans right"] == 1
    assert list(measured.resamples) == list(SpanMeter.names)


def test_of_several_spans_in_one_place_the_one_that_shares_most_counts():
    truth, said = [Span(0, 6, "place")], [Span(0, 1, "time"), Span(1, 5, "person"), Span(5, 6, "time")]
    assert list(paired(truth, said)) == [(truth[0], said[1])]
    assert list(paired(said, truth)) == [(one, truth[0]) for one in said]


def test_nothing_to_find_and_nothing_said_has_no_f1():
    meter = SpanMeter(TYPES)
    meter.add([[]], [[]], np.ones((1, 1)))
    found = meter.figures()
    assert np.isnan(found["f1"][0]) and np.isnan(found["partial_f1"][0]) and found["sentence_accuracy"][0] == 1
    meter.add([[Span(0, 1, "time")]], [[]], np.ones((1, 1)))
    assert {meter.figures()[name][0] for name in ("precision", "f1", "partial_f1")} == {0.0}


def test_parts_of_a_validation_are_the_whole_and_intervals_hold_the_figure():
    generator = np.random.default_rng(1)
    truth = [drawn(generator, 15) for _ in range(60)]
    said = [noisy(generator, spans, 15) for spans in truth]
    whole, parts, joined = SpanMeter(TYPES, 1001), [SpanMeter(TYPES, 1001) for _ in range(2)], SpanMeter(TYPES, 1001)
    weight = next(weights())[:60]
    whole.add(said, truth, weight)
    for part, rows in zip(parts, (slice(0, 20), slice(20, 60))):
        part.add(said[rows], truth[rows], weight[rows])
    joined.join([part.state() for part in parts])
    for name, values in whole.figures().items():
        assert np.allclose(values, joined.figures()[name], equal_nan=True), name
    for name, figure in whole.measured().figures.items():
        assert figure.low <= figure.value <= figure.high and figure.low < figure.high, name


def test_the_confusion_of_types_is_a_picture(tmp_path):
    meter = SpanMeter(TYPES)
    meter.add([[Span(0, 1, "time")]], [[Span(0, 1, "place")]], np.ones((1, 1)))
    meter.measured().pictures["confusion"](tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_spans_that_share_a_character_overlap():
    assert overlapping([Span(3, 5, "a"), Span(0, 4, "b")]) and overlapping([Span(0, 9, "a"), Span(2, 3, "a")])
    assert not overlapping([Span(3, 5, "a"), Span(0, 3, "b")]) and not overlapping([])


# --- tags and chains ---


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_spans_come_back_from_their_tags_and_these_are_legal(seed, size):
    spans = [(s.start, s.end, TYPES.index(s.label)) for s in drawn(np.random.default_rng(seed), size, 0.8)]
    numbers, held = tags.numbers(spans, size), tags.legal(len(TYPES))
    assert list(tags.spans(numbers)) == spans
    assert size == 0 or held.first[numbers[0]] == held.last[numbers[-1]] == 0
    assert (held.between[numbers[:-1], numbers[1:]] == 0).all()


def test_every_legal_sequence_of_tags_is_one_set_of_spans():
    """Over two types and four places: what `legal` allows is what some spans give, and nothing else."""
    held, size = tags.legal(2), 4
    legal, seen = 0, set()
    for path in itertools.product(range(tags.count(2)), repeat=size):
        scores = [held.first[path[0]], held.last[path[-1]], *(held.between[a, b] for a, b in itertools.pairwise(path))]
        if min(scores) > NEVER:
            legal += 1
            spans = tuple(tags.spans(np.array(path)))
            assert tuple(tags.numbers(spans, size)) == path
            seen.add(spans)
    assert len(seen) == legal


def chain(seed: int, lengths: list[int], types: int = 1, *, free: bool = False) -> tuple[np.ndarray, Transitions]:
    """Scores [B, T, K] and transitions at random, among those that are legal unless they are `free`."""
    generator = np.random.default_rng(seed)
    count = tags.count(types)
    scores = generator.normal(0, 2, (len(lengths), max(lengths), count)).astype(np.float32)
    kept = [np.zeros_like(part) if free else part for part in tags.legal(types)]
    drawn = (generator.normal(0, 1, part.shape).astype(np.float32) for part in kept)
    return scores, Transitions(*(np.where(k <= NEVER, NEVER, d) for k, d in zip(kept, drawn)))


def ways(scores: np.ndarray, held: Transitions) -> dict[tuple[int, ...], float]:
    """Every path and its score: brute force."""
    out = {}
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        steps = sum(held.between[a, b] for a, b in itertools.pairwise(path))
        out[path] = float(held.first[path[0]] + held.last[path[-1]] + steps + scores[range(len(path)), path].sum())
    return out


@pytest.mark.parametrize("free", [True, False])
def test_the_best_path_and_the_marginals_are_those_of_brute_force(free):
    lengths = [4, 1, 3]
    scores, held = chain(3, lengths, free=free)
    chains = Chains(scores, np.array(lengths), held)
    best, marginals = chains.best(), chains.marginals()
    for row, length in enumerate(lengths):
        every = ways(scores[row, :length], held)
        assert tuple(best[row, :length]) == max(every, key=every.get)
        whole = np.logaddexp.reduce(list(every.values()))
        for at, tag in itertools.product(range(length), range(scores.shape[2])):
            having = [score for path, score in every.items() if path[at] == tag]
            assert marginals[row, at, tag] == pytest.approx(np.exp(np.logaddexp.reduce(having) - whole), abs=1e-6)


def test_the_loss_of_a_crf_is_that_of_brute_force_and_passes_over_what_is_not_kept():
    lengths = [4, 2]
    scores, held = chain(5, lengths)
    crf = Crf(tags.legal(1))
    for name, part in zip(Transitions._fields, held):
        getattr(crf, name).data = torch.from_numpy(np.where(part <= NEVER, 7.0, part).astype(np.float32))
    for ours, theirs in zip(crf.transitions(), held):
        assert np.allclose(ours, theirs)
    # places 1 and 3 of six are holes, as if they were not there
    held_at, target = [0, 2, 4, 5], np.array([[1, 2, 3, 4], [0, 1, 0, 0]])
    wide, wide_target = np.full((2, 6, 5), 9.0, np.float32), np.full((2, 6), -100)
    keep = np.zeros((2, 6), bool)
    for row, length in enumerate(lengths):
        wide[row, held_at[:length]] = scores[row, :length]
        wide_target[row, held_at[:length]], keep[row, held_at[:length]] = target[row, :length], True
    nats = crf.nats(*map(torch.from_numpy, (wide, wide_target, keep))).detach().numpy()
    for row, length in enumerate(lengths):
        every = ways(scores[row, :length], held)
        expected = np.logaddexp.reduce(list(every.values())) - every[tuple(target[row, :length].tolist())]
        assert nats[row] == pytest.approx(expected, rel=1e-4)
    nothing = crf.nats(torch.zeros(1, 3, 5), torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.bool))
    assert nothing.tolist() == [0.0]


def test_a_crf_learns_what_follows_what():
    """Scores that say nothing: all that can be learned is which tag stands behind which."""
    torch.manual_seed(0)
    crf = Crf(tags.legal(1))
    target = torch.tensor([[1, 3, 0, 4], [1, 2, 2, 3]])
    optimizer = torch.optim.Adam(crf.parameters(), 0.1)
    first = last = None
    for _ in range(60):
        last = crf.nats(torch.zeros(2, 4, 5), target, torch.ones(2, 4, dtype=torch.bool)).sum()
        first = last.item() if first is None else first
        optimizer.zero_grad()
        last.backward()
        optimizer.step()
    assert last.item() < first / 2


def test_the_probability_of_a_span_is_that_of_all_paths_that_have_it():
    scores, held = chain(11, [4])
    (found,) = predicting.found([scores[0]], held)
    every = ways(scores[0], held)
    whole = np.logaddexp.reduce(list(every.values()))
    assert found
    for (start, end, label), probability in found:
        wanted = tags.numbers([(0, end - start, label)], end - start).tolist()
        having = [score for path, score in every.items() if list(path[start:end]) == wanted]
        assert probability == pytest.approx(np.exp(np.logaddexp.reduce(having) - whole))


# --- several models, values ---


class Says:
    """A tagger that says what it is told, surely."""

    def __init__(self, types: list[str], spans: list[Span], sure: float = 1.0):
        self.types, self.spans, self.sure = types, spans, sure

    def read(self, raw):
        return SimpleNamespace(texts=(raw,))

    def marginals(self, inputs):
        numbers = [(s.start, s.end, self.types.index(s.label)) for s in self.spans]
        out = np.full((len(inputs), len(inputs[0].texts[0]), tags.count(len(self.types))), (1 - self.sure) / 100)
        for row in out:
            row[range(len(row)), tags.numbers(numbers, len(row))] = self.sure
        return list(out)


def test_models_that_know_their_types_in_another_order_are_one_by_the_mean_of_what_they_say():
    right, wrong = [Span(1, 3, "place")], [Span(0, 2, "person")]
    models = [Says(["person", "place"], right), Says(["place", "person"], right), Says(["place", "person"], wrong)]
    together = predicting.combine(models, [1, 1, 1])
    (value,) = together.predict([together.read("去北京")])
    assert value.spans == (Span(1, 3, "place"),) and value.text == "去北京"
    (heavy,) = predicting.combine(models, [1, 1, 9]).predict([together.read("去北京")])
    assert heavy.spans == (Span(0, 2, "person"),)
    with pytest.raises(DataError, match=r"differ in their types \(time\)"):
        predicting.combine([models[0], Says(["person", "place", "time"], right)], [1, 1])


def test_what_is_said_of_a_token_is_said_of_its_characters():
    """One token of three characters that is a place, then one that begins another and one that ends it."""
    types, k = 1, tags.count(1)
    said = np.zeros((3, k))
    said[0, tags.tag(0, tags.SINGLE)] = said[1, tags.tag(0, tags.BEGIN)] = said[2, tags.tag(0, tags.END)] = 1
    spread = predicting.spread(said, np.array([[0, 3], [4, 6], [6, 7]]), 8)
    assert np.allclose(spread.sum(axis=1), 1)
    (found,) = predicting.found([np.log(np.maximum(spread, 1e-30))], tags.legal(types))
    assert [span for span, _ in found] == [(0, 3, 0), (4, 7, 0)]


def test_an_evaluation_refuses_types_that_the_model_does_not_know():
    evaluation = predicting.Evaluation(Says(TYPES, []), 1)
    assert "does not know" in evaluation.refuses(Example("a", "去北京", [Span(1, 3, "dish")]))
    assert evaluation.refuses(Example("a", "去北京", [Span(1, 3, "place")])) == ""
    with pytest.raises(DataError, match="compared"):
        evaluation.unlike(predicting.Evaluation(Says(["dish"], []), 1))


def test_a_value_keeps_every_character_and_gives_places_in_characters():
    value = Spans("🐼在 cafe\u0301 等我", (Span(0, 1, "动物"), Span(3, 8, "place")), (0.9, 0.8))
    assert value.record() == {
        "spans": [
            {"start": 0, "end": 1, "label": "动物", "text": "🐼", "probability": 0.9},
            {"start": 3, "end": 8, "label": "place", "text": "cafe\u0301", "probability": 0.8},
        ]
    }
    assert value.line() == "🐼 动物 0-1\tcafe\u0301 place 3-8"
    assert value.distance(Spans(value.text, value.spans, (0.9, 0.75))) == pytest.approx(0.05)
    assert value.distance(Spans(value.text, value.spans[:1], (0.9,))) == 1.0


# --- spans as files have them ---


def read_columns(tmp_path, text: str, name: str = "a.conll"):
    from bmtool.tasks.token_classification.columns import sentences

    (tmp_path / name).write_text(text, encoding="utf-8")
    said, found = sentences(tmp_path / name)
    return said, list(found)


def column(pairs: str) -> str:
    """Lines of `token tag` from `token/tag token/tag`."""
    return "".join(f"{pair.replace('/', ' ')}\n" for pair in pairs.split(" ")) + "\n"


@pytest.mark.parametrize(
    ("pairs", "scheme"),
    [
        ("我/O 去/O 北/B-地 京/I-地 上/B-地 海/I-地", "BIO"),
        ("我/O 去/O 北/I-地 京/I-地 上/B-地 海/I-地", "IOB1"),
        ("我/O 去/O 北/B-地 京/E-地 上/B-地 海/E-地", "BIOES"),
        ("我/O 去/O 北/B-地 京/L-地 上/B-地 海/L-地", "BIOES"),
    ],
)
def test_columns_of_every_scheme_give_the_same_spans(tmp_path, pairs, scheme):
    said, (one,) = read_columns(tmp_path, column(pairs))
    assert scheme in said and "characters" in said
    assert (one.text, one.spans) == ("我去北京上海", [Span(2, 4, "地"), Span(4, 6, "地")])
    assert one.place.endswith("a.conll:1")


def test_words_are_tags_without_a_type(tmp_path):
    said, (one,) = read_columns(tmp_path, column("今/B 天/E 天/B 气/E 很/S 好/S"))
    assert "BMES" in said
    assert [one.text[s.start : s.end] for s in one.spans] == ["今天", "天气", "很", "好"]
    assert {s.label for s in one.spans} == {"word"}


def test_columns_of_words_are_written_apart_and_documents_are_no_sentences(tmp_path):
    text = (
        "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\nGerman JJ I-NP B-MISC\ncall NN I-NP O\n. . O O\n"
    )
    said, (one,) = read_columns(tmp_path, text)
    assert "words" in said and one.text == "EU rejects German call."
    assert [(one.text[s.start : s.end], s.label) for s in one.spans] == [("EU", "ORG"), ("German", "MISC")]


def test_sentences_whose_tags_are_broken_say_where(tmp_path):
    text = column("北/B-地 京/E-地 站/S-物 我/O") + column("北/B-地 京/O") + column("北/X-地 京/O") + "北\n京 O\n"
    _, (good, *bad) = read_columns(tmp_path, text)
    assert good.text and not good.problem
    assert [one.place.rpartition(":")[2] for one in bad] == ["7", "9", "12"]
    assert bad[0].problem == "a span without an end, as BIOES has it" and "no tag" in bad[1].problem
    assert bad[2].problem == "a token without a tag"
    with pytest.raises(DataError, match="no tokens with tags"):
        read_columns(tmp_path, "just a text\nof words\n", "b.txt")


FORMS = [
    [[0, 2, "人"], [3, 5, "地"]],
    [{"start": 3, "end": 5, "label": "地"}, {"start": 0, "end": 2, "type": "人", "text": "小明"}],
    [{"id": 7, "label": "人", "start_offset": 0, "end_offset": 2}, {"label": "地", "start_offset": 3, "end_offset": 5}],
    [
        {"start": 0, "end": 2, "text": "小明", "labels": ["人"]},
        {"start": 3, "end": 5, "text": "北京", "labels": ["地"]},
    ],
    [
        {"type": "labels", "value": {"start": 0, "end": 2, "text": "小明", "labels": ["人"]}},
        {"type": "labels", "value": {"start": 3, "end": 5, "text": "北京", "labels": ["地"]}},
    ],
    [[0, 2, "人"], [0, 2, "人"], [3, 5, "地"]],
]


@pytest.mark.parametrize("form", FORMS)
def test_spans_are_read_however_they_are_written(form):
    from bmtool.tasks.token_classification.targets import read

    assert read("小明在北京", form) == ([Span(0, 2, "人"), Span(3, 5, "地")], "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0-2", "no list of spans"),
        (None, "no list of spans"),
        ([[0, 2]], "no span: write"),
        ([[0, 2, 7]], "no span: write"),
        ([[0, 2.0, "人"]], "no span: write"),
        ([[-1, 2, "人"]], "no span: write"),
        ([[2, 2, "人"]], "an empty span"),
        ([[0, 3, "人"], [2, 5, "地"]], "overlap or nest"),
        ([[0, 5, "句"], [3, 5, "地"]], "overlap or nest"),
        ([[3, 6, "地"]], "ends past its text; they fit as bytes: --set data.offsets=bytes"),
        ([[3, 99, "地"]], "ends past its text$"),
        ([{"start": 0, "end": 2, "label": "人", "text": "小红"}], "is not what stands at its places"),
    ],
)
def test_what_is_no_span_of_the_text_is_refused_with_the_reason(value, reason):
    from bmtool.tasks.token_classification.targets import read

    with pytest.raises(BadInput, match=reason):
        read("小明在北京", value)


@pytest.mark.parametrize(("unit", "places"), [("utf-16", (5, 7)), ("bytes", (11, 17))])
def test_places_in_other_units_are_seen_by_the_texts_beside_them(unit, places):
    from bmtool.tasks.token_classification.targets import read

    text, (start, end) = "🐼🐼在北京", places
    spans, guessed = read(text, [{"start": start, "end": end, "label": "地", "text": "北京"}])
    assert spans == [Span(3, 5, "地")] and unit in guessed
    assert read(text, [[start, end, "地"]], unit) == ([Span(3, 5, "地")], "")
    for wrong in (
        [start + 1, end, "地"],
        [start, 99, "地"],
        {"start": start, "end": end, "label": "地", "text": "上海"},
    ):
        if unit == "bytes" or not isinstance(wrong, list) or wrong[1] == 99:
            with pytest.raises(BadInput, match=f"do not count {unit}"):
                read(text, [wrong], unit)


def test_tokens_and_their_tags_are_a_text_and_its_spans():
    from bmtool.tasks.token_classification.targets import how, of_tokens

    def read(tokens, labels):
        return of_tokens(tokens, labels, how([(tokens, labels)]))

    assert read(["今天", "很", "好"], ["S-t", "O", "S-a"]) == ("今天很好", [Span(0, 2, "t"), Span(3, 4, "a")])
    assert read(["John", "Smith", "来", "了"], ["B-人", "I-人", "O", "O"])[0] == "John Smith来了"
    for labels in (["O"], "OOO", [1, 2, 3], ["O", "B-", "O"], ["O", "E-x", "O"]):
        with pytest.raises(BadInput):
            read(["今天", "很", "好"], labels)


def test_a_lexicon_marks_where_its_words_stand_and_comes_back_from_its_lines():
    from bmtool.tasks.token_classification.lexicon import Lexicon

    held = Lexicon(["北京\t地", "北京大学\t校", "", "大学\t校", "学\t校", "小明"], "words.tsv")
    marks = held.marks("在北京大学")
    assert held.count == 5 and marks.shape == (5, held.features) == (5, 12)
    names = [f"{label}{part}" for label in held.words for part in "BIES"]
    assert [[names[n] for n in np.flatnonzero(row)] for row in marks] == [
        [], ["地B", "校B"], ["地E", "校I"], ["校B", "校I"], ["校E", "校S"],
    ]  # fmt: skip
    again = Lexicon(held.lines().splitlines(), "again")
    assert again.words == held.words and again.lines() == held.lines()
    for lines, reason in (
        (["a\tb\tc"], "words.tsv:1: expected a word"),
        ([""], "holds no word"),
        (["x" * 65], "of up to 64"),
    ):
        with pytest.raises(DataError, match=reason):
            Lexicon(lines, "words.tsv")
