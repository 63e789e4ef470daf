"""A bag of n-grams of tokens. Shapes: B texts, T tokens, D width, V vocabulary."""

import torch
from torch import Tensor, nn

from bmtool.text.labelled.models import BagModel

# Coprime to any number of rows that is no multiple of it; products with it stay far below 2**63.
MULTIPLIER = 1_000_003


class Bag(nn.Module):
    """token, keep, kind [B, T] to [B, T, D]: at each token the mean of its embedding and those of the n-grams that end there.

    n-grams share a table by a hash (Svenstrup et al. 2017, "Hash embeddings", with one hash), so that none has to be known before; those of
    a second text have rows of their own. Gradients are of the rows that were met.
    """

    def __init__(self, settings: BagModel, vocabulary: int):
        super().__init__()
        self.features, self.vocabulary, self.rows, self.longest = (
            settings.width, vocabulary, settings.rows, settings.ngrams,
        )  # fmt: skip
        self.tokens = nn.Embedding(vocabulary, settings.width, sparse=True)
        self.ngrams = nn.Embedding(settings.rows, settings.width, sparse=True)
        nn.init.normal_(self.tokens.weight, std=0.1)
        # An n-gram that was never met says nothing.
        nn.init.zeros_(self.ngrams.weight)

    # The compiler has no kernels for sparse gradients.
    @torch.compiler.disable
    def forward(self, token: Tensor, keep: Tensor, kind: Tensor) -> Tensor:
        total, symbol = self.tokens(token), token + self.vocabulary * kind
        hashed, there = symbol, keep
        for _ in range(1, self.longest):
            hashed = (_later(hashed) * MULTIPLIER + symbol) % self.rows
            there = _later(there) & keep
            total = total + self.ngrams(hashed) * there[:, :, None]
        return total / self.longest


def _later(x_BT: Tensor) -> Tensor:
    """What stands one place before, 0 at the first."""
    return torch.cat([torch.zeros_like(x_BT[:, :1]), x_BT[:, :-1]], dim=1)
