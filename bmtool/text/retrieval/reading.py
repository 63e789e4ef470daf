"""Questions asked of documents: the passages that are found are read one by one, and what all of them say is one answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bmtool.config.options import NBest
from bmtool.errors import BadInput, DataError
from bmtool.predict.answer import MANY, of_passages, placed
from bmtool.predict.values import Answer
from bmtool.text.retrieval.index import How, Index
from bmtool.text.retrieval.passages import Passage

PASSAGES = 5  # that are read


class FromDocuments:
    """A predictor of questions alone, by one of questions with their context (`Answering`).

    A passage is believed the less the later it was found: 1 / its rank."""

    def __init__(self, reader: Any, index: Index, *, how: How = "hybrid", passages: int = PASSAGES):
        self._reader, self.index, self._how, self._passages = reader, index, how, passages

    def read(self, raw: Any) -> Any:
        """A question that is asked of the documents, or one with a context of its own as the reader takes it. BadInput for what is none."""
        if isinstance(raw, Mapping):
            if raw.get("context") is not None:
                return self._reader.read(raw)
            raw = raw.get("question")
        if not isinstance(raw, str) or not raw.strip():
            raise BadInput("no question")
        return raw

    def predict(self, inputs: Sequence[Any], options: NBest = NBest()) -> list[Answer]:
        own = iter(self._reader.predict([one for one in inputs if not isinstance(one, str)], options))
        return [self._answer(one, options.n_best) if isinstance(one, str) else next(own) for one in inputs]

    def draw(self, picture: str, inputs: Sequence[tuple[str, Any]], path: Path) -> Path:
        """As the reader does, of the passages that the likeliest answers stand in. DataError for a question without a passage."""
        return self._reader.draw(picture, self._with_passages(inputs), path)

    def show(self, picture: str, inputs: Sequence[tuple[str, Any]]) -> None:
        """As `draw`, on the terminal."""
        self._reader.show(picture, self._with_passages(inputs))

    def _with_passages(self, inputs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [(name, self._of_passage(one) if isinstance(one, str) else one) for name, one in inputs]

    def _of_passage(self, question: str) -> Any:
        best = self._answer(question, 1).n_best
        if not best:
            raise DataError(f"no passage has anything to do with {question[:80]!r}: there is no answer to explain")
        return self._reader.read({"question": question, "context": best[0].passage})

    def _answer(self, question: str, most: int) -> Answer:
        found = self.index.search(question, self._passages, self._how)
        read = [self._reader.read({"question": question, "context": passage.text}) for passage in found]
        said = self._reader.predict(read, MANY) if read else []
        each = [_from(passage, one) for passage, one in zip(found, said)]
        return of_passages(each, [1 / rank for rank, _ in enumerate(each, 1)], most) if each else Answer((), 1.0, True)


def _from(passage: Passage, given: Answer) -> Answer:
    return placed(given, passage.text, passage.source)
