"""Reading texts as a model takes them, and running it on their windows. Numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bmtool.errors import BadInput
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.batches import batches
from bmtool.predict.inputs import record
from bmtool.text.labelled.kind import Kind
from bmtool.text.labelled.reading import LONGEST
from bmtool.text.labelled.windows import Cutting, Row, Windows, padded
from bmtool.text.tokenizer import Tokenizer, from_files

Outputs = dict[str, np.ndarray]


class About(exported.About):
    """What an export of a task on labelled text says."""

    texts: list[str]
    # what files call otherwise than the task does
    columns: dict[str, str]
    context: int
    overlap: int


@dataclass(frozen=True)
class Read:
    """Texts as they came, with their tokens and from where to where in its text each stands (int64 [tokens, 2])."""

    texts: tuple[str, ...]
    tokens: tuple[np.ndarray, ...]
    spans: tuple[np.ndarray, ...]

    def __repr__(self) -> str:
        return repr(self.texts[0] if len(self.texts) == 1 else self.texts)


class TextReader:
    """What predictors on labelled text share. A task's own says how it reads rows, and gives values of what `run` says."""

    kind: Kind

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        self.about, self.backend = about, backend
        self.tokenizer: Tokenizer = from_files(assets.read, "the model")
        self.columns, self.named = tuple(about["texts"]), about["columns"]
        self.cutting = Cutting(about["context"], about["overlap"], len(self.columns))

    def facts(self) -> dict[str, Any]:
        """What a model card says of it."""
        return {"texts": list(self.columns), "context": self.cutting.context, "tokens": self.tokenizer.size}

    def read(self, raw: Any) -> Read:
        """From a text or a row; several texts from an object, its JSON, or one line with tabs between. BadInput for what cannot be used."""
        return self.tokenised(self.texts_of(raw))

    def texts_of(self, raw: Any) -> tuple[str, ...]:
        """Its texts, of a row those in the columns that the training data name, or that the task does. BadInput where one lacks."""
        if isinstance(raw, dict):
            given = raw | {name: raw[theirs] for name, theirs in self.named.items() if theirs in raw}
            if lacking := [name for name in self.columns if name not in given]:
                raise BadInput(f"no {lacking[0]!r} (it takes {', '.join(self.columns)})")
            return tuple(given[name] for name in self.columns)
        if len(self.columns) > 1 and isinstance(raw, str):
            texts = tuple(raw.split("\t"))
            if len(texts) != len(self.columns) and raw.lstrip().startswith("{"):
                return self.texts_of(record(raw))
            if len(texts) != len(self.columns):
                raise BadInput(
                    f"{len(texts)} texts where {len(self.columns)} belong, with a tab between them: {', '.join(self.columns)}"
                )
            return texts
        return (raw,)

    def tokenised(self, texts: tuple[str, ...]) -> Read:
        for name, text in zip(self.columns, texts):
            if not isinstance(text, str):
                raise BadInput(f"{name} is no text")
            if not text.strip():
                raise BadInput(f"an empty {name}")
            if len(text) > LONGEST:
                raise BadInput(f"{name} has more than {LONGEST:,} characters")
        found = [self.tokenizer.spans(text) for text in texts]
        if not all(len(tokens) for tokens, _ in found):
            raise BadInput("no token in it")
        return Read(texts, tuple(tokens for tokens, _ in found), tuple(spans for _, spans in found))

    def probes(self, count: int) -> list[Read]:
        """Texts of tokens that the model knows, some longer than a row; always the same."""
        drawn = np.random.default_rng(0)
        return [self._probe(drawn, number) for number in range(count)]

    def _probe(self, drawn: np.random.Generator, number: int) -> Read:
        while True:
            most = (2 + number % 7) * (8 if number % 5 else self.cutting.context // 3)
            texts = tuple(self._drawn(drawn, 1 + int(drawn.integers(most))) for _ in self.columns)
            try:
                return self.tokenised(texts)
            except BadInput:
                continue

    def _drawn(self, drawn: np.random.Generator, count: int) -> str:
        return self.tokenizer.decode(drawn.choice(self._known, count)).replace("\t", " ")

    @cached_property
    def _known(self) -> np.ndarray:
        """Tokens that are text of their own."""
        return np.array(
            [number for number, held in enumerate(self.tokenizer.bytes) if held.decode("utf-8", "ignore").strip()]
        )

    # --- running ---

    def windows(self, reads: Sequence[Read]) -> Windows:
        lengths = np.array([[len(tokens) for tokens in read.tokens] for read in reads], np.int64)
        return self.cutting.windows(lengths.reshape(len(reads), len(self.columns)))

    def row(self, read: Read, start: int, stop: int) -> Row:
        return self.cutting.row(read.tokens, start, stop, begin=self.tokenizer.begin, end=self.tokenizer.end)

    def beside(self, reads: Sequence[Read], windows: Windows, batch: Sequence[int], longest: int) -> Outputs:
        """What the model takes beside tokens of a batch of windows, by their numbers, whose longest row has so many tokens."""
        return {}

    def run(self, reads: Sequence[Read], windows: Windows) -> Iterator[tuple[int, Row, Outputs]]:
        """(number of the window, its row, what the model says of it), in any order; what it says of tokens is of all of the batch."""
        rows = [
            self.row(reads[example], start, stop)
            for example, start, stop in zip(*(column.tolist() for column in windows))
        ]
        for batch in batches([len(row.token) for row in rows]):
            chosen = [rows[number] for number in batch]
            feeds = padded(chosen, self.tokenizer.pad)
            said = self.backend.run("model", feeds | self.beside(reads, windows, batch, feeds["token"].shape[1]))
            found = {name: self.backend.numpy(value) for name, value in said.items()}
            for place, number in enumerate(batch):
                yield number, rows[number], {name: value[place] for name, value in found.items()}
