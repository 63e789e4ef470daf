"""A small network from its `model` section."""

from typing import Any

from torch import nn

from bmtool.text.labelled.trunks import pooling
from bmtool.text.labelled.trunks.bag import Bag
from bmtool.text.labelled.trunks.config import BagModel, RnnModel, TrunkModel
from bmtool.text.labelled.trunks.rnn import Rnn
from bmtool.text.labelled.trunks.textcnn import TextCnn

TRUNKS: dict[str, Any] = {"bag": Bag, "textcnn": TextCnn, "rnn": Rnn}


def trunk(settings: TrunkModel, vocabulary: int) -> Bag | TextCnn | Rnn:
    """token, keep, kind [B, T] to [B, T, `features`]."""
    return TRUNKS[settings.kind](settings, vocabulary)


def pool(settings: TrunkModel, features: int) -> nn.Module:
    """What makes one vector of a text, as the papers of these networks do it."""
    if isinstance(settings, RnnModel):
        return pooling.Attention(features)
    return (pooling.Mean if isinstance(settings, BagModel) else pooling.Max)(settings.dropout)
