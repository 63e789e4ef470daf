"""token-classification: from every kind of file to marked text, on PyTorch, exported, several models as one, and on the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import find
from conftest import inside
from test_serve import CHROMIUM, browser, open_page, serving  # noqa: F401  a fixture

from bmtool.api import Model
from bmtool.base import console
from bmtool.base.console import Console
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.spans import Span
from bmtool.predict.values import Spans
from bmtool.runs.answers import answers
from bmtool.tasks.token_classification.config import Data
from bmtool.tasks.token_classification.kind import kind_of
from bmtool.tasks.token_classification.places import covered, places, written
from bmtool.tasks.token_classification.predict import joined
from bmtool.tasks.token_classification.tagging import NOTHING, Tagging
from bmtool.tasks.token_classification.targets import INCLUSIVE
from bmtool.text.labelled.prepare import prepare
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.windows import Cutting, centred

TINY, RNN = find("token-classification"), find("token-classification-rnn")
KNOWN = {"text": "小明在北京上班", "spans": [[0, 2, "人"], [3, 5, "地"]]}
TOLD = "小明在北京上班"
SPANS = [[0, 2, "人"], [3, 5, "地"]]
ASKED = ["王芳明天下午从成都坐飞机去上海。", "[李明]🚚 快递到了：iPhone\u0301 15！", "天"]


def prepared_from(tmp_path: Path, source: Path, *settings: str):
    """(drafts of the training split, manifest) of a source, all of which is trained on."""
    place = tmp_path / "prepared"
    own = [f"data.source={source}", f"data.prepared={place}", "data.valid_share=0", "data.test_share=0", "lexicon=null"]
    config = load(RNN.path, [*own, *settings])
    manifest = prepare(config, Console(quiet=True))
    return Texts(place, "train", kind_of(config.data)).drafts, manifest


def file(tmp_path: Path, name: str, rows: list | str) -> Path:
    path = tmp_path / name
    whole = rows if isinstance(rows, str) else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(json.dumps(rows, ensure_ascii=False) if name.endswith(".json") else whole, encoding="utf-8")
    return path


# --- files ---


def label_studio(*annotations: dict) -> dict:
    return {"id": 1, "data": {"text": TOLD, "who": "a"}, "annotations": list(annotations)}


def marks(spans: list, **more) -> dict:
    result = [
        {"type": "labels", "value": {"start": start, "end": end, "text": TOLD[start:end], "labels": [label]}}
        for start, end, label in spans
    ]
    return {"result": result} | more


FILES = {
    "spans.jsonl": [KNOWN],
    "objects.jsonl": [{"text": TOLD, "entities": [{"start": s, "end": e, "label": t} for s, e, t in SPANS]}],
    "doccano.jsonl": [{"id": 3, "text": TOLD, "label": SPANS, "Comments": []}],
    "doccano-labels.jsonl": [{"text": TOLD, "labels": SPANS}],
    "studio.json": [label_studio(marks(SPANS), marks([], was_cancelled=True))],
    "studio-min.json": [{"text": TOLD, "label": [item["value"] for item in marks(SPANS)["result"]]}],
    "cluener.json": [{"text": TOLD, "label": {"人": {"小明": [[0, 1]]}, "地": {"北京": [[3, 4]]}}}],
    "tokens.jsonl": [{"tokens": list(TOLD), "tags": ["B-人", "I-人", "O", "B-地", "I-地", "O", "O"]}],
    "words.jsonl": [{"words": ["小明", "在", "北京", "上班"], "ner_tags": ["S-人", "O", "S-地", "O"]}],
    "table.csv": 'text,spans\n小明在北京上班,"[[0, 2, ""人""], [3, 5, ""地""]]"\n',
    "columns.conll": "小\tB-人\n明\tI-人\n在\tO\n北\tB-地\n京\tI-地\n上\tO\n班\tO\n",
    "columns.bmes": "小 B-人\n明 E-人\n在 O\n北 B-地\n京 E-地\n上 O\n班 O\n\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_examples(tmp_path, name):
    (draft,), manifest = prepared_from(tmp_path, file(tmp_path, name, FILES[name]))
    assert (draft.texts, draft.target) == ((TOLD,), SPANS)
    assert manifest["splits"]["train"]["classes"] == {"人": 1, "地": 1}
    if name.startswith("columns"):
        assert any("BIO" in reason for reason in manifest["noted"])
    if name == "studio.json":
        assert draft.fields == {"who": "a"}


def test_columns_that_are_called_otherwise_are_named(tmp_path):
    source = file(tmp_path, "a.csv", 'review,marks\n小明在北京上班,"[[0, 2, ""人""]]"\n')
    with pytest.raises(DataError, match=r"no column 'text'.*data\.columns=\{text: COLUMN\}"):
        prepared_from(tmp_path, source)
    (draft,), _ = prepared_from(tmp_path, source, "data.columns={text: review, spans: marks}")
    assert draft.target == [[0, 2, "人"]]


def test_what_cannot_be_used_is_counted_with_its_reason(tmp_path):
    bad = [
        {"text": TOLD, "spans": [[0, 5, "句"], [3, 5, "地"]]},
        {"text": TOLD, "spans": [[3, 99, "地"]]},
        {"text": TOLD, "spans": [[9, 15, "地"]]},
        {"text": "👍" + TOLD, "spans": [[6, 9, "地"]]},
        {"text": TOLD, "spans": [[0, 2, 7]]},
        {"text": " ", "spans": []},
        {"text": 3, "spans": []},
        {"text": TOLD, "spans": [{"start": 0, "end": 2, "label": "人", "text": "小红"}]},
        {"tokens": ["小"], "tags": []},
        label_studio(),
        label_studio(marks(SPANS), marks(SPANS[:1])),
    ]
    (draft,), manifest = prepared_from(tmp_path, file(tmp_path, "a.jsonl", [KNOWN, *bad]))
    assert draft.target == SPANS
    assert sum(manifest["dropped"].values()) == len(bad)
    reasons = " ".join(manifest["dropped"])
    for told in ("overlap or nest", "ends past its text", "they fit as bytes", "they fit as utf-16", "no span: write",
                 "an empty text", "no text", "is not what stands", "as many tags", "without an annotation", "that differ"):  # fmt: skip
        assert told in reasons, told


def test_inclusive_ends_are_recognised_by_the_texts_beside_them_and_said(tmp_path):
    rows = [
        {"text": "叶老桂在京，京城人", "label": {"name": {"叶老桂": [[0, 2]]}, "address": {"京": [[4, 4], [6, 6]]}}},
        {"text": TOLD, "label": {}},
        {"text": TOLD, "label": [{"start": 0, "end": 1, "label": "name", "text": "小明"}]},
        {"text": TOLD, "label": {"name": {"小明": [[0, 2]]}}},
        {"text": TOLD, "label": {"name": {"小明": [[2, 3]]}}},
        {"text": TOLD, "label": {"name": ["小明"]}},
        {"text": TOLD, "label": {"name": {"小明": [0, 1]}}},
        {"text": TOLD, "label": {"name": {"明": [[9, 9]]}}},
    ]
    drafts, manifest = prepared_from(tmp_path, file(tmp_path, "a.jsonl", rows))
    assert [draft.target for draft in drafts] == [
        [[0, 3, "name"], [4, 5, "address"], [6, 7, "address"]], [], [[0, 2, "name"]], [[0, 2, "name"]],
    ]  # fmt: skip
    assert manifest["noted"][INCLUSIVE] == 2
    assert sum(manifest["dropped"].values()) == 4


@pytest.mark.parametrize(("unit", "places_"), [("utf-16", [[2, 4, "人"]]), ("bytes", [[4, 10, "人"]])])
def test_places_in_other_units_are_converted_where_that_is_known(tmp_path, unit, places_):
    rows = [{"text": "👍" + TOLD, "spans": places_}]
    (draft,), manifest = prepared_from(tmp_path, file(tmp_path, "a.jsonl", rows), f"data.offsets={unit}")
    assert draft.target == [[1, 3, "人"]] and not manifest["noted"]
    start, end, label = places_[0]
    told = [{"text": "👍" + TOLD, "spans": [{"start": start, "end": end, "label": label, "text": "小明"}]}]
    (draft,), manifest = prepared_from(tmp_path, file(tmp_path, "b.jsonl", told))
    assert draft.target == [[1, 3, "人"]]
    assert [unit in reason for reason in manifest["noted"]] == [True]


def test_types_that_no_training_text_has_are_left_out_and_no_type_at_all_is_refused(tmp_path):
    valid = file(
        tmp_path,
        "valid.jsonl",
        [{"text": "今天很好", "spans": [[0, 2, "时"]]}, {"text": "在上海", "spans": [[1, 3, "地"]]}],
    )
    _, manifest = prepared_from(tmp_path, file(tmp_path, "a.jsonl", [KNOWN]), f"data.valid={valid}")
    assert manifest["dropped"] == {"a type of spans that no training example has": 1}
    assert manifest["splits"]["valid"]["examples"] == 1
    with pytest.raises(DataError, match="no training text has a span"):
        prepared_from(tmp_path, file(tmp_path, "none.jsonl", [{"text": "今天", "spans": []}]))


def test_words_of_a_segmented_text_are_spans_of_one_type(tmp_path):
    source = file(tmp_path, "a.bmes", "今 B\n天 E\n很 S\n\n好 S\n")
    drafts, manifest = prepared_from(tmp_path, source)
    assert [draft.target for draft in drafts] == [[[0, 2, "word"], [2, 3, "word"]], [[0, 1, "word"]]]
    assert json.loads((tmp_path / "prepared" / "schema.json").read_text("utf-8"))["labels"] == ["word"]
    assert manifest["splits"]["train"]["classes"] == {"word": 3}


# --- tokens and characters ---


def test_spans_of_characters_are_spans_of_tokens_and_come_back():
    """A letter that is spelt in three tokens, a token of two characters, one with white space around it."""
    tokens = np.array([[0, 1], [0, 1], [0, 1], [1, 3], [3, 5], [5, 6]])
    held = places("🚚上海 去吧", tokens)
    assert held.first.tolist() == [0, 3, 4, 5] and held.bounds.tolist() == [[0, 1], [1, 3], [4, 5], [5, 6]]
    for spans in ([(0, 1, 0), (1, 3, 1)], [(4, 6, 0)], [(0, 6, 0)], []):
        assert written(covered(spans, held.bounds), held.bounds) == spans
    # what begins within a token is the token; what has none left is nothing
    assert written(covered([(2, 3, 0)], held.bounds), held.bounds) == [(1, 3, 0)]
    assert covered([(1, 2, 0), (2, 3, 1)], held.bounds) == [(1, 2, 0)]
    assert covered([(3, 4, 0)], held.bounds) == []
    assert places("", np.empty((0, 2), np.int64)).bounds.shape == (0, 2)


def test_a_token_is_asked_of_the_window_that_shows_most_around_it():
    for length, overlap in ((30, 3), (31, 7), (8, 0), (100, 5)):
        windows = Cutting(12, overlap, 1).windows(np.array([[5], [length]]))
        which = centred(windows, 1)
        assert len(which) == length
        for at, number in enumerate(which.tolist()):
            around = {
                n: min(at - windows.start[n], windows.stop[n] - 1 - at)
                for n in np.flatnonzero(windows.example == 1).tolist()
                if windows.start[n] <= at < windows.stop[n]
            }
            assert around[number] == max(around.values())
        said = [np.arange(a, b)[:, None] * 10 for a, b in zip(windows.start.tolist(), windows.stop.tolist())]
        assert joined(windows, 1, said)[:, 0].tolist() == [10 * at for at in range(length)]


def test_spans_that_a_window_cuts_are_not_asked_of_it(tmp_path):
    text = "去" * 6 + "北京大学" + "去" * 6
    prepared_from(tmp_path, file(tmp_path, "a.jsonl", [{"text": text, "spans": [[6, 10, "校"]]}]))
    texts = Texts(tmp_path / "prepared", "train", kind_of(load(RNN.path, ["lexicon=null"]).data))
    cutting = Cutting(10, 3, 1)
    windows = cutting.windows(texts.lengths)
    rows = [
        cutting.row([texts.tokens(0, 0)], a, b, begin=0, end=0)
        for a, b in zip(windows.start.tolist(), windows.stop.tolist())
    ]
    found = Tagging(texts, ["校"], None)([(0, row, start) for row, start in zip(rows, windows.start.tolist())], 10)
    for tags, row, start in zip(found["tag"], rows, windows.start.tolist()):
        seen = {start + at: tag for at, tag in enumerate(tags[row.at : row.at + row.length].tolist())}
        whole = all(at in seen for at in range(6, 10))
        for at, tag in seen.items():
            expected = 0 if not 6 <= at < 10 else {6: 1, 9: 3}.get(at, 2) if whole else NOTHING
            assert tag == expected, (start, at)
        assert tags[0] == NOTHING and tags[row.at + row.length :].tolist() == [NOTHING] * (10 - row.at - row.length)


# --- models ---


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A lexicon that is gone when a run has it."""
    path = tmp_path_factory.mktemp("words") / "words.tsv"
    path.write_text("成都\tplace\n上海\tplace\n明天\ttime\n快递\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def learned(settings, tmp_path_factory, words):
    """A BiLSTM with a CRF and a lexicon that knows its training texts by heart; the lexicon is gone."""
    run = tmp_path_factory.mktemp("learned") / "run"
    place = tmp_path_factory.mktemp("data") / "prepared"
    more = [
        "head=crf",
        f"lexicon={words}",
        "train.steps=70",
        "train.validate_every=70",
        "train.save_every=70",
        "optim.lr=2e-2",
    ]
    data = [f"data.prepared={place}", "data.valid=train", "data.valid_share=0", "data.test_share=0.1"]
    found = pretrain(str(RNN.path), [*settings(RNN, run)[1:], *data, *more])
    words.unlink()
    return found


@pytest.fixture(scope="module")
def onnx(learned, tmp_path_factory):
    """Its export, elsewhere."""
    return Path(shutil.copy(export_onnx(learned), tmp_path_factory.mktemp("onnx") / "learned.onnx"))


def test_a_model_learns_its_texts_by_heart_and_its_export_says_the_same(learned, onnx):
    found = evaluate([learned], split="valid")
    assert found.figures["f1"].value > 0.9
    lines = (learned / "eval" / "valid.predictions.jsonl").read_text("utf-8").splitlines()
    assert {"input", "reference", "prediction"} <= json.loads(lines[0]).keys()
    worst = answers(learned / "eval" / "valid.predictions.jsonl", "spans", print).worst
    assert all(one["reference"] != one["prediction"] for one in worst)
    report = json.loads((learned / "eval" / "valid.json").read_text("utf-8"))
    assert set(report["slices"]["type"]) == {"person", "place", "organisation", "time", "product"}
    assert report["notes"]["spans right"] > 100 and (learned / "eval" / "valid.confusion.png").is_file()
    ours, theirs = Model(learned).predict(ASKED), Model(onnx).predict(ASKED)
    assert any(value.spans for value in ours)
    for a, b, text in zip(ours, theirs, ASKED):
        assert a.spans == b.spans and a.distance(b) < 1e-4 and a.text == text
        assert "".join(text[s.start : s.end] for s in a.spans) in text or len(a.spans) > 1
        assert all(text[s.start : s.end] and 0 < p <= 1 for s, p in zip(a.spans, a.probabilities))


def test_a_long_text_is_read_in_windows_and_says_what_its_parts_say(onnx):
    """Where each part stands in the middle of a window, and far from its neighbours."""
    part = "我们在[上海]等你。"
    text = "。".join([part] * 40)
    (value,) = Model(onnx).predict([text])
    assert all(0 <= s.start < s.end <= len(text) for s in value.spans) and value.text == text
    inner = {(s.start % (len(part) + 1), s.end - s.start, s.label) for s in value.spans[4:-4]}
    starts = [s.start // (len(part) + 1) for s in value.spans]
    assert inner and starts == sorted(starts) and len(set(starts)) > 30


def test_empty_texts_and_those_that_are_too_long_are_refused(onnx):
    predictor = load_model(onnx, print).predictor
    for raw, reason in (("", "empty"), (" \t", "empty"), (7, "no text"), ("天" * ((1 << 20) + 1), "more than")):
        with pytest.raises(BadInput, match=reason):
            predictor.read(raw)


def test_several_models_are_measured_as_one(learned, trained, tmp_path):
    both = evaluate([learned, learned], split="valid", output=str(tmp_path))
    alone = evaluate([learned], split="valid", output=str(tmp_path))
    assert both.figures["f1"].value == pytest.approx(alone.figures["f1"].value, abs=0.02)
    together = evaluate([learned, trained(TINY)], split="valid", output=str(tmp_path), weight=[9, 1])
    assert together.figures["f1"].value > 0.8


def test_texts_with_other_types_than_the_run_are_left_out_and_said(learned, tmp_path, capsys):
    rows = [{"text": "在上海", "spans": [[1, 3, "place"]]}, {"text": "吃饺子", "spans": [[1, 3, "dish"]]}]
    found = evaluate([learned], data=str(file(tmp_path, "test.jsonl", rows)), output=str(tmp_path / "out"))
    assert found.examples == 1
    assert "left out 1 x a type of spans that the model does not know" in capsys.readouterr().err
    with pytest.raises(DataError, match="nothing to evaluate on"):
        evaluate([learned], data=str(file(tmp_path, "none.jsonl", rows[1:])), output=str(tmp_path / "out"))


def test_files_of_columns_and_other_forms_are_measured_on_as_they_are_prepared(learned, tmp_path):
    same = [
        file(tmp_path, "a.jsonl", [{"text": "在上海", "spans": [[1, 3, "place"]]}]),
        file(tmp_path, "b.conll", "在 O\n上 B-place\n海 I-place\n"),
        file(tmp_path, "c.json", [{"tokens": ["在", "上海"], "tags": ["O", "S-place"]}]),
    ]
    figures = [evaluate([learned], data=str(path), output=str(tmp_path / "out")).figures for path in same]
    assert figures[0] == figures[1] == figures[2]


def test_bounds_are_held_by_figures_of_spans(learned, invoke, tmp_path):
    done = invoke(
        "evaluate",
        learned,
        "--split",
        "valid",
        "--require",
        "f1>=0.5",
        "--require",
        "place_f1>=0.5",
        "--output",
        tmp_path,
    )
    assert done.exit_code == 0, done.stderr
    assert invoke("evaluate", learned, "--split", "valid", "--require", "f1>=1.01", "--output", tmp_path).exit_code == 3


@pytest.mark.parametrize("tokenizer", ["wordpiece", "bpe"])
def test_tokens_of_several_characters_are_aligned_and_what_they_cut_is_said(tmp_path, tokenizer):
    rows = [
        {
            "text": f"{'very ' * n}happy people in 北京大学",
            "spans": [[5 * n, 5 * n + 3, "a"], [5 * n + 16, 5 * n + 18, "地"]],
        }
        for n in range(9)
    ]
    source, place = file(tmp_path, "a.jsonl", rows), tmp_path / "prepared"
    own = [f"data.source={source}", f"data.prepared={place}", f"run={tmp_path / 'run'}", f"data.tokenizer={tokenizer}",
           "data.vocabulary_size=400", "data.valid_share=0", "data.test_share=0", "data.valid=train", "train.steps=2",
           "train.validate_every=2", "train.save_every=2", "schedule.warmup_steps=0"]  # fmt: skip
    run = pretrain(str(RNN.path), own)
    assert "spans of the training texts begin or end within a token" in (run / "log.txt").read_text("utf-8")
    (value,) = Model(run).predict(["very happy  people in 北京大学🚚"])
    assert all(value.text[s.start : s.end].strip() == value.text[s.start : s.end] for s in value.spans)


def test_a_lexicon_that_is_gone_before_training_is_asked_for(tmp_path, settings, prepared):
    prepared(RNN)
    with pytest.raises(ConfigError, match=r"lexicon: there is no file .*none\.tsv"):
        pretrain(str(RNN.path), settings(RNN, tmp_path / "run", f"lexicon={tmp_path / 'none.tsv'}"))


# --- shown ---


def test_a_runs_page_shows_the_worst_texts_with_both_marks_in_them(tmp_path):
    said = [{"start": 0, "end": 2, "label": "人", "text": "小明", "probability": 0.9}]
    lines = [
        {"input": "a:1", "text": TOLD, "reference": SPANS, "prediction": said},
        {"input": "a:2", "text": TOLD, "reference": SPANS[:1], "prediction": said},
        {"input": "a:3", "text": TOLD, "reference": SPANS, "prediction": []},
    ]
    worst = answers(file(tmp_path, "predictions.jsonl", lines), "spans", print).worst
    assert [(one["input"], one["reference"], one["prediction"]) for one in worst] == [
        ("a:3", "[小明 人]在[北京 地]上班", TOLD),
        ("a:1", "[小明 人]在[北京 地]上班", "[小明 人]在北京上班"),
    ]


def test_predict_prints_lines_and_json_with_places_in_characters(onnx, invoke):
    said = json.loads(invoke("predict", onnx, "👍王芳明天下午从成都坐飞机去上海。", "--json").stdout)
    assert said["input"] == "👍王芳明天下午从成都坐飞机去上海。" and said["spans"]
    for span in said["spans"]:
        assert said["input"][span["start"] : span["end"]] == span["text"]
    line = invoke("predict", onnx, "👍王芳明天下午从成都坐飞机去上海。").stdout.rstrip("\n")
    name, *cells = line.split("\t")
    assert name == said["input"]
    assert cells == [f"{s['text']} {s['label']} {s['start']}-{s['end']}" for s in said["spans"]]


def test_a_terminal_shows_the_text_with_its_spans_in_colour(monkeypatch, capsys):
    from bmtool.commands import predict

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    predict._say("x", Spans("去\x1b[北]京 ", (Span(3, 4, "地[名"),), (0.9,)))
    shown = capsys.readouterr().out
    coloured = [part for part in shown.split("\x1b[") if "北" in part]
    assert len(coloured) == 1 and coloured[0].partition("m")[2].startswith("北")
    plain = "".join(part.partition("m")[2] for part in ("m" + shown).split("\x1b["))
    assert plain.rstrip("\n") == "去\\x1b[北/地[名]京 "
    assert console.colour("地[名") == console.colour("地[名")


def test_why_a_span_is_one_is_shown_and_checked_by_deletion(onnx, invoke, tmp_path):
    text = "王芳明天下午从成都坐飞机去上海。"
    done = invoke("predict", onnx, text, "--explain", tmp_path / "why.jsonl")
    assert done.exit_code == 0, done.stderr
    (why,) = map(json.loads, (tmp_path / "why.jsonl").read_text("utf-8").splitlines())
    (value,) = Model(onnx).predict([text])
    name, _, label = why["answer"].rpartition(" ")
    assert any((text[s.start : s.end], s.label) == (name, label) for s in value.spans)
    assert why["deletion"]["whole"] > np.mean(why["deletion"]["top"])
    added = {text[unit["start"] : unit["end"]]: unit["adds"] for unit in why["units"]}
    assert max(added[letter] for letter in name) == max(added.values())


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_spans_are_marked_in_a_browser(browser, onnx, tmp_path):  # noqa: F811
    text = "👍 王芳明天下午从成都坐飞机去上海。"
    with inside(tmp_path), serving(onnx) as (base, _):
        page = open_page(browser, base, viewport={"width": 760, "height": 480})
        page.fill("#line", text)
        page.click("#text-part button")
        page.wait_for_selector("#answer mark")
        (value,) = Model(onnx).predict([text])
        assert page.locator("#answer mark").all_inner_texts() == [text[s.start : s.end] for s in value.spans]
        assert page.locator("#answer mark").evaluate_all("marks => marks.map(m => m.dataset.label)") == [
            s.label for s in value.spans
        ]
        assert page.locator("#answer .marked").evaluate("one => one.textContent") == text
        assert page.errors == []
        page.close()


def test_the_kind_of_a_predictor_reads_files_as_its_training_did(onnx):
    predictor = load_model(onnx, print).predictor
    assert predictor.kind.task == "token-classification" and predictor.facts()["types"] == predictor.types
    assert kind_of(Data.model_validate({"source": "-", "prepared": "-"})).texts == ("text",)
