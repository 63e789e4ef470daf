"""The kinds of models behind one predictor, by the `kind` of their config."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.tasks.pinyin2hanzi import tables
from bmtool.tasks.pinyin2hanzi.predict import Model
from bmtool.tasks.pinyin2hanzi.sequence import SequencePredictor
from bmtool.tasks.pinyin2hanzi.tagger import TaggerPredictor
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary
from bmtool.text.seq2seq.backend import steps


class _Tagger:
    """See `tagger.Backend`."""

    def __init__(self, backend: Backend):
        self.backend = backend

    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        found = self.backend.run("model", {"source": source_BT, "known": known_BT, "pairs": pairs_BTC})
        return self.backend.numpy(found["log_p"])


def _tagger(vocabulary: Vocabulary, about: dict, backend: Backend, assets: Assets) -> Model:
    held = tables.load(assets)
    return TaggerPredictor(vocabulary, _Tagger(backend), *held, about["decode"], about["max_length"])


def _sequence(vocabulary: Vocabulary, about: dict, backend: Backend, assets: Assets) -> Model:
    return SequencePredictor(vocabulary, steps(about, backend), about["decode"], about["max_length"])


@dataclass(frozen=True)
class Kind:
    """How a kind of model is asked, what its network alone is measured by while it learns (a loss, a share of right ones), and
    whether it searches with tables beside its weights."""

    predictor: Callable[[Vocabulary, dict, Backend, Assets], Model]
    figures: tuple[str, str]
    tables: bool = False


# The tagger chooses among the candidates of a syllable, as the loss of an evaluation does; an encoder-decoder among all hanzi.
_SEQUENCE = Kind(_sequence, ("token_loss", "token_accuracy"))
KINDS = {
    "tagger": Kind(_tagger, ("loss", "network_accuracy"), tables=True),
    "rnn": _SEQUENCE,
    "transformer": _SEQUENCE,
}
