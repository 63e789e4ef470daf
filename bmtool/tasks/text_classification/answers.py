"""What trained and fitted models share: classes or a number, how they are measured, and what is chosen when they are made.

Shapes: N texts, C classes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.files import read_json
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Meter
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.ordinal import OrdinalMeter
from bmtool.measure.several import SeveralMeter
from bmtool.tasks.text_classification import goals
from bmtool.tasks.text_classification.config import Config
from bmtool.tasks.text_classification.predict import Classifier, Regressor
from bmtool.text.labelled.kind import Schema
from bmtool.text.labelled.store import Texts

CHOSEN = "chosen.json"  # among the assets: what is chosen on the validation split
BEST = {
    "one": Best("accuracy", "max"), "several": Best("micro_f1", "max"), "ordinal": Best("accuracy", "max"), "number": Best("rmse", "min"),
}  # fmt: skip


class Answers:
    config: Config
    schema: Schema
    # those of a split
    texts: Callable[[str], Texts]
    predictor: Callable[[], Classifier | Regressor]

    def learn(self, config: Config, schema: Schema) -> None:
        """What is learned: of a configuration, and of prepared data or a run."""
        self.goal = config.goal
        self.labels: list[str] = schema.get("labels", [])
        self.chosen: dict[str, Any] = {}

    @property
    def best(self) -> Best:
        return BEST[self.goal]

    @property
    def int8(self) -> Allowed:
        return Allowed(self.best.metric, 0.01, relative=self.goal == "number")

    # --- what is right ---

    def numbers(self, texts: Texts) -> np.ndarray:
        """Of the class of each example, int64 [N]."""
        number = {label: n for n, label in enumerate(self.labels)}
        return np.array([number[target] for target in texts.target], np.int64)

    def cells(self, texts: Texts) -> np.ndarray:
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
        return self.cells(texts) if self.goal == "several" else self.numbers(texts)

    def meter(self) -> Meter:
        if self.goal == "number":
            return NumberMeter()
        return {"one": LabelMeter, "ordinal": OrdinalMeter, "several": SeveralMeter}[self.goal](self.labels)

    # --- what is chosen at the end ---

    def settle(self) -> dict[str, str | bytes]:
        """Temperature, and thresholds of several classes, chosen by what is said of whole validation texts, as when it is used."""
        texts = self.texts("valid")
        if not self.config.calibrate or self.goal == "number" or not len(texts):
            return {}
        reader, truth = self.predictor(), self.truth(texts)
        reads = [reader.tokenised(draft.texts) for draft in texts.drafts]
        scores = reader.scores(reads)

        def said(temperature: float) -> np.ndarray:
            return scores.mean(lambda found: goals.probabilities(self.goal, found, temperature), len(reads))

        self.chosen = {"temperature": goals.best_temperature(self.goal, said, truth)}
        if self.goal == "several":
            self.chosen["thresholds"] = goals.best_thresholds(said(self.chosen["temperature"]), truth)
        return {CHOSEN: json.dumps(self.chosen)}

    def take_chosen(self, assets: Path) -> None:
        if (assets / CHOSEN).is_file():
            self.chosen = read_json(assets / CHOSEN, dict[str, Any], TRAIN_AGAIN)

    def answering(self) -> dict[str, Any]:
        """What of `about` says how scores become answers."""
        half = [0.5] * len(self.labels) if self.goal == "several" else []
        scale = [self.schema["mean"], self.schema["deviation"]] if self.goal == "number" else []
        return {
            "goal": self.goal, "labels": self.labels, "scale": scale, "separator": self.config.data.separator,
            "temperature": self.chosen.get("temperature", 1.0), "thresholds": self.chosen.get("thresholds", half),
        }  # fmt: skip
