"""Why a model says what it says of a text: attributions worked out by hand, checked by deletion, on runs and exports, and shown."""

import json
import re

import numpy as np
import planted
import pytest
import torch
from test_cli import fails
from torch import nn

from bmtool.api import load
from bmtool.commands.export_onnx import export_onnx
from bmtool.measure.attribution import MOST, ORDERS, SHARES, deletion, occlusion
from bmtool.nn.attribution import gradients_times_input
from bmtool.text.labelled import marked
from bmtool.text.labelled.units import Unit, units, without

TEXT = "图案印歪了，不过发货很快，下单当晚就出库了，一般吧。"


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return planted.texts(tmp_path_factory.mktemp("explained"))


# --- attributions of any model ---


def weighted(weights: np.ndarray):
    return lambda left: left @ weights


def test_of_a_sum_each_unit_has_its_part():
    weights = np.array([0.5, -0.25, 0.0, 1.0])
    np.testing.assert_allclose(occlusion(weighted(weights), 4, sizes=(1,)), weights)
    # Larger stretches spread it over neighbours, and leave the order of what stands apart.
    wide = occlusion(weighted(np.eye(9)[4]), 9)
    assert wide.argmax() == 4 and (wide[[0, 8]] == 0).all()


def test_a_word_of_two_characters_that_need_both_taken_away_is_found():
    def say(left):
        return (left[:, 3] | left[:, 4]).astype(float)

    assert not occlusion(say, 8, sizes=(1,)).any()
    assert set(np.argsort(-occlusion(say, 8), kind="stable")[:2].tolist()) == {3, 4}


def test_the_number_of_questions_is_bounded_and_every_unit_is_in_one():
    asked = []

    def say(left):
        asked.append(len(left))
        assert left.any(axis=1).all()
        return left.mean(axis=1)

    found = occlusion(say, 5000)
    assert max(asked) <= MOST + 1 and (found > 0).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_unit(count):
    found = occlusion(lambda left: left.sum(axis=1).astype(float), count)
    assert found.shape == (count,) and (found == 1).all()


def test_deletion_tells_attributions_that_are_right_from_those_that_are_not():
    random = np.random.default_rng(0)
    weights = np.zeros(40)
    weights[:8] = 1 / 8
    random.shuffle(weights)
    say = weighted(weights)
    right, none, wrong = (deletion(say, added) for added in (weights, random.random(40), -weights))
    assert right.whole == pytest.approx(1) and len(right.top) == len(right.random) == len(SHARES)
    # 8 of 40 are a fifth: from there on nothing is left.
    np.testing.assert_allclose(right.top, [0.5, 0, 0, 0, 0], atol=1e-12)
    assert right.gain > 0.5 > abs(none.gain) and wrong.gain < -0.2
    assert deletion(say, weights).random == pytest.approx(right.random) and ORDERS >= 10


def test_gradients_times_input_are_the_parts_of_a_linear_model():
    torch.manual_seed(0)
    embedding, head = nn.Embedding(7, 5), nn.Linear(5, 2)
    token = torch.tensor([[1, 2, 3], [4, 5, 6]])
    found = gradients_times_input(embedding, lambda: head(embedding(token).sum(dim=1))[:, 1])
    with torch.no_grad():
        parts = embedding(token) @ head.weight[1]
        torch.testing.assert_close(found, parts)
        torch.testing.assert_close(found.sum(dim=1) + head.bias[1], head(embedding(token).sum(dim=1))[:, 1])
    assert embedding.weight.grad is None and not found.requires_grad


# --- units of texts ---


@pytest.mark.parametrize("text, cut", [
    ("下雨了，good day!", ["下", "雨", "了", "，", "good", "day", "!"]), ("  a  1.5%\n", ["a", "1", ".", "5", "%"]), ("", []),
    ("e\u0301te\u0301 😀好", ["e\u0301te\u0301", "😀", "好"]), ("一\t二", ["一", "二"]),
])  # fmt: skip
def test_units_are_words_characters_and_signs(text, cut):
    held = units([text])
    assert [text[one.start : one.stop] for one in held] == cut


def test_what_is_taken_away_goes_with_its_characters_alone():
    texts = ("下雨了 good day", "晴")
    held = units(texts)
    assert held[-1] == Unit(1, 0, 1)
    left = np.array([False, True, True, False, True, True])
    assert without(texts, held, left) == ("雨了  day", "晴")
    # Of a pair each keeps something: a text that would be empty stays.
    assert without(texts, held, np.zeros(6, bool)) == texts


# --- models ---


@pytest.mark.parametrize("way", ["explain", "saliency"])
def test_what_a_model_goes_by_matters_more_than_the_rest(make, way):
    model = load(make())._loaded.predictor
    lines = [line.split(",")[0] for line in planted.read_lines(30)]
    found = [model.explained(way, model.read(line)) for line in lines]
    top, rest = (np.mean([getattr(one.deletion, part)[1] for one in found]) for part in ("top", "random"))
    assert np.mean([one.deletion.gain for one in found]) > 0.08
    assert top < rest - 0.05
    assert np.mean([one.deletion.gain > 0 for one in found]) > 0.7


def test_an_export_explains_as_its_run_does_but_for_gradients(make, invoke, tmp_path):
    file = export_onnx(make(), output=str(tmp_path / "m.onnx"))
    ours, theirs = (load(path)._loaded.predictor for path in (make(), file))
    a, b = (model.explained("explain", model.read(TEXT)) for model in (ours, theirs))
    assert a.answer == b.answer and a.units == b.units
    np.testing.assert_allclose(a.added, b.added, atol=1e-4)
    fails(invoke("predict", file, TEXT, "--saliency", tmp_path / "why.html"), 2, "--saliency needs gradients")
    assert not (tmp_path / "why.html").exists()


def test_long_texts_and_pairs_have_gradients_for_all_their_tokens(make, tmp_path_factory):
    long = load(make())._loaded.predictor
    read = long.read(TEXT * 8)
    assert len(long.windows([read])) > 2
    assert np.count_nonzero(long.explained("saliency", read).added) > 0.9 * len(units(read.texts))
    pair = planted.pairs(tmp_path_factory.mktemp("pairs"))
    model = load(pair)._loaded.predictor
    found = model.explained("saliency", model.read({"text": "颜色很好看", "text_pair": TEXT}))
    assert {unit.text for unit in found.units} == {0, 1}
    for text in (0, 1):
        added = [value for unit, value in zip(found.units, found.added) if unit.text == text]
        assert np.count_nonzero(added) == len(added)
    assert len(list(marked.lines(found))) == 2


def test_a_page_json_lines_a_picture_and_the_terminal(make, invoke, tmp_path):
    odd = f"<b>&{TEXT}"
    result = invoke(
        "predict", make(), TEXT, odd, "--explain", tmp_path / "why.html", "--saliency", tmp_path / "why.jsonl"
    )
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2, result.stderr
    page = (tmp_path / "why.html").read_text("utf-8")
    assert "<b>&" not in page and "&lt;" in page
    shown = re.findall(r"<p>(.*?)</p>", page)
    assert re.sub(r"<[^>]+>", "", shown[1]) == TEXT
    first, second = (json.loads(line) for line in (tmp_path / "why.jsonl").read_text("utf-8").splitlines())
    assert [one["unit"] for one in first["units"]] == list(TEXT) and second["texts"] == [odd]
    assert all(odd[one["start"] : one["end"]] == one["unit"] for one in second["units"])
    assert first["deletion"]["taken"] == list(SHARES) and len(first["deletion"]["random"]) == len(SHARES)
    drawn = invoke("predict", make(), TEXT, "--explain", tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG"), drawn.stderr
    told = invoke("predict", make(), TEXT, "--explain", "-").stdout.splitlines()
    assert told[2] == TEXT and "without as many at random" in told[1] and re.search(r"[+-]0\.\d{4}", told[3])


def test_colours_say_for_and_against():
    assert marked.colour(0.0) == (255, 255, 255)
    red, _, blue = marked.colour(1.0)
    assert red > blue and marked.colour(-1.0)[2] > marked.colour(-1.0)[0]


def test_too_long_texts_and_too_many_are_said(make, invoke, tmp_path):
    fails(invoke("predict", make(), "长" * 6000, "--explain", tmp_path / "a.html"), 2, "more than 5,000 characters")
    many = invoke("predict", make(), *["很好"] * 22, "--explain", tmp_path / "b.jsonl")
    assert "the first 20 of 22 texts are explained" in many.stderr
    assert len((tmp_path / "b.jsonl").read_text("utf-8").splitlines()) == 20


def test_what_draws_pictures_alone_takes_a_file(invoke, tmp_path_factory):
    rows = planted.tables(tmp_path_factory.mktemp("rows"))(
        "one", "train.steps=2", "train.validate_every=2", "train.save_every=2"
    )
    fails(invoke("predict", rows, '{"x": 1, "y": 1}', "--explain", "-"), 2, "--explain FILE.png")
    fails(invoke("predict", rows, '{"x": 1, "y": 1}', "--saliency", "a.png"), 2, "no such picture")


def test_a_number_and_n_grams_are_explained(make, tmp_path):
    settings = ("task=text-regression", "data.columns={label: stars}", f"data.prepared={tmp_path / 'stars'}")
    number = make("number", *settings, *planted.FEW)
    model = load(number)._loaded.predictor
    found = model.explained("explain", model.read("质量太差，再也不买了"))
    assert found.answer == "label" and found.deletion.whole == pytest.approx(
        model.numbers([model.read("质量太差，再也不买了")])[0]
    )
    linear = planted.linear(tmp_path)
    said = load(linear)._loaded.predictor
    assert said.explained("explain", said.read(TEXT)).deletion.gain > 0
