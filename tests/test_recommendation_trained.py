"""Recommenders that learn by gradient steps (docs/tasks/recommendation.md)."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, kind_of, pretrain
from bmtool.config.load import load
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.errors import ConfigError
from bmtool.tables.interactions.store import Rows
from bmtool.tasks.recommendation.pairwise import PairBatches

FOLDER = ROOT / "bmtool/tasks/recommendation"
# Steps, and NDCG@10 of the validation that they give at least: clusters give .3, the order .6.
KINDS = {"sasrec": (120, 0.45), "bpr-mf": (100, 0.3), "lightgcn": (60, 0.3)}


def trainer_of(kind, *more):
    config = load(FOLDER / f"tiny-{kind}.yaml", ["train.steps=1000", "schedule.name=constant", *more])
    seed_everything(config.seed)
    return Trainer(kind_of(config).fresh(config), config, choose(config.train))


def trained(kind, *more):
    trainer = trainer_of(kind, *more)
    list(trainer.run(KINDS[kind][0]))
    return trainer


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    settings = [f"data.prepared={tmp_path_factory.mktemp('shop') / 'last'}", "data.split=last"]
    prepare_data(str(FOLDER / "tiny.yaml"), settings)
    return settings


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_planted_is_found(kind, shop):
    assert trained(kind, *shop).validate()["ndcg@10"] > KINDS[kind][1]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_where_who_took_what_is_drawn_by_lot(kind, tmp_path):
    random = np.random.default_rng(0)
    rows = [f"u{user},i{item},{place}" for user in range(500) for place, item in enumerate(random.permutation(80)[:12])]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *rows]) + "\n", encoding="utf-8")
    settings = [
        f"data.source={tmp_path / 'log.csv'}",
        f"data.prepared={tmp_path / 'made'}",
        "data.items=null",
        "data.split=last",
    ]
    prepare_data(str(FOLDER / "tiny.yaml"), settings)
    assert trained(kind, *settings).validate()["auc"] == pytest.approx(0.5, abs=0.045)


# --- what is learned from ---


def rows_of(taken: list[list[int]]) -> Rows:
    items = np.array([item for one in taken for item in one], np.int32)
    return Rows(np.cumsum([0, *map(len, taken)]), items, np.ones(len(items), np.float32), np.arange(len(items)))


def test_negatives_are_never_positives_and_all_others_alike():
    """Of user 0, who took three of five, the two others are drawn equally often; of one who took everything nothing is learned."""
    taken = [[4, 0, 2], [1], [0, 1, 2, 3, 4]]
    batches = PairBatches(rows_of(taken), 5, batch_size=4, seed=3)
    assert batches.examples == 4
    pairs = [batches[position] for position in range(1000)]
    users, items, others = (
        torch.cat([getattr(one, name) for one in pairs]).numpy() for name in ("user", "item", "other")
    )
    assert set(users) == {0, 1}
    for user in (0, 1):
        free = np.bincount(others[users == user], minlength=5)
        assert set(np.flatnonzero(free)) == set(range(5)) - set(taken[user])
        assert free[free > 0] == pytest.approx(free.sum() / (free > 0).sum(), rel=0.1)
        assert set(items[users == user]) == set(taken[user])


def test_each_step_of_each_history_is_learned_once_an_epoch(shop):
    """Also those of histories that are longer than what is read at once."""
    task = trainer_of("sasrec", *shop, "model.context=2", "train.batch_size=100").task
    batches, rows = task.batches("train", 1), task.held.split("train")
    found = []
    for position in range(batches.per_epoch):
        batch = batches[position]
        there = batch.following >= 0
        assert int(there.sum()) == batch.tokens
        found += zip(batch.item[there].tolist(), batch.following[there].tolist())
    same = rows.users[1:] == rows.users[:-1]
    assert sorted(found) == sorted(zip(rows.items[:-1][same].tolist(), rows.items[1:][same].tolist()))


# --- what is said ---


def test_lightgcn_is_the_average_along_the_graph_and_a_history_is_what_its_items_send(shop):
    task = trainer_of("lightgcn", *shop).task
    rows, users, items = task.rows, len(task.known.users), len(task.known.items)
    dense = np.zeros((users, items))
    dense[np.repeat(np.arange(users), np.diff(rows.bounds)), rows.items] = 1
    normal = dense / np.sqrt(np.maximum(dense.sum(1), 1))[:, None] / np.sqrt(np.maximum(dense.sum(0), 1))[None]
    user, item = (task.modules[name].weight.detach().double().numpy() for name in ("users", "items"))
    own, layers = user, [(user, item)]
    for _ in range(2):
        user, item = normal @ item, normal.T @ user
        layers.append((user, item))
    final_users, final_items = (sum(part) / 3 for part in zip(*layers))
    person = int(np.argmax(np.diff(rows.bounds)))
    history = rows.items[rows.bounds[person] : rows.bounds[person + 1]].astype(np.int64)
    said = task.scorer()(torch.from_numpy(history)[None])[0].numpy() / np.sqrt(len(history))
    assert said == pytest.approx((final_users[person] - own[person] / 3) @ final_items.T, abs=1e-4)


def test_the_last_item_says_most_to_a_sequence_model_and_padding_nothing(shop):
    scorer = trained("sasrec", *shop).task.scorer().eval()
    one = scorer(torch.tensor([[3, 5, 7, -1, -1], [7, 5, 3, -1, -1]]))
    assert torch.allclose(one, scorer(torch.tensor([[3, 5, 7], [7, 5, 3]])), atol=1e-5)
    assert not torch.allclose(one[0], one[1], atol=0.1)


# --- going on ---


@pytest.mark.parametrize("kind", KINDS)
def test_finetuning_on_a_longer_log_carries_vectors_over_by_id(kind, tmp_path):
    """Items and users are counted anew, and there are more of them."""
    lines = (ROOT / "data/recommendation/orders.csv").read_text("utf-8").splitlines()
    (tmp_path / "old.csv").write_text("\n".join(lines[: len(lines) // 2]) + "\n", encoding="utf-8")
    old = [
        f"data.source={tmp_path / 'old.csv'}",
        f"data.prepared={tmp_path / 'before'}",
        "data.items=null",
        f"run={tmp_path / 'old'}",
    ]
    config = str(FOLDER / f"tiny-{kind}.yaml")
    parent = pretrain(config, old)
    new = [f"data.prepared={tmp_path / 'after'}", f"run={tmp_path / 'new'}", "optim.lr=1e-9", "train.steps=4"]
    run = finetune(config, parent, new)
    ours, theirs = (Checkpoints(place, print) for place in (run, parent))
    tasks = [
        kind_of(load(place / "config.yaml")).open(load(place / "config.yaml"), place / "assets")
        for place in (run, parent)
    ]
    name = "backbone.embed_tokens.weight" if kind == "sasrec" else "items.weight"
    numbers = tasks[0].known.items.numbers(
        [tasks[1].known.items[number] for number in range(len(tasks[1].known.items))]
    )
    there = numbers >= 0
    mine, given = ours.weights(ours.best())[name], theirs.weights(theirs.best())[name]
    assert there.all() and torch.allclose(mine[torch.from_numpy(numbers)], given, atol=1e-5)


# --- refusals ---


def test_what_makes_no_sense_is_refused():
    tiny = FOLDER / "tiny-sasrec.yaml"
    with pytest.raises(ConfigError, match="sasrec takes the order in which items were taken"):
        load(tiny, ["data.columns=" + json.dumps({"time": None}), "data.split=hash"])
    with pytest.raises(ConfigError, match="refit: sasrec is trained and not solved"):
        load(tiny, ["refit=true"])
    with pytest.raises(ConfigError, match=r"width \(30\) must be a multiple of twice heads \(2\)"):
        load(tiny, ["model.width=30"])
