"""What the network says of windows, as validation hears of it: joined to answers as the predictor joins them."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from bmtool.measure.answers import COLUMNS, AnswerMeter

# Of each window: the number of its example, the score of its best piece above that of no answer, how that piece fits, and whether
# the question has no answer.
WINDOW = ("example", "score", "exact", "f1", "unanswerable")


class WindowMeter:
    """`said` are rows [windows, WINDOW]; of a question the window with the best score answers."""

    names: ClassVar = AnswerMeter.names

    def __init__(self, *, refuses: bool):
        """`refuses`: whether that there is no answer may be said."""
        self._refuses, self._said = refuses, list[np.ndarray]()

    def add(self, said: np.ndarray, truth: None, weight: np.ndarray) -> None:
        self._said.append(said)

    def state(self) -> list[np.ndarray]:
        return [np.concatenate([np.empty((0, len(WINDOW))), *self._said])]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        self._said = [state[0] for state in states]

    def figures(self) -> dict[str, np.ndarray]:
        (said,) = self.state()
        order = np.lexsort((-said[:, 1], said[:, 0]))
        said = said[order][np.append(True, np.diff(said[order, 0]) > 0)[: len(said)]]
        _, score, exact, f1, unanswerable = said.T
        none = self._refuses & (score < 0)
        rows = {
            "questions": np.ones(len(said)), "exact": np.where(none, unanswerable, exact),
            "f1": np.where(none, unanswerable, f1), "unanswerable": unanswerable, "refused": unanswerable * none,
        }  # fmt: skip
        meter = AnswerMeter()
        meter.add(np.stack([rows[name] for name in COLUMNS], axis=1), None, np.ones((len(said), 1)))
        return meter.figures()
