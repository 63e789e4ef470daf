"""Measuring a language model: bits for each character of text, whatever the tokens are, by domain."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.text.passages import COLUMNS

OF_TOKENS = ("perplexity", "token_accuracy")


class TextMeter(SumMeter):
    """`said` [examples, COLUMNS]: of each the nats of its tokens, how many were the likeliest, how many these are, and the characters that
    they stand for."""

    names: ClassVar = ("bits_per_character", "perplexity", "token_accuracy")

    def __init__(self, columns: int = 1):
        super().__init__(len(COLUMNS), columns)

    def figures(self) -> dict[str, np.ndarray]:
        nats, right, tokens, characters = self._totals.total.T
        with np.errstate(over="ignore"):
            found = (ratio(nats, characters) / np.log(2), np.exp(ratio(nats, tokens)), ratio(right, tokens))
        return dict(zip(self.names, found))


class Evaluation:
    """Feeds meters with what a model gives passages; their domains have meters of their own where there are several."""

    names: ClassVar = TextMeter.names

    def __init__(self, predictor: Any, columns: int):
        self.predictor, self.columns, self.examples = predictor, columns, 0
        self.all = TextMeter(columns)
        self.by_domain: dict[str, TextMeter] = {}

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read_passage(example.raw)

    def refuses(self, example: Example) -> str:
        return ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """Bits of a character are comparable, those of a token are not."""
        if self.predictor.objective != other.predictor.objective:
            return dict.fromkeys(self.names, "one model sees what follows, the other does not")
        if self.predictor.tokenizer.sha256 == other.predictor.tokenizer.sha256:
            return {}
        return dict.fromkeys(OF_TOKENS, "the two have other tokens")

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        said = self.predictor.score([example.read for example in examples])
        self.all.add(said, None, weight)
        domains = np.array([example.truth for example in examples])
        for domain in np.unique(domains).tolist():
            here = domains == domain
            self.by_domain.setdefault(domain, TextMeter(self.columns)).add(said[here], None, weight[here])
        self.examples += len(examples)
        for example, row in zip(examples, said.tolist()):
            yield {"input": example.name, "text": example.raw.text} | dict(zip(COLUMNS, row))

    def measured(self) -> Measured:
        domains = {domain: meter.figures() for domain, meter in sorted(self.by_domain.items())}
        nats, _, tokens, characters = self.all.state()[0][0]
        if np.isnan(nats):
            return Measured.broken(self.examples, self.names, self.columns)
        slices = {"domain": domains} if len(domains) > 1 else {}
        return Measured(
            self.examples, self.all.figures(), slices, notes={"tokens": float(tokens), "characters": float(characters)}
        )

    def warnings(self, measured: Measured) -> Iterator[str]:
        size = self.predictor.tokenizer.size
        if measured.figures["perplexity"].high >= size:
            yield f"no better than chance: one of {size:,} tokens at random would be as likely"
