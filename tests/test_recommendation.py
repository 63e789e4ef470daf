"""Recommenders: what they learn, say and refuse (docs/tasks/recommendation.md)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from bmtool.commands.compare import compare
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import kind_of, pretrain
from bmtool.config.load import load
from bmtool.errors import BadInput, ConfigError, ResourceError
from bmtool.measure.topn import ranked
from bmtool.tasks.recommendation import products, solve
from bmtool.tasks.recommendation.config import Ease, Slim
from bmtool.tasks.recommendation.modules import Listed, alike, solved, steps

TINY = str(ROOT / "bmtool/tasks/recommendation/tiny.yaml")
KINDS = (
    "popularity",
    "transitions",
    "item-knn",
    "user-knn",
    "content",
    "ease",
    "edlae",
    "slim",
    "als",
    "puresvd",
    "gf-cf",
)
SMALL = {"als": {"factors": 12}, "puresvd": {"factors": 12}, "gf-cf": {"factors": 12}, "ease": {"l2": 20.0}, "slim": {"l2": 5.0, "l1": 0.5},
         "edlae": {"l2": 10.0}}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("shop")
    prepare_data(TINY, [f"data.prepared={place / 'last'}", "data.split=last", "data.valid_share=0.1"])
    return place


def task_of(shop, kind, *more):
    settings = [f"data.prepared={shop / 'last'}", "data.split=last", f"run={shop / kind}"]
    settings += [f"model={json.dumps({'kind': kind} | SMALL.get(kind, {}))}", *more]
    config = load(TINY, settings)
    return kind_of(config).fresh(config)


def fitted(shop, kind, *more):
    task = task_of(shop, kind, *more)
    task.result = list(task.fit(lambda said: None))[-1]
    return task


# --- what is learned ---


def test_the_shop_is_what_its_script_writes(tmp_path):
    source = ROOT / "data/recommendation/shop.py"
    (tmp_path / "shop.py").write_text(source.read_text("utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, str(tmp_path / "shop.py")], check=True)
    for name in ("orders.csv", "items.csv"):
        assert (tmp_path / name).read_bytes() == (source.parent / name).read_bytes(), name


# NDCG@10 of the validation: clusters give .3, the order .6.
FOUND = dict.fromkeys(KINDS, 0.25) | {"popularity": 0.05, "transitions": 0.5, "content": 0.2}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_planted_is_found_and_the_same_bytes_come_again(kind, shop):
    task, again = fitted(shop, kind), fitted(shop, kind)
    assert task.result["valid/ndcg@10"] > FOUND[kind]
    assert (
        kind == "popularity" or task.result["valid/ndcg@10"] > 1.3 * fitted(shop, "popularity").result["valid/ndcg@10"]
    )
    for name, values in task.arrays().items():
        assert values.tobytes() == again.arrays()[name].tobytes(), name


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_where_who_took_what_is_drawn_by_lot(kind, shop, tmp_path):
    """Items of every row permuted, each as often as before: of pairs of items taken alike, half are right."""
    random = np.random.default_rng(0)
    users, items = 500, 80
    drawn = [(user, random.permutation(items)[:12]) for user in range(users)]
    rows = [(f"u{user}", f"i{item}", place) for user, taken in drawn for place, item in enumerate(taken)]
    text = "user,item,time\n" + "".join(f"{user},{item},{place}\n" for user, item, place in rows)
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    words = "item,title,hobby\n" + "".join(
        f"i{item},i{item},{'red' if item % 2 else 'blue'}\n" for item in range(items)
    )
    (tmp_path / "items.csv").write_text(words, encoding="utf-8")
    more = [
        f"data.source={tmp_path / 'log.csv'}",
        f"data.items.source={tmp_path / 'items.csv'}",
        f"data.prepared={tmp_path / 'made'}",
    ]
    prepare_data(TINY, [*more, "data.split=last"])
    assert fitted(shop, kind, *more).result["valid/auc"] == pytest.approx(0.5, abs=0.045)


def test_a_blend_is_better_than_its_parts(shop):
    parts = [{"kind": "transitions"}, {"kind": "item-knn"}]
    blend = fitted(shop, "blend", f"model={json.dumps({'kind': 'blend', 'parts': parts})}")
    alone = [fitted(shop, part["kind"]).result["valid/ndcg@10"] for part in parts]
    assert blend.result["valid/ndcg@10"] >= max(alone)


# --- the algebra ---


def matrix_of(dense) -> products.Matrix:
    rows = [np.flatnonzero(row) for row in dense]
    return products.Matrix(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32), dense.shape[1])


@pytest.fixture
def dense():
    return (np.random.default_rng(0).random((60, 25)) < 0.2).astype(np.float64)


def test_products_in_blocks_are_products(dense, monkeypatch):
    monkeypatch.setattr(products, "BLOCK", 100)
    monkeypatch.setattr(products, "PAIRS", 50)
    assert products.whole_gram(matrix_of(dense)).numpy() == pytest.approx(dense.T @ dense)


def test_weights_of_ease_are_those_of_the_closed_form(dense):
    inverse = np.linalg.inv(dense.T @ dense + 3 * np.eye(25))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    found = solve.fit(Ease(kind="ease", l2=3.0), matrix_of(dense), None, seed=1, say=print)["dense"]
    assert found == pytest.approx(weights, abs=1e-4)


def test_weights_of_slim_are_those_of_the_elastic_net(dense):
    """scikit-learn's, of each item on the others, whose loss is divided by twice the rows."""
    from sklearn.linear_model import ElasticNet

    found = solve.fit(
        Slim(kind="slim", l2=2.0, l1=1.0, sweeps=200, neighbours=25), matrix_of(dense), None, seed=1, say=print
    )
    whole = np.zeros((25, 25))
    np.put_along_axis(whole, found["neighbours"].astype(int), found["weights"], axis=1)
    for item in range(5):
        others = np.delete(np.arange(25), item)
        net = ElasticNet(alpha=3.0 / 60, l1_ratio=1 / 3, positive=True, fit_intercept=False, tol=1e-10, max_iter=10_000)
        net.fit(dense[:, others], dense[:, item])
        assert whole[others, item] == pytest.approx(net.coef_, abs=1e-4)


def test_similarities_are_those_of_the_columns(dense):
    product, sums = torch.from_numpy(dense.T @ dense), torch.from_numpy(dense.sum(0))
    there = product.numpy() > 0
    cosine = dense.T @ dense / np.outer(np.linalg.norm(dense, axis=0), np.linalg.norm(dense, axis=0))
    apart = np.linalg.norm(dense[:, :, None] - dense[:, None], axis=0)
    for name, wanted in (("cosine", cosine), ("pearson", np.corrcoef(dense.T)), ("euclid", 1 / (1 + apart))):
        found = alike(product, sums[:, None], sums[None], 60, name).numpy()
        assert found == pytest.approx(np.where(there, wanted, 0), abs=1e-6), name


def test_singular_vectors_are_those_of_the_whole(dense):
    vectors = products.singular(matrix_of(dense), 5, seed=1).numpy()
    right = np.linalg.svd(dense)[2][:5].T
    assert vectors @ vectors.T == pytest.approx(right @ right.T, abs=1e-3)


def test_factors_of_a_history_are_the_solution(dense):
    rows = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    there = torch.tensor([[1.0] * 6, [1] * 4 + [0] * 2, [0] * 6])
    rows = rows * there[..., None]
    gram = torch.eye(4) * 2
    found = solved(rows, there, gram, torch.zeros(3, 4), alpha=3.0, l2=0.5, rounds=20)
    for one, given, vector in zip(rows, there, found):
        exact = torch.linalg.solve(gram + 3 * one.T @ one + 0.5 * torch.eye(4), 4 * one.T @ given)
        torch.testing.assert_close(vector, exact, atol=1e-4, rtol=1e-3)


def test_what_was_taken_last_counts_most():
    history = torch.tensor([[5, 6, 7, -1], [5, -1, -1, -1]])
    assert steps(history, 0.5, None).tolist() == [[0.25, 0.5, 1, 0], [1, 0, 0, 0]]
    assert steps(history, 1.0, 2).tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]


def test_a_list_holds_the_best_that_is_not_excluded_and_equal_ones_by_number():
    scorer = torch.nn.Module()
    scorer.forward = lambda history: torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    listed = Listed(scorer, 4)
    items, scores, every = listed(torch.tensor([[0]]), torch.tensor([[3, -1]]), torch.tensor(3))
    assert items.tolist() == [[1, 2, 0]] and scores.tolist() == [[3, 3, 1]] and every.tolist() == [[1, 3, 3, 2]]


# --- what is asked ---


@pytest.fixture(scope="module")
def run(shop) -> Path:
    return pretrain(TINY, [f"data.prepared={shop / 'last'}", "data.split=last", f"run={shop / 'run'}"])


def first(said) -> list[dict]:
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_what_is_recommended_was_not_taken_and_says_why(run, invoke):
    (said,) = first(invoke("predict", run, "--history", "BA01,BA02", "--top", "5", "--json"))
    assert said["from"] == "history" and len(said["items"]) == 5 and said["items"][0]["item"] == "BA03"
    assert not {"BA01", "BA02"} & {one["item"] for one in said["items"]}
    reason = said["items"][0]["because"][0]
    assert (reason["item"], reason["title"]) == ("BA02", "flour") and 0 < reason["adds"] <= said["items"][0]["score"]
    (seen,) = first(invoke("predict", run, "--history", "BA02,BA01", "--top", "1", "--seen", "--json"))
    assert seen["items"][0]["item"] == "BA02"


@pytest.mark.parametrize("kind", ["item-knn", "ease", "puresvd", "gf-cf"])
def test_reasons_of_a_linear_model_add_up_to_the_score(kind, shop):
    reader = fitted(shop, kind, f"model={json.dumps({'kind': kind, 'decay': 0.8} | SMALL.get(kind, {}))}").predictor()
    read = reader.read({"history": ["BA01", "GA02", "BA04", "CY01"]})
    items = np.arange(len(reader.known_.items))
    assert reader._added(read, items, "parts").sum(axis=0) == pytest.approx(reader.scores([read])[0], abs=1e-5)


def test_files_say_what_may_be_recommended(run, invoke, tmp_path):
    (tmp_path / "not.txt").write_text("BA03\n", encoding="utf-8")
    (tmp_path / "only.txt").write_text("BA03\nBA04\nno such\n", encoding="utf-8")
    asked = ("predict", run, "--history", "BA01,BA02", "--json")
    (said,) = first(invoke(*asked, "--exclude", tmp_path / "not.txt"))
    assert "BA03" not in {one["item"] for one in said["items"]}
    (said,) = first(invoke(*asked, "--only", tmp_path / "only.txt"))
    assert {one["item"] for one in said["items"]} == {"BA03", "BA04"}
    (said,) = first(invoke(*asked, "--only", tmp_path / "only.txt", "--exclude", tmp_path / "only.txt"))
    assert said["items"] == [] and said["notes"] == ["nothing is left to recommend"]


def test_whoever_is_not_known_is_answered_from_the_next_rung_which_is_named(shop, run, invoke, tmp_path):
    (said,) = first(invoke("predict", run, "--user", "nobody", "--json"))
    assert said["from"] == "popularity" and said["notes"] == ["unknown user 'nobody'"]
    (said,) = first(invoke("predict", run, "--history", "XX,张三", "--json"))
    assert said["from"] == "popularity" and said["notes"] == ["unknown item 'XX'", "unknown item '张三'"]
    (said,) = first(invoke("predict", run, "--like", "BA05", "--top", "1", "--json"))
    assert said["from"] == "history" and said["items"][0]["item"] == "BA06"
    items = (ROOT / "data/recommendation/items.csv").read_text("utf-8") + "NEW,sourdough,baking\n"
    (tmp_path / "items.csv").write_text(items, encoding="utf-8")
    more = [
        f"data.prepared={tmp_path / 'made'}",
        f"data.items.source={tmp_path / 'items.csv'}",
        f"run={tmp_path / 'run'}",
    ]
    (said,) = first(invoke("predict", pretrain(TINY, more), "--history", "NEW", "--top", "12", "--json"))
    assert said["from"] == "content" and {one["item"][:2] for one in said["items"]} == {"BA"}
    assert said["items"][0]["because"][0]["title"] == "sourdough"


def test_all_users_go_to_a_file(run, invoke, tmp_path):
    from pyarrow import parquet

    assert invoke("predict", run, "--users", "all", "--output", tmp_path / "all.parquet", "--top", "3").exit_code == 0
    found = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert len(found) == 3 * 300 and {row["place"] for row in found} == {1, 2, 3}
    (said,) = first(invoke("predict", run, "--user", "user 7", "--top", "3", "--json"))
    assert [row["item"] for row in found if row["user"] == "user 7"] == [one["item"] for one in said["items"]]
    assert invoke("predict", run, "--users", "all", "--output", tmp_path / "all.csv", "--top", "3").exit_code == 0
    assert len((tmp_path / "all.csv").read_text("utf-8").splitlines()) == 901


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--history", "BA01", "--user", "user 7"], 2, "give one of them"),
        (["--users", "all"], 2, "--users all goes with --output FILE"),
        (["--users", "some", "--output", "x.csv"], 2, "--users: all, got 'some'"),
        (["--users", "all", "--output", "x.txt"], 2, "is none of .parquet, .csv, .jsonl"),
        ([], 2, "nothing to predict on"),
        (['{"item": "BA01"}'], 4, "'item' means nothing: a record has history, user, like, exclude, only"),
        (['{"history": "BA01"}'], 4, "history: a list of at most"),
        (['{"like": "BA01", "user": "x"}'], 4, "like is one item alone"),
        (["{}"], 4, "nothing to go on"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(arguments, code, said, run, invoke):
    result = invoke("predict", run, *arguments)
    assert result.exit_code == code and said in result.stderr and "Traceback" not in result.stderr


def test_other_models_recommend_nothing(trained, invoke):
    result = invoke("predict", trained("tabular-classification"), "--history", "a")
    assert result.exit_code == 2 and "--history: models of tabular-classification recommend no items" in result.stderr


# --- figures ---


def test_figures_are_of_all_items_that_were_not_taken(shop, run):
    reader = load_model(run, print).predictor
    read = reader.read({"user": "user 7"})
    popular = np.argsort(-reader.known_.taken, kind="stable")
    found = ranked(reader.scores([read]), [read.seen], [np.array([0])], popular)
    assert found.candidates[0] == len(reader.known_.items) - len(read.seen)
    assert not set(found.top[0].tolist()) & set(read.seen.tolist())


def test_popularity_and_others_are_compared_in_one_table(shop, tmp_path):
    configs = []
    for kind in ("popularity", "item-knn"):
        text = (
            (ROOT / "bmtool/tasks/recommendation/tiny.yaml")
            .read_text("utf-8")
            .replace("kind: transitions", f"kind: {kind}")
        )
        (tmp_path / f"{kind}.yaml").write_text(
            text.replace("runs/tiny-recommendation", str(tmp_path / kind)), encoding="utf-8"
        )
        configs.append(tmp_path / f"{kind}.yaml")
    found = compare(configs, [f"data.prepared={shop / 'last'}", "data.split=last"])
    names = [row["name"] for row in found["models"]]
    assert names.index("item-knn") < names.index("popularity") and found["figure"] == "ndcg@10"


# --- memory ---


@pytest.mark.parametrize("kind, instead", [("ease", "item-knn"), ("slim", "item-knn"), ("user-knn", "item-knn")])
def test_a_product_that_does_not_fit_is_refused_with_what_would(kind, instead, shop, monkeypatch):
    monkeypatch.setattr(products, "free", lambda: 10_000)
    with pytest.raises(ResourceError, match=rf"of memory, and .* are free: choose model.kind: {instead}"):
        list(task_of(shop, kind).fit(print))


def test_settings_that_make_no_sense_are_refused(shop):
    for more, said in (
        (["model={kind: content}", "data.items=null"], "content takes what is written about items"),
        (["data.columns.time=null", "data.split=hash"], "transitions takes the order"),
        (
            ["model={kind: blend, parts: [{kind: popularity}, {kind: ease}], weights: [1.0, 2.0, 3.0]}"],
            "one for each of the 2 parts",
        ),
        (["train.steps=5"], "train.steps"),
    ):
        with pytest.raises(ConfigError, match=said):
            pretrain(TINY, [f"data.prepared={shop / 'last'}", f"run={shop / 'no'}", *more])


def test_ids_are_texts_or_whole_numbers(run):
    reader = load_model(run, print).predictor
    with pytest.raises(BadInput, match="ids are texts"):
        reader.read({"history": [1.5]})
    assert reader.read({"history": [7, "BA01"]}).notes == ("unknown item '7'",)
