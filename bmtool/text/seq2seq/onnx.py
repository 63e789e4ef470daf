"""An exported encoder-decoder behind the interface that is searched: see `decode.Backend`. Needs onnxruntime and numpy only."""

from typing import Any

import numpy as np

State = dict[str, np.ndarray]


class OnnxEncoderDecoder:
    """One file with both graphs: the input `start` says whether the state is made from `source` or taken from the inputs."""

    def __init__(self, session: Any, empty: dict[str, list[int]], moving: list[str]):
        """empty: the smallest shape of everything in the state; moving: what a step changes of it."""
        self.session, self.moving = session, moving
        self.empty: State = {
            name: np.zeros(shape, np.bool_ if name == "keep" else np.float32) for name, shape in empty.items()
        }

    def start(self, source_BS: np.ndarray) -> State:
        """Nothing is run before the first step."""
        return {"source": source_BS}

    def step(self, token_R: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        starting = "source" in state
        wanted = list(self.empty) if starting else self.moving
        given = self.empty | {"source": np.zeros((1, 1), np.int64)} | state
        feeds = given | {"token": token_R, "start": np.array(starting)}
        scores, *values = self.session.run(["scores", *(f"next_{name}" for name in wanted)], feeds)
        kept = {} if starting else state
        return scores, kept | dict(zip(wanted, values))

    def reorder(self, state: State, rows_R: np.ndarray) -> State:
        return {name: value[rows_R] for name, value in state.items()}
