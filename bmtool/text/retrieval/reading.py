"""Questions asked of documents: the passages that are found are read one by one, and what all of them say is one answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from bmtool.config.options import NBest
from bmtool.errors import BadInput
from bmtool.predict.answer import MANY, Answering, of_passages, placed
from bmtool.predict.values import Answer
from bmtool.text.retrieval.index import How, Index
from bmtool.text.retrieval.passages import Passage

PASSAGES = 5  # that are read


class FromDocuments:
    """A predictor of questions alone. A passage is believed the less the later it was found: 1 / its rank."""

    def __init__(self, reader: Answering, index: Index, *, how: How = "hybrid", passages: int = PASSAGES):
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

    def _answer(self, question: str, most: int) -> Answer:
        found = self.index.search(question, self._passages, self._how)
        read = [self._reader.read({"question": question, "context": passage.text}) for passage in found]
        said = self._reader.predict(read, MANY) if read else []
        each = [_from(passage, one) for passage, one in zip(found, said)]
        return of_passages(each, [1 / rank for rank, _ in enumerate(each, 1)], most) if each else Answer((), 1.0, True)


def _from(passage: Passage, given: Answer) -> Answer:
    return placed(given, passage.text, passage.source)
