"""Blocks against torch.nn or brute force; padding made loud; steps equal the whole."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from bmtool.nn.attention import Attention, rotary_angles, rotate
from bmtool.nn.rnn import AttentionalDecoder, BidirectionalEncoder
from bmtool.nn.search import Hypothesis, beam_search, merge
from bmtool.nn.transformer import Decoder, Encoder, EncoderBlock
from bmtool.nn.vision import SpectralConv2d, SpectralLinear
from bmtool.tasks.pinyin2hanzi import vocab
from bmtool.tasks.pinyin2hanzi.model import CandidateHead, NgramTables

B, T, D, H = 3, 7, 16, 4


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())


def test_attention_is_torchs():
    ours, theirs = Attention(D, H), nn.MultiheadAttention(D, H, batch_first=True)
    copy_attention(ours, theirs)
    x, keep = torch.randn(B, T, D), torch.rand(B, T) > 0.3
    keep[:, 0] = True
    expected, _ = theirs(x, x, x, key_padding_mask=~keep)
    torch.testing.assert_close(ours.attend(x, ours.keys_values(x), keep[:, None, None]), expected)


def test_encoder_block_is_torchs():
    ours = EncoderBlock(D, H, 32, 0.0)
    theirs = nn.TransformerEncoderLayer(
        D, H, 32, 0.0, activation=lambda x: nn.functional.gelu(x, approximate="tanh"), batch_first=True, norm_first=True
    )
    copy_attention(ours.attention, theirs.self_attn)
    for mine, other in ((ours.attention_norm, theirs.norm1), (ours.feedforward_norm, theirs.norm2)):
        nn.init.normal_(mine.weight)
        other.load_state_dict(mine.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward.up.state_dict())
    theirs.linear2.load_state_dict(ours.feedforward.down.state_dict())
    x = torch.randn(B, T, D)
    torch.testing.assert_close(ours(x, None, None), theirs(x))


def test_rotary_scores_depend_on_distance_only():
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(i: int, j: int) -> float:
        at = [rotate(x, rotary_angles(1, 8, x.device, start=p)) for x, p in ((query, i), (key, j))]
        return float((at[0] * at[1]).sum())

    assert score(3, 1) == pytest.approx(score(10, 8), abs=1e-5)
    assert score(3, 1) != pytest.approx(score(3, 2), abs=1e-3)


def loud(x: torch.Tensor) -> torch.Tensor:
    """Three more positions that would show if anything looked at them."""
    return torch.cat([x, torch.full((len(x), 3, x.shape[2]), 1e3)], dim=1)


def keep_first(count: int, total: int) -> torch.Tensor:
    return (torch.arange(total) < count).expand(B, -1)


def test_encoder_ignores_padding():
    encoder = Encoder(width=D, layers=2, heads=H, feedforward=32, dropout=0.0)
    x = torch.randn(B, T, D)
    torch.testing.assert_close(encoder(x, None), encoder(loud(x), keep_first(T, T + 3))[:, :T])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_encoder_is_torchs_packed_and_ignores_padding(cell):
    encoder = BidirectionalEncoder(cell=cell, width=D, layers=1, dropout=0.0)
    theirs = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](D, D // 2, batch_first=True, bidirectional=True)
    for suffix, module in (("", encoder.forwards[0]), ("_reverse", encoder.backwards[0])):
        for name, value in module.named_parameters():
            getattr(theirs, name + suffix).data.copy_(value)
    lengths = torch.tensor([T, 4, 1])
    x, keep = torch.randn(B, T, D), torch.arange(T) < lengths[:, None]
    x[~keep] = 1e3
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(encoder(x, keep)[keep], expected[keep])


def test_decoder_steps_equal_all_at_once_and_ignore_padding():
    decoder = Decoder(width=D, layers=2, heads=H, feedforward=32, dropout=0.0)
    x, source = torch.randn(B, T, D), torch.randn(B, 5, D)
    memory, keep = decoder.memory(loud(source)), keep_first(5, 8)
    whole, _ = decoder(x, decoder.empty_past(B, x.device), memory, keep)
    past, steps = decoder.empty_past(B, x.device), []
    for t in range(T):
        out, past = decoder(x[:, t : t + 1], past, memory, keep)
        steps.append(out)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)
    unpadded, _ = decoder(x, decoder.empty_past(B, x.device), decoder.memory(source), keep_first(5, 5))
    torch.testing.assert_close(whole, unpadded)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_recurrent_decoder_ignores_padding(cell, attention):
    decoder = AttentionalDecoder(cell=cell, attention=attention, width=D, layers=2, dropout=0.0)
    x, source = torch.randn(B, D), torch.randn(B, 5, D)
    outputs = []
    for memory, keep in ((source, keep_first(5, 5)), (loud(source), keep_first(5, 8))):
        hidden, state = decoder.start(memory, keep)
        keys = decoder.attention.key(memory)
        outputs.append(decoder(x, hidden, state, memory_BSD=memory, keys_BSA=keys, keep_BS=keep))
    for ours, padded in zip(*outputs):
        torch.testing.assert_close(ours, padded)


@pytest.fixture(scope="module")
def vocabulary():
    counts = {
        "shi": {"是": 9, "事": 4, "时": 3},
        "de": {"的": 20, "得": 2},
        "ma": {"吗": 1, "妈": 2, "马": 0},
        "ni": {"你": 5},
    }
    return vocab.Vocabulary(counts)


@pytest.mark.parametrize("way", ["_loss_by_syllable", "_loss_of_all"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_candidate_loss_is_a_softmax_over_the_syllables_own_candidates(vocabulary, smoothing, way):
    """Of a CPU, and of a GPU."""
    head = CandidateHead(vocabulary, D)
    random = np.random.default_rng(0)
    inputs = torch.tensor([vocab.INPUT_ID[random.choice(["shi", "de", "ma", "ni"])] for _ in range(40)])
    starts, ends = vocabulary.pair_start[inputs.numpy()], vocabulary.pair_start[inputs.numpy() + 1]
    pairs = torch.from_numpy(random.integers(starts, ends))
    h = torch.randn(40, D, requires_grad=True)
    total, right = getattr(head, way)(h, inputs, pairs, smoothing)
    everything = h @ head.weight.T + head.bias
    expected, correct = 0.0, 0
    for row, start, end, pair in zip(everything, starts, ends, pairs):
        own = row[start:end]
        target = torch.tensor([int(pair) - start])
        expected = expected + nn.functional.cross_entropy(own[None], target, label_smoothing=smoothing)
        correct += int(own.argmax() == target[0])
    torch.testing.assert_close(total, expected)
    assert int(right) == correct
    ours, theirs = (torch.autograd.grad(loss, [h, head.weight, head.bias]) for loss in (total, expected))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


def test_what_has_no_pair_does_not_count(vocabulary):
    head, h = CandidateHead(vocabulary, D), torch.randn(4, D)
    inputs = torch.tensor([vocab.INPUT_ID["shi"], vocab.INPUT_ID["ni"], 0, vocab.INPUT_ID["de"]])
    pairs = torch.tensor([int(vocabulary.pair_start[inputs[0]]) + 1, -1, -1, int(vocabulary.pair_start[inputs[3]])])
    scored = pairs >= 0
    expected, right = head.loss(h[scored], inputs[scored], pairs[scored], 0.1)
    for of in (head.loss, head._loss_of_all):
        total, correct = of(h, inputs, pairs, 0.1)
        torch.testing.assert_close(total, expected)
        assert int(correct) == int(right)


def test_no_target_at_all_is_a_loss_of_zero(vocabulary):
    head, none = CandidateHead(vocabulary, D), torch.zeros(0, dtype=torch.int64)
    total, right = head.loss(torch.randn(0, D, requires_grad=True), none, none, 0.0)
    total.backward()
    assert total == 0 and right == 0


def test_scores_of_given_pairs_are_normalised_and_ignore_places_without_one(vocabulary):
    head, h = CandidateHead(vocabulary, D), torch.randn(1, 1, D)
    alone = head(h, torch.tensor([[[0, 1]]])).exp().detach()
    padded = head(h, torch.tensor([[[0, 1, -1, -1]]])).exp().detach()
    torch.testing.assert_close(alone, padded[..., :2])
    assert float(padded[..., 2:].sum()) == 0
    assert float(padded.sum()) == pytest.approx(1, abs=1e-6)


def test_a_large_bigram_table_has_no_collision_and_sparse_gradients():
    size = len(vocab.INPUTS)
    tables = NgramTables(size**2, 4, 8)
    seen = set()
    tables.bigrams.register_forward_hook(lambda m, args, out: seen.update(args[0].flatten().tolist()))
    for a in range(1, 5):
        tables(torch.tensor([[a, b] for b in range(1, size)]))
    assert len(seen) == 4 * (size - 1) + 4 + (size - 1)  # pairs, and each at the start and the end of a sentence
    tables(torch.ones(1, 3, dtype=torch.int64)).sum().backward()
    assert tables.bigrams.weight.grad.is_sparse


class Table:
    """Random log-probabilities of the next token given the whole prefix; the state is the prefix."""

    end = 0

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed

    def log_p(self, prefix: tuple[int, ...]) -> np.ndarray:
        scores = np.random.default_rng([self.seed, *prefix]).normal(size=self.size)
        return scores - np.log(np.exp(scores).sum())

    def step(self, tokens, state):
        state = [(*prefix, int(token)) for prefix, token in zip(state, tokens)]
        return np.stack([self.log_p(prefix[1:]) for prefix in state]), state

    def reorder(self, state, rows):
        return [state[row] for row in rows]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_what_brute_force_finds(seed, penalty):
    table, longest = Table(3, seed), 3
    expected = []
    for length in range(longest + 1):
        for tokens in itertools.product([1, 2], repeat=length):
            path = [*tokens, 0][:longest] if length < longest else list(tokens)
            expected.append((tokens, sum(table.log_p(tuple(path[:i]))[path[i]] for i in range(len(path)))))
    expected.sort(key=lambda item: -item[1] / max(len(item[0]) + 1, 1) ** penalty)
    found = beam_search(table, [(), ()], batch=2, beam=100, max_steps=longest, length_penalty=penalty)
    for one in found:
        assert [h.tokens for h in one[:6]] == [tokens for tokens, _ in expected[:6]]
        np.testing.assert_allclose([h.log_probability for h in one[:6]], [p for _, p in expected[:6]])


def test_merge_takes_the_best_combinations():
    random = np.random.default_rng(1)
    lists = [[Hypothesis((i,), float(p)) for i, p in enumerate(-np.sort(random.exponential(size=4)))] for _ in range(3)]
    every = [(c, sum(h[i].log_probability for h, i in zip(lists, c))) for c in itertools.product(range(4), repeat=3)]
    every.sort(key=lambda item: -item[1])
    found = merge(lists, 5)
    assert [c for c, _ in found] == [c for c, _ in every[:5]]
    assert merge([], 3) == [((), 0.0)]


def test_spectral_norm_follows_the_largest_singular_value():
    for layer, x in ((SpectralLinear(12, 7), torch.randn(3, 12)), (SpectralConv2d(3, 5, 3), torch.randn(2, 3, 8, 8))):
        for _ in range(200):
            layer(x)
        assert torch.linalg.matrix_norm(layer.normalised().flatten(1), 2).item() == pytest.approx(1.0, abs=1e-3)
        before = layer.u.clone()
        layer.eval()(x)
        assert torch.equal(layer.u, before)
