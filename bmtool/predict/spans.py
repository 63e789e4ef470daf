"""Predictors that give spans of a text, several of them as one, and how they are measured. numpy only.

Shapes: N texts, C characters, T places (tokens or characters), K tags.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from bmtool.config.options import Options
from bmtool.errors import DataError
from bmtool.measure.report import Measured
from bmtool.measure.spans import Span, SpanMeter
from bmtool.nn import tags
from bmtool.nn.chain import Chains, Transitions
from bmtool.predict.batches import batches
from bmtool.predict.examples import Example
from bmtool.predict.values import Spans

_LEAST = 1e-30  # a probability whose logarithm is taken


class Tagger(Protocol):
    types: list[str]

    def read(self, raw: Any) -> Any:
        """One input as the model takes it, with the text as it came in `texts[0]`; BadInput when it cannot be used."""
        ...

    def marginals(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """The probability of each tag at each character, [C, K] of each input, independent of what else is among them."""
        ...

    def predict(self, inputs: Sequence[Any], options: Options = ...) -> list[Spans]: ...


# (first place, place behind the last, number of the type), and how likely that is.
Found = list[tuple[tuple[int, int, int], float]]


def found(scores: Sequence[np.ndarray], transitions: Transitions) -> list[Found]:
    """The spans on the best path through the scores [T, K] of each text, with the probability that they are spans."""
    out: list[Found] = [[] for _ in scores]
    for chosen, chains in _chains(scores, transitions):
        path, before, behind = chains.best(), chains.before(), chains.behind()
        along, whole = chains.steps(path).cumsum(axis=1), chains.whole(before)
        for row, number in enumerate(chosen):
            for span in tags.spans(path[row, : len(scores[number])]):
                start, last = span[0], span[1] - 1
                logs = before[row, start, path[row, start]] + along[row, last] - along[row, start]
                logs += behind[row, last, path[row, last]] - whole[row]
                out[number].append((span, float(np.exp(min(0.0, logs)))))
    return out


def marginals(scores: Sequence[np.ndarray], transitions: Transitions) -> list[np.ndarray]:
    """The probability of each tag at each place, [T, K] of each text."""
    out = [np.empty((0, tags_.shape[1])) for tags_ in scores]
    for chosen, chains in _chains(scores, transitions):
        for row, number in zip(chains.marginals(), chosen):
            out[number] = row[: len(scores[number])]
    return out


def _chains(scores: Sequence[np.ndarray], transitions: Transitions) -> Iterator[tuple[list[int], Chains]]:
    """Texts of similar length together, with their numbers; those without a place are left out."""
    for chosen in batches([len(one) for one in scores]):
        lengths = np.array([len(scores[number]) for number in chosen])
        padded = np.zeros((len(chosen), lengths.max(), scores[chosen[0]].shape[1]))
        for row, number in zip(padded, chosen):
            row[: len(scores[number])] = scores[number]
        yield chosen, Chains(padded, lengths, transitions)


def spread(probabilities: np.ndarray, places: np.ndarray, characters: int) -> np.ndarray:
    """Probabilities [T, K] of places that stand from where to where [T, 2] in a text, for each of its characters [C, K].

    Of a span that is one place of several characters the first one begins and the last one ends it. What no place holds is outside.
    """
    out = np.zeros((characters, probabilities.shape[1]))
    out[:, tags.OUTSIDE] = 1
    for (start, end), given in zip(places.tolist(), probabilities):
        parts = given[1:].reshape(-1, tags.PARTS)
        for at in range(start, end):
            out[at, tags.OUTSIDE] = given[tags.OUTSIDE]
            out[at, 1:] = _part(parts, at == start, at == end - 1).ravel()
    return out


def _part(parts: np.ndarray, is_first: bool, is_last: bool) -> np.ndarray:
    """Probabilities [types, PARTS] of a character that is the first or last of its place, or neither."""
    if is_first and is_last:
        return parts
    begin, inside, end, single = parts.T
    out = np.zeros_like(parts)
    if is_first:
        out[:, tags.BEGIN], out[:, tags.INSIDE] = begin + single, inside + end
    elif is_last:
        out[:, tags.INSIDE], out[:, tags.END] = begin + inside, end + single
    else:
        out[:, tags.INSIDE] = parts.sum(axis=1)
    return out


def values(texts: Sequence[str], each: Sequence[Found], types: Sequence[str]) -> list[Spans]:
    """Of spans whose places are characters."""
    return [
        Spans(text, tuple(Span(start, end, types[label]) for (start, end, label), _ in held), tuple(p for _, p in held))
        for text, held in zip(texts, each)
    ]


class Ensemble:
    """The weighted mean of what several models say of each character, and the best spans under it; each reads texts in its own way."""

    def __init__(self, members: Sequence[Tagger], weights: Sequence[float]):
        """DataError unless all know the same types, in whatever order."""
        first = members[0]
        for member in members[1:]:
            if differ := apart(first, member):
                raise DataError(f"the models {differ}: they cannot be averaged")
        self.members, self.types, self.weights = list(members), list(first.types), np.array(weights) / sum(weights)
        self._columns = [_columns(member.types, self.types) for member in members]

    def read(self, raw: Any) -> Any:
        return [member.read(raw) for member in self.members]

    def marginals(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        each = [member.marginals(read) for member, read in zip(self.members, zip(*inputs))]
        return [
            sum(weight * one[:, columns] for weight, one, columns in zip(self.weights, text, self._columns))
            for text in zip(*each)
        ]

    def predict(self, inputs: Sequence[Any], options: Options = Options()) -> list[Spans]:
        logs = [np.log(np.maximum(one, _LEAST)) for one in self.marginals(inputs)]
        return values([read[0].texts[0] for read in inputs], found(logs, tags.legal(len(self.types))), self.types)


def _columns(theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray:
    """Where the tags of our types stand among those of a model that has them in another order."""
    parts = [tags.tag(theirs.index(label), part) for label in ours for part in range(tags.PARTS)]
    return np.array([tags.OUTSIDE, *parts])


def apart(one: Any, other: Any) -> str:
    """How models differ in their types; "" when they do not."""
    different = sorted(set(one.types) ^ set(other.types))
    return f"differ in their types ({', '.join(different[:5])})" if different else ""


combine = Ensemble


class Evaluation:
    """Feeds a meter with what a model says of examples whose truth are spans, places in characters."""

    names: ClassVar = SpanMeter.names
    of_groups: ClassVar = "f1"

    def __init__(self, predictor: Tagger, columns: int):
        self.predictor, self.meter = predictor, SpanMeter(predictor.types, columns)

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        """Why an example cannot be measured; "" when it can."""
        unknown = {label for *_, label in example.truth} - set(self.predictor.types)
        return "a type of spans that the model does not know" if unknown else ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """DataError when the other model knows other types."""
        if differ := apart(self.predictor, other.predictor):
            raise DataError(f"the models {differ}: they cannot be compared")
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        """Count some examples, and give a record of each."""
        said = self.predictor.predict([example.read for example in examples])
        self.meter.add(
            [value.spans for value in said], [[Span(*one) for one in example.truth] for example in examples], weight
        )
        for example, value in zip(examples, said):
            yield {
                "input": example.name, "text": value.text, "reference": [list(one) for one in example.truth],
                "prediction": value.record()["spans"],
            }  # fmt: skip

    def measured(self) -> Measured:
        return self.meter.measured()

    def warnings(self, measured: Measured) -> Iterator[str]:
        if not measured.figures["f1"].low > 0:
            yield "no better than chance: not one span is found for certain (f1 is not above 0)"
