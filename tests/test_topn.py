"""Figures of lists of items: against hand-worked examples, and against trec_eval."""

import math

import numpy as np
import pytest
import pytrec_eval

from bmtool.measure.bootstrap import RESAMPLES, weights
from bmtool.measure.topn import NEVER, Items, RankingMeter, Words, gini, ranked

NO_ITEMS = np.zeros(0, int)


def measure(scores, seen, relevant, items=None, columns=1):
    scores = np.array(scores, float)
    items = items or Items(np.zeros(scores.shape[1], int), 1)
    meter, weight = RankingMeter(items, columns), next(weights())[: len(scores), :columns]
    right = [np.array(one) for one in relevant]
    said = ranked(scores, [np.array(one, int) for one in seen], right, np.argsort(-items.taken, kind="stable"))
    meter.add(said, right, weight)
    return meter


def figures(*given, **more):
    return {name: float(values[0]) for name, values in measure(*given, **more).figures().items()}


def test_one_user_worked_out_by_hand():
    """Ranked after 0, which was taken: 3, 1, 4, 2, 5. Right are 1 and 5."""
    found = figures([[9, 5, 3, 6, 4, 1]], [[0]], [[1, 5]])
    gain = 1 / math.log2(3) + 1 / math.log2(6)
    assert found["ndcg@10"] == pytest.approx(gain / (1 + 1 / math.log2(3)))
    assert (found["recall@10"], found["precision@10"], found["hr@10"], found["mrr"]) == (1, 0.2, 1, 0.5)
    assert found["f1@10"] == pytest.approx(2 * 0.2 / 1.2)
    assert found["map"] == pytest.approx((1 / 2 + 2 / 5) / 2)
    assert found["auc"] == pytest.approx(2 / 6)  # of 2 x 3 pairs those of item 1 with 4 and 2


def test_what_stands_beside_accuracy_worked_out_by_hand():
    """Two users and three items that are left each; items 0 and 1 say the same, item 2 something else."""
    words = Words(np.array([0, 1, 2, 3, 3]), np.array([0, 0, 1]), np.ones(3, np.float32))
    items = Items(np.array([3, 1, 0, 0]), users=4, words=words)
    found = figures([[1, 2, 3, 4], [1, 2, 3, 4]], [[3], [2]], [[0], [3]], items)
    assert found["coverage@10"] == 1
    # Items 0 to 3 are shown 2, 2, 1, 1 times.
    assert found["gini@10"] == pytest.approx(gini(np.array([[2.0], [2], [1], [1]]))[0]) == pytest.approx(1 / 6)
    # The first list has items 2, 1, 0: cosines 0, 0, 1; the second 3, 1, 0: item 3 says nothing: 0, 0, 1.
    assert found["diversity@10"] == pytest.approx(1 - 1 / 3)
    assert found["novelty@10"] == pytest.approx(np.mean([-np.log2(np.array([1, 2, 4]) / 5).mean()] * 2))
    # Everything that is left is among the ten that are popular.
    assert found["serendipity@10"] == 0
    assert found["popularity_bias@10"] == pytest.approx((4 / 3) / 1.5 - 1)


def test_a_hit_that_popularity_would_not_have_had_is_serendipity():
    taken = np.arange(30, 0, -1)
    scores = np.zeros((1, 30))
    scores[0, [3, 25]] = 1
    assert figures(scores, [[]], [[25, 3]], Items(taken, 30))["serendipity@10"] == pytest.approx(0.1)


def test_figures_are_those_of_trec_eval():
    """Of 60 users with scores that are all different, some items seen, one to nine right."""
    random = np.random.default_rng(0)
    users, count = 60, 90
    scores = np.stack([random.permutation(count) for _ in range(users)]).astype(float)
    picked = [random.permutation(count) for _ in range(users)]
    seen, right = (
        [one[: user % 20] for user, one in enumerate(picked)],
        [one[20 : 21 + user % 9] for user, one in enumerate(picked)],
    )
    names = {"ndcg@10": "ndcg_cut_10", "ndcg@20": "ndcg_cut_20", "recall@10": "recall_10", "recall@20": "recall_20",
             "precision@10": "P_10", "hr@10": "success_10", "map": "map", "mrr": "recip_rank"}  # fmt: skip
    measures = {"ndcg_cut.10,20", "recall.10,20", "P.10", "success.10", "map", "recip_rank"}
    qrel = {str(user): {str(item): 1 for item in items.tolist()} for user, items in enumerate(right)}
    run = {
        str(user): {str(item): float(row[item]) for item in range(count) if item not in seen[user]}
        for user, row in enumerate(scores)
    }
    theirs = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)
    ours = figures(scores, seen, right)
    for name, their in names.items():
        assert ours[name] == pytest.approx(np.mean([one[their] for one in theirs.values()]), abs=1e-6), name


def test_equal_scores_are_ranked_by_number_which_is_a_hash():
    said = ranked(np.zeros((1, 30)), [np.array([0, 2])], [np.array([5, 29, 2])], np.arange(30))
    assert said.top[0].tolist() == [1, *range(3, 22)]
    assert said.ranks[0].tolist() == [3, 27, NEVER] and said.candidates.tolist() == [28]


def test_what_was_seen_is_no_hit_even_when_everything_is_shown():
    found = figures([[1.0, 2, 3]], [[2]], [[2]])
    assert found["recall@10"] == found["ndcg@10"] == found["map"] == found["mrr"] == 0


def test_parts_by_activity_and_popularity_add_up():
    random = np.random.default_rng(1)
    taken = np.array([50, 30, 20, 10, 5, 5, 1, 1, 0, 0] * 6)
    seen = [random.permutation(60)[:count] for count in (0, 3, 12, 0, 55)]
    right = [np.setdiff1d(np.arange(60), one)[:2] for one in seen]
    measured = measure(random.random((5, 60)), seen, right, Items(taken, 100), 1 + RESAMPLES).measured()
    parts = measured.slices["items known of a user"]
    assert {name: int(one["examples"][0]) for name, one in parts.items()} == {
        "nothing known": 2, "1 to 9": 1, "10 to 49": 1, "50 to 199": 1}  # fmt: skip
    whole = sum(one["ndcg@10"][0] * one["examples"][0] for one in parts.values()) / 5
    assert whole == pytest.approx(measured.figures["ndcg@10"].value)
    assert sum(int(one["examples"][0]) for one in measured.slices["popularity of what is right"].values()) == 10
    low, high = measured.figures["ndcg@10"].low, measured.figures["ndcg@10"].high
    assert low < measured.figures["ndcg@10"].value < high


def test_meters_that_are_joined_are_one():
    random = np.random.default_rng(2)
    scores, right = random.random((6, 40)), [[user, user + 7] for user in range(6)]
    items = Items(random.integers(0, 9, 40), 50)
    parts = [measure(scores[:2], [[]] * 2, right[:2], items), measure(scores[2:], [[39]] * 4, right[2:], items)]
    together = RankingMeter(items)
    together.join([part.state() for part in parts])
    for name, values in figures(scores, [[]] * 2 + [[39]] * 4, right, items).items():
        assert together.figures()[name][0] == pytest.approx(values, nan_ok=True), name


def test_chance_is_half():
    random = np.random.default_rng(3)
    found = figures(random.random((250, 100)), [[]] * 250, [random.permutation(100)[:5] for _ in range(250)])
    assert found["auc"] == pytest.approx(0.5, abs=0.02)
