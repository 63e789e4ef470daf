"""The kinds of models behind one predictor, by the `kind` of their config."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.tasks.pinyin2hanzi import tables
from bmtool.tasks.pinyin2hanzi.predict import Model
from bmtool.tasks.pinyin2hanzi.sequence import OnnxEncoderDecoder, SequencePredictor
from bmtool.tasks.pinyin2hanzi.tagger import TaggerPredictor
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary


class _Tagger:
    """See `tagger.Backend`."""

    def __init__(self, backend: Backend):
        self.backend = backend

    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        found = self.backend.run("model", {"source": source_BT, "known": known_BT, "pairs": pairs_BTC})
        return self.backend.numpy(found["log_p"])


class _Steps:
    """See `sequence.Backend`: the graphs `start` and `step`."""

    def __init__(self, backend: Backend):
        self.backend = backend

    def start(self, source_BT: np.ndarray) -> dict[str, Any]:
        return self.backend.run("start", {"source": source_BT})

    def step(self, token_R: np.ndarray, state: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        found = self.backend.run("step", {"token": token_R} | state)
        moved = {name.removeprefix("next_"): value for name, value in found.items() if name.startswith("next_")}
        return self.backend.numpy(found["scores"]), state | moved

    def reorder(self, state: dict[str, Any], rows_R: np.ndarray) -> dict[str, Any]:
        return {name: self.backend.take(value, rows_R) for name, value in state.items()}


def _tagger(vocabulary: Vocabulary, about: dict, backend: Backend, assets: Assets) -> Model:
    held = tables.load(assets)
    return TaggerPredictor(vocabulary, _Tagger(backend), *held, about["decode"], about["max_length"])


def _sequence(vocabulary: Vocabulary, about: dict, backend: Backend, assets: Assets) -> Model:
    steps = OnnxEncoderDecoder(backend.session, about["state"], about["moving"]) if "state" in about else _Steps(backend)
    return SequencePredictor(vocabulary, steps, about["decode"], about["max_length"])


KINDS: dict[str, Callable[..., Model]] = {"tagger": _tagger, "rnn": _sequence, "transformer": _sequence}
