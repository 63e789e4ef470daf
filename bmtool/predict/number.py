"""Predictors that give a number, several of them as one, and how they are measured. numpy only."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from bmtool.config.options import Options
from bmtool.errors import DataError
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.predict.labels import apart
from bmtool.predict.values import Number


class Regressor(Protocol):
    target: str  # what the number is
    spread: float  # standard deviation of what was learned

    def read(self, raw: Any) -> Any: ...

    def numbers(self, inputs: Sequence[Any]) -> np.ndarray:
        """[N] of inputs that were read, independent of what else is among them."""
        ...


class Ensemble:
    """The weighted mean of several regressors of the same target."""

    def __init__(self, members: Sequence[Regressor], weights: Sequence[float]):
        """DataError unless all give the same number, by name."""
        if differ := apart(members):
            raise DataError(f"the models {differ}: they cannot be averaged")
        self.members, self.weights = list(members), np.array(weights) / sum(weights)
        self.target, self.spread = members[0].target, members[0].spread

    def read(self, raw: Any) -> Any:
        return [member.read(raw) for member in self.members]

    def numbers(self, inputs: Sequence[Any]) -> np.ndarray:
        each = [member.numbers(read) for member, read in zip(self.members, zip(*inputs))]
        return np.tensordot(self.weights, each, axes=1)

    def predict(self, inputs: Sequence[Any], options: Options = Options()) -> list[Number]:
        return [Number(float(value), self.spread) for value in self.numbers(inputs)]


combine = Ensemble


class Evaluation:
    """Feeds a meter with what a regressor says of examples whose truth is a number."""

    names: ClassVar = NumberMeter.names
    of_groups: ClassVar = "mae"  # r2 depends on how far apart the truths of a group are

    def __init__(self, predictor: Regressor, columns: int):
        self.predictor, self.meter = predictor, NumberMeter(columns)

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        return "" if isinstance(example.truth, float) else "no number to compare with"

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """DataError when the other model gives another number."""
        if differ := apart([self.predictor, other.predictor]):
            raise DataError(f"the models {differ}: they cannot be compared")
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        said = self.predictor.numbers([example.read for example in examples])
        self.meter.add(said, np.array([example.truth for example in examples]), weight)
        for example, value in zip(examples, said):
            yield {"input": example.name, "reference": example.truth, "prediction": round(float(value), 6)}

    def measured(self) -> Measured:
        return self.meter.measured()

    def warnings(self, measured: Measured) -> Iterator[str]:
        if not measured.figures["r2"].low > 0:
            yield "no better than chance: the mean of what was measured would do as well (r2 is not above 0)"
