"""The graphs `start` and `step` of an encoder-decoder behind the interface that is searched: see `decode.Backend`. numpy only.

An exported model has both in one session, whose input `start` says whether the state is made from `source` or taken from the inputs.
"""

from typing import Any

import numpy as np

from bmtool.predict.backends import Arrays, Backend
from bmtool.text.seq2seq import decode


class Steps:
    """Two graphs; the state stays where the back end keeps it."""

    def __init__(self, backend: Backend):
        self.backend = backend

    def start(self, source_BS: np.ndarray) -> Arrays:
        return self.backend.run("start", {"source": source_BS})

    def step(self, token_R: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
        found = self.backend.run("step", {"token": token_R} | state)
        moved = {name.removeprefix("next_"): value for name, value in found.items() if name.startswith("next_")}
        return self.backend.numpy(found["scores"]), state | moved

    def reorder(self, state: Arrays, rows_R: np.ndarray) -> Arrays:
        return {name: self.backend.take(value, rows_R) for name, value in state.items()}


class Session:
    """One session with both."""

    def __init__(self, session: Any, empty: dict[str, list[int]], moving: list[str]):
        """empty: the smallest shape of everything in the state; moving: what a step changes of it."""
        self.session, self.moving = session, moving
        self.empty = {
            name: np.zeros(shape, np.bool_ if name == "keep" else np.float32) for name, shape in empty.items()
        }

    def start(self, source_BS: np.ndarray) -> Arrays:
        """Nothing is run before the first step."""
        return {"source": source_BS}

    def step(self, token_R: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
        starting = "source" in state
        wanted = list(self.empty) if starting else self.moving
        given = self.empty | {"source": np.zeros((1, 1), np.int64)} | state
        feeds = given | {"token": token_R, "start": np.array(starting)}
        scores, *values = self.session.run(["scores", *(f"next_{name}" for name in wanted)], feeds)
        kept = {} if starting else state
        return scores, kept | dict(zip(wanted, values))

    def reorder(self, state: Arrays, rows_R: np.ndarray) -> Arrays:
        return {name: value[rows_R] for name, value in state.items()}


def steps(about: dict, backend: Any) -> decode.Backend:
    """Of a run, or of an export, whose metadata describe its state."""
    return Session(backend.session, about["state"], about["moving"]) if "state" in about else Steps(backend)
