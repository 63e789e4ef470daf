"""Who else hears of the validations of a training, or of a fit as often as its log does."""

from collections.abc import Callable, Mapping

# Hears of a step and its validation figures (by their names, without `valid/`), on every process, once the checkpoint of the step is saved.
# What it raises ends the training there: the run is like one that was stopped, and goes on. Of half a fit nothing is kept.
Observer = Callable[[int, Mapping[str, float]], None]
