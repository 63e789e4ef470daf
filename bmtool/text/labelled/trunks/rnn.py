"""A recurrent network over tokens. Shapes: B texts, T tokens, D width."""

from torch import Tensor, nn

from bmtool.nn.rnn import BidirectionalEncoder
from bmtool.text.labelled.models import RnnModel


class Rnn(nn.Module):
    """token, keep, kind [B, T] to [B, T, D]; the backward direction begins at the end of each text."""

    def __init__(self, settings: RnnModel, vocabulary: int):
        super().__init__()
        self.features = settings.width
        self.tokens = nn.Embedding(vocabulary, settings.width)
        self.kinds = nn.Embedding(2, settings.width)
        self.encoder = BidirectionalEncoder(
            cell=settings.cell, width=settings.width, layers=settings.layers, dropout=settings.dropout
        )
        self.dropout = nn.Dropout(settings.dropout)
        nn.init.normal_(self.tokens.weight, std=0.5)
        nn.init.zeros_(self.kinds.weight)

    def forward(self, token: Tensor, keep: Tensor, kind: Tensor, added_BTD: Tensor | None = None) -> Tensor:
        """`added` joins the embeddings."""
        x_BTD = self.tokens(token) + self.kinds(kind)
        return self.dropout(self.encoder(x_BTD if added_BTD is None else x_BTD + added_BTD, keep))
