"""Small networks by the kind of their `model` section."""

from typing import Any

from bmtool.text.labelled.models import TrunkModel
from bmtool.text.labelled.trunks.bag import Bag
from bmtool.text.labelled.trunks.rnn import Rnn
from bmtool.text.labelled.trunks.textcnn import TextCnn

KINDS: dict[str, Any] = {"bag": Bag, "textcnn": TextCnn, "rnn": Rnn}


def build(model: TrunkModel, vocabulary: int) -> Bag | TextCnn | Rnn:
    """token, keep, kind [B, T] to [B, T, `features`]."""
    return KINDS[model.kind](model, vocabulary)
