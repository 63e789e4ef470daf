"""Measuring classes that have an order: how far off what is said lies. Shapes: B examples, C classes."""

from collections.abc import Iterable

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Totals


class OrdinalMeter(LabelMeter):
    """As `LabelMeter`, of classes from the lowest to the highest.

    `mae` is the mean distance in classes; `quadratic_kappa` is Cohen's kappa weighted by squared distances (Cohen 1968).
    """

    names = (*LabelMeter.names, "mae", "quadratic_kappa")

    def __init__(self, labels: list[str], columns: int = 1):
        # examples, distance, its square; sums and squares of what is said and true, for the distance of chance
        self._off = Totals(7, columns)
        super().__init__(labels, columns)

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        super().add(said, truth, weight)
        given, true = said.argmax(axis=1).astype(np.float64), truth.astype(np.float64)
        off = given - true
        rows = [np.ones(len(off)), np.abs(off), off**2, given, given**2, true, true**2]
        self._off.add(np.stack(rows, axis=1), weight)

    def state(self) -> list[np.ndarray]:
        return [self._off.total, *super().state()]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        held = list(states)
        self._off.join([state[:1] for state in held])
        super().join([state[1:] for state in held])

    def _ratios(self) -> dict[str, np.ndarray]:
        count, distance, squared, given, given2, true, true2 = self._off.total.T
        by_chance = ratio(given2, count) + ratio(true2, count) - 2 * ratio(given, count) * ratio(true, count)
        kappa = 1 - ratio(ratio(squared, count), by_chance)
        return super()._ratios() | {"mae": ratio(distance, count), "quadratic_kappa": kappa}
