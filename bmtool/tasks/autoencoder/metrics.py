"""Measuring autoencoders: how far what they make is from what they saw."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from bmtool.images import pictures
from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.tasks.autoencoder.predict import Autoencoder, beside

SHOWN = 30


def squared_errors(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[B], of reconstructions [B, ...] the mean over all numbers of each."""
    return np.square(said - truth).reshape(len(said), -1).mean(axis=1)


class ReconstructionMeter(SumMeter):
    """`said` are reconstructions [B, ...] in 0 .. 1, `truth` the images."""

    names: ClassVar = ("mse", "psnr")

    def __init__(self, columns: int = 1):
        super().__init__(3, columns)

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        error = squared_errors(said, truth).astype(np.float64)
        self._totals.add(
            np.stack([np.ones(len(said)), error, -10 * np.log10(np.maximum(error, 1e-10))], axis=1), weight
        )

    @property
    def examples(self) -> int:
        return int(self._totals.total[0, 0])

    def figures(self) -> dict[str, np.ndarray]:
        count, error, psnr = self._totals.total.T
        return {"mse": ratio(error, count), "psnr": ratio(psnr, count)}


class Evaluation:
    names: ClassVar = ReconstructionMeter.names

    def __init__(self, predictor: Autoencoder, columns: int):
        self.predictor, self.columns = predictor, columns
        self.meter, self._by_class = ReconstructionMeter(columns), dict[str, ReconstructionMeter]()
        self._shown: list[tuple[np.ndarray, np.ndarray]] = []

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        return ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        images = np.stack([example.read for example in examples])
        made, truth = self.predictor.run(images)[1], images / np.float32(255)
        self.meter.add(made, truth, weight)
        names = np.array([example.truth or "" for example in examples])
        for name in sorted(set(names) - {""}):
            here = names == name
            self._by_class.setdefault(name, ReconstructionMeter(self.columns)).add(
                made[here], truth[here], weight[here]
            )
        self._shown += list(zip(images, pictures.as_pixels(made)))[: SHOWN - len(self._shown)]
        for example, error in zip(examples, squared_errors(made, truth)):
            yield {"input": example.name, "mse": round(float(error), 7)}

    def measured(self) -> Measured:
        seen, made = (np.stack(part) for part in zip(*self._shown))
        return Measured(
            examples=self.meter.examples,
            resamples=self.meter.figures(),
            slices={"class": {name: meter.figures() for name, meter in sorted(self._by_class.items())}},
            pictures={"reconstructions": lambda path: pictures.save(beside(seen, made), path)},
        )

    def warnings(self, measured: Measured) -> Iterator[str]:
        return iter(())
