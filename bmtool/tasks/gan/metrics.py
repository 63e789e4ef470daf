"""Measuring generators: as many images as there are real ones, compared as two sets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from bmtool.images import pictures
from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.tasks.gan.distances import Features, Moments, diversity, frechet, kernel_distance
from bmtool.tasks.gan.predict import Generator

RESAMPLED = 128  # features up to which the Frechet distance gets an interval
SHOWN = 64


class DistanceMeter:
    """`said` are generated images [B, H, W, C] in 0 .. 1, `truth` real ones.

    Kernel distance and diversity are means over what is added at once, which is also what is resampled for their intervals; of a single
    image they say nothing.
    """

    names: ClassVar = ("frechet", "kernel_distance", "diversity")

    def __init__(self, features: Features, columns: int = 1):
        self.features, self.columns, self.examples = features, columns, 0
        self._blocks = Totals(3, columns)
        self._moments: tuple[Moments, Moments] | None = None

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        if len(said) < 2:
            return
        ours, theirs = self.features(said), self.features(truth)
        columns = self.columns if ours.shape[1] <= RESAMPLED else 1
        self._moments = self._moments or (Moments(ours.shape[1], columns), Moments(ours.shape[1], columns))
        for held, values in zip(self._moments, (ours, theirs)):
            held.add(values, weight[:, :columns])
        self._blocks.add(np.array([[1.0, kernel_distance(ours, theirs), diversity(said, truth)]]), weight[:1])
        self.examples += len(said)

    def state(self) -> list[np.ndarray]:
        moments = [part for held in self._moments or () for part in held.state()]
        return [np.array([self.examples]), self._blocks.total, *moments]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        counted = [state for state in states if len(state) > 2]
        if not counted:
            return
        examples, blocks, *moments = (sum(parts) for parts in zip(*counted))
        self.examples, self._blocks.total = int(examples[0]), blocks
        self._moments = Moments.of(moments[:3]), Moments.of(moments[3:])

    def figures(self) -> dict[str, np.ndarray]:
        distance = np.full(self.columns, np.nan)
        if self._moments is not None:
            found = frechet(*self._moments)
            distance[: len(found)] = found
        count, kernel, spread = self._blocks.total.T
        return {"frechet": distance, "kernel_distance": ratio(kernel, count), "diversity": ratio(spread, count)}


class Evaluation:
    names: ClassVar = DistanceMeter.names

    def __init__(self, predictor: Generator, columns: int):
        self.predictor, self.meter = predictor, DistanceMeter(Features(predictor.features), columns)

    def read(self, example: Example) -> np.ndarray:
        """A real image at the size of those that are made."""
        return pictures.read(example.raw, self.predictor.channels, self.predictor.frame)

    def refuses(self, example: Example) -> str:
        return ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """Distances on other features are other figures."""
        if self.predictor.features == other.predictor.features:
            return {}
        return dict.fromkeys(("frechet", "kernel_distance"), "the two are measured on other features")

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        seen = self.meter.examples
        real = np.stack([example.read for example in examples]) / np.float32(255)
        seeds = range(seen, seen + len(examples))
        self.meter.add(self.predictor.make(seeds), real, weight)
        yield from ({"seed": seed, "beside": example.name} for seed, example in zip(seeds, examples))

    def measured(self) -> Measured:
        samples = pictures.as_pixels(self.predictor.make(range(SHOWN)))
        return Measured(
            examples=self.meter.examples,
            resamples=self.meter.figures(),
            pictures={"samples": lambda path: pictures.save(pictures.sheet(samples, 8), path)},
        )

    def warnings(self, measured: Measured) -> Iterator[str]:
        return iter(())
