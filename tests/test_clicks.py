"""click-prediction: lists, hashed and rare categories, splits, figures of clicks, what its models learn, and why they say what they say."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import find
from conftest import CONFIGS
from sklearn.metrics import roc_auc_score
from test_serve import CHROMIUM, browser, open_page, serving  # noqa: F401  a fixture

from bmtool import Model
from bmtool.base.console import Console
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.config.table import FieldColumns, FieldData
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.bootstrap import RESAMPLES
from bmtool.measure.clicks import ClickMeter
from bmtool.measure.grouped import mean_area
from bmtool.tables import lists
from bmtool.tables.columns import Schema
from bmtool.tables.describing import describe
from bmtool.tables.prepare import content_hash, prepare
from bmtool.tables.table import Table
from bmtool.tasks.click_prediction.config import Fm
from bmtool.tasks.click_prediction.model import Backbone, pairs
from bmtool.tasks.click_prediction.task import Network

HEADER = "user,item,when,clicked"
SHOP = CONFIGS / "click-prediction"


def prepared(folder, text: str, name: str = "clicks.csv", **data):
    """The manifest and the table of a file, by its training rows."""
    (folder / name).write_text(text, "utf-8")
    held = FieldData(source=str(folder / name), prepared=str(folder / "data"), target="clicked", **data)
    manifest = prepare(SimpleNamespace(task="click-prediction", data=held), Console())
    return manifest, folder / "data"


def columns(**given) -> FieldColumns:
    return FieldColumns(**given)


def rows_of(count: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    rows = [f"u{draw.randrange(9)},i{draw.randrange(7)},{1700000000 + n},{draw.randrange(2)}" for n in range(count)]
    return "\n".join([HEADER, *rows]) + "\n"


# --- lists ---


@pytest.mark.parametrize("text, found", [
    ("a|b|c", ["a", "b", "c"]), (" a b | 猫 |", ["a b", "猫"]), ('["a", 7, true]', ["a", "7", "true"]), ("[]", []), ("7", ["7"]),
])  # fmt: skip
def test_ids_are_apart_by_bars_or_a_json_list(text, found):
    assert lists.ids(text) == found


@pytest.mark.parametrize("text, words", [
    ("[1, 2", "no JSON"), ('{"a": 1}', None), ('[["a"]]', "lists of lists|list of lists"), ("[null]", "nulls"), ("x" * 200_000, "at most"),
])  # fmt: skip
def test_what_is_no_list_says_so(text, words):
    if words is None:
        assert lists.ids(text) == [text]
        return
    with pytest.raises(BadInput, match=words):
        lists.ids(text)


def test_words_are_small_and_different_and_scripts_without_spaces_have_single_letters():
    assert lists.words("Red LAMP, red 台灯 x2!") == ["red", "lamp", "台", "灯", "x2"]


# --- columns ---


def schema_of(asked: FieldColumns, **cells: list[str]) -> Schema:
    made = tuple(describe(name, held, [""], asked)[0] for name, held in cells.items())
    return Schema(made, "clicked", (), ("",), ("0", "1"), 1)


def test_a_history_has_the_numbers_of_its_column_the_newest_last():
    asked = columns(categorical=["item"], history={"seen": "item"}, length=2)
    schema = schema_of(asked, item=["a", "a", "b", "c"], seen=["", "a", "", ""])
    assert schema.width == 3 and schema.owner().tolist() == [0, 1, 1]
    values, unseen = schema.encode({"item": "b", "seen": "c|x|a|b"})
    assert values.tolist() == [2, 1, 2] and unseen == ["seen"]
    assert schema.encode({"item": "x", "seen": ["c"]})[0].tolist() == [0, 3, 0]
    assert schema.told(values) == ["item = b", "seen = a|b"]
    assert Schema.of(json.loads(schema.dump())) == schema


def test_words_that_few_rows_have_are_not_read():
    schema = schema_of(columns(text=["title"], length=3), title=["red lamp", "red cup", "blue lamp", ""])
    assert schema.columns[0].categories == ("lamp", "red")
    values, unseen = schema.encode({"title": "a new RED lamp"})
    assert values.tolist() == [2, 1, 0] and unseen == []


def test_rare_categories_are_one_unknown_and_hashed_ones_have_no_names():
    schema = schema_of(columns(hashed={"ad": 5}, min_count=2), item=["a", "a", "b"], ad=["x", "y", "z"])
    assert schema.columns[0].categories == ("a",)
    values, unseen = schema.encode({"item": "b", "ad": "never seen"})
    assert values[0] == 0 and 1 <= values[1] <= 5 and unseen == ["item"]
    assert schema.columns[1].categories == () and schema.columns[1].known == 5
    assert schema.encode({"item": "a", "ad": ""})[0].tolist() == [1, 0]


def test_what_only_some_columns_have_is_not_in_schemas_of_others():
    """So that what was prepared before keeps its hash."""
    held = schema_of(columns(), age=["3", "4"], item=["a", "b"]).as_dict()
    assert all(column.keys().isdisjoint({"buckets", "length", "of", "words"}) for column in held["columns"])


# --- preparing ---


def test_lists_of_json_lines_are_read_and_the_hash_holds_whose_rows_they_are(tmp_path):
    held = [
        {"user": f"u {n % 3}", "item": f"i{n % 2}", "seen": ["i0", "i1"][: n % 3], "clicked": n % 2} for n in range(40)
    ]
    text = "\n".join(json.dumps(row) for row in held)
    asked = columns(user="user", categorical=["item"], history={"seen": "item"}, length=4)
    manifest, place = prepared(tmp_path, text, "clicks.jsonl", columns=asked, valid_share=0.2, test_share=0.2)
    table = Table(place, "train")
    assert set(table.group.tolist()) <= {0, 1, 2} and manifest["data_hash"] == content_hash(place)
    assert table.values.shape[1] == 2 + 4
    np.save(place / "group.npy", np.zeros(40, np.int64))
    assert content_hash(place) != manifest["data_hash"]


def test_a_split_by_time_has_no_future_in_training(tmp_path):
    manifest, place = prepared(
        tmp_path, rows_of(100), columns=columns(time="when"), split="time", valid_share=0.1, test_share=0.2
    )
    assert [manifest["splits"][split]["examples"] for split in ("train", "valid", "test")] == [70, 10, 20]
    assert Table(place, "train").numbers.max() < Table(place, "valid").numbers.min()
    assert "when" not in {column.name for column in Table(place, "train").schema.columns}


def test_rows_of_one_time_stay_together_and_are_counted(tmp_path):
    rows = [f"u{n},i{n % 3},{1700000000 + n // 30 * 30},{n % 2}" for n in range(90)]
    text = "\n".join([HEADER, *rows])
    manifest, _ = prepared(tmp_path, text, columns=columns(time="when"), split="time", valid_share=0.2, test_share=0.2)
    assert [manifest["splits"][split]["examples"] for split in ("train", "valid", "test")] == [30, 30, 30]
    assert any("87 of 90 rows have the time of the row before them" in said for said in manifest["warnings"])


def test_a_split_that_is_given_is_kept(tmp_path):
    text = rows_of(30).replace("when", "part")
    lines = text.splitlines()
    rows = [
        ",".join([*line.split(",")[:2], name, line[-1]])
        for line, name in zip(lines[1:], ["train", "dev", "test", "x"] * 8)
    ]
    manifest, _ = prepared(
        tmp_path,
        "\n".join([lines[0], *rows]),
        columns=columns(split="part"),
        split="given",
        valid_share=0.0,
        test_share=0.0,
    )
    assert [manifest["splits"][split]["examples"] for split in ("train", "valid", "test")] == [8, 8, 7]
    assert sum(manifest["dropped"].values()) == 7


@pytest.mark.parametrize("text, more, words", [
    (rows_of(30).replace("clicked", "took"), {}, "no column 'clicked'"),
    (rows_of(30), {"columns": columns(user="person")}, "no column 'person'"),
    (rows_of(30), {"columns": columns(history={"viewed": None})}, "no column 'viewed'"),
    (HEADER + "\n" + "u,i,1,1\n" * 30, {}, "nothing to tell apart"),
    (HEADER + "\n" + "".join(f"u{n},i,{n},{n % 5}\n" for n in range(40)), {}, "5 different values.*a click is or is not"),
    (rows_of(30).replace("1700000003,", "2024-05-01,"), {"columns": columns(time="when"), "split": "time"}, "write all times in one way"),
    (rows_of(30).replace("0003,", "0003000,"), {"columns": columns(time="when"), "split": "time"}, "write all times in one way"),
    (HEADER + "\n" + "".join(f"u{n},i,1700000000,{n % 2}\n" for n in range(40)), {"columns": columns(time="when"), "split": "time"},
     "no row is before the others"),
])  # fmt: skip
def test_what_cannot_be_learned_from_is_refused(text, more, words, tmp_path):
    with pytest.raises((DataError, ConfigError), match=words):
        prepared(tmp_path, text, **more)


def test_missing_times_and_bad_lists_drop_the_row_and_are_counted(tmp_path):
    text = (
        HEADER.replace("item", "seen")
        + "\n"
        + "".join(
            f"u{n % 3},{'[1' if n == 4 else 'a|b'},{'' if n == 7 else 1700000000 + n},{n % 2}\n" for n in range(60)
        )
    )
    asked = columns(time="when", history={"seen": None})
    manifest, _ = prepared(tmp_path, text, columns=asked, split="time", valid_share=0.2, test_share=0.2)
    assert manifest["kept"] == 58 and sorted(manifest["dropped"].values()) == [1, 1]
    assert any("no JSON" in reason for reason in manifest["dropped"])


@pytest.mark.parametrize("data, words", [
    ("split: time", "takes columns.time"), ("split: given", "takes columns.split"),
    ("columns: {split: s}", "set split to given"), ("columns: {history: {seen: item}}", "none of columns.categorical"),
    ("columns: {categorical: [a], text: [a]}", "named twice"), ("columns: {hashed: {a: 99999999}}", "less than or equal"),
])  # fmt: skip
def test_settings_that_do_not_go_together(data, words, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "task: click-prediction\nrun: r\nmodel: {kind: fm}\ndata:\n  source: a.csv\n  prepared: p\n  target: y\n  "
        + data
    )
    with pytest.raises(ConfigError, match=words):
        load(path)


def test_attention_needs_something_to_attend_to(tmp_path):
    case = find("click-prediction-din")
    settings = [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}", "data.columns.history={viewed: null}"]
    with pytest.raises(ConfigError, match=r"data\.columns\.history"):
        pretrain(str(case.path), settings)


# --- figures ---


def click_rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.random(count) < 0.4, np.round(draw.random(count), 1), draw.integers(-1, 12, count)


def by_hand(positive, scores, group) -> float:
    parts = [group == one for one in set(group.tolist()) - {-1} if 0 < positive[group == one].mean() < 1]
    return sum(p.sum() * roc_auc_score(positive[p], scores[p]) for p in parts) / sum(p.sum() for p in parts)


def test_gauc_is_the_mean_of_the_areas_of_users_by_their_rows(monkeypatch):
    positive, scores, group = click_rows(300)
    assert mean_area(positive, scores, group, columns=1)[0] == pytest.approx(by_hand(positive, scores, group))
    monkeypatch.setattr("bmtool.measure.grouped.ROWS", 7)
    resampled = mean_area(positive, scores, group, columns=1 + RESAMPLES)
    assert resampled[0] == pytest.approx(by_hand(positive, scores, group))
    assert 0.005 < resampled[1:].std() < 0.1


def test_gauc_by_hand_and_where_nobody_has_both():
    positive, scores = np.array([True, False, True, False, True]), np.array([0.9, 0.1, 0.2, 0.8, 0.5])
    # the first user is ranked rightly, the second the wrong way, the third took all: (2 * 1 + 2 * 0) / 4
    assert mean_area(positive, scores, np.array([0, 0, 1, 1, 2]), columns=1)[0] == 0.5
    assert np.isnan(mean_area(positive, scores, np.arange(5), columns=1)[0])
    assert np.isnan(mean_area(positive, scores, np.full(5, -1), columns=1)[0])


def test_meters_of_several_processes_and_of_one_say_the_same():
    positive, scores, group = click_rows(200)
    said, truth = np.stack([1 - scores, scores], axis=1), np.stack([positive.astype(int), group], axis=1)
    whole, parts = ClickMeter(["0", "1"]), [ClickMeter(["0", "1"]) for _ in range(2)]
    whole.add(said, truth, np.ones((200, 1)))
    for number, part in enumerate(parts):
        part.add(said[number::2], truth[number::2], np.ones((100, 1)))
    joined = ClickMeter(["0", "1"])
    joined.join(part.state() for part in parts)
    for name, value in whole.figures().items():
        assert joined.figures()[name] == pytest.approx(value), name
    assert whole.figures()["auc"][0] == pytest.approx(roc_auc_score(positive, scores))
    assert whole.figures()["calibration_error"][0] == pytest.approx(abs(scores.sum() / positive.sum() - 1))


# --- networks ---


def test_pairs_are_the_sum_of_all_inner_products():
    vectors = torch.randn(3, 5, 4)
    wanted = [sum(float(row[i] @ row[j]) for i in range(5) for j in range(i)) for row in vectors]
    torch.testing.assert_close(pairs(vectors)[:, 0], torch.tensor(wanted))


def test_the_order_and_what_is_behind_a_history_change_nothing_of_its_mean():
    asked = columns(categorical=["item"], history={"seen": "item"}, length=4)
    schema = schema_of(asked, item=["a", "a", "b", "c"], seen=["", "a", "", ""])
    network = Backbone(schema, Fm(kind="fm", width=3)).eval()
    with torch.no_grad():
        network.fields.rows.table.weight.normal_()
        said = network(torch.tensor([[1.0, 2, 3, 0, 0], [1.0, 3, 2, 0, 0], [1.0, 2, 0, 0, 0]]))
    assert said[0] == pytest.approx(float(said[1]), abs=1e-5) and abs(said[0] - said[2]) > 1e-4


def test_tables_of_many_rows_have_sparse_gradients_and_resume(tmp_path, monkeypatch):
    monkeypatch.setattr("bmtool.tasks.click_prediction.model.SPARSE_FROM", 10)
    case = find("click-prediction")
    settings = [f"data.prepared={tmp_path / 'data'}", "model.l2=0.01", "optim.weight_decay=0.1"]
    whole = pretrain(str(case.path), [f"run={tmp_path / 'whole'}", *settings])
    pretrain(str(case.path), [f"run={tmp_path / 'parts'}", *settings, "train.stop_after=3"])
    parts = pretrain(str(case.path), [f"run={tmp_path / 'parts'}", *settings])
    files = [(run / "checkpoints" / "step-00000008" / "model.safetensors").read_bytes() for run in (whole, parts)]
    assert files[0] == files[1]
    assert "a step changes what it reads" in (whole / "log.txt").read_text("utf-8")


@pytest.mark.parametrize("sparse", [False, True])
def test_l2_counts_what_is_read_of_a_large_table_and_all_of_a_small_one(sparse):
    schema = schema_of(columns(categorical=["item"]), item=["a", "a", "b", "c"])
    fields = Backbone(schema, Fm(kind="fm", width=3, l2=1.0)).fields
    fields.rows.table.sparse = sparse
    with torch.no_grad():
        fields.rows.table.weight.fill_(1.0)
    assert fields.squares(torch.tensor([[1.0], [1.0], [2.0]])).item() == (2 if sparse else 4) * 4 / 2


# --- what is learned ---


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """`shop(kind)`: a run of a shipped config on what lies in one folder."""
    folder, done = tmp_path_factory.mktemp("clicks"), {}

    def make(kind: str):
        if kind not in done:
            fewer = (
                ["train.steps=300", "train.threads=1"] if kind != "lightgbm" else ["model.rounds=60", "train.threads=1"]
            )
            settings = [f"run={folder / kind}", f"data.prepared={folder / 'data'}", *fewer]
            done[kind] = pretrain(str(SHOP / f"{kind}.yaml"), settings)
        return done[kind]

    return make


def test_what_was_planted_is_found_by_pairs_and_not_by_weights(shop):
    """The page of the task says so."""
    found = {kind: evaluate([shop(kind)]).figures for kind in ("logistic-regression", "fm", "din")}
    weights = found.pop("logistic-regression")
    for kind, figures in found.items():
        assert figures["auc"].value > weights["auc"].value + 0.06, kind
        assert figures["gauc"].value > weights["gauc"].value + 0.06, kind


KINDS = ["logistic-regression", "fm", "deepfm", "din", "lightgbm"]


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """The shipped clicks with labels that say nothing: settings of data that is prepared once."""
    folder = tmp_path_factory.mktemp("shuffled")
    lines = (CONFIGS.parent / "data/click-prediction/clicks.csv").read_text("utf-8").splitlines()
    labels = [line[-1] for line in lines[1:]]
    random.Random(5).shuffle(labels)
    rows = [line[:-1] + label for line, label in zip(lines[1:], labels)]
    (folder / "clicks.csv").write_text("\n".join([lines[0], *rows]), "utf-8")
    return [f"data.prepared={folder / 'data'}", f"data.source={folder / 'clicks.csv'}"]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_shuffled_teach_nothing(kind, shuffled, tmp_path):
    fewer = ["model.rounds=20"] if kind == "lightgbm" else ["train.steps=60", "train.validate_every=60"]
    run = pretrain(str(SHOP / f"{kind}.yaml"), [*shuffled, f"run={tmp_path / 'run'}", *fewer, "train.threads=1"])
    auc = evaluate([run]).figures["auc"]
    assert auc.low < 0.5 < auc.high or abs(auc.value - 0.5) < 0.06


# --- answers ---


def test_because_is_what_the_probability_loses_without_a_column(shop):
    predictor = load_model(shop("fm"), print).predictor
    row = predictor.read(
        {"user": "u3", "item": "i7", "title": "kitchen bag", "price": 12.5, "device": "phone", "viewed": "i1|i7"}
    )
    (said,) = predictor.predict([row])
    owner = predictor.schema.owner()
    without = row.values.copy()
    place = [column.name for column in predictor.schema.columns].index("device")
    without[owner == place] = predictor.schema.absent()[owner == place]
    lost = said.probability - predictor.probabilities([row._replace(values=without)])[0, 1]
    every = dict(predictor.predict([row], load_options(because=20))[0].because)
    assert every["device = phone"] == pytest.approx(lost, abs=1e-6)
    assert len(said.because) == 3 and {"viewed = i1|i7"} <= set(every)
    assert predictor.predict([row], load_options(because=0))[0].because == ()


def load_options(**given):
    from bmtool.tasks.click_prediction.config import Options

    return Options(**given)


def test_answers_name_what_is_unknown_and_refuse_what_is_no_row(trained, exported, invoke):
    case = find("click-prediction")
    done = invoke("predict", exported(case), *case.asked, "--json", "--because", "1")
    assert done.exit_code == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["classes"][0]["probability"] >= 0.5 and len(first["because"]) == 1
    assert {
        "column 'user': unknown category, taken as missing",
        "column 'viewed': unknown category, taken as missing",
    } <= set(second["notes"])
    for bad, words in (
        ({"viewed": [["i1"]]}, "list of lists"),
        ({"price": "cheap"}, "holds no number"),
        ({"colour": 1}, "no column"),
    ):
        row = json.loads(case.asked[0]) | bad
        failed = invoke("predict", exported(case), json.dumps(row))
        assert failed.exit_code == 4 and words in failed.stderr


def test_an_evaluation_has_intervals_groups_and_a_picture_of_calibration(trained, tmp_path):
    run = trained(find("click-prediction"))
    measured = evaluate([run], by=["device"], output=str(tmp_path))
    for name in ("auc", "gauc", "loss", "calibration_error"):
        figure = measured.figures[name]
        assert figure.low <= figure.value <= figure.high, name
    assert (tmp_path / "test.calibration.png").stat().st_size > 1000
    report = json.loads((tmp_path / "test.json").read_text("utf-8"))
    assert {"phone", "computer"} <= set(report["slices"]["device"])


def test_without_a_user_there_is_no_gauc(tmp_path):
    case = find("click-prediction-lightgbm")
    run = pretrain(
        str(case.path), [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}", "data.columns.user=null"]
    )
    assert "gauc" not in evaluate([run]).figures


def test_trees_read_how_common_a_category_is_where_there_are_too_many(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bmtool.tasks.click_prediction.task.Boosted.most_named", 5)
    case = find("click-prediction-lightgbm")
    run = pretrain(str(case.path), [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}"])
    said = capsys.readouterr().err
    assert "trees read no lists: title, viewed left out" in said and "how common each is: user, item" in said
    assert len(Model(run).predict(case.asked)) == len(case.asked)


def test_a_network_refuses_a_teacher_of_other_columns(trained):
    case = find("click-prediction")
    task = Network.open(case.config, trained(case) / "assets")
    other = Network.open(case.config, trained(case) / "assets")
    other.schema = schema_of(columns(), age=["3", "4"])
    assert "data.columns_of" in task.refuses(other) and task.refuses(task) == ""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_a_click_is_asked_for_in_a_browser(browser, exported):  # noqa: F811
    """What is typed into the form, lists included, is answered with its reasons."""
    case = find("click-prediction")
    with serving(exported(case)) as (base, _):
        page = open_page(browser, base, viewport={"width": 900, "height": 900})
        for name, value in {"user": "u3", "viewed": "i1|i7", "title": "kitchen bag", "price": "12.5"}.items():
            field = page.locator(f"#columns [name={name}]")
            field.select_option(value) if name == "user" else field.fill(value)
        page.locator("#columns [name=item]").select_option("i7")
        page.click("#record-part button")
        page.wait_for_selector("#answer .hint")
        said = page.locator("#answer").inner_text()
        page.close()
    row = {"user": "u3", "item": "i7", "title": "kitchen bag", "price": 12.5, "device": None, "viewed": "i1|i7"}
    (value,) = Model(exported(case)).predict([json.dumps(row)])
    assert f"{100 * value.classes[0][1]:.1f} %" in said and value.because[0][0] in said


def test_a_configuration_of_ones_own_names_no_column_of_the_sample(tmp_path, monkeypatch, invoke):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("who,what,took\na,x,1\nb,y,0\n", "utf-8")
    done = invoke("init", "click-prediction", "mine.yaml", "--data", "log.csv", "--target", "took")
    assert done.exit_code == 0, done.stderr
    held = load(tmp_path / "mine.yaml").data
    assert (held.target, held.split, held.columns.mentioned) == ("took", "hash", [])
