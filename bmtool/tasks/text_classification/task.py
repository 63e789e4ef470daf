"""text-classification and text-regression as the engine sees them. Shapes: B windows, N texts, S scores."""

import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.base.files import read_json
from bmtool.base.units import few
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Graph, Loss
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Meter
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.ordinal import OrdinalMeter
from bmtool.measure.several import SeveralMeter
from bmtool.nn import losses
from bmtool.predict.assets import Held
from bmtool.tasks.text_classification import goals
from bmtool.tasks.text_classification.config import Config
from bmtool.tasks.text_classification.model import Head
from bmtool.tasks.text_classification.predict import Classifier, Regressor, predictor
from bmtool.text.labelled.batches import Batch
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.task import LabelledTask, Whole

CHOSEN = "chosen.json"  # among the assets: what is chosen on the validation split
SHOWN = 10  # classes that a message names
BEST = {
    "one": Best("accuracy", "max"), "several": Best("micro_f1", "max"), "ordinal": Best("accuracy", "max"), "number": Best("rmse", "min"),
}  # fmt: skip


class Task(LabelledTask):
    config: Config

    def __init__(self, config: Config, tokenizer: Any, schema: Any, trunk: nn.Module):
        self.goal = config.goal
        self.labels: list[str] = schema.get("labels", [])
        self.chosen: dict[str, Any] = {}
        self._weights: Tensor | None = None
        super().__init__(config, tokenizer, schema, trunk)

    def head(self, features: int) -> nn.Module:
        model, scores = self.config.model, goals.scores_of(self.goal, len(self.labels))
        return Head(features, scores, pooling=model.pooling, dropout=model.dropout)

    @property
    def best(self) -> Best:
        return BEST[self.goal]

    @property
    def int8(self) -> Allowed:
        return Allowed(self.best.metric, 0.01, relative=self.goal == "number")

    # --- training ---

    def prepared(self, texts: Texts) -> None:
        if not self.config.loss.class_weights:
            return
        if self.goal == "one":
            self._weights = losses.class_weights(self._numbers(texts), len(self.labels))
        else:
            there = np.maximum(self._cells(texts).sum(axis=0), 1)
            self._weights = torch.from_numpy((len(texts) - there) / there).float().clamp(1.0, 100.0)

    def _numbers(self, texts: Texts) -> np.ndarray:
        """Of the class of each example, int64 [N]."""
        number = {label: n for n, label in enumerate(self.labels)}
        return np.array([number[target] for target in texts.target], np.int64)

    def _cells(self, texts: Texts) -> np.ndarray:
        """Which classes each example has, float32 [N, C]."""
        number = {label: n for n, label in enumerate(self.labels)}
        cells = np.zeros((len(texts), len(self.labels)), np.float32)
        for row, target in enumerate(texts.target):
            cells[row, [number[name] for name in target]] = 1
        return cells

    def truth(self, texts: Texts) -> np.ndarray:
        """What is right of each example, as the meter takes it."""
        if self.goal == "number":
            return np.array(texts.target, np.float64)
        return self._cells(texts) if self.goal == "several" else self._numbers(texts)

    def times(self, texts: Texts) -> np.ndarray | None:
        if self.config.balance == "none":
            return None
        numbers = self._numbers(texts)
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

    def refuses(self, teacher: "Task") -> str:
        if self.goal != "one" or teacher.goal != "one":
            return "soft targets are of one class of several"
        if self.labels != teacher.labels:
            return f"its classes are {few(teacher.labels, SHOWN)}, and here they are {few(self.labels, SHOWN)}"
        same = self.tokenizer.sha256 == teacher.tokenizer.sha256
        return "" if same else "its tokens are others: prepare the data with `--set data.tokenizer=` that run"

    # --- measuring ---

    def meter(self) -> Meter:
        if self.goal == "number":
            return NumberMeter()
        return {"one": LabelMeter, "ordinal": OrdinalMeter, "several": SeveralMeter}[self.goal](self.labels)

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

    def settle(self) -> dict[str, str | bytes]:
        """Temperature, and thresholds of several classes, chosen on the validation texts."""
        texts = self.texts("valid")
        if not self.config.calibrate or self.goal == "number" or not len(texts):
            return {}
        reader, truth = self.predictor(), self.truth(texts)
        reads = [reader.tokenised(draft.texts) for draft in texts.drafts]
        scores = reader.mean(reads, lambda found: found.astype(np.float64))
        self.chosen = {"temperature": goals.best_temperature(self.goal, scores, truth)}
        if self.goal == "several":
            said = goals.probabilities(self.goal, scores, self.chosen["temperature"])
            self.chosen["thresholds"] = goals.best_thresholds(said, truth)
        return {CHOSEN: json.dumps(self.chosen)}

    @classmethod
    def open(cls, config: Config, assets: Any) -> "Task":
        task = super().open(config, assets)
        if (assets / CHOSEN).is_file():
            task.chosen = read_json(assets / CHOSEN, dict[str, Any], TRAIN_AGAIN)
        return task

    def about(self) -> dict[str, Any]:
        half = [0.5] * len(self.labels) if self.goal == "several" else []
        scale = [self.schema["mean"], self.schema["deviation"]] if self.goal == "number" else []
        return super().about() | {
            "goal": self.goal, "labels": self.labels, "scale": scale, "separator": self.config.data.separator,
            "temperature": self.chosen.get("temperature", 1.0), "thresholds": self.chosen.get("thresholds", half),
        }  # fmt: skip

    def graphs(self) -> list[Graph]:
        return [self.text_graph(Whole(self.modules), ("scores", "vector"))]

    def predictor(self) -> Classifier | Regressor:
        return predictor(self.about(), self.backend(), Held(self.packed))
