"""When to say the positive of two classes: the threshold that costs least, and what deciding costs (Elkan 2001)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter


@dataclass(frozen=True)
class Decision:
    """The positive class, and the probability from which on it is said; costs are of one wrong answer each."""

    positive: int
    threshold: float
    false_positive: float
    false_negative: float

    def given(self, said: np.ndarray) -> np.ndarray:
        """Class numbers [N] for probabilities [N, 2], which are compared in float64: in float32 a threshold above 1 is 1."""
        return np.where(said[:, self.positive].astype(np.float64) >= self.threshold, self.positive, 1 - self.positive)

    def costs(self, given: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """[N], of class numbers that were said and that are right."""
        wrong = np.where(given == self.positive, self.false_positive, self.false_negative)
        return np.where(given == truth, 0.0, wrong)


def cheapest(
    said: np.ndarray, truth: np.ndarray, *, positive: int, false_positive: float, false_negative: float
) -> Decision:
    """The decision that costs least on probabilities [N, 2] with class numbers [N].

    Of thresholds that cost the same, the one nearest to what would be best for perfect probabilities.
    """
    scores = np.sort(np.unique(said[:, positive].astype(np.float64)))
    between = (scores[1:] + scores[:-1]) / 2
    ideal = false_positive / (false_positive + false_negative)
    candidates = np.unique([0.0, *between, ideal, np.nextafter(1.0, 2.0)])
    order = np.argsort(said[:, positive], kind="stable")
    ranked, hits = said[order, positive].astype(np.float64), truth[order] == positive
    below = np.searchsorted(ranked, candidates, side="left")  # rows that are not said to be positive
    missed, cleared = (np.append(0, np.cumsum(part))[below] for part in (hits, ~hits))
    cost = missed * false_negative + ((~hits).sum() - cleared) * false_positive
    best = candidates[cost == cost.min()]
    threshold = float(best[np.abs(best - ideal).argmin()])
    return Decision(positive, threshold, false_positive, false_negative)


class CostMeter(SumMeter):
    """Cost of an example at the threshold of a decision, and at one half; `said` and `truth` as for `labels.LabelMeter`.

    Of what is no number the cost is none either, so that no figure hides it.
    Beside them it counts what always saying the first or the second class would cost.
    """

    names: ClassVar = ("cost", "cost_at_half")

    def __init__(self, decision: Decision, columns: int = 1):
        super().__init__(5, columns)
        self.decision = decision

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        half = Decision(self.decision.positive, 0.5, self.decision.false_positive, self.decision.false_negative)
        known = np.isfinite(said).all(axis=1)
        costs = [np.where(known, each.costs(each.given(said), truth), np.nan) for each in (self.decision, half)]
        costs += [self.decision.costs(np.full(len(said), each), truth) for each in (0, 1)]
        self._totals.add(np.stack([*costs, np.ones(len(said))], axis=1), weight)

    def figures(self) -> dict[str, np.ndarray]:
        *costs, count = self._totals.total.T
        return {name: ratio(cost, count) for name, cost in zip(self.names, costs)}

    def chance(self) -> tuple[int, float]:
        """The class that costs least when it is always said, and its cost of an example."""
        *_, first, second, count = self._totals.total[0]
        return int(second < first), float(min(first, second) / max(1.0, count))
