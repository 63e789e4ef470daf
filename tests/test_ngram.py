"""N-gram models: counts and probabilities against a plain implementation, pruning, and the packed form."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmtool.ngram import estimate, table
from bmtool.ngram.model import NgramModel, pack

BITS = estimate.SYMBOL_BITS
SYMBOLS = 7
SEQUENCES = st.lists(st.lists(st.integers(0, SYMBOLS - 1), max_size=30).map(np.array), min_size=1, max_size=4)


def packed(symbols: tuple[int, ...]) -> int:
    key = 0
    for symbol in symbols:
        key = key << BITS | symbol
    return key


def plain_counts(sequences: list[np.ndarray], n: int) -> Counter:
    """N-grams between boundaries, one by one."""
    out: Counter = Counter()
    for sequence in sequences:
        framed = [0]
        for symbol in [*sequence.tolist(), 0]:
            if symbol or framed[-1]:
                framed.append(symbol)
        for at in range(len(framed) - n + 1):
            gram = tuple(framed[at : at + n])
            if all(gram[1:-1]):
                out[packed(gram)] += 1
    return out


@given(SEQUENCES, st.integers(1, 4))
def test_counts_are_those_of_a_plain_loop(sequences, order):
    counted = estimate.count(iter(sequences), order)
    assert sorted(counted) == list(range(1, order + 1))
    for n, (keys, counts) in counted.items():
        assert (np.diff(keys) > 0).all()
        assert dict(zip(keys.tolist(), counts.tolist())) == plain_counts(sequences, n)


def sample(seed: int = 0, length: int = 4000) -> tuple[dict, estimate.Estimate]:
    """A second-order language with structure worth learning."""
    random = np.random.default_rng(seed)
    follow = random.dirichlet(np.full(SYMBOLS, 0.2), (SYMBOLS, SYMBOLS))
    text = [1, 2]
    for _ in range(length):
        text.append(random.choice(SYMBOLS, p=follow[text[-2], text[-1]]))
    counted = estimate.count([np.array(text)], 4)
    return counted, estimate.kneser_ney(counted, SYMBOLS)


def histories(model) -> np.ndarray:
    """Every history of up to three symbols that starts at a boundary or lies in a text."""
    out = [0]
    for length in (1, 2, 3):
        grid = np.indices((SYMBOLS - 1,) * length).reshape(length, -1).T + 1
        out += [packed(tuple(row)) for row in grid.tolist()]
    return np.array(out)


@pytest.mark.parametrize("entries", [10**6, 60, 0])
def test_probabilities_add_up_to_one(entries):
    counted, model = sample()
    model = estimate.prune(model, counted, entries)
    for history in histories(model):
        p = model.probability(np.full(SYMBOLS, history), np.arange(SYMBOLS))
        assert (p > 0).all()
        assert p.sum() == pytest.approx(1.0, abs=1e-5)


def test_what_is_pruned_is_what_matters_least():
    counted, model = sample()
    text = np.repeat(counted[4].keys, counted[4].counts)
    nats = []
    for entries in (10**6, 200, 50, 0):
        pruned = estimate.prune(model, counted, entries)
        size = sum(len(level.keys) for level in pruned.levels.values())
        assert size <= entries * 2.5 or entries == 0
        nats.append(-np.log(pruned.probability(text >> BITS, text & (estimate.SYMBOLS - 1))).mean())
    assert nats == sorted(nats)
    assert nats[1] - nats[0] < 0.25 * (nats[3] - nats[0])


def test_beginning_and_end_of_a_kept_ngram_are_kept():
    counted, model = sample()
    pruned = estimate.prune(model, counted, 80)
    for n in (3, 4):
        keys = pruned.levels[n].keys
        assert len(keys)
        assert np.isin(keys >> BITS, pruned.levels[n - 1].keys).all()
        assert np.isin(estimate.suffix(keys, n - 1), pruned.levels[n - 1].keys).all()


def test_the_packed_model_says_what_the_estimate_says():
    counted, model = sample()
    model = estimate.prune(model, counted, 300)
    small = pack(model)
    history = np.repeat(histories(model), SYMBOLS)
    word = np.tile(np.arange(SYMBOLS), len(history) // SYMBOLS)
    contexts = small.contexts(history)
    ours = small.log_p(contexts, np.arange(len(history)), word)
    difference = np.abs(ours - np.log(model.probability(history, word)))
    assert np.median(difference) < 0.1
    assert (difference < 0.5).mean() > 0.97  # the rest: keys that are taken for others


def test_files_give_back_the_same_model():
    counted, model = sample()
    small = pack(estimate.prune(model, counted, 300))
    again = NgramModel.from_arrays(small.arrays())
    history, word = histories(model), np.ones(len(histories(model)), np.int64)
    np.testing.assert_allclose(
        again.log_p(again.contexts(history), np.arange(len(history)), word),
        small.log_p(small.contexts(history), np.arange(len(history)), word),
        atol=1e-2,  # the first order is kept in half precision
    )


def test_a_model_of_single_symbols():
    counted = estimate.count([np.array([1, 1, 2])], 1)
    small = pack(estimate.prune(estimate.kneser_ney(counted, 4), counted, 10))
    p = np.exp(small.log_p(small.contexts(np.zeros(1, np.int64)), np.zeros(4, np.int64), np.arange(4)))
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    assert p[1] > p[2] > p[3]


def test_a_boundary_makes_a_history_new():
    small = pack(sample()[1])
    history = np.array([packed((1, 2, 3))])
    assert small.extend(history, np.array([4])) == packed((2, 3, 4))
    assert small.extend(history, np.array([0])) == 0


@settings(max_examples=30)
@given(
    st.dictionaries(st.integers(0, 2**56 - 1), st.integers(0, 31), max_size=300),
    st.sampled_from([(np.uint16, 5), (np.uint8, 8), (np.uint16, 6)]),
)
def test_a_table_knows_its_keys(items, shape):
    cell, bits = shape
    keys, values = np.array(list(items), np.int64), np.array(list(items.values()), np.int64)
    built = table.build(keys, values, bits, cell)
    found, there = built.find(keys)
    assert there.all()
    assert found.tolist() == values.tolist()


def test_a_table_takes_few_strangers_for_its_own():
    random = np.random.default_rng(1)
    keys = np.unique(random.integers(0, 1 << 56, 20_000))
    built = table.build(keys, np.zeros(len(keys), np.int64), 5, np.uint16)
    assert built.cells.nbytes < 2.6 * len(keys)
    strangers = built.find(random.integers(0, 1 << 56, 200_000))[1].mean()
    assert 0.5 / 2048 < strangers < 2 / 2048


def test_equal_keys_are_refused():
    with pytest.raises(ValueError, match="distinct"):
        table.build(np.array([5, 5, 6]), np.array([1, 2, 3]), 5, np.uint16)


@pytest.mark.parametrize("order", [0, 5])
def test_an_order_that_does_not_fit_is_refused(order):
    with pytest.raises(ValueError, match="order"):
        estimate.count([np.array([1])], order)
