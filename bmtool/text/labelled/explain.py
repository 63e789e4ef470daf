"""Why a model says what it says of a text: what each of its characters and words adds to the answer. Numpy only, but for gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.errors import BadInput, ConfigError
from bmtool.measure import attribution
from bmtool.measure.attribution import Deletion
from bmtool.text.labelled import marked
from bmtool.text.labelled.predict import Read, TextReader
from bmtool.text.labelled.units import Unit, units, without
from bmtool.text.labelled.windows import padded

ROWS = 20  # texts of one explanation
LONGEST = 5_000  # characters of an example that is explained


class Answer(NamedTuple):
    """What is explained: its name, how much of it there is in each of some inputs [N], and which score of the network stands for it.

    Units within `whole`, a piece of one of the texts, are never taken away: an answer that stands there could not be given without them.
    """

    name: str
    amount: Callable[[Sequence[Read]], np.ndarray]
    score: int = 0
    whole: Unit | None = None


@dataclass(frozen=True)
class Explained:
    """What each unit adds to an answer [units], in the unit of the answer for occlusion; `deletion` says whether that is so."""

    answer: str
    texts: tuple[str, ...]
    units: list[Unit]
    added: np.ndarray
    deletion: Deletion

    def record(self) -> dict[str, Any]:
        """For JSON."""
        parts = [
            {
                "unit": self.texts[one.text][one.start : one.stop],
                "text": one.text,
                "start": one.start,
                "end": one.stop,
                "adds": adds,
            }
            for one, adds in zip(self.units, self.added.round(6).tolist())
        ]
        test = {"top": self.deletion.top.round(6).tolist(), "random": self.deletion.random.round(6).tolist()}
        checked = {"whole": round(self.deletion.whole, 6), "taken": list(attribution.SHARES)} | test
        return {"answer": self.answer, "texts": list(self.texts), "units": parts, "deletion": checked}


class Explains(TextReader):
    """Of a predictor that can say why. `gradients`, where it is there, gives attributions [B, T] of windows to one of their scores."""

    gradients: Callable[[dict[str, np.ndarray], int], np.ndarray] | None = None

    def answer(self, read: Read) -> Answer:
        """What is to be explained of an input: what the model says of it."""
        raise NotImplementedError

    def draw(self, picture: str, inputs: Sequence[tuple[str, Any]], path: Path) -> Path:
        """The texts with each unit coloured by what it adds, as a page, a picture, or JSON lines. ConfigError without gradients."""
        return marked.write([self.explained(picture, read) for _, read in inputs[:ROWS]], len(inputs), path)

    def show(self, picture: str, inputs: Sequence[tuple[str, Any]]) -> None:
        """As `draw`, on the terminal."""
        marked.show([self.explained(picture, read) for _, read in inputs[:ROWS]], len(inputs))

    def explained(self, picture: str, read: Read) -> Explained:
        """By occlusion or by gradients, as the picture of this name is made."""
        if sum(map(len, read.texts)) > LONGEST:
            raise ConfigError(f"--{picture}: a text of more than {LONGEST:,} characters: explain a part of it")
        answer = self.answer(read)
        held = [unit for unit in units(read.texts) if answer.whole is None or not unit.shares(answer.whole)]

        def say(left: np.ndarray) -> np.ndarray:
            return answer.amount([self._variant(read, held, row) for row in left])

        added = (
            attribution.occlusion(say, len(held)) if picture == "explain" else self._slopes(read, held, answer.score)
        )
        return Explained(answer.name, read.texts, held, added, attribution.deletion(say, added))

    def _variant(self, read: Read, held: Sequence[Unit], left: np.ndarray) -> Any:
        """What is read without some units; as it was where nothing is left that the model reads."""
        try:
            return read if left.all() else self.tokenised(without(read.texts, held, left))
        except BadInput:
            return read

    def _slopes(self, read: Read, held: Sequence[Unit], score: int) -> np.ndarray:
        """[units]: of the tokens of each, whatever part of them is its own."""
        if self.gradients is None:
            raise ConfigError("--saliency needs gradients: name a run, of a network, or take --explain")
        of_tokens = self._of_tokens(read, score)
        added = np.zeros(len(held))
        for number, unit in enumerate(held):
            spans = read.spans[unit.text]
            shared = np.minimum(spans[:, 1], unit.stop) - np.maximum(spans[:, 0], unit.start)
            share = np.maximum(shared, 0) / np.maximum(spans[:, 1] - spans[:, 0], 1)
            added[number] = (share * of_tokens[unit.text]).sum()
        return added

    def _of_tokens(self, read: Read, score: int) -> list[np.ndarray]:
        """Attributions of the tokens of each text, float64 [tokens], the mean over the windows that they are in."""
        windows = self.windows([read])
        rows = [self.row(read, start, stop) for start, stop in zip(windows.start.tolist(), windows.stop.tolist())]
        assert self.gradients is not None  # as the caller has seen
        found = self.gradients(padded(rows, self.tokenizer.pad), score)
        total = [np.zeros(len(tokens)) for tokens in read.tokens]
        count = [np.zeros(len(tokens)) for tokens in read.tokens]
        for row, values, start, stop in zip(rows, found, windows.start.tolist(), windows.stop.tolist()):
            total[-1][start:stop] += values[row.at : row.at + row.length]
            count[-1][start:stop] += 1
            # The first of two texts, without what ends it.
            length = min(len(total[0]), row.at - 2) if len(total) > 1 else 0
            total[0][:length] += values[1 : 1 + length]
            count[0][:length] += 1 if length else 0
        return [sums / np.maximum(times, 1) for sums, times in zip(total, count)]
