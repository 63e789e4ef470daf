"""Order as a function of (seed, epoch), every example once, hardly any padding; shards read at random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmtool.data import shards
from bmtool.data.batching import LengthBatches, LengthSource, Permutation


@given(st.integers(1, 3000), st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_a_permutation_is_one(size, seed, epoch):
    assert sorted(Permutation(size, seed, epoch)(np.arange(size))) == list(range(size))


def test_permutations_differ_by_key_and_look_random():
    first, second = (Permutation(10_000, 1, epoch)(np.arange(10_000)) for epoch in (0, 1))
    assert (first == second).mean() < 0.01
    assert abs(np.corrcoef(first, np.arange(10_000))[0, 1]) < 0.05


def batches_of(lengths: np.ndarray, batch_tokens: int = 512, seed: int | None = 1) -> LengthBatches:
    source = LengthSource(
        len(lengths), int(lengths.sum()), lambda examples: lengths[examples], lambda examples: examples
    )
    return LengthBatches(source, batch_tokens=batch_tokens, seed=seed)


LENGTHS = np.random.default_rng(0).integers(2, 64, 30_000)


def epoch(batches: LengthBatches, number: int) -> list[np.ndarray]:
    return [batches[number * batches.per_epoch + i] for i in range(batches.per_epoch)]


@pytest.mark.parametrize("count", [1, 2, 7, 500, 30_000])
@pytest.mark.parametrize("seed", [None, 1])
def test_every_example_once_an_epoch(count, seed):
    batches = batches_of(LENGTHS[:count], seed=seed)
    for number in (0, 1):
        assert sorted(np.concatenate(epoch(batches, number))) == list(range(count))


def test_another_order_each_epoch_and_the_same_for_the_same_position():
    batches = batches_of(LENGTHS)
    first, second = epoch(batches, 0), epoch(batches, 1)
    assert not all(np.array_equal(a, b) for a, b in zip(first, second))
    fresh = batches_of(LENGTHS)
    for position in (1500, 3, 2000, 0):
        assert np.array_equal(fresh[position], batches[position])


def test_batches_are_even_and_hardly_padded():
    sizes, cost = [], 0
    for examples in epoch(batches_of(LENGTHS, 2048), 0):
        sizes.append(LENGTHS[examples].sum())
        cost += LENGTHS[examples].max() * len(examples)
    assert LENGTHS.sum() / cost > 0.95
    assert min(sizes) > 1800 and max(sizes) < 2300


def test_shards_give_back_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_TOKENS", 40)
    random = np.random.default_rng(0)
    rows = [random.integers(0, 65_536, random.integers(1, 9)) for _ in range(40)]
    parts = []
    for number in range(10):
        some = rows[4 * number : 4 * number + 4]
        parts.append(tmp_path / str(number))
        parts[-1].mkdir()
        columns = {
            "a": np.concatenate(some).astype(np.uint16),
            "b": np.concatenate([row[::-1] for row in some]).astype(np.uint32),
        }
        shards.write_part(parts[-1], "train", np.array([len(row) for row in some]), columns)
    shards.assemble(tmp_path, "train", parts)
    read = shards.Shards(tmp_path, "train", ("a", "b"))
    assert len(read) == 40 and read.tokens == sum(map(len, rows)) and 3 <= len(list(tmp_path.glob("*.a.npy"))) <= 9
    order = random.permutation(40)
    assert read.lengths(order).tolist() == [len(rows[i]) for i in order]
    for number in order:
        assert read.example("a", number).tolist() == rows[number].tolist()
        assert read.example("b", number).tolist() == rows[number][::-1].tolist()
    padded = read.padded("a", order[:5])
    assert padded.shape == (5, max(len(rows[i]) for i in order[:5]))
    assert padded.sum() == sum(rows[i].sum() for i in order[:5])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ragged_is_every_range_after_the_other(spans):
    starts, lengths = (np.array([span[i] for span in spans], np.int64) for i in range(2))
    assert shards.ragged(starts, lengths).tolist() == [start + i for start, length in spans for i in range(length)]


def test_an_absent_split_is_empty(tmp_path):
    read = shards.Shards(tmp_path, "test", ("a",))
    assert len(read) == 0 and read.tokens == 0
