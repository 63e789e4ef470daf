"""Linear models of n-grams beside scikit-learn, small networks on tokens, and `compare`, which trains them all."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from bmtool.commands.compare import Asked, compare
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.config import shipped
from bmtool.config.load import load
from bmtool.errors import ConfigError, DataError
from bmtool.registry import TASKS
from bmtool.tasks.text_classification.model import Attention, Fixed
from bmtool.text import grams
from bmtool.text.labelled.models import BagModel, RnnModel, TextCnnModel
from bmtool.text.labelled.prepare import kind_of
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.trunks import small

REVIEWS = ROOT / "data" / "text-classification" / "reviews.csv"
TEXTS = ["好吃，好吃！", "Very  good", "不好吃", "", "very bad ,very", "👍🏽好 e\u0301", "好"]
CONFIG = """\
task: text-classification
run: {folder}/run
seed: 1
data:
  source: {source}
  prepared: {folder}/data
  columns: {{label: {label}}}
  valid_share: 0.2
  test_share: 0.2
{data}model: {model}
calibrate: false
train: {{threads: 1}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text-models")


@pytest.fixture
def config(folder):
    """`config(model, label, data)`: a file, and prepared data of its own for each label."""

    def make(model: str, label: str = "topic", data: str = "", source=REVIEWS):
        place = folder / label
        place.mkdir(exist_ok=True)
        path = place / "config.yaml"
        path.write_text(CONFIG.format(folder=place, source=source, label=label, data=data, model=model), "utf-8")
        return path

    return make


def texts_of(config, split):
    """Texts and what is right of them, as the models read them."""
    read = Texts(config.data.prepared, split, kind_of(config))
    return [draft.texts[0] for draft in read.drafts], [draft.target for draft in read.drafts]


# --- n-grams ---


def dense(rows, features):
    return csr_matrix((rows.value, rows.feature, rows.start), (len(rows), features)).toarray()


@pytest.mark.parametrize("analyser", ["char", "word"])
@pytest.mark.parametrize(("lowest", "highest", "least"), [(1, 3, 1), (2, 3, 2), (1, 1, 2), (3, 5, 1)])
def test_features_are_those_of_scikit_learn(analyser, lowest, highest, least):
    texts = (
        TEXTS + [text[1:] for text in TEXTS] + ["one two three four", "two three four five", "one two three five six"]
    )
    theirs = TfidfVectorizer(
        analyzer=analyser, ngram_range=(lowest, highest), min_df=least, sublinear_tf=True, token_pattern=r"(?u)\b\w\w+\b"
    ).fit(texts)  # fmt: skip
    kind = grams.Kind({"char": "characters", "word": "words"}[analyser], lowest, highest)
    table, _ = grams.learned(texts, kind, least=least, most=10_000)
    asked = [*texts, "六六", "five four five good good", "x" * 3000]
    ours, wanted = dense(table.features(asked), len(table.weight)), theirs.transform(asked).toarray()
    assert ours.shape == wanted.shape
    # The same columns in another order.
    np.testing.assert_allclose(np.sort(ours, axis=1), np.sort(wanted, axis=1), atol=1e-6)
    np.testing.assert_allclose(ours @ ours.T, wanted @ wanted.T, atol=1e-5)


def test_too_many_ngrams_leave_out_those_of_the_fewest_texts():
    texts = [line.split(",")[0] for line in REVIEWS.read_text("utf-8").splitlines()[1:]]
    table, least = grams.learned(texts, grams.Kind(), least=1, most=300)
    again, _ = grams.learned(texts, grams.Kind(), least=least, most=10**6)
    fewer, _ = grams.learned(texts, grams.Kind(), least=least - 1, most=10**6)
    assert len(table.weight) == len(again.weight) <= 300 < len(fewer.weight)
    for ours, theirs in zip(table.features(texts), again.features(texts)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_table_is_the_same_when_it_is_read_again_and_in_blocks(monkeypatch):
    for unit in ("characters", "words"):
        table, _ = grams.learned(TEXTS * 2, grams.Kind(unit, 1, 2), least=2, most=1000)
        again = grams.Table.of(table.kind, table.arrays(), sublinear=True)
        whole = table.features(TEXTS)
        with monkeypatch.context() as patched:
            patched.setattr(grams, "BLOCK", 5)
            for ours, theirs in zip(again.features(TEXTS), whole):
                np.testing.assert_array_equal(ours, theirs)
        assert (np.diff(whole.start)[[3]] == 0).all()  # of an empty text


# --- linear models ---


def theirs_of(model):
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    return make_pipeline(vectors, model)


OURS_AND_THEIRS = {
    "naive-bayes": ("{kind: naive-bayes}", ComplementNB(alpha=0.3)),
    "multinomial": ("{kind: naive-bayes, variant: multinomial, alpha: 0.1}", MultinomialNB(alpha=0.1)),
    "logistic-regression": ("{kind: logistic-regression}", LogisticRegression(C=10, max_iter=1000)),
    "svm": ("{kind: svm}", LinearSVC(C=0.3, random_state=1)),
}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("naive-bayes", "topic"),
        ("multinomial", "binary"),
        ("logistic-regression", "binary"),
        ("svm", "topic"),
        ("svm", "binary"),
    ],
)
def test_answers_are_those_of_scikit_learn_in_a_run_and_in_an_export(name, label, config, tmp_path):
    """Of more than two classes and of two; probabilities of a support vector machine by Platt, on the validation texts."""
    section, model = OURS_AND_THEIRS[name]
    source = tmp_path / "rows.jsonl"
    rows = [line.split(",") for line in REVIEWS.read_text("utf-8").splitlines()[1:]]
    named = ({"text": r[0], "topic": r[1], "binary": "good" if int(r[2]) > 3 else "bad"} for r in rows)
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in named), "utf-8")
    run = pretrain(
        config(section, label, source=source), [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}"]
    )
    made = load(run / "config.yaml")
    (texts, right), (valid, valid_right), (asked, _) = (texts_of(made, split) for split in ("train", "valid", "test"))
    theirs = theirs_of(model).fit(texts, right)
    if name == "svm":
        theirs = CalibratedClassifierCV(FrozenEstimator(theirs), ensemble=False, cv=2).fit(valid, valid_right)
    wanted = theirs.predict_proba([*asked, "🤔"])
    for path in (run, export_onnx(run)) if (name, label) != ("svm", "binary") else (run,):
        predictor = load_model(path, print).predictor
        assert predictor.labels == list(theirs.classes_)
        ours = predictor.probabilities([predictor.read(text) for text in [*asked, "🤔"]])
        np.testing.assert_allclose(ours, wanted, atol=2e-3 if name == "svm" else 1e-4)
        alone = predictor.probabilities([predictor.read(asked[0])])
        np.testing.assert_allclose(alone, ours[:1], atol=1e-6)


SEVERAL, ORDER = ("topics", "  classes: several\n  separator: 、\n"), ("verdict", "  order: [差评, 中评, 好评]\n")


@pytest.mark.parametrize(
    ("kind", "label", "data"), [("naive-bayes", *SEVERAL), ("svm", *SEVERAL), ("logistic-regression", *ORDER)]
)
def test_several_classes_and_an_order_are_questions_each_of_its_own(kind, label, data, config, tmp_path):
    run = pretrain(config(f"{{kind: {kind}}}", label, data), [f"run={tmp_path / 'run'}", "calibrate=true"])
    found = evaluate([run]).figures
    assert found["accuracy"].value > 0.5
    ours, theirs = (load_model(path, print).predictor for path in (run, export_onnx(run)))
    np.testing.assert_allclose(*(one.probabilities(one.probes(9)) for one in (ours, theirs)), atol=1e-5)


def test_words_are_counted_where_a_language_has_them(config, tmp_path):
    source = tmp_path / "rows.jsonl"
    good, bad = (
        ["such a lovely day", "what a lovely film", "lovely work"],
        ["an awful day", "what an awful film", "awful work"],
    )
    rows = [
        {"text": f"{text} {n}", "label": label}
        for n in range(20)
        for label, texts in (("good", good), ("bad", bad))
        for text in texts
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    section = "{kind: logistic-regression, ngrams: {unit: words, highest: 2}}"
    run = pretrain(
        config(section, "label", source=source), [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}"]
    )
    predictor = load_model(export_onnx(run), print).predictor
    assert [
        one.classes[0][0] for one in predictor.predict([predictor.read("LOVELY night"), predictor.read("awful night")])
    ] == ["good", "bad"]


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        ("{kind: svm, ngrams: {min_texts: 100000}}", [], "no n-gram stands in 100,000 training texts: lower model.ngrams.min_texts"),
        ("{kind: svm, ngrams: {lowest: 3, highest: 2}}", [], r"lowest \(3\) must not be above highest \(2\)"),
        ("{kind: svm}", ["optim.lr=1.0e-2"], "optim.lr: of no effect on models of text-classification, which are fitted"),
        ("{kind: svm}", ["loss.focal=2"], "loss.focal is of no effect on model.kind: svm, which is fitted"),
        ("{kind: svm}", ["balance=over"], "balance is of no effect on model.kind: svm, which is fitted"),
        ("{kind: svm}", ["task=text-regression"], "model.kind: svm tells classes apart: text-regression takes encoder"),
        ("{kind: svm}", ["data.valid_share=0"], "the valid split is empty"),
        ("{kind: bag, context: 5000}", [], r"train.batch_tokens \(4096\) must hold model.context \(5000\)"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(model, more, told, config, tmp_path):
    with pytest.raises((ConfigError, DataError), match=told) as caught:
        pretrain(config(model), [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}", *more])
    assert len(str(caught.value).strip().splitlines()) <= 2


def test_an_export_answers_without_torch_and_scikit_learn(config, tmp_path):
    path = export_onnx(pretrain(config("{kind: svm}"), [f"run={tmp_path / 'run'}"]))
    code = (
        "import sys; from bmtool.commands.predict import predict; "
        f"predict({str(path)!r}, ['快递很慢']); assert not {{'torch', 'sklearn', 'scipy'}} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "快递很慢" in done.stdout, done.stderr


# --- small networks ---

SMALL = {
    "bag": BagModel(kind="bag", width=8, rows=500),
    "textcnn": TextCnnModel(kind="textcnn", width=8, channels=4, windows=[1, 2, 3, 4]),
    "rnn": RnnModel(kind="rnn", width=8, layers=2),
    "gru": RnnModel(kind="rnn", width=8, cell="gru"),
}


@pytest.mark.parametrize("name", SMALL)
def test_what_stands_behind_a_text_changes_nothing(name):
    torch.manual_seed(0)
    model = SMALL[name]
    trunk = small.build(model, 50).eval()
    if name == "bag":
        torch.nn.init.normal_(trunk.ngrams.weight)
    pool = Attention(trunk.features) if model.pooling == "attention" else Fixed(model.pooling)
    token, kind = torch.randint(0, 50, (3, 9)), torch.zeros(3, 9, dtype=torch.long)
    keep = torch.arange(9)[None] < torch.tensor([9, 4, 1])[:, None]
    with torch.no_grad():
        together = pool(trunk(token, keep, kind), keep)
        for number, length in enumerate((9, 4, 1)):
            one = slice(number, number + 1), slice(0, length)
            alone = pool(trunk(token[one], keep[one], kind[one]), keep[one])
            torch.testing.assert_close(together[one[0]], alone)


@pytest.mark.parametrize("name", ["bag", "textcnn", "rnn"])
def test_order_and_the_second_text_count(name):
    torch.manual_seed(0)
    trunk = small.build(SMALL[name], 50).eval()
    for weight in trunk.parameters():
        torch.nn.init.normal_(weight)
    token, keep = torch.tensor([[5, 6, 7, 8], [8, 7, 6, 5]]), torch.ones(2, 4, dtype=torch.bool)
    with torch.no_grad():
        forth, back = trunk(token, keep, torch.zeros_like(token)).amax(dim=1)
        second = trunk(token, keep, torch.ones_like(token)).amax(dim=1)[0]
    assert not torch.allclose(forth, back) and not torch.allclose(forth, second)


def test_the_rows_of_a_bag_that_were_not_met_have_no_gradient():
    trunk = small.build(SMALL["bag"], 50)
    token = torch.tensor([[5, 6, 7]])
    trunk(token, torch.ones_like(token, dtype=torch.bool), torch.zeros_like(token)).sum().backward()
    assert trunk.ngrams.weight.grad.is_sparse and trunk.tokens.weight.grad.is_sparse
    met = trunk.ngrams.weight.grad.coalesce().indices().unique()
    assert len(met) <= 6


# --- compare ---

SLOW = [word for name in ("logreg", "bag", "textcnn", "rnn") for word in ("--without", name)]


def test_the_baselines_that_the_registry_names_are_shipped():
    for entry in TASKS.values():
        for name in entry.baselines:
            assert shipped.called(name).path.is_file()


def test_one_command_trains_measures_and_shows_all_and_does_nothing_twice(config, invoke, tmp_path):
    path = config("{kind: bag, width: 8, rows: 1000, context: 64}")
    steps = [
        f"run={tmp_path / 'mine'}",
        f"data.prepared={tmp_path / 'data'}",
        "train.steps=8",
        "train.validate_every=4",
    ]
    asked = ["compare", str(path), *SLOW, *(word for step in steps for word in ("--set", step))]
    first = invoke(*asked)
    assert first.exit_code == 0, first.output
    lines = [line.split("│") for line in first.stdout.splitlines() if "│" in line]
    assert sorted(line[0].strip() for line in lines) == ["mine", "nb", "svm"]
    values = [float(line[1].split()[0]) for line in lines]
    assert values == sorted(values, reverse=True)
    prepared = (tmp_path / "data" / "manifest.json").stat().st_mtime_ns
    runs = {name: tmp_path / "mine-baselines" / name for name in ("nb", "svm")} | {"mine": tmp_path / "mine"}
    reports = {name: (run / "eval" / "test.json").read_bytes() for name, run in runs.items()}
    second = invoke(*asked, "--json", "--figure", "macro_f1")
    found = json.loads(second.stdout)
    assert second.stderr.count("trained before") == 3 and "prepared" not in second.stderr.replace(str(tmp_path), "")
    assert (tmp_path / "data" / "manifest.json").stat().st_mtime_ns == prepared
    assert found["figure"] == "macro_f1" and found["split"] == "test" and len(found["models"]) == 3
    for row in found["models"]:
        report = json.loads(reports[row["name"]])
        assert (runs[row["name"]] / "eval" / "test.json").read_bytes() == reports[row["name"]]
        assert row["figures"] == report["metrics"] and row["examples"] == report["examples"]
        assert row["bytes"] > 1000 and row["per_second"] > 0 and row["train_s"] >= 0


def test_a_config_that_is_the_same_as_a_baseline_is_trained_once(tmp_path, capsys):
    others, config = ("nb", "logreg", "bag", "textcnn", "rnn"), shipped.called("text-classification/svm").path
    with pytest.raises(ConfigError, match="nothing to compare with"):
        compare([config], [f"run={tmp_path / 'mine'}"], Asked(others))
    assert "svm: mine is the same, which is trained once" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no figure 'x'"):
        compare([config], [f"run={tmp_path / 'mine'}", "model.c=7"], Asked(others, figure="x"))
    assert "trained once" not in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(config, tmp_path):
    path = config("{kind: svm}")
    every = ("nb", "logreg", "svm", "bag", "textcnn", "rnn")
    with pytest.raises(ConfigError, match="nothing to compare with: name two configs or more"):
        compare([path], [], Asked(every))
    with pytest.raises(
        ConfigError, match=r"--without: text-classification has no baseline 'svn'; did you mean 'svm'\?"
    ):
        compare([path], [], Asked(["svn"]))
    with pytest.raises(ConfigError, match="--figure: text-classification has no figure 'acuracy'"):
        compare([path], [], Asked(every[:3], figure="acuracy"))
    with pytest.raises(ConfigError, match="two configs name the run"):
        compare([path, path], [], Asked(every))
    table = ROOT / "configs" / "tabular" / "xor.yaml"
    with pytest.raises(ConfigError, match=r"is of text-classification, .* of tabular-classification"):
        compare([path, table], [], Asked(every))


def test_models_of_other_examples_are_refused(config, tmp_path):
    paths = []
    for name, share in (("one", 0.2), ("two", 0.3)):
        text = config("{kind: svm}").read_text("utf-8").replace("test_share: 0.2", f"test_share: {share}")
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(text.replace("/run\n", f"/{name}\n").replace("/data\n", f"/data-{name}\n"), "utf-8")
    with pytest.raises(DataError, match=r"the test split of .*data-.* has other examples than that of .*data-"):
        compare(paths, [], Asked(("nb", "logreg", "svm", "bag", "textcnn", "rnn")))
