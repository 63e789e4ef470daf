"""Ratings: what models of them learn, say and refuse (docs/tasks/rating-prediction.md)."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from bmtool.base import memory
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.errors import BadInput, ConfigError, DataError, ResourceError
from bmtool.tasks.rating_prediction import bayes, factors, neighbours, solve
from bmtool.tasks.rating_prediction.config import Bpmf, ItemKnn, Svd, SvdPp, UserKnn
from bmtool.tasks.rating_prediction.modules import Neighbours
from bmtool.tasks.rating_prediction.ratings import Ratings, biases, blocks
from bmtool.tasks.rating_prediction.task import Task

TINY = str(ROOT / "bmtool/tasks/rating_prediction/tiny.yaml")
KINDS = {
    "biases": {},
    "svd": {"factors": 8, "l2": 0.3},
    "svdpp": {"factors": 8, "l2": 0.3},
    "bpmf": {"factors": 8, "draws": 50},
    "item-knn": {"shrink": 10},
    "user-knn": {"shrink": 10},
}
PARTS = [{"kind": kind} | KINDS[kind] for kind in ("bpmf", "svdpp", "item-knn", "user-knn")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    place = tmp_path_factory.mktemp("stars")
    prepare_data(TINY, [f"data.prepared={place / 'data'}"])
    return place


def fitted(shop, model, *more):
    config = load(TINY, [f"data.prepared={shop / 'data'}", f"model={json.dumps(model)}", *more])
    task = Task.fresh(config)
    figures = list(task.fit(lambda said: None))
    task.figures = task.result or figures[-1]
    return task


def planted(users=60, items=40, rank=2, noise=0.1, share=0.5) -> Ratings:
    """Ratings that are biases and products of factors."""
    random = np.random.default_rng(3)
    whole = 3 + random.normal(0, 0.5, (users, 1)) + random.normal(0, 0.5, (1, items))
    whole = whole + random.normal(size=(users, rank)) @ random.normal(size=(rank, items)) / 2
    rows, columns = np.nonzero(random.random((users, items)) < share)
    values = whole[rows, columns] + random.normal(0, noise, len(rows))
    return Ratings(rows, columns, values.astype(np.float32), (users, items))


def parted(ratings: Ratings) -> tuple[Ratings, Ratings]:
    there = np.random.default_rng(4).random(len(ratings.rows)) < 0.8
    return tuple(
        ratings._replace(rows=ratings.rows[part], columns=ratings.columns[part], values=ratings.values[part])
        for part in (there, ~there)
    )


def error_of(found, ratings: Ratings) -> float:
    left = found["left"] + found.get("implicit", 0)
    said = found["mean"] + found["user_bias"][ratings.rows] + found["item_bias"][ratings.columns]
    said = said + (left[ratings.rows] * found["right"][ratings.columns]).sum(1)
    return float(np.sqrt(((said - ratings.values) ** 2).mean()))


# --- what is learned ---


def test_every_kind_finds_what_was_planted_in_the_shop(shop):
    """Stars are higher for one's own hobby: that, biases do not know."""
    found = {kind: fitted(shop, {"kind": kind} | more).figures["valid/rmse"] for kind, more in KINDS.items()}
    for kind in ("bpmf", "item-knn", "user-knn"):
        assert found[kind] < found["biases"] - 0.02, (kind, found)
    for kind in ("svd", "svdpp"):
        assert found[kind] < found["biases"] + 0.02, (kind, found)
    blend = fitted(shop, {"kind": "blend", "parts": PARTS}).figures["valid/rmse"]
    assert blend < min(found.values()), (blend, found)


@pytest.mark.parametrize("kind", ["svd", "svdpp", "bpmf"])
def test_factors_that_were_planted_are_found(kind):
    train, test = parted(planted())
    more = {"factors": 2, "draws": 60} if kind == "bpmf" else {"factors": 2, "l2": 0.01, "rounds": 40}
    section = {"svd": Svd, "svdpp": SvdPp, "bpmf": Bpmf}[kind](kind=kind, **more)
    fit = {"svd": factors.svd, "svdpp": factors.svdpp, "bpmf": bayes.bpmf}[kind]
    *_, found = fit(section, train, 1)
    alone = biases(train, 1.0, 1.0) | {"left": np.zeros((60, 1)), "right": np.zeros((40, 1))}
    assert error_of(found, test) < 0.2
    assert error_of(alone, test) > 0.5


def test_alternating_ridge_regression_ends_where_its_gradient_is_zero():
    ratings = planted(12, 9)
    *_, found = factors.svd(Svd(kind="svd", factors=2, l2=0.1, rounds=300), ratings, 1)
    users, items = (
        torch.tensor(np.column_stack([found[side], found[bias]]), dtype=torch.float64, requires_grad=True)
        for side, bias in (("left", "user_bias"), ("right", "item_bias"))
    )
    mine, theirs = users[ratings.rows], items[ratings.columns]
    said = float(found["mean"]) + (mine[:, :-1] * theirs[:, :-1]).sum(1) + mine[:, -1] + theirs[:, -1]
    loss = ((said - torch.from_numpy(ratings.values)) ** 2).sum() + 0.1 * ((mine**2).sum() + (theirs**2).sum())
    loss.backward()
    assert float(items.grad.abs().max()) < 1e-2 and float(users.grad.abs().max()) < 5e-2


def test_what_having_rated_says_lowers_what_is_made_small():
    """Who rated which items decides the ratings: nothing else does."""
    random = np.random.default_rng(5)
    kind = np.arange(40) % 2
    there = random.random((40, 30)) < np.where(kind[:, None] == np.arange(30)[None] % 2, 0.6, 0.2)
    rows, columns = np.nonzero(there)
    values = 3.0 + np.where(kind[rows] == columns // 15, 1, -1) + random.normal(0, 0.1, len(rows))
    train, test = parted(Ratings(rows, columns, values.astype(np.float32), (40, 30)))
    *_, found = factors.svdpp(SvdPp(kind="svdpp", factors=4, l2=0.3, l2_implicit=1.0, rounds=30), train, 1)
    assert np.abs(found["said"]).max() > 0.01
    assert error_of(found, test) < 0.5


def test_biases_are_as_worked_by_hand():
    """Two users, two items, all pairs, nothing pulled to 0: means of rows and columns."""
    ratings = Ratings(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([5, 3, 3, 1], np.float32), (2, 2))
    found = biases(ratings, 0.0, 0.0)
    assert found["mean"] == 3 and found["user_bias"].tolist() == [1, -1] and found["item_bias"].tolist() == [1, -1]
    assert biases(ratings, 2.0, 0.0)["user_bias"].tolist() == [0.5, -0.5]


@pytest.mark.parametrize("similarity", ["pearson_baseline", "cosine", "msd"])
@pytest.mark.parametrize("block", [1 << 22, 50])
def test_similarities_are_those_of_their_definitions(similarity, block, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    ratings = planted(15, 10, share=0.6)
    left = ratings.values - 3
    settings = UserKnn(kind="user-knn", similarity=similarity, shrink=4.0, kept=15)
    found = neighbours.nearest(ratings, left, settings)
    whole = np.full(ratings.shape, np.nan)
    whole[ratings.rows, ratings.columns] = left if similarity == "pearson_baseline" else ratings.values
    for row in range(15):
        expected = np.zeros(15)
        for other in set(range(15)) - {row}:
            both = ~np.isnan(whole[row] + whole[other])
            a, b = whole[row, both], whole[other, both]
            if both.any():
                alike = 1 / (1 + ((a - b) ** 2).mean()) if similarity == "msd" else a @ b / np.sqrt((a @ a) * (b @ b))
                expected[other] = max(0, alike * both.sum() / (both.sum() + 4))
        assert found["alike"][row] == pytest.approx(-np.sort(-expected), abs=1e-5)
        kept = found["alike"][row] > 0
        assert expected[found["near"][row][kept]] == pytest.approx(found["alike"][row][kept], abs=1e-5)
    assert not found["alike"][-1].any()


def test_the_nearest_that_are_there_decide():
    """Of the neighbours 2, 1, 3 of row 0, the most similar first, 1 has no rating: 2 and 3 are the two nearest."""
    near = np.array([[2, 1, 3]] + [[0, 0, 0]] * 4)
    alike = np.array([[0.5, 0.4, 0.25]] + [[0, 0, 0]] * 4, np.float32)
    module = Neighbours({"near": near, "alike": alike}, 2, 0.25)
    adds = module(torch.tensor([0]), torch.tensor([[3, 2, 0, -1]]), torch.tensor([[2.0, -1.0, 9.0, 9.0]]))
    assert adds.tolist() == [[0.5, -0.5, 0, 0]]
    assert Neighbours({"near": near, "alike": alike}, 1, 0.0)(
        torch.tensor([0]), torch.tensor([[3, 2]]), torch.tensor([[2.0, -1.0]])
    ).tolist() == [[0, -1]]


def test_blocks_hold_every_rating_once():
    ratings = planted(share=0.2)
    places = [block.place[block.there > 0] for block in blocks(ratings)]
    assert sorted(torch.cat(places).tolist()) == list(range(len(ratings.rows)))
    for block in blocks(ratings):
        lengths = block.there.sum(1).int().numpy()
        places = block.place[block.there > 0].numpy()
        assert (ratings.rows[places] == np.repeat(block.rows.numpy(), lengths)).all()


def test_weights_of_a_blend_are_those_of_least_squares():
    random = np.random.default_rng(0)
    said = random.normal(3, 1, (500, 2))
    found = solve.weights(said, 0.3 * said[:, 0] + 0.6 * said[:, 1] + 0.2)
    assert found == pytest.approx([0.3, 0.6, 0.2], abs=0.01)
    # None is below 0, so that what is unknown is no far cry from the mean.
    found = solve.weights(said, said[:, 0] - 0.5 * said[:, 1])
    assert found[1] == 0 and found[0] == pytest.approx(1, abs=0.1)


def test_permuted_ratings_teach_nothing(shop, tmp_path):
    """No kind finds in ratings that hang on nothing more than their mean."""
    random = np.random.default_rng(0)
    lines = (ROOT / "data/recommendation/orders.csv").read_text("utf-8").splitlines()
    cells = [line.split(",") for line in lines[1:]]
    stars = random.permutation([cell[2] for cell in cells])
    rows = [",".join([cell[0], cell[1], star, cell[3]]) for cell, star in zip(cells, stars)]
    (tmp_path / "orders.csv").write_text("\n".join([lines[0], *rows]), encoding="utf-8")
    settings = [f"data.source={tmp_path / 'orders.csv'}", f"data.prepared={tmp_path / 'data'}", "data.items=null"]
    prepare_data(TINY, settings)
    for kind, more in KINDS.items():
        config = load(TINY, [*settings, f"model={json.dumps({'kind': kind} | more)}"])
        task = Task.fresh(config)
        *_, figures = task.fit(lambda said: None)
        assert (task.result or figures)["valid/r2"] < 0.03, kind


# --- answers ---


@pytest.fixture(scope="module")
def run(shop):
    more = [
        f"data.prepared={shop / 'data'}",
        f"run={shop / 'run'}",
        f"model={json.dumps({'kind': 'blend', 'parts': PARTS})}",
    ]
    return pretrain(TINY, more)


def ask(predictor, user, item, **more):
    options = predictor_options(**more)
    return predictor.predict([predictor.read({"user": user, "item": item})], options)[0]


def predictor_options(**more):
    from bmtool.tasks.rating_prediction.config import Options

    return Options(**more)


@pytest.mark.parametrize("kind", [*KINDS, "blend"])
def test_terms_add_up_to_the_rating(shop, kind):
    model = {"kind": kind} | KINDS.get(kind, {"parts": PARTS})
    predictor = fitted(shop, model).predictor()
    for read in predictor.probes(30):
        for reasons in (0, 3, 20):
            found = predictor.predict([read], predictor_options(reasons=reasons))[0]
            assert found.value == pytest.approx(sum(term.adds for term in found.terms), abs=2e-5)
            assert sum(term.what in ("rated", "rater") for term in found.terms) <= reasons
            assert predictor.numbers([read])[0] == pytest.approx(found.value, abs=1e-5)
            assert 1 <= found.value <= 5


def test_what_is_unknown_is_named_and_the_rest_answers(run):
    predictor = load_model(run, print).predictor
    both, item, user, none = (
        ask(predictor, *names)
        for names in (("user 7", "BA02"), ("nobody", "BA02"), ("user 7", "no such"), ("nobody", "no such"))
    )
    assert [one.source for one in (both, item, user, none)] == ["user and item", "item", "user", "mean"]
    assert item.notes == ("unknown user 'nobody'",) and user.notes == ("unknown item 'no such'",)
    assert both.notes == () and len(none.notes) == 2
    assert 3.3 < none.value < 4.3
    record = both.record()
    assert record["from"] == "user and item" and record["because"][0]["what"] == "mean"
    assert {"what": "item", "name": "BA02", "title": "flour"}.items() <= record["because"][2].items()
    assert any(term["what"] == "rated" for term in record["because"])


def test_a_rating_beyond_the_scale_is_cut_and_said_so(shop):
    task = fitted(shop, {"kind": "biases"})
    task._arrays["0.item_bias"] = task._arrays["0.item_bias"] + 3
    found = ask(task.predictor(), "user 7", "BA02")
    assert found.value == 5 and found.terms[-1].what == "scale" and found.terms[-1].adds < 0
    assert "outside of the ratings of training (1 to 5)" in found.notes[0]


def test_rows_of_files_and_numbers_as_ids_are_read(run, invoke, tmp_path):
    (tmp_path / "rows.csv").write_text("user,item,more\nuser 7,BA02,x\nnobody,CY03,y\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"user": "user 7", "item": "BA02"}\n{"user": 7, "item": "CY03"}\n', "utf-8")
    for name in ("rows.csv", "rows.jsonl"):
        done = invoke("predict", run, tmp_path / name, "--json", "--reasons", "1")
        first, second = map(json.loads, done.stdout.splitlines())
        assert (first["from"], second["from"]) == ("user and item", "item")
    assert second["notes"] == ["unknown user '7'"]
    done = invoke("predict", run, '{"user": "user 7", "item": "BA02"}')
    assert "from user and item: mean" in done.stdout


@pytest.mark.parametrize(
    "raw, said",
    [({"user": "a"}, "no column 'item'"), ({"user": "a", "item": ""}, "nothing in column 'item'"),
     ({"user": "a", "item": None}, "nothing in column 'item'"), ({"user": ["a"], "item": "b"}, "list or an object"),
     ("user 7", "not JSON")],
)  # fmt: skip
def test_bad_records_are_refused(run, raw, said):
    with pytest.raises(BadInput, match=said):
        load_model(run, print).predictor.read(raw)


def test_an_export_answers_as_the_run_does_with_reasons(run):
    ours, theirs = load_model(run, print).predictor, load_model(export_onnx(run), print).predictor
    for read in ours.probes(12):
        a, b = (one.predict([read])[0] for one in (ours, theirs))
        assert a.distance(b) < 1e-4 and a.notes == b.notes
        assert [term[:3] for term in a.terms] == [term[:3] for term in b.terms]
        assert [term.adds for term in a.terms] == pytest.approx([term.adds for term in b.terms], abs=1e-4)


# --- figures ---


def test_an_evaluation_has_slices_and_counts_who_is_unknown(run, tmp_path, capsys):
    measured = evaluate([run], by=["user_ratings", "item_ratings"], output=str(tmp_path))
    assert measured.figures["rmse"].low < measured.figures["rmse"].value < measured.figures["rmse"].high
    report = json.loads((tmp_path / "test.json").read_text("utf-8"))
    assert {"user_ratings", "item_ratings"} <= report["slices"].keys()
    (tmp_path / "new.csv").write_text(
        "user,item,stars\nuser 7,BA01,5\nnobody,BA02,3\nuser 8,no such,1\nnobody,no such,4\nuser 9,BA03,good\n", "utf-8"
    )
    measured = evaluate([run], data=str(tmp_path / "new.csv"), output=str(tmp_path / "new"))
    assert measured.examples == 4
    said = capsys.readouterr().err
    assert "1 of 4 ratings were of unknown users" in said and "of neither a known user nor a known item" in said
    (tmp_path / "odd.csv").write_text("user,item\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'stars'"):
        evaluate([run], data=str(tmp_path / "odd.csv"), output=str(tmp_path / "odd"))


# --- data ---


def data_of(tmp_path, rows, *more):
    (tmp_path / "log.csv").write_text("\n".join(["user,item,stars", *rows]), encoding="utf-8")
    own = [f"data.source={tmp_path / 'log.csv'}", f"data.prepared={tmp_path / 'data'}", "data.items=null"]
    return [*own, f"run={tmp_path / 'run'}", *more]


def test_equal_ratings_are_refused_with_what_to_do(tmp_path):
    settings = data_of(tmp_path, [f"u{n % 20},i{n % 13},4" for n in range(200)])
    prepare_data(TINY, settings)
    with pytest.raises(DataError, match=r"all ratings of training are 4.*task: recommendation"):
        pretrain(TINY, settings)


@pytest.mark.parametrize("rows, said", [([f"u,i{n},{n % 5}" for n in range(50)], "one user"),
                                        ([f"u{n},i,{n % 5}" for n in range(50)], "one item")])  # fmt: skip
def test_one_user_or_one_item_is_refused(tmp_path, rows, said):
    with pytest.raises(DataError, match=said):
        prepare_data(TINY, data_of(tmp_path, rows))


def test_ratings_that_are_none_are_dropped_and_counted(tmp_path):
    rows = [f"u{n % 20},i{n % 13},{n % 5}" for n in range(200)]
    rows += ["u1,i1,good", "u2,i2,", "u3,i3,nan", "u4,,3"]
    found = prepare_data(TINY, data_of(tmp_path, rows))
    dropped = found["dropped"]
    assert dropped["a rating that is no number"] >= 1 and dropped["no rating"] == 1 and dropped["no item"] == 1
    assert found["examples"]["no rating"] == [f"{tmp_path / 'log.csv'}:203"]


def test_a_config_without_ratings_is_refused():
    with pytest.raises(ConfigError, match=r"columns\.rating: name the column of ratings"):
        load(TINY, ["data.columns.rating=null"])


def test_ids_as_they_are_and_neighbours_of_few(tmp_path):
    """Blanks and Chinese in ids; fewer items than neighbours."""
    rows = [f"张 {n % 20},书 {n * 7 % 13},{1 + (n % 20 + n * 7 % 13) % 5}" for n in range(240)]
    settings = data_of(tmp_path, rows, 'model={"kind": "item-knn", "neighbours": 1000, "kept": 5000}')
    prepare_data(TINY, settings)
    predictor = load_model(pretrain(TINY, settings), print).predictor
    found = ask(predictor, "张 3", "书 4")
    assert found.source == "user and item" and any(term.what == "rated" for term in found.terms)


def test_items_are_neighbours_as_users_are_when_the_table_is_turned():
    ratings = planted(20, 20)
    left = ratings.values - 3
    of_items = neighbours.nearest(
        ratings.turned(), ratings.with_values(left).turned().values, ItemKnn(kind="item-knn", shrink=2)
    )
    turned = Ratings(ratings.columns, ratings.rows, ratings.values, (20, 20))
    order = np.lexsort((turned.columns, turned.rows))
    again = Ratings(turned.rows[order], turned.columns[order], turned.values[order], (20, 20))
    of_users = neighbours.nearest(again, left[order], UserKnn(kind="user-knn", shrink=2))
    assert of_items["alike"] == pytest.approx(of_users["alike"], abs=1e-6)


@pytest.mark.parametrize("kind", ["item-knn", "user-knn", "bpmf", "svdpp"])
def test_what_does_not_fit_is_refused_with_what_would(kind, shop, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 10_000)
    with pytest.raises(ResourceError, match=r"of memory, and .* are free: lower model\.(kept|draws|factors)"):
        fitted(shop, {"kind": kind})
