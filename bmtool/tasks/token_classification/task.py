"""token-classification as the engine sees it. Shapes: B windows, T tokens, P places, S spans, F features of a lexicon, K tags."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import Tensor, nn

from bmtool.base.files import TRAIN_AGAIN, read_text
from bmtool.engine.task import Allowed, Best, Graph, Identity, Loss
from bmtool.errors import ConfigError
from bmtool.measure.spans import Span, SpanMeter
from bmtool.predict import spans
from bmtool.predict.assets import Held
from bmtool.tasks.token_classification import lexicon
from bmtool.tasks.token_classification.config import Config
from bmtool.tasks.token_classification.lexicon import Lexicon
from bmtool.tasks.token_classification.model import Head, Network
from bmtool.tasks.token_classification.places import covered, places, written
from bmtool.tasks.token_classification.predict import TRANSITIONS, Tagger, joined, predictor
from bmtool.tasks.token_classification.tagging import NOTHING, Tagging
from bmtool.text.labelled.batches import Batch
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.task import LabelledTask
from bmtool.text.labelled.windows import Windows


class Task(LabelledTask):
    config: Config
    best: ClassVar = Best("f1", "max")
    int8: ClassVar = Allowed("f1", 0.01)

    def __init__(self, config: Config, tokenizer: Any, schema: Any, trunk: nn.Module):
        self.types: list[str] = schema["labels"]
        self.lexicon: Lexicon | None = None
        self._apart = 0  # spans of the training texts that begin or end within a token
        super().__init__(config, tokenizer, schema, trunk)

    @property
    def overlap(self) -> int:
        return self.config.model.context // 4

    def head(self, features: int) -> Head:
        model = self.config.model
        return Head(features, len(self.types), crf=self.config.head == "crf", dropout=model.dropout)

    @classmethod
    def fresh(cls, config: Config) -> "Task":
        task = super().fresh(config)
        if config.lexicon is not None:
            task._know(_lexicon(config.lexicon))
            known = hashlib.sha256(task.lexicon.lines().encode()).hexdigest()  # type: ignore[union-attr]
            task.identity = Identity(task.identity.data_hash, f"{task.identity.vocabulary}{known}")
        return task

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Task":
        task = super().open(config, assets)
        if (assets / lexicon.FILE).is_file():
            task._know(Lexicon(read_text(assets / lexicon.FILE, TRAIN_AGAIN).splitlines(), str(assets / lexicon.FILE)))
        return task

    def _know(self, known: Lexicon) -> None:
        self.lexicon = known
        self.modules["head"].know(known.features)  # type: ignore[operator]

    def prepared(self, texts: Texts) -> None:
        for draft in texts.drafts:
            bounds = places(draft.texts[0], self.tokenizer.spans(draft.texts[0])[1]).bounds
            right = {(start, end) for start, end, _ in draft.target}
            met = {(start, end) for start, end, _ in written(covered(draft.target, bounds), bounds)}
            self._apart += len(right - met)

    def remark(self) -> str:
        if not self._apart:
            return ""
        return (
            f"{self._apart:,} spans of the training texts begin or end within a token, and are learned as the tokens that hold them: "
            "data.tokenizer: char has one for every character"
        )

    # --- training ---

    def targets(self, texts: Texts) -> Tagging:
        return Tagging(texts, self.types, self.lexicon)

    def scores(self, batch: Batch) -> Tensor:
        network = Network(self.modules["backbone"], self.modules["head"])  # type: ignore[arg-type]
        return network(batch.token, batch.keep, batch.kind, batch.target.get("words"))

    def loss(self, phase: str, batch: Batch) -> Loss:
        return self.loss_of(batch, self.scores(batch))

    def loss_of(self, batch: Batch, scores: Tensor) -> Loss:
        right, chain = batch.target["tag"], self.modules["head"].chain
        keep = right != NOTHING
        if chain is None:
            nats = F.cross_entropy(scores[keep].float(), right[keep], reduction="sum")
        else:
            nats = chain.nats(scores, right, keep).sum()  # type: ignore[operator, union-attr]
        return Loss(nats, int(keep.sum()))

    # --- measuring ---

    def meter(self) -> SpanMeter:
        return SpanMeter(self.types)

    def answers(self, batch: Batch) -> Any:
        """Spans said and right, of whole texts: of the batches of a fixed order, which hold all windows of a text."""
        scores = self.scores(batch).float().cpu().numpy()
        example, start, length = (column.cpu().numpy() for column in (batch.example, batch.start, batch.length))
        windows = Windows(example, start, start + length)
        said = [row[1 : 1 + count] for row, count in zip(scores, length.tolist())]
        where = [row[1 : 1 + count] for row, count in zip(batch.target["place"].cpu().numpy(), length.tolist())]
        numbers, rows = np.unique(example, return_index=True)
        held = [placed(windows, number, said, where) for number in numbers.tolist()]
        found = spans.found([scores for scores, _ in held], self.modules["head"].transitions())  # type: ignore[operator]
        each = [written([span for span, _ in one], bounds) for one, (_, bounds) in zip(found, held)]
        truth = batch.target["truth"].cpu().numpy()[rows]
        return [self._named(one) for one in each], [self._named(one[one[:, 0] >= 0].tolist()) for one in truth]

    def _named(self, numbered: Sequence[Sequence[int]]) -> list[Span]:
        return [Span(start, end, self.types[label]) for start, end, label in numbered]

    # --- use ---

    def about(self) -> dict[str, Any]:
        known = 0 if self.lexicon is None else self.lexicon.features
        own = {"types": self.types, "offsets": self.config.data.offsets, "head": self.config.head, "lexicon": known}
        return super().about() | own

    def graphs(self) -> list[Graph]:
        graph = self.text_graph(Network(self.modules["backbone"], self.modules["head"]), ("scores",))  # type: ignore[arg-type]
        if self.lexicon is None:
            return [graph]
        features = self.lexicon.features

        def example(sizes: dict[str, int]) -> dict[str, Tensor]:
            drawn = torch.Generator().manual_seed(1)
            shape = sizes["rows"], sizes["length"], features
            return graph.example(sizes) | {"words": torch.randint(0, 2, shape, generator=drawn).float()}

        return [replace(graph, axes={**graph.axes, "words": ("rows", "length", features)}, example=example)]

    def predictor(self) -> Tagger:
        return predictor(self.about(), self.backend(), Held(self.packed))

    def packed(self) -> dict[str, bytes]:
        found = super().packed() | self._words()
        if self.config.head == "crf":
            found[TRANSITIONS] = save(self.modules["head"].transitions()._asdict())  # type: ignore[operator]
        return found

    def _words(self) -> dict[str, bytes]:
        return {} if self.lexicon is None else {lexicon.FILE: self.lexicon.lines().encode()}

    def assets(self) -> dict[str, str | bytes]:
        return super().assets() | self._words()


def placed(
    windows: Windows, example: int, said: Sequence[np.ndarray], where: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [P, K] and bounds [P, 2] of the places of a text, from those of the tokens of its windows."""
    scores, bounds = joined(windows, example, said), joined(windows, example, where)
    first = bounds[:, 0] >= 0
    return scores[first], bounds[first]


def _lexicon(path: str) -> Lexicon:
    """ConfigError when there is no such file."""
    if not Path(path).is_file():
        raise ConfigError(f"lexicon: there is no file {path}")
    return Lexicon(read_text(Path(path), "give a file of words in UTF-8").splitlines(), path)
