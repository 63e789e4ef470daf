"""pinyin2hanzi as the engine sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bmtool.data.batching import LengthBatches, LengthSource
from bmtool.engine.task import Best, Identity, Loss
from bmtool.tasks.pinyin2hanzi import data, export, model, tables
from bmtool.tasks.pinyin2hanzi.backend import TorchTagger
from bmtool.tasks.pinyin2hanzi.config import Config
from bmtool.tasks.pinyin2hanzi.predict import Predictor
from bmtool.tasks.pinyin2hanzi.sequence import SequencePredictor
from bmtool.tasks.pinyin2hanzi.tagger import TaggerPredictor
from bmtool.tasks.pinyin2hanzi.vocab import COPY, FILE, Vocabulary, find_pairs
from bmtool.text.seq2seq.backend import TorchEncoderDecoder
from bmtool.text.seq2seq.specials import END, PAD


@dataclass
class Batch:
    """`source` [B, T] input numbers, `pair` [B, T] candidate pairs (-1: none), `target` [B, T] hanzi ids; 0 is padding."""

    source: Tensor
    pair: Tensor
    target: Tensor
    tokens: int

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.source.to(device), self.pair.to(device), self.target.to(device), self.tokens)

    def closed_target(self) -> Tensor:
        """Targets [B, T + 1] with END behind the last of each row."""
        closed = torch.nn.functional.pad(self.target, (0, 1), value=PAD)
        ends = (self.source != PAD).sum(dim=1, keepdim=True)
        return closed.scatter(1, ends, END)


class Task:
    phases: ClassVar = {"model": ("backbone", "head")}
    best = Best("accuracy", "max")
    pretrained: ClassVar = False
    bound: ClassVar = ("backbone", "head")
    unit: ClassVar = "tokens"

    def __init__(self, config: Config, assets: Path | None = None):
        """From prepared data; or, for a run that only predicts, from its `assets` directory alone."""
        self.config, self._tables_from = config, assets
        if assets is None:
            manifest, _ = data.open_split(config.data.prepared, "train")
            self.vocabulary = Vocabulary.load(Path(config.data.prepared))
            self.identity = Identity(manifest["data_hash"], self.vocabulary.sha256)
        else:
            self.vocabulary = Vocabulary.load(assets)
        self.model = model.build(config.model, self.vocabulary)
        self.modules = {"backbone": self.model.backbone, "head": self.model.head}
        self.core_parameters = model.core_parameters(self.model)
        self._pair_lookup = self.vocabulary.pair_lookup()
        self._target_lookup = self.vocabulary.target_lookup()

    def batches(self, split: str, seed: int | None) -> LengthBatches:
        _, shards = data.open_split(self.config.data.prepared, split)

        def collate(examples: np.ndarray) -> Batch:
            source, hanzi = shards.padded("source", examples), shards.padded("hanzi", examples)
            target = np.where(hanzi > 0, self._target_lookup[hanzi], np.where(source > 0, COPY, PAD))
            pair = np.where(hanzi > 0, find_pairs(self._pair_lookup, source, hanzi), -1)
            return Batch(*map(torch.from_numpy, (source, pair, target)), tokens=int((source > 0).sum()))

        counted = LengthSource(len(shards), shards.tokens, shards.lengths, collate)
        return LengthBatches(counted, batch_tokens=self.config.train.batch_tokens, seed=seed)

    def loss(self, phase: str, batch: Batch) -> Loss:
        total, _, count = self.model.loss(batch, self.config.label_smoothing)
        return Loss(total, count)

    def measure(self, batch: Batch) -> dict[str, tuple[float, int]]:
        total, right, count = self.model.loss(batch, 0.0)
        return {"loss": (total.item(), count), "accuracy": (right.item(), count)}

    def draw(self, folder: Path) -> None:
        """Curves say all there is to see."""

    def predictor(self) -> Predictor:
        decode, longest = self.config.decode.model_dump(), self.config.data.max_length
        if not isinstance(self.model, model.Tagger):
            return SequencePredictor(self.vocabulary, TorchEncoderDecoder(self.model), decode, longest)
        return TaggerPredictor(self.vocabulary, TorchTagger(self.model), *self.tables(), decode, longest)

    def inherit(self, assets: Path) -> None:
        """n-grams stay those of the parent's text: what is finetuned on is little beside it."""
        if tables.paths(assets):
            self._tables_from = assets

    def tables(self) -> tables.Tables:
        """Counted over the training data, or taken from the run or its parent."""
        if self._tables_from is None:
            return tables.count(self.config.data.prepared, self.vocabulary, self.config.model.ngram)
        return tables.load(self._tables_from)

    def export(self, path: Path, *, int8: bool, metadata: dict) -> dict:
        return export.export(self, path, int8=int8, metadata=metadata)

    def assets(self) -> dict[str, str | bytes]:
        held = tables.files(self.tables()) if isinstance(self.model, model.Tagger) else {}
        return {FILE: self.vocabulary.to_json()} | held
