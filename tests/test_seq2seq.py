"""Encoder-decoders over vocabularies of their own: what they learn, how they are searched, what of them is exported."""

import itertools
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor

from bmtool.predict.backends import TorchBackend
from bmtool.tasks.pinyin2hanzi import config
from bmtool.tasks.pinyin2hanzi.model import build
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS, Vocabulary
from bmtool.text.seq2seq.backend import Steps
from bmtool.text.seq2seq.config import Rnn, Transformer
from bmtool.text.seq2seq.decode import Constrained, Free, force, search
from bmtool.text.seq2seq.model import EncoderDecoder
from bmtool.text.seq2seq.specials import BEGIN, END, PAD, UNKNOWN

SOURCES, TARGETS = 9, 7
FIRST = UNKNOWN + 1
SMALL = {"width": 16, "layers": 1, "dropout": 0.0}
KINDS = {
    "transformer": Transformer(kind="transformer", heads=2, feedforward=32, **SMALL),
    "gru": Rnn(kind="rnn", **SMALL),
    "lstm": Rnn(kind="rnn", cell="lstm", attention="dot", **(SMALL | {"layers": 2})),
}
kinds = pytest.mark.parametrize("kind", list(KINDS))


def made(kind: str, sources: int = SOURCES, targets: int = TARGETS) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(KINDS[kind], sources, targets).eval()


def steps(model: EncoderDecoder, sources: int = SOURCES) -> Steps:
    return Steps(TorchBackend(model.eval().graphs(sources)))


def padded(*rows: list[int]) -> np.ndarray:
    return np.array([row + [PAD] * (max(map(len, rows)) - len(row)) for row in rows])


@dataclass
class Pairs:
    source: Tensor
    target: Tensor

    def closed_target(self) -> Tensor:
        return self.target


def reversals(random: np.random.Generator, count: int) -> Pairs:
    """Sources of three symbols, to be written backwards."""
    source = torch.from_numpy(random.integers(FIRST, TARGETS, (count, 3)))
    return Pairs(source, torch.cat([source.flip(1), torch.full((count, 1), END)], dim=1))


@kinds
def test_learns_to_write_backwards(kind):
    model, random = made(kind, sources=TARGETS).train(), np.random.default_rng(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        loss, _, count = model.loss(reversals(random, 32), 0.0)
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    every = np.array(list(itertools.product(range(FIRST, TARGETS), repeat=3)))
    found = search(Free(steps(model, TARGETS), every), beam=2, max_steps=6)
    assert [ways[0].tokens for ways in found] == [tuple(row[::-1].tolist()) for row in every]


@kinds
def test_loss_is_the_cross_entropy_of_the_steps_and_ignores_padding(kind):
    model = made(kind)
    source, target = padded([5, 6, 7], [8]), padded([4, 5, END], [6, END])
    total, _, count = model.loss(Pairs(*map(torch.from_numpy, (source, target))), 0.0)
    alone = [
        model.loss(Pairs(*(torch.tensor([[n for n in row if n != PAD]]) for row in pair)), 0.0)[0]
        for pair in zip(source.tolist(), target.tolist())
    ]
    assert count == 5
    torch.testing.assert_close(total, alone[0] + alone[1])
    state, last, steps = model.start(torch.tensor([[5, 6, 7]])), BEGIN, torch.zeros(())
    for token in (4, 5, END):
        scores, moved = model.step(torch.tensor([last]), state)
        state, last = state | moved, token
        steps = steps - scores.log_softmax(-1)[0, token]
    torch.testing.assert_close(steps, alone[0])


@kinds
def test_what_a_free_search_finds_has_the_score_that_forcing_gives_it(kind):
    backend, source = steps(made(kind)), padded([4, 5, 6], [7, 8])
    for row, ways in enumerate(search(Free(backend, source), beam=4, max_steps=4)):
        for way in ways:
            target = np.array([[*way.tokens, END][:4]])
            log_p = force(Free(backend, source[row : row + 1]), target)
            assert log_p.sum() == pytest.approx(way.log_probability, abs=1e-4)
            assert not {PAD, BEGIN, UNKNOWN} & set(way.tokens)


ALLOWED = np.array([[[4, 5, PAD], [6, PAD, PAD], [4, 5, 6]], [[5, 6, PAD], [PAD, PAD, PAD], [PAD, PAD, PAD]]])


@kinds
def test_a_wide_constrained_search_is_every_target_that_is_allowed(kind):
    backend, source = steps(made(kind)), padded([4, 5, 6], [7])
    found = search(Constrained(backend, source, ALLOWED), beam=20, max_steps=4)
    for row, ways in enumerate(found):
        choices = [[token for token in place if token != PAD] for place in ALLOWED[row].tolist()]
        targets = list(itertools.product(*filter(None, choices)))
        target, rows = np.full((len(targets), len(choices)), PAD), np.repeat([row], len(targets))
        target[:, : len(targets[0])] = targets
        log_p = force(Constrained(backend, source[rows], ALLOWED[rows]), target)
        log_p = np.where(np.isfinite(log_p), log_p, 0.0).sum(axis=1)  # behind its end nothing is allowed
        assert np.exp(log_p).sum() == pytest.approx(1.0)
        order = np.argsort(-log_p)
        assert [way.tokens for way in ways] == [targets[n] for n in order]
        np.testing.assert_allclose([way.log_probability for way in ways], log_p[order], atol=1e-5)


@kinds
def test_what_is_not_allowed_has_no_probability_and_does_not_end_the_scoring(kind):
    stepper = Constrained(steps(made(kind)), padded([4, 5, 6]), ALLOWED[:1])
    log_p = force(stepper, np.array([[6, 6, 4]]))[0]
    assert log_p[0] == -np.inf and log_p[1] == 0.0 and np.isfinite(log_p[2])


@kinds
def test_graphs_name_every_axis_that_changes(kind):
    model = made(kind)
    sizes = {"rows": 2, "length": 5, "written": 3}, {"rows": 3, "length": 7, "written": 4}
    for graph in model.graphs(SOURCES):
        one, other = (graph.example(size) for size in sizes)
        assert list(one) == list(other) == list(graph.axes)
        for name, axes in graph.axes.items():
            assert len(axes) == one[name].ndim
            for axis, *found in zip(axes, one[name].shape, other[name].shape):
                assert found == ([size[axis] for size in sizes] if isinstance(axis, str) else [axis, axis]), (
                    name,
                    axis,
                )
    start, step = model.graphs(SOURCES)
    state = dict(zip(start.outputs, start.module(*start.example(sizes[0]).values())))
    scores, *moved = step.module(torch.zeros(2, dtype=torch.int64), *state.values())
    assert list(state) == list(step.axes)[1:] and scores.shape == (2, TARGETS)
    assert step.outputs == ("scores", *(f"next_{name}" for name in model.head.MOVING))
    assert len(moved) == len(step.outputs) - 1


PARTS = {
    "transformer": """backbone.embedding backbone.encoder.blocks.0.attention.key_value backbone.encoder.blocks.0.attention.out
        backbone.encoder.blocks.0.attention.query backbone.encoder.blocks.0.attention_norm backbone.encoder.blocks.0.feedforward.down
        backbone.encoder.blocks.0.feedforward.up backbone.encoder.blocks.0.feedforward_norm backbone.encoder.norm
        head.decoder.blocks.0.cross_attention.key_value head.decoder.blocks.0.cross_attention.out
        head.decoder.blocks.0.cross_attention.query head.decoder.blocks.0.cross_norm head.decoder.blocks.0.feedforward.down
        head.decoder.blocks.0.feedforward.up head.decoder.blocks.0.feedforward_norm head.decoder.blocks.0.self_attention.key_value
        head.decoder.blocks.0.self_attention.out head.decoder.blocks.0.self_attention.query head.decoder.blocks.0.self_norm
        head.decoder.norm head.embedding head.out""",
    "rnn": """backbone.embedding backbone.encoder.backwards.0 backbone.encoder.forwards.0 head.decoder.attention.key
        head.decoder.attention.query head.decoder.attention.score head.decoder.cells.0 head.decoder.first head.decoder.out
        head.embedding head.out""",
    "tagger": """backbone.embedding backbone.encoder.blocks.0.attention.key_value backbone.encoder.blocks.0.attention.out
        backbone.encoder.blocks.0.attention.query backbone.encoder.blocks.0.attention_norm backbone.encoder.blocks.0.feedforward.down
        backbone.encoder.blocks.0.feedforward.up backbone.encoder.blocks.0.feedforward_norm backbone.encoder.norm backbone.known
        backbone.ngrams.bigrams backbone.ngrams.project backbone.ngrams.trigrams head""",
}


@pytest.mark.parametrize("kind", list(PARTS))
def test_parameters_keep_the_names_that_stored_runs_have(kind):
    sections = {
        "transformer": KINDS["transformer"],
        "rnn": KINDS["gru"],
        "tagger": config.Tagger(kind="tagger", heads=2, feedforward=32, ngram_rows=50, ngram_width=4, **SMALL),
    }
    model = build(sections[kind], Vocabulary({"ni": {"你": 2, "泥": 1}, "hao": {"好": 3}}))
    assert sorted({name.rpartition(".")[0] for name, _ in model.named_parameters()}) == PARTS[kind].split()
    assert model.backbone.embedding.weight.shape == (len(INPUTS), SMALL["width"])


def test_searching_an_exported_model_needs_no_torch():
    parts = "bmtool.text.seq2seq.decode, bmtool.text.seq2seq.backend, bmtool.tasks.pinyin2hanzi.sequence"
    code = f"import sys, {parts}; print(sorted({{'torch', 'onnx'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
