"""The tagger, and which model a `model` section asks for. Shapes: B batch, T inputs, C candidates, N real positions, D width.

Each model is a `backbone` (reads the inputs) and a `head` (writes hanzi), so that another run can take over either by name; what the
encoder-decoders are is in `text.seq2seq`. All have `loss(batch, smoothing)` and `graphs(source)`.
"""

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.autocast import in_float32
from bmtool.nn.graph import Graph
from bmtool.nn.transformer import Encoder
from bmtool.tasks.pinyin2hanzi import config
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS, Vocabulary
from bmtool.text.seq2seq.config import Rnn, Transformer
from bmtool.text.seq2seq.model import EncoderDecoder
from bmtool.text.seq2seq.specials import PAD

MASKED = -1e9  # score of a place that holds no candidate; finite, so that rows without any stay numbers


class NgramTables(nn.Module):
    """Embeddings of the syllable bigrams and the trigram around each position: memory at almost no arithmetic.

    Hashed n-gram embeddings as in Svenstrup et al. 2017 ("Hash embeddings"), one hash; rows get sparse gradients. A table with at
    least len(INPUTS) ** 2 rows holds every bigram without a collision.
    """

    def __init__(self, rows: int, table_width: int, width: int):
        super().__init__()
        self.rows = rows
        self.bigrams = nn.Embedding(rows, table_width, sparse=True)
        self.trigrams = nn.Embedding(rows, table_width, sparse=True)
        self.project = nn.Linear(3 * table_width, width, bias=False)
        for table in (self.bigrams, self.trigrams):
            nn.init.normal_(table.weight, std=0.1)

    # The compiler has no kernels for sparse gradients.
    @torch.compiler.disable
    def forward(self, source_BT: Tensor) -> Tensor:
        framed = F.pad(source_BT, (1, 1))
        pair = framed[:, :-1] * len(INPUTS) + framed[:, 1:]
        triple = pair[:, :-1] * len(INPUTS) + framed[:, 2:]
        bigram = self.bigrams(pair % self.rows)
        trigram = self.trigrams((triple * 2654435761 // 65536) % self.rows)
        return self.project(torch.cat([bigram[:, :-1], bigram[:, 1:], trigram], dim=-1))


class SyllableEncoder(nn.Module):
    """Backbone of the tagger: embeddings of syllables, of known hanzi and of syllable n-grams, and an encoder."""

    def __init__(self, model: config.Tagger, targets: int):
        """`targets` is the number of hanzi ids of the second input channel: the hanzi that are known already."""
        super().__init__()
        self.embedding = nn.Embedding(len(INPUTS), model.width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.known = nn.Embedding(targets, model.width, padding_idx=PAD)
        self.ngrams = NgramTables(model.ngram_rows, model.ngram_width, model.width) if model.ngram_rows else None
        self.dropout = nn.Dropout(model.dropout)
        self.encoder = Encoder(
            width=model.width,
            layers=model.layers,
            heads=model.heads,
            feedforward=model.feedforward,
            dropout=model.dropout,
        )

    @property
    def blocks(self) -> nn.ModuleList:
        return self.encoder.blocks

    def forward(self, source_BT: Tensor, keep_BT: Tensor | None, known_BT: Tensor | None = None) -> Tensor:
        """`known_BT` holds hanzi ids, PAD where the hanzi is not known."""
        x_BTD = self.embedding(source_BT)
        if known_BT is not None:
            x_BTD = x_BTD + self.known(known_BT)
        if self.ngrams is not None:
            x_BTD = x_BTD + self.ngrams(source_BT)
        return self.encoder(self.dropout(x_BTD), keep_BT)


def _windows(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """For every input as many pairs in a row as the largest syllable has, its own among them, int64 [inputs, C]; and which are not
    its own, bool [inputs, C]."""
    start, end = vocabulary.pair_start[:-1, None], vocabulary.pair_start[1:, None]
    width = int((end - start).max())
    window = np.minimum(start, vocabulary.pairs - width) + np.arange(width)
    return torch.from_numpy(window), torch.from_numpy((window < start) | (window >= end))


class CandidateHead(nn.Module):
    """A row and a bias for every (syllable, hanzi) pair; a position is scored against its own syllable's pairs only."""

    def __init__(self, vocabulary: Vocabulary, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary.pairs, width) * width**-0.5)
        # The counts are a good first guess: without context, the model then starts as a unigram model.
        self.bias = nn.Parameter(torch.log(torch.from_numpy(vocabulary.pair_count).float() + 0.1))
        self.sizes = [vocabulary.candidate_count(number) for number in range(len(INPUTS))]
        self.starts = vocabulary.pair_start.tolist()
        self.register_buffer("pair_start", torch.from_numpy(vocabulary.pair_start), persistent=False)
        self.register_buffer("pair_target", torch.from_numpy(vocabulary.pair_target), persistent=False)
        window, foreign = _windows(vocabulary)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("foreign", foreign, persistent=False)

    def loss(self, h_ND: Tensor, input_N: Tensor, pair_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy and number right, over the positions that have a pair (-1: none)."""
        if h_ND.is_cuda:
            return self._loss_of_all(h_ND, input_N, pair_N, smoothing)
        scored = pair_N >= 0
        return in_float32(
            partial(self._loss_by_syllable, smoothing=smoothing), h_ND[scored], input_N[scored], pair_N[scored]
        )

    def _loss_by_syllable(
        self, h_ND: Tensor, input_N: Tensor, pair_N: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """The least arithmetic: positions are grouped by syllable, so that each group takes one small matrix product; `split`
        keeps the backward pass at one `cat`."""
        order = input_N.argsort(stable=True)
        groups = torch.bincount(input_N, minlength=len(INPUTS)).tolist()
        h, pair = h_ND[order].split(groups), pair_N[order].split(groups)
        weight, bias = self.weight.split(self.sizes), self.bias.split(self.sizes)
        losses, right = [], []
        for number, size in enumerate(groups):
            if size:
                score = torch.addmm(bias[number], h[number], weight[number].T)
                target = pair[number] - self.starts[number]
                losses.append(F.cross_entropy(score.float(), target, reduction="sum", label_smoothing=smoothing))
                right.append((score.detach().argmax(-1) == target).sum())
        if not losses:
            return h_ND.sum() * 0.0, torch.zeros(())
        return torch.stack(losses).sum(), torch.stack(right).sum()

    def _loss_of_all(self, h_ND: Tensor, input_N: Tensor, pair_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """The fewest kernels: one matrix product with every pair, of which each position takes a window that holds its
        syllable's. A GPU does that arithmetic sooner than it starts hundreds of small products."""
        window_NC, first_N = self.window[input_N], self.window[input_N, 0]
        foreign_NC = self.foreign[input_N]
        # Biases are logarithms of counts: added in float32, whatever the product is made in.
        score_NC = F.linear(h_ND, self.weight).gather(1, window_NC).float() + F.embedding(
            input_N, self.bias[self.window]
        )
        log_p_NC = score_NC.masked_fill(foreign_NC, MASKED).log_softmax(dim=-1)
        scored, target_N = pair_N >= 0, (pair_N - first_N).clamp(min=0)
        loss_N = -log_p_NC.gather(1, target_N[:, None]).squeeze(1)
        if smoothing:
            mean_N = log_p_NC.masked_fill(foreign_NC, 0.0).sum(1) / (~foreign_NC).sum(1).clamp(min=1)
            loss_N = (1 - smoothing) * loss_N - smoothing * mean_N
        right = (log_p_NC.detach().argmax(-1) == target_N) & scored
        return loss_N.masked_fill(~scored, 0.0).sum(), right.sum()

    def forward(self, h_BTD: Tensor, pairs_BTC: Tensor) -> Tensor:
        """Log-probabilities [B, T, C] of the given pairs (-1 where there is none) among themselves."""
        real = pairs_BTC >= 0
        at = pairs_BTC.clamp(min=0)
        score = (F.embedding(at, self.weight) @ h_BTD[..., None]).squeeze(-1) + self.bias[at]
        return score.float().masked_fill(~real, MASKED).log_softmax(dim=-1)


class Tagger(nn.Module):
    """One hanzi a syllable, all at once.

    Besides the syllables it reads the hanzi that are known: typed as hanzi, standing before the input, or guessed by a first pass.
    It learns to by being shown some of its own targets, as masked language models are trained (Devlin et al. 2018; Ghazvininejad et
    al. 2019, "Mask-Predict"), a few of them exchanged for another candidate of the syllable so that it does not trust all it sees.
    """

    def __init__(self, model: config.Tagger, vocabulary: Vocabulary):
        super().__init__()
        self.backbone = SyllableEncoder(model, vocabulary.targets)
        self.head = CandidateHead(vocabulary, model.width)
        self.show, self.confuse = model.show, model.confuse

    def loss(self, batch, smoothing: float) -> tuple[Tensor, Tensor, int]:
        """Summed loss, number right, number of targets: positions whose hanzi is a candidate of their syllable."""
        keep_BT = batch.source != PAD if batch.padded else None
        learning = self.backbone.training or self.head.training  # modes are set on these two
        known_BT = self.shown(batch.source, batch.pair) if learning and self.show else None
        h_BTD = self.backbone(batch.source, keep_BT, known_BT)
        loss, right = self.head.loss(h_BTD.flatten(0, 1), batch.source.flatten(), batch.pair.flatten(), smoothing)
        return loss, right, batch.scored

    def shown(self, source_BT: Tensor, pair_BT: Tensor) -> Tensor:
        """Random hints [B, T]: in a share `show` of the sentences a share of the hanzi that is uniform between 0 and 1, of which a
        share `confuse` is some candidate of the syllable, common ones more often."""
        start, target = self.head.pair_start, self.head.pair_target
        rand = partial(torch.rand, device=source_BT.device)
        rate_B1 = rand(len(source_BT), 1) * (rand(len(source_BT), 1) < self.show)
        show_BT = (rand(source_BT.shape) < rate_B1) & (pair_BT >= 0)
        first_BT = start[source_BT]
        any_pair_BT = first_BT + (rand(source_BT.shape) ** 2 * (start[source_BT + 1] - first_BT)).long()
        confused_BT = rand(source_BT.shape) < self.confuse
        pair_BT = torch.where(confused_BT, any_pair_BT, pair_BT).clamp(0, len(target) - 1)
        return torch.where(show_BT, target[pair_BT], PAD)

    def forward(self, source_BT: Tensor, known_BT: Tensor, pairs_BTC: Tensor) -> Tensor:
        """Log-probabilities [B, T, C] of the candidate pairs of every position."""
        return self.head(self.backbone(source_BT, source_BT != PAD, known_BT), pairs_BTC)

    def graphs(self, sources: int, longest: int = 64) -> list[Graph]:
        """The one graph that is exported; `sources` is the number of inputs, `longest` the length that a line may have."""

        def example(sizes: dict[str, int]) -> dict[str, Tensor]:
            start, target = self.head.pair_start.cpu(), self.head.pair_target.cpu()
            drawn = torch.Generator().manual_seed(0)
            source = torch.randint(PAD + 1, sources, (sizes["batch"], sizes["length"]), generator=drawn)
            known = torch.randint(0, len(target), source.shape, generator=drawn)
            pairs = start[source][:, :, None] + torch.arange(sizes["candidates"])
            pairs = torch.where(pairs < start[source + 1][:, :, None], pairs, -1)
            return {"source": source, "known": target[known], "pairs": pairs}

        axes = {name: ("batch", "length", "candidates")[:n] for name, n in (("source", 2), ("known", 2), ("pairs", 3))}
        traced = {"batch": 3, "length": 7, "candidates": 5}
        sizes = tuple(
            {"batch": batch, "length": length, "candidates": 9} for batch in (1, 2, 7) for length in (1, 5, longest)
        )
        return [Graph("model", self, axes, ("log_p",), example, traced, sizes)]


def build(model: config.Tagger | Transformer | Rnn, vocabulary: Vocabulary) -> Tagger | EncoderDecoder:
    if model.kind == "tagger":
        return Tagger(model, vocabulary)
    return EncoderDecoder(model, len(INPUTS), vocabulary.targets)


def core_parameters(module: nn.Module) -> int:
    """Weights that take part in a matrix product for every token: 6 FLOP each a trained token. No embedding tables, and no
    candidate rows, of which a token meets only its own syllable's."""
    tables = {m.weight for m in module.modules() if isinstance(m, nn.Embedding | CandidateHead)}
    return sum(math.prod(p.shape) for p in module.parameters() if p.ndim == 2 and p not in tables)
