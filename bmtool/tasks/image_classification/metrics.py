"""Measuring classifiers of images: what all classifiers are measured by, and a sheet of the surest mistakes."""

import heapq
from typing import Any

import numpy as np

from bmtool.images import pictures
from bmtool.measure.report import Measured
from bmtool.predict import labels
from bmtool.predict.examples import Example

WORST = 25


class Evaluation(labels.Evaluation):
    def __init__(self, predictor: labels.Classifier, columns: int):
        super().__init__(predictor, columns)
        self._worst: list[tuple[float, int, str, Any]] = []  # a heap of the surest mistakes
        self._seen = 0

    def note(self, example: Example, right: bool, probability: float, given: str) -> None:
        self._seen += 1
        if right:
            return
        # Several models have each read an image in their own way: the first one's is shown.
        image = example.read if isinstance(example.read, np.ndarray) else example.read[0]
        entry = (probability, -self._seen, f"{example.truth}: {given}", image)
        (heapq.heappush if len(self._worst) < WORST else heapq.heappushpop)(self._worst, entry)

    def measured(self) -> Measured:
        found = super().measured()
        if self._worst:
            surest = sorted(self._worst, reverse=True)
            pixels = np.stack([image for *_, image in surest])
            captions = [f"{caption} {sure:.2f}" for sure, _, caption, _ in surest]
            scale = max(1, 128 // pixels.shape[1])
            found.pictures["mistakes"] = lambda path: pictures.save(
                pictures.sheet(pixels, 5, captions, scale=scale), path
            )
        return found
