"""question-answering as the engine sees it. Shapes: B windows, T tokens, D width."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from bmtool.data.batching import LengthBatches
from bmtool.engine.task import Allowed, Best, Graph, Loss
from bmtool.measure import answers
from bmtool.predict.assets import Held
from bmtool.tasks.question_answering import model, spans
from bmtool.tasks.question_answering.metrics import WindowMeter
from bmtool.tasks.question_answering.negatives import WithNegatives
from bmtool.tasks.question_answering.predict import Reader, predictor
from bmtool.tasks.question_answering.spans import Scores
from bmtool.text.labelled.batches import Batch, WindowSource
from bmtool.text.labelled.kind import Draft
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.task import LabelledTask, Whole
from bmtool.text.labelled.windows import Row

OUTPUTS = ("start", "end", "mean")
REMEMBERED = 4096  # texts whose tokens' places are kept


class Task(LabelledTask):
    best: ClassVar = Best("f1", "max")
    int8: ClassVar = Allowed("f1", 0.01)
    # The split that is being measured: `answers` needs its texts.
    _measured: Texts

    # Training questions whose answer the network cannot be shown, or could not give.
    _out_of_reach = 0

    @property
    def overlap(self) -> int:
        return self.config.overlap

    def prepared(self, texts: Texts) -> None:
        windows, offsets, held = self.cutting.windows(texts.lengths), _offsets(texts), np.zeros(len(texts), bool)
        for number, start, stop in zip(*(column.tolist() for column in windows)):
            held[number] |= self._is_in_reach(texts.drafts[number], offsets, start, stop)
        answered = np.array([bool(draft.target["spans"]) for draft in texts.drafts], bool)
        self._out_of_reach = int((answered & ~held).sum())

    def _is_in_reach(self, draft: Draft, offsets: Callable[[str], np.ndarray], start: int, stop: int) -> bool:
        """Whether tokens `start` to `stop` of a text hold one of its answers whole, and one that is short enough."""
        each = [spans.tokens(offsets(draft.texts[1]), *span) for span in draft.target["spans"]]
        return any(
            one is not None and start <= one[0] and one[1] < stop and one[1] - one[0] < self.config.answer_tokens
            for one in each
        )

    def remark(self) -> str:
        if not self._out_of_reach:
            return ""
        return (
            f"{self._out_of_reach:,} of the training questions have an answer that is longer than answer_tokens "
            f"({self.config.answer_tokens}), or that no window holds whole: it cannot be given; raise answer_tokens, overlap or context"
        )

    def head(self, features: int) -> nn.Module:
        return model.Head(features, self.config.model.dropout)

    def batches(self, split: str, seed: int | None) -> LengthBatches:
        texts = self.texts(split)
        if seed is None:
            self._measured = texts
        count = self.config.negatives if seed is not None else 0
        held: Any = WithNegatives(texts, count) if count else texts
        source = WindowSource.of(held, self.cutting, self.targets(held))
        return source.batches(batch_tokens=self.config.train.batch_tokens, seed=seed)

    def targets(self, texts: Any) -> Callable[[Sequence[tuple[int, Row, int]], int], dict[str, np.ndarray]]:
        """Where the answer begins and ends in each row, 0 where its window does not hold it, and where the window stands, int64 [B]."""
        offsets = _offsets(texts)

        def places(rows: Sequence[tuple[int, Row, int]], longest: int) -> dict[str, np.ndarray]:
            found = [(*_place(texts, offsets, example, row, first), row.at, row.length) for example, row, first in rows]
            columns = np.array(found, np.int64).reshape(-1, 5).T
            return dict(zip(("start", "end", "first", "at", "length"), columns))

        return places

    def _scores(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of where an answer begins and ends, and where it may, [B, T]."""
        start, end, _ = self.modules["head"](self.hidden(batch), batch.keep)
        return start, end, model.may_answer(start.shape[1], batch.target["at"], batch.target["length"])

    def loss(self, phase: str, batch: Batch) -> Loss:
        start, end, able = self._scores(batch)
        target = batch.target
        total = model.nats(start, able, target["start"]) + model.nats(end, able, target["end"])
        return Loss(total, 2 * batch.size)

    def meter(self) -> WindowMeter:
        return WindowMeter(refuses=self.schema["unanswerable"])

    def answers(self, batch: Batch) -> tuple[np.ndarray, None]:
        start, end = (scores.double().cpu().numpy() for scores in self._scores(batch)[:2])
        held = zip(*(batch.target[name].tolist() for name in ("first", "at", "length")))
        rows = []
        for example, (first, at, length), starts, ends in zip(batch.example.tolist(), held, start, end):
            shown = slice(at, at + length)
            rows.append(self._row(example, Scores(first, starts[shown] - starts[0], ends[shown] - ends[0])))
        return np.array(rows), None

    def _row(self, example: int, window: Scores) -> tuple[float, ...]:
        """What the meter hears of a window: see `metrics.WINDOW`."""
        draft = self._measured.drafts[example]
        question, context = draft.texts
        pieces, scores = spans.best(window, self.config.answer_tokens)
        start, end = spans.characters(_offsets(self._measured)(context), *pieces[0].tolist())
        right = [context[first:last] for first, last in draft.target["spans"]]
        found = answers.match(context[start:end].strip(), right, question)
        return float(example), float(scores[0]), *found, float(not right)

    # --- use ---

    def graphs(self) -> Sequence[Graph]:
        return [self.text_graph(Whole(self.modules), OUTPUTS)]

    def about(self) -> dict[str, Any]:
        own = {"unanswerable": self.schema["unanswerable"], "answer_tokens": self.config.answer_tokens}
        return super().about() | own

    def predictor(self) -> Reader:
        return predictor(self.about(), self.backend(), Held(self.packed))


@lru_cache(maxsize=4)
def _offsets(texts: Any) -> Callable[[str], np.ndarray]:
    """From where to where in a text each of its tokens stands, int64 [tokens, 2]; several questions are asked of a text."""
    return lru_cache(maxsize=REMEMBERED)(lambda context: texts.tokenizer.spans(context)[1])


def _place(
    texts: Any, offsets: Callable[[str], np.ndarray], example: int, row: Row, first: int
) -> tuple[int, int, int]:  # fmt: skip
    """Of a window that begins at token `first`: where in its row the first answer that it holds whole begins and ends, and `first`."""
    draft = texts.drafts[example]
    for start, end in draft.target["spans"]:
        held = spans.tokens(offsets(draft.texts[1]), start, end)
        if held is not None and first <= held[0] and held[1] < first + row.length:
            return row.at + held[0] - first, row.at + held[1] - first, first
    return 0, 0, first
