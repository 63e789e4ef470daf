"""The network: a trunk, what a lexicon adds to its embeddings, and a score of each tag for each token.

Shapes: B windows, T tokens, D width, F features of a lexicon, K tags.
"""

from torch import Tensor, nn

from bmtool.nn import tags
from bmtool.nn.chain import Transitions
from bmtool.nn.crf import Crf
from bmtool.text.labelled import trunks


class Head(nn.Module):
    """`chain` learns which tags follow which; without it all that are legal follow alike."""

    def __init__(self, features: int, types: int, *, crf: bool, dropout: float):
        super().__init__()
        self.legal = tags.legal(types)
        self.dropout, self.scores = nn.Dropout(dropout), nn.Linear(features, tags.count(types))
        self.chain = Crf(self.legal) if crf else None
        self.words: nn.Linear | None = None

    def know(self, features: int) -> None:
        """Give it what a lexicon of so many features adds to the embeddings: nothing, until it is learned."""
        self.words = nn.Linear(features, self.scores.in_features, bias=False)
        nn.init.zeros_(self.words.weight)

    def transitions(self) -> Transitions:
        return self.legal if self.chain is None else self.chain.transitions()

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, K]."""
        return self.scores(self.dropout(x_BTD))


class Network(nn.Module):
    """Trunk and head as one."""

    def __init__(self, backbone: nn.Module, head: Head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, token: Tensor, keep: Tensor, kind: Tensor, words: Tensor | None = None) -> Tensor:
        """Scores [B, T, K] of tokens, and of what a lexicon says of them [B, T, F] where there is one."""
        added = None if self.head.words is None else self.head.words(words)
        return self.head(trunks.read(self.backbone, token, keep, kind, added))
