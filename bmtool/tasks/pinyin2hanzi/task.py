"""pinyin2hanzi as the engine sees it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bmtool.base.files import read_bytes
from bmtool.data.batching import LengthBatches, LengthSource
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Graph, Identity, Loss, Trained
from bmtool.predict.assets import Held
from bmtool.tasks.pinyin2hanzi import model, prepare, tables
from bmtool.tasks.pinyin2hanzi.config import Config
from bmtool.tasks.pinyin2hanzi.kinds import KINDS, Kind
from bmtool.tasks.pinyin2hanzi.metrics import TokenMeter
from bmtool.tasks.pinyin2hanzi.predict import Translator, predictor
from bmtool.tasks.pinyin2hanzi.vocab import COPY, FILE, INPUTS, Vocabulary, find_pairs
from bmtool.text.seq2seq.specials import END, PAD


@dataclass
class Batch:
    """`source` [B, T] input numbers, `pair` [B, T] candidate pairs (-1: none), `target` [B, T] hanzi ids; 0 is padding.

    What is counted is counted before the batch goes to a device, which nobody then has to wait for.
    """

    source: Tensor
    pair: Tensor
    target: Tensor
    tokens: int
    # places that have a pair
    scored: int
    # whether any place is padding
    padded: bool

    @property
    def size(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> "Batch":
        moved = {name: getattr(self, name).to(device) for name in ("source", "pair", "target")}
        return replace(self, **moved)

    def closed_target(self) -> Tensor:
        """Targets [B, T + 1] with END behind the last of each row."""
        closed = torch.nn.functional.pad(self.target, (0, 1), value=PAD)
        ends = (self.source != PAD).sum(dim=1, keepdim=True)
        return closed.scatter(1, ends, END)


class Task(Trained):
    phases: ClassVar = {"model": ("backbone", "head")}
    bound: ClassVar = ("backbone", "head")
    unit: ClassVar = "tokens"
    int8: ClassVar = Allowed("character_accuracy", 0.01)

    def __init__(self, config: Config, vocabulary: Vocabulary):
        self.config, self.vocabulary = config, vocabulary
        self._tables_from: Path | None = None
        self.model = model.build(config.model, vocabulary)
        self.modules = {"backbone": self.model.backbone, "head": self.model.head}
        self.core_parameters = model.core_parameters(self.model)
        self.best = Best(self.kind.figures[1], "max")
        self._pair_lookup, self._target_lookup = vocabulary.pair_lookup(), vocabulary.target_lookup()

    @classmethod
    def fresh(cls, config: Config) -> "Task":
        manifest, _ = prepare.open_split(config.data.prepared, "train")
        task = cls(config, Vocabulary.load(Path(config.data.prepared)))
        task.identity = Identity(manifest["data_hash"], task.vocabulary.sha256)
        return task

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Task":
        task = cls(config, Vocabulary.load(assets))
        task._tables_from = assets
        return task

    def batches(self, split: str, seed: int | None) -> LengthBatches:
        _, shards = prepare.open_split(self.config.data.prepared, split)

        def collate(examples: np.ndarray) -> Batch:
            source, hanzi = shards.padded("source", examples), shards.padded("hanzi", examples)
            target = np.where(hanzi > 0, self._target_lookup[hanzi], np.where(source > 0, COPY, PAD))
            pair = np.where(hanzi > 0, find_pairs(self._pair_lookup, source, hanzi), -1)
            tokens, scored = int((source > 0).sum()), int((pair >= 0).sum())
            arrays = map(torch.from_numpy, (source, pair, target))
            return Batch(*arrays, tokens=tokens, scored=scored, padded=tokens < source.size)

        counted = LengthSource(len(shards), shards.tokens, shards.lengths, collate)
        return LengthBatches(counted, batch_tokens=self.config.train.batch_tokens, seed=seed)

    def loss(self, phase: str, batch: Batch) -> Loss:
        total, _, count = self.model.loss(batch, self.config.label_smoothing)
        return Loss(total, count)

    def meter(self) -> TokenMeter:
        return TokenMeter(*self.kind.figures)

    def answers(self, batch: Batch) -> tuple[np.ndarray, None]:
        total, right, count = self.model.loss(batch, 0.0)
        return np.array([[total.item(), right.item(), count]]), None

    # -- use ------------------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        return KINDS[self.config.model.kind]

    def about(self) -> dict[str, Any]:
        return {
            "kind": self.config.model.kind, "vocabulary": self.vocabulary.held(),
            "decode": self.config.decode.model_dump(), "max_length": self.config.data.max_length,
        }  # fmt: skip

    def graphs(self) -> list[Graph]:
        return self.model.graphs(len(INPUTS))

    def predictor(self) -> Translator:
        return predictor(self.about(), self.backend(), Held(self.packed))

    def inherit(self, assets: Path) -> None:
        """n-grams stay those of the parent's text: what is finetuned on is little beside it."""
        if tables.paths(assets):
            self._tables_from = assets

    def packed(self) -> dict[str, bytes]:
        """Tables of a kind that has them: counted over the training data, or taken from the run or its parent."""
        if not self.kind.tables:
            return {}
        if self._tables_from is None:
            return tables.files(tables.count(self.config.data.prepared, self.vocabulary, self.config.model.ngram))
        return {path.name: read_bytes(path, TRAIN_AGAIN) for path in tables.paths(self._tables_from)}

    def assets(self) -> dict[str, str | bytes]:
        return {FILE: self.vocabulary.to_json()} | self.packed()
