"""text-classification and text-regression as the engine sees them. Shapes: B windows, N texts, S scores."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.base.units import few
from bmtool.engine import task
from bmtool.engine.task import Graph, Loss
from bmtool.nn import losses
from bmtool.predict.assets import Held
from bmtool.tasks.text_classification import goals
from bmtool.tasks.text_classification.answers import Answers
from bmtool.tasks.text_classification.config import Config
from bmtool.tasks.text_classification.fitted import Linear
from bmtool.tasks.text_classification.model import Head
from bmtool.tasks.text_classification.predict import Classifier, Regressor, predictor
from bmtool.text.labelled.batches import Batch
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.task import LabelledTask, Whole

SHOWN = 10  # classes that a message names


class Task(task.Task):
    @classmethod
    def of(cls, config: Config) -> "type[Network | Linear]":
        return Linear if config.is_linear else Network

    @classmethod
    def fresh(cls, config: Config) -> "Network | Linear":
        return cls.of(config).fresh(config)

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Network | Linear":
        return cls.of(config).open(config, assets)


class Network(Answers, LabelledTask):
    config: Config

    def __init__(self, config: Config, tokenizer: Any, schema: Any, trunk: nn.Module):
        self.learn(config, schema)
        self._weights: Tensor | None = None
        super().__init__(config, tokenizer, schema, trunk)

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Network":
        task = super().open(config, assets)
        task.take_chosen(assets)
        return task

    def head(self, features: int) -> nn.Module:
        model, scores = self.config.model, goals.scores_of(self.goal, len(self.labels))
        return Head(features, scores, pooling=model.pooling, dropout=model.dropout)

    # --- training ---

    def prepared(self, texts: Texts) -> None:
        if not self.config.loss.class_weights:
            return
        if self.goal == "one":
            self._weights = losses.class_weights(self.numbers(texts), len(self.labels))
        else:
            there = np.maximum(self.cells(texts).sum(axis=0), 1)
            self._weights = torch.from_numpy((len(texts) - there) / there).float().clamp(1.0, 100.0)

    def times(self, texts: Texts) -> np.ndarray | None:
        if self.config.balance == "none":
            return None
        numbers = self.numbers(texts)
        counts = np.bincount(numbers)
        return np.maximum(1, np.round(counts.max() / counts[numbers])).astype(np.int64)

    def targets(self, texts: Texts) -> Any:
        truth = self.truth(texts)
        return lambda rows, longest: {"right": truth[[example for example, _, _ in rows]]}

    def scores(self, batch: Batch) -> Tensor:
        return self.modules["head"](self.hidden(batch), batch.keep)[0]

    def loss(self, phase: str, batch: Batch) -> Loss:
        return self.loss_of(batch, self.scores(batch))

    def loss_of(self, batch: Batch, scores: Tensor) -> Loss:
        return Loss(self._total(scores.float(), batch.target["right"]), batch.size)

    def _total(self, scores: Tensor, right: Tensor) -> Tensor:
        settings, weight = self.config.loss, None if self._weights is None else self._weights.to(scores.device)
        match self.goal:
            case "one":
                how = {"label_smoothing": settings.label_smoothing, "focal": settings.focal}
                return losses.classified(scores, right, weight, **how)
            case "several":
                return losses.several(scores, right, weight, focal=settings.focal)
            case "ordinal":
                # Whether it is above each class but the last (Frank and Hall 2001).
                above = (right[:, None] > torch.arange(scores.shape[1], device=scores.device)).to(scores)
                return F.binary_cross_entropy_with_logits(scores, above, reduction="none").mean(dim=1).sum()
        wanted = ((right - self.schema["mean"]) / self.schema["deviation"]).to(scores)
        if settings.huber:
            return F.huber_loss(scores[:, 0], wanted, reduction="sum", delta=settings.huber)
        return F.mse_loss(scores[:, 0], wanted, reduction="sum")

    def refuses(self, teacher: "Network") -> str:
        if self.goal != "one" or teacher.goal != "one":
            return "soft targets are of one class of several"
        if self.labels != teacher.labels:
            return f"its classes are {few(teacher.labels, SHOWN)}, and here they are {few(self.labels, SHOWN)}"
        same = self.tokenizer.sha256 == teacher.tokenizer.sha256
        return "" if same else "its tokens are others: prepare the data with `--set data.tokenizer=` that run"

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Of whole texts."""
        first, means = batch.mean(self._said(self.scores(batch)))
        return means, batch.target["right"].cpu().numpy()[first]

    def _said(self, scores: Tensor) -> np.ndarray:
        found = scores.float().cpu().numpy()
        if self.goal == "number":
            return found[:, 0].astype(np.float64) * self.schema["deviation"] + self.schema["mean"]
        return goals.probabilities(self.goal, found)

    # --- use ---

    def about(self) -> dict[str, Any]:
        return super().about() | self.answering()

    def graphs(self) -> list[Graph]:
        return [self.text_graph(Whole(self.modules), ("scores", "vector"))]

    def predictor(self) -> Classifier | Regressor:
        made = predictor(self.about(), self.backend(), Held(self.packed))
        made.gradients = self.gradients
        return made
