"""The kit for labelled text: rows, preparation, windows; and what text-classification makes of them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from bmtool.api import Model
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.ordinal import OrdinalMeter
from bmtool.measure.several import SeveralMeter
from bmtool.tasks.text_classification import goals
from bmtool.text.labelled.windows import Cutting, centred

TINY = ROOT / "bmtool" / "tasks" / "text_classification" / "tiny.yaml"
GOOD = "".join(f"这是第{n}个好东西,good\n那是第{n}个坏东西,bad\n" for n in range(30))


def rows(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def settings(tmp_path: Path, source: Path, *more: str) -> list[str]:
    places = [f"data.source={source}", f"data.prepared={tmp_path / 'prepared'}", f"run={tmp_path / 'run'}"]
    return [*places, "data.columns={}", *more]


def prepared(tmp_path: Path, text: str, *more: str, name: str = "a.csv") -> dict:
    return prepare_data(TINY, settings(tmp_path, rows(tmp_path / name, text), *more))


# --- rows ---


def test_what_cannot_be_used_is_counted_with_its_place(tmp_path):
    bad = "text,label\n" + GOOD + ",good\n没有标签的,\n又一行,\n"
    manifest = prepared(tmp_path, bad)
    assert manifest["read"] == 63 and manifest["kept"] == 60
    assert manifest["dropped"] == {"no label": 2, "an empty text in column 'text'": 1}
    assert manifest["examples"]["no label"][0].endswith("a.csv:63")


@pytest.mark.parametrize("text, said", [
    ("text,label\n" + "".join(f"第{n}行,same\n" for n in range(9)), "always 'same'"),
    ("text,label\n" + "".join(f"第{n}行,{n}\n" for n in range(60)), "text-regression"),
    ("text,stars\n好,1\n", "no column 'label'"),
    ("text,label\n" + GOOD + "一,caf\u00e9\n二,cafe\u0301\n", "same text in other code points"),
    ("", "empty"),
])  # fmt: skip
def test_data_that_teach_nothing_are_refused(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        prepared(tmp_path, text, "data.valid_share=0", "data.test_share=0")


def test_labels_of_any_type_are_names(tmp_path):
    lines = [{"text": f"第{n}行", "label": (n % 2 == 0) if n < 20 else n % 3} for n in range(60)]
    manifest = prepared(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), name="a.jsonl")
    assert set(manifest["splits"]["train"]["classes"]) == {"true", "false", "0", "1", "2"}


def test_a_text_that_is_measured_on_is_not_learned_from_and_two_labels_of_one_text_are_said(tmp_path):
    dev = rows(tmp_path / "dev.csv", "text,label\n这是第3个好东西,good\n新的,bad\n")
    source = rows(tmp_path / "a.csv", "text,label\n" + GOOD + "这是第5个好东西,bad\n")
    given = settings(tmp_path, source, f"data.valid={dev}", "data.valid_share=0", "data.test_share=0")
    manifest = prepare_data(TINY, given)
    assert manifest["splits"]["train"]["examples"] == 60 and manifest["splits"]["valid"]["examples"] == 2
    assert manifest["dropped"] == {"the same text as in a split that is measured on": 1}
    assert manifest["noted"]["the same text with another target"] == 1


def test_a_row_stays_in_its_split_when_others_are_added(tmp_path):
    def splits(text: str, place: str) -> dict[str, str]:
        (tmp_path / place).mkdir()
        prepared(tmp_path / place, text)
        folder = tmp_path / place / "prepared"
        lines = [json.loads(line) for line in (folder / "examples.jsonl").read_text("utf-8").splitlines()]
        numbers = {split: np.load(folder / f"{split}.npy") for split in ("train", "valid", "test")}
        return {lines[n][1][0]: split for split, held in numbers.items() for n in held}

    before = splits("text,label\n" + GOOD, "before")
    after = splits("text,label\n新的一行,good\n" + GOOD, "after")
    assert before == {text: split for text, split in after.items() if text in before}
    assert set(before.values()) == {"train", "valid", "test"}


def test_changed_settings_and_sources_are_named(tmp_path, capsys):
    source = rows(tmp_path / "a.csv", "text,label\n" + GOOD)
    prepare_data(TINY, settings(tmp_path, source))
    with pytest.raises(DataError, match="no column 'nothing'"):
        pretrain(TINY, settings(tmp_path, source, "data.columns={label: nothing}"))
    assert "data.columns: {} -> {'label': 'nothing'}: preparing again" in capsys.readouterr().err
    rows(source, "text,label\n" + GOOD + "再来一行,good\n")
    pretrain(TINY, settings(tmp_path, source))
    assert "its rows have changed" in capsys.readouterr().err


# --- windows ---


@pytest.mark.parametrize("texts", [1, 2])
def test_windows_hold_every_token_and_share_the_overlap(texts):
    drawn = np.random.default_rng(1)
    lengths = drawn.integers(1, 200, (50, texts))
    cutting = Cutting(context=40, overlap=5, texts=texts)
    windows = cutting.windows(lengths)
    for example, length in enumerate(lengths[:, -1]):
        mine = windows.example == example
        start, stop = windows.start[mine], windows.stop[mine]
        assert start[0] == 0 and stop[-1] == length
        assert (start[1:] + 5 == stop[:-1]).all()
        place = centred(windows, example)
        assert len(place) == length
        assert all(windows.start[n] <= at < windows.stop[n] for at, n in enumerate(place.tolist()))
    for example, start, stop in zip(*(column.tolist() for column in windows)):
        held = [np.arange(10, 10 + length) for length in lengths[example]]
        row = cutting.row(held, start, stop, begin=1, end=2)
        assert len(row.token) <= 40 and row.token[0] == 1 and row.token[-1] == 2
        assert row.token[row.at : row.at + row.length].tolist() == held[-1][start:stop].tolist()
        assert texts == 1 or (row.token[row.at - 1] == 2 and row.kind[row.at] == 1 and row.kind[row.at - 1] == 0)


def test_an_overlap_that_leaves_no_room_is_refused():
    with pytest.raises(ConfigError, match="cannot overlap"):
        Cutting(context=20, overlap=18, texts=1)


# --- goals ---


def test_probabilities_add_up_and_fall_along_an_order():
    scores = np.random.default_rng(0).normal(size=(50, 4)) * 3
    for goal in ("one", "ordinal"):
        p = goals.probabilities(goal, scores, 0.7)
        assert p.shape == (50, 4 if goal == "one" else 5)
        assert np.allclose(p.sum(axis=1), 1) and (p >= 0).all()
    assert np.allclose(goals.probabilities("several", scores), 1 / (1 + np.exp(-scores)))


def test_a_temperature_undoes_what_scores_were_multiplied_by():
    drawn = np.random.default_rng(0)
    scores = drawn.normal(size=(4000, 3)) * 2
    truth = np.array([drawn.choice(3, p=p) for p in goals.probabilities("one", scores)])

    def best(given: np.ndarray) -> float:
        return goals.best_temperature("one", lambda temperature: goals.probabilities("one", given, temperature), truth)

    assert best(scores) == pytest.approx(1.0, abs=0.1)
    assert best(scores * 4) == pytest.approx(4.0, abs=0.4)


def test_thresholds_have_the_best_f1_of_all():
    drawn = np.random.default_rng(3)
    p, truth = drawn.random((60, 3)).round(2), drawn.random((60, 3)) < 0.3

    def f1(threshold: float, column: int) -> float:
        said = p[:, column] >= threshold
        return 2 * (said & truth[:, column]).sum() / (said.sum() + truth[:, column].sum())

    for column, threshold in enumerate(goals.best_thresholds(p, truth)):
        assert f1(threshold, column) == max(f1(at, column) for at in np.linspace(0, 1.01, 500))
    assert goals.best_thresholds(p, np.zeros((60, 3), bool)) == [0.5] * 3


def test_meters_of_orders_and_of_several_classes_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    drawn = np.random.default_rng(5)
    said, truth = drawn.dirichlet(np.ones(4), 200), drawn.integers(0, 4, 200)
    meter = OrdinalMeter(list("abcd"))
    for part in np.split(np.arange(200), 4):
        meter.add(said[part], truth[part], np.ones((50, 1)))
    given, found = said.argmax(axis=1), {name: values[0] for name, values in meter.figures().items()}
    assert found["quadratic_kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, given, weights="quadratic"))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, given))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, given))

    p, true = drawn.random((200, 3)), drawn.random((200, 3)) < 0.4
    several = SeveralMeter(list("abc"), thresholds=[0.3, 0.5, 0.7])
    several.add(p, true.astype(float), np.ones((200, 1)))
    given, found = p >= [0.3, 0.5, 0.7], {name: values[0] for name, values in several.figures().items()}
    for average in ("micro", "macro"):
        figures = metrics.precision_recall_fscore_support(true, given, average=average, zero_division=0)
        names = [f"{average}_{name}" for name in ("precision", "recall", "f1")]
        assert [found[name] for name in names] == pytest.approx(figures[:3])
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, given))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(true, given))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(true, p))


# --- models ---


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """A run that has learned which of two words stands in a text, long or short."""
    folder = tmp_path_factory.mktemp("learned")
    drawn = np.random.default_rng(0)
    filler = "的一是了我不在人们有来他这上着个地到大里说就去子得也和那要下看天时过出小么起你都把好还多没为又可家学只以主会样年想生同老中十"

    def text(word: str) -> str:
        around = "".join(drawn.choice(list(filler), int(drawn.integers(4, 120))))
        at = int(drawn.integers(len(around)))
        return around[:at] + word + around[at:]

    lines = [f"{text(word)},{label}" for _ in range(150) for word, label in (("高兴", "good"), ("难过", "bad"))]
    source = rows(folder / "a.csv", "text,label\n" + "\n".join(lines) + "\n")
    return pretrain(
        TINY, settings(folder, source, "train.steps=150", "train.validate_every=50", "calibrate=true", "optim.lr=0.004")
    )


def test_what_is_easy_is_learned(learned):
    assert evaluate([learned]).figures["accuracy"].value > 0.9


def test_an_answer_depends_on_its_own_text_alone(learned):
    model = Model(learned)
    texts = ["我很高兴", "他今天难过极了" * 40, "难过", "高兴" + "的" * 300]
    alone = [model.predict([text])[0] for text in texts]
    together = model.predict(texts)
    for one, other in zip(alone, together):
        assert one.distance(other) < 1e-5


@pytest.mark.parametrize(
    "raw, why",
    [
        ("", "empty"),
        ("   ", "empty"),
        (7, "no text"),
        ({"body": "x"}, "no 'text'"),
        ("长" * ((1 << 20) + 1), "more than"),
    ],
)
def test_what_is_no_text_is_bad_input(learned, raw, why):
    with pytest.raises(BadInput, match=why):
        load_model(learned, print).predictor.read(raw)


@pytest.mark.parametrize("text", ["\U0001f600", "e\u0301e\u0301", "\ud800半", "a" * 5000, "\u200d\u200d好"])
def test_odd_texts_have_an_answer(learned, text):
    (answer,) = Model(learned).predict([text])
    assert sum(p for _, p in answer.classes) == pytest.approx(1, abs=1e-5)


def test_a_file_with_other_labels_is_measured_without_them_and_they_are_counted(learned, tmp_path, capsys):
    with pytest.raises(DataError, match="a class that the model does not know"):
        evaluate(
            [learned], data=str(rows(tmp_path / "none.csv", "text,label\n什么,neutral\n")), output=str(tmp_path / "out")
        )
    some = rows(tmp_path / "some.csv", "text,label\n我很高兴,good\n什么,neutral\n")
    found = evaluate([learned], data=str(some), output=str(tmp_path / "out"))
    assert found.examples == 1
    assert "left out 1 x a class that the model does not know" in capsys.readouterr().err


def test_a_file_with_another_column_says_how_to_name_it(learned, tmp_path):
    other = rows(tmp_path / "other.csv", "text,stars\n我很高兴,good\n")
    with pytest.raises(DataError, match=r"no column 'label'.*call the column that holds the label so"):
        evaluate([learned], data=str(other), output=str(tmp_path / "out"))


def test_two_texts_are_one_example(tmp_path):
    lines = [f"问题{n}\t{'是' if n % 2 else '不是'}\t{'yes' if n % 2 else 'no'}" for n in range(40)]
    source = rows(tmp_path / "a.tsv", "text\ttext_pair\tlabel\n" + "\n".join(lines) + "\n")
    run = pretrain(TINY, settings(tmp_path, source, "data.pair=true"))
    model = Model(run)
    by_tab, by_name = model.predict(["问题\t是"]), model.predict([{"text": "问题", "text_pair": "是"}])
    assert by_tab[0].distance(by_name[0]) == 0
    with pytest.raises(BadInput, match="1 texts where 2 belong"):
        load_model(run, print).predictor.read("问题")
    as_json = json.dumps({"text": "问题", "text_pair": "是"})
    assert model.predict([as_json])[0].distance(by_name[0]) == 0


def test_predict_reads_files_of_rows_as_rows(learned, invoke, tmp_path):
    """By the column of text, each as the line alone is answered; a file without one is refused."""
    lines = ["我很高兴", "真不好"]
    wanted = invoke("predict", learned, *lines).stdout
    table = rows(tmp_path / "a.csv", "\ufefflabel,text\n" + "".join(f"x,{line}\n" for line in lines))
    held = rows(tmp_path / "a.jsonl", "".join(json.dumps({"text": line}) + "\n" for line in lines))
    for file in (table, held):
        assert invoke("predict", learned, file).stdout == wanted
    other = invoke("predict", learned, rows(tmp_path / "b.csv", "a,b\nx,y\n"))
    assert other.exit_code == 4 and f"{tmp_path}/b.csv:2 has no column 'text' (columns are a, b)" in other.stderr
    empty = invoke("predict", learned, rows(tmp_path / "c.txt", "我很高兴\n\n"))
    assert empty.exit_code == 4 and f"an empty text ({tmp_path}/c.txt:2)" in empty.stderr


def test_weights_of_other_tokens_are_refused_with_the_way_out(tmp_path, capsys):
    masked = ROOT / "bmtool" / "tasks" / "language_model" / "tiny-masked.yaml"
    parent = pretrain(masked, [f"run={tmp_path / 'parent'}", f"data.prepared={tmp_path / 'text'}"])
    shape = load(masked).model
    same = [f"model.{key}={getattr(shape, key)}" for key in ("width", "layers", "heads", "feedforward", "context")]
    source = rows(tmp_path / "a.csv", "text,label\n" + GOOD)
    with pytest.raises(ConfigError, match=f"other tokens than {re.escape(str(parent))}.*--set data.tokenizer="):
        finetune(TINY, parent, settings(tmp_path, source, *same))
    finetune(TINY, parent, settings(tmp_path, source, *same, f"data.tokenizer={parent}"))
    assert "37 tensors loaded, 2 tensors new" in capsys.readouterr().err


def test_settings_of_another_goal_are_refused():
    with pytest.raises(ConfigError, match=r"loss\.huber is of no effect on one"):
        load(TINY, ["loss.huber=1"])
    with pytest.raises(ConfigError, match=r"data\.separator is of no effect on one"):
        load(TINY, ["data.separator=;"])
    with pytest.raises(ConfigError, match="balance is of no effect on several"):
        load(TINY, ["data.classes=several", "balance=over"])
