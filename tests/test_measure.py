"""Intervals that cover, comparisons that decide, gates that hold, metrics worked out by hand."""

import re

import cases
import numpy as np
import pytest
from test_cli import fails

from bmtool.commands.evaluate import evaluate
from bmtool.engine import ranking
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.task import Best
from bmtool.errors import ConfigError, DataError, GateMissed
from bmtool.measure import gate
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, Counts, Figure, difference, figure, ratio, weights
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import SCALES, Totals, scale
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.report import FEW, Measured, figure_of, markdown, table
from bmtool.predict.examples import Example
from bmtool.registry import TASKS
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


def test_models_that_differ_in_one_thing_are_not_told_apart_by_a_macro_average():
    """The resamples that leave it out have no difference, and stay there when the others are moved."""
    zeros = np.zeros(1 + RESAMPLES)
    without = np.random.default_rng(0).random(RESAMPLES) < 0.35
    delta = np.concatenate([[-0.011], np.where(without, 0.0, -0.007)])
    found = difference(delta, zeros)
    assert not found.significant and found.low < 0 == found.high


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
FIGURES["infinite"] = Figure(float("inf"), 0, 0)


@pytest.mark.parametrize("bound", ["cer<=0.1", "cer < 0.2", "accuracy>=0.9", "accuracy>0.5"])
def test_gates_that_hold(bound):
    gate.check([gate.parse(bound)], FIGURES)


@pytest.mark.parametrize("bound", ["cer<=0.0999", "cer<0.1", "accuracy>=0.91", "broken<=1", "broken>=0", "infinite>=1"])
def test_gates_that_are_missed_name_figure_and_bound(bound):
    with pytest.raises(GateMissed, match=r"is (\d|no number).*required"):
        gate.check([gate.parse(bound)], FIGURES)


@pytest.mark.parametrize("text", ["cer", "cer=1", "cer<=x", "<=1", "cer<=", "", "cer<=nan", "cer<=1e999"])
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
    # per hanzi: (right, in the reference, written) 你 (1, 1, 1), 好 (1, 1, 2), 事 (0, 1, 1), 号 (0, 1, 0), 是 (0, 1, 1)
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


# --- figures of classes, with intervals ---


def drawn_meter(random: np.random.Generator) -> tuple[LabelMeter, np.ndarray, np.ndarray, np.ndarray]:
    """A meter that was fed with a random confusion, classes without examples and classes never said among them; truth, what was said."""
    classes, count = int(random.integers(2, 9)), int(random.integers(1, 80))
    true_of, said_of = (random.choice(classes, int(random.integers(1, classes + 1)), replace=False) for _ in range(2))
    truth, given = random.choice(true_of, count), random.choice(said_of, count)
    given = np.where(random.random(count) < random.random(), truth, given)
    scores = random.dirichlet(np.ones(classes) * random.choice([0.1, 1.0]), count)
    scores[np.arange(count), given] += 1.5
    scores /= scores.sum(axis=1, keepdims=True)
    meter = LabelMeter([f"c{n}" for n in range(classes)], 1 + RESAMPLES)
    drawn = weights()
    for start in range(0, count, BLOCK):
        meter.add(scores[start : start + BLOCK], truth[start : start + BLOCK], next(drawn)[: count - start])
    return meter, truth, given, scores


def test_macro_averages_are_those_of_scikit_learn():
    metrics_of = pytest.importorskip("sklearn.metrics")
    random, left_out = np.random.default_rng(0), set()
    for _ in range(60):
        meter, truth, given, _ = drawn_meter(random)
        found = meter.measured()
        expected = metrics_of.precision_recall_fscore_support(truth, given, average="macro", zero_division=0)
        for name, value in zip(("macro_precision", "macro_recall", "macro_f1"), expected):
            assert found.figures[name].value == pytest.approx(value, abs=1e-9), name
        said = " ".join(found.remarks)
        for name, is_so in (
            ("neither true nor said", len(meter.labels) > len(set(truth) | set(given))),
            ("no example is of them", bool(set(given) - set(truth))),
            ("never said", bool(set(truth) - set(given))),
            ("left out of auc", len(meter.labels) > len(set(truth)) or len(set(truth)) == 1),
        ):
            assert (name in said) == is_so, (name, said)
            left_out |= {name} if is_so else set()
    assert len(left_out) == 4  # each was met


def test_areas_are_those_of_scikit_learn_over_the_classes_that_are_true():
    metrics_of = pytest.importorskip("sklearn.metrics")
    random, compared = np.random.default_rng(1), 0
    for _ in range(60):
        meter, truth, _, scores = drawn_meter(random)
        found, present = meter.figures(), np.unique(truth)
        if len(present) == 1:
            assert np.isnan(found["auc"][0])
            continue
        each = [metrics_of.roc_auc_score(truth == n, scores[:, n].astype(np.float32)) for n in present]
        assert found["auc"][0] == pytest.approx(np.mean(each), abs=1e-6)
        compared += 1
    assert compared > 20


def test_intervals_are_within_the_range_of_their_figure_and_hold_it():
    random, names = np.random.default_rng(2), set()
    for _ in range(60):
        found = drawn_meter(random)[0].measured()
        figures = dict(found.figures) | {
            (name, part): figure_of(name, values)
            for part, metrics_of in found.slices["class"].items() for name, values in metrics_of.items()
        }  # fmt: skip
        for key, f in figures.items():
            name = key if isinstance(key, str) else key[0]
            names.add(name)
            if np.isfinite(f.low):
                assert scale(name).lowest <= f.low <= f.value <= f.high <= scale(name).highest, (key, f)
    assert names >= {"ece", "auc", "macro_f1", "loss", "precision"}


def test_a_difference_is_within_what_two_figures_can_differ():
    random = np.random.default_rng(3)
    for _ in range(30):
        (one, *_), (other, *_) = drawn_meter(random), drawn_meter(random)
        for name, d in one.measured().against(other.measured()).items():
            width = scale(name).highest - scale(name).lowest
            assert not d.low < -width and not d.high > width and not d.low > d.value and not d.high < d.value, name


def test_intervals_of_calibration_and_macro_f1_cover_about_as_often_as_they_say():
    """1,000 examples of a model of four classes that is surer than it is right; what is true is worked out from 400,000."""
    random, covered = np.random.default_rng(4), {"ece": 0, "macro_f1": 0}

    def drawn(count: int, columns: int) -> LabelMeter:
        said = random.dirichlet(np.ones(4), count)
        tempered = said**0.6 / (said**0.6).sum(axis=1, keepdims=True)
        truth = (random.random((count, 1)) > np.cumsum(tempered, axis=1)[:, :3]).sum(axis=1)
        meter = LabelMeter(list("abcd"), columns)
        weight = np.ones((count, 1)) if columns == 1 else random.poisson(1.0, (count, columns))
        weight[:, 0] = 1
        meter.add(said, truth, weight.astype(np.float32))
        return meter

    true = {name: values[0] for name, values in drawn(400_000, 1)._ratios().items()}
    for _ in range(100):
        for name, values in drawn(1_000, 201)._ratios().items():
            if name in covered:
                f = figure_of(name, values)
                covered[name] += f.low <= true[name] <= f.high
    assert all(86 <= count <= 100 for count in covered.values()), covered


def test_every_figure_of_every_task_has_a_range():
    """A name that is in no table would be taken for one of which more is better, and could be anything."""
    for name, entry in TASKS.items():
        assert set(entry.load("evaluation").names) <= set(SCALES), name


def test_what_is_no_number_is_no_figure():
    meter = LabelMeter(["a", "b", "c"], 1 + RESAMPLES)
    said = np.full((9, 3), 1 / 3)
    said[4] = np.nan  # the class that would be taken for it is even right
    meter.add(said, np.zeros(9, np.int64), next(weights())[:9])
    measured = meter.measured()
    assert all(np.isnan(values).all() for values in (*meter.figures().values(), *measured.resamples.values()))
    assert "no number" in measured.said[-1]
    for name in meter.names:
        with pytest.raises(GateMissed, match="no number"):
            gate.check([gate.parse(f"{name}>=-9")], measured.figures)


@cases.one_a_task
def test_weights_that_are_no_numbers_are_neither_measured_nor_asked(case, trained, invoke, monkeypatch, tmp_path):
    run, weights_of = trained(case), Checkpoints.weights
    if case.fitted:
        pytest.skip("its arrays are no weights of a network")

    def broken(*of) -> dict:
        return {name: t * float("nan") if t.is_floating_point() else t for name, t in weights_of(*of).items()}

    monkeypatch.setattr(Checkpoints, "weights", broken)
    for command in (["evaluate", run, "--output", tmp_path], ["predict", run, *case.asked], ["export-onnx", run]):
        fails(invoke(*command), 4, "holds what is no number (NaN in ", "optim.lr")
    assert not list(tmp_path.iterdir())


def test_few_examples_are_said_to_be_few():
    few, enough = (Measured(count, {"r2": np.zeros(1 + RESAMPLES)}) for count in (FEW - 1, FEW))
    for shown in (markdown("title", few), str(few.as_dict())):
        assert f"only {FEW - 1} examples" in shown
    for shown in (markdown("title", enough), str(enough.as_dict())):
        assert "only" not in shown


@pytest.mark.parametrize("value, low, high", [(1.0, 0.8389, 1.0), (0.0, 0.0, 0.1611)])
def test_all_or_none_right_of_few_is_no_certainty(value, low, high):
    """Wilson's interval: all resamples of 20 right answers are right."""
    held = Measured(20, {name: np.full(1 + RESAMPLES, value) for name in ("accuracy", "auc", "loss")})
    for name in ("accuracy", "auc"):
        assert (held.figures[name].low, held.figures[name].high) == pytest.approx((low, high), abs=1e-4)
    assert held.figures["loss"].low == held.figures["loss"].high == value, "an error is no share of the examples"
    drawn = np.array([0.95, *np.random.default_rng(0).normal(0.95, 0.02, RESAMPLES)])
    assert Measured(20, {"accuracy": drawn}).figures["accuracy"] == figure_of("accuracy", drawn)


@pytest.mark.parametrize("name", ["a|b", "a\nb", "<!-- x", "<script>", "`", "|", "a`b|c"])
def test_no_name_breaks_a_table(name):
    text = table([name, "n"], [[name, "1"], ["b", "2"]])
    rows = [re.split(r"(?<!\\)\|", one)[1:-1] for one in text.splitlines()]
    assert [len(row) for row in rows] == [2, 2, 2, 2] and "<" not in text and not re.search(r"(?<!\\)`", text)


def test_while_a_model_trains_the_figure_that_decides_is_beside_the_first_one():
    """Tables are decided by their loss; how many are right is what people ask."""
    figures = {"accuracy": 0.9, "auc": 0.8, "loss": 0.5, "ece": 0.1}
    assert ranking.shown(figures, Best("loss", "min")) == "loss 0.5000  accuracy 0.9000  ece 0.1000"
    assert ranking.shown(figures, Best("accuracy", "max")) == "accuracy 0.9000  loss 0.5000  ece 0.1000"
