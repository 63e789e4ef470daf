"""Intervals that cover, comparisons that decide, gates that hold, metrics worked out by hand."""

import numpy as np
import pytest

from bmtool.commands.evaluate import evaluate
from bmtool.errors import ConfigError, DataError, GateMissed
from bmtool.measure import gate
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, Counts, Figure, difference, figure, ratio, weights
from bmtool.measure.meter import Totals
from bmtool.measure.numbers import NumberMeter
from bmtool.predict.examples import Example
from bmtool.tasks.pinyin2hanzi import metrics, vocab
from bmtool.tasks.pinyin2hanzi.metrics import align
from bmtool.tasks.pinyin2hanzi.predict import Translator, Written


def resampled_mean(values: np.ndarray, seed: int = 0) -> np.ndarray:
    sums, drawn = Totals(2, 1 + RESAMPLES), weights(seed)
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        sums.add(np.stack([block, np.ones_like(block)], axis=1), next(drawn)[: len(block)])
    return ratio(sums.total[:, 0], sums.total[:, 1])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, covered = np.random.default_rng(0), 0
    for repetition in range(100):
        f = figure(resampled_mean(random.binomial(1, 0.8, 200).astype(float), repetition))
        covered += f.low <= 0.8 <= f.high
    assert 88 <= covered <= 99


def test_a_real_difference_is_found_and_none_is_not():
    random = np.random.default_rng(0)
    hard = random.normal(size=400)
    model, same, better = hard + random.normal(size=400) * 0.3, hard + random.normal(size=400) * 0.3, hard + 0.2
    found, none = difference(*map(resampled_mean, (better, same))), difference(*map(resampled_mean, (model, same)))
    assert found.significant and found.low > 0
    assert not none.significant and none.low < 0 < none.high
    nothing = difference(resampled_mean(model), resampled_mean(model))
    assert nothing.p == 1 and nothing.value == 0


def test_a_biased_resample_is_centred():
    f = figure(np.concatenate([[0.5], np.random.default_rng(0).normal(0.6, 0.01, RESAMPLES)]))
    assert f.low < 0.5 < f.high


def test_nothing_counted_is_no_number():
    f = figure(ratio(np.zeros(1 + RESAMPLES), np.zeros(1 + RESAMPLES)))
    assert np.isnan(f.value) and f.as_dict() == {"value": None, "low": None, "high": None}


def test_numbers_far_from_zero_are_measured_as_those_near_it():
    random = np.random.default_rng(0)
    truth = random.normal(size=200)
    said, weight = truth + random.normal(size=200) / 2, random.poisson(1.0, (200, 5)).astype(np.float32)
    near, far = NumberMeter(5), NumberMeter(5)
    near.add(said, truth, weight)
    far.add(said + 1.7e9, truth + 1.7e9, weight)
    parts = [NumberMeter(5) for _ in range(3)]  # as processes count; the second has no example
    parts[0].add(said[:80] + 1.7e9, truth[:80] + 1.7e9, weight[:80])
    parts[2].add(said[80:] + 1.7e9, truth[80:] + 1.7e9, weight[80:])
    joined = NumberMeter(5)
    joined.join(part.state() for part in parts)
    assert joined.examples == 200
    for name, values in near.figures().items():
        np.testing.assert_allclose(far.figures()[name], values, rtol=1e-5)
        np.testing.assert_allclose(joined.figures()[name], values, rtol=1e-5)


@pytest.mark.parametrize("first", [0.1, 7e8])
def test_r2_is_no_number_where_all_truths_are_the_same(first):
    meter, weight = NumberMeter(2), np.ones((8, 2))
    weight[0, 1] = 0  # a resample without the one that differs
    meter.add(np.arange(8.0), np.array([first, *[0.3] * 7]), weight)
    r2 = meter.figures()["r2"]
    assert np.isfinite(r2[0]) and np.isnan(r2[1])


def test_counts_are_weighted_sums_per_class():
    random, counts = np.random.default_rng(0), Counts()
    weight = random.random((5, 1 + RESAMPLES)).astype(np.float32)
    things = [(f"c{random.integers(400)}", int(random.integers(5))) for _ in range(900)]
    counts.add(things[:500], weight)
    counts.add(things[500:], weight)
    counts.add([], weight)
    names = [*sorted({name for name, _ in things}), "never"]
    expected = [sum(weight[e] for n, e in things if n == name) + np.zeros(1 + RESAMPLES) for name in names]
    np.testing.assert_allclose(counts.rows(names), expected, rtol=1e-4)


FIGURES = {"cer": Figure(0.1, 0.0, 0.2), "accuracy": Figure(0.9, 0.8, 1.0), "broken": Figure(float("nan"), 0, 0)}


@pytest.mark.parametrize("bound", ["cer<=0.1", "cer < 0.2", "accuracy>=0.9", "accuracy>0.5"])
def test_gates_that_hold(bound):
    gate.check([gate.parse(bound)], FIGURES)


@pytest.mark.parametrize("bound", ["cer<=0.0999", "cer<0.1", "accuracy>=0.91", "broken<=1", "broken>=0"])
def test_gates_that_are_missed_name_figure_and_bound(bound):
    with pytest.raises(GateMissed, match=r"is (\d|nan).*required"):
        gate.check([gate.parse(bound)], FIGURES)


@pytest.mark.parametrize("text", ["cer", "cer=1", "cer<=x", "<=1", "cer<=", ""])
def test_gates_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match="METRIC<=NUMBER"):
        gate.parse(text)
    with pytest.raises(ConfigError, match="did you mean 'cer'"):
        gate.check_names([gate.parse("cerr<=1")], ["cer"])


@pytest.mark.parametrize("reference, written, right, extra", [
    ("天气好", "天气号", 2, 0), ("天气好", "天好", 2, 0), ("天好", "天气好", 2, 1), ("天", "", 0, 0), ("天气", "地", 0, 0),
])  # fmt: skip
def test_alignment(reference, written, right, extra):
    pairs = align(reference, written)
    assert sum(a == b for a, b in pairs) == right
    assert [a for a, _ in pairs if a is not None] == list(reference)
    assert [b for _, b in pairs if b is not None] == list(written)
    assert sum(a is None for a, _ in pairs) == extra


class Fake:
    """Answers by heart: input numbers -> readings and log-probabilities."""

    def __init__(self, answers: dict[tuple, tuple[list[str], list[float]]]):
        self.answers = answers
        self.vocabulary = vocab.Vocabulary({"shi": {"是": 3, "事": 1}, "ni": {"你": 1}, "hao": {"好": 1, "号": 1}})

    def write(self, lattices, n_best):
        answers = [self.answers[tuple(arc.number for arc in lattice.arcs)][0] for lattice in lattices]
        return [[Written((), tuple(text), -float(i)) for i, text in enumerate(a)][:n_best] for a in answers]

    def log_probabilities(self, sources, references):
        return [np.array(self.answers[tuple(s)][1]) for s in sources]


def test_every_metric_worked_out_by_hand():
    shi, ni, hao = (vocab.INPUT_ID[s] for s in ("shi", "ni", "hao"))
    examples = [
        Example("a", [ni, hao], ["你", "好"]),
        Example("b", [shi], ["事"]),
        Example("c", [hao, shi], ["号", "是"]),
    ]
    fake = Fake({
        (ni, hao): (["你好", "你号"], [-0.1, -0.2]),  # right at once
        (shi,): (["是", "事"], [-1.0]),  # second
        (hao, shi): (["好事", "好是"], [-2.0, -np.inf]),  # never; one right of two... none right here
    })  # fmt: skip
    evaluation = metrics.Evaluation(Translator(fake), 1 + RESAMPLES)
    kept = list(evaluation.add(examples, next(weights())[:3]))
    measured = evaluation.measured()
    values = {name: f.value for name, f in measured.figures.items()}
    assert measured.examples == 3 and [k["prediction"] for k in kept] == ["你好", "是", "好事"]
    assert values["character_accuracy"] == pytest.approx(2 / 5)
    assert values["cer"] == pytest.approx(3 / 5)
    assert values["sentence_accuracy"] == values["p@1"] == pytest.approx(1 / 3)
    assert values["p@5"] == values["p@10"] == pytest.approx(2 / 3)
    assert values["mrr"] == pytest.approx((1 + 1 / 2) / 3)
    assert values["loss"] == pytest.approx((0.1 + 0.2 + 1.0 + 2.0) / 4)
    assert values["perplexity"] == pytest.approx(np.exp(3.3 / 4))
    assert values["ece"] == pytest.approx(2 / 3)  # sure of all three, right once
    # per hanzi of the reference: (right, in the reference, written) 你 (1, 1, 1), 好 (1, 1, 2), 事 (0, 1, 1), 号 (0, 1, 0), 是 (0, 1, 1)
    assert values["macro_precision"] == pytest.approx((1 + 1 / 2 + 0 + 0 + 0) / 5)
    assert values["macro_recall"] == pytest.approx((1 + 1 + 0 + 0 + 0) / 5)
    assert values["macro_f1"] == pytest.approx((1 + 2 / 3) / 5)
    by_candidates = measured.slices["candidates of the syllable"]["1-5"]
    assert by_candidates["character_accuracy"][0] == pytest.approx(2 / 5)
    assert measured.slices["hanzi in the sentence"]["1-4"]["cer"][0] == pytest.approx(3 / 5)


def test_nothing_to_evaluate_on_is_said(tmp_path):
    (tmp_path / "none.txt").write_text("no hanzi here\n", encoding="utf-8")
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(["default"], data=str(tmp_path / "none.txt"), output=str(tmp_path))


def test_a_bound_on_what_was_not_measured_is_no_miss():
    with pytest.raises(ConfigError, match=r"--require cost<=1: not measured .*cer, accuracy"):
        gate.check([gate.parse("cost<=1")], FIGURES)
