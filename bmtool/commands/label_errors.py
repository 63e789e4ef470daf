"""What `evaluate --find-label-errors` adds: a table of the examples whose label is likely wrong."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from bmtool.base.files import parse_json, write_text
from bmtool.base.units import shortened
from bmtool.commands import seen
from bmtool.commands.measuring import Source
from bmtool.errors import ConfigError
from bmtool.measure.label_errors import Suspects, suspects
from bmtool.measure.labels import LabelMeter
from bmtool.predict.labels import Evaluation

SHOWN = 20  # that are shown on a terminal
PAIRS = 10  # of classes, in the report
LETTERS = 60  # of a place
_OWN = "; a model that has not learned from them finds more (docs/evaluating.md says how to have one)"


@dataclass(frozen=True)
class Suspect:
    """`place` is where the example stands: file:line, a file, or as its kit names it."""

    place: str
    given: str
    suggested: str
    # of the suggested class and of the given one
    probability: float
    probability_of_given: float
    # 0 where the model is sure of another class, 0.5 where the given one is as likely as the likeliest other
    margin: float
    # the text or the row, as JSON; "" of an image
    input: str


@dataclass(frozen=True)
class LabelErrors:
    """The likeliest errors first, of so many examples; `file` is the table that holds them."""

    examples: int
    suspects: tuple[Suspect, ...]
    file: str
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all but the list itself."""
        pairs = Counter((one.given, one.suggested) for one in self.suspects).most_common(PAIRS)
        shown = [{"given": given, "suggested": suggested, "count": count} for (given, suggested), count in pairs]
        return {"count": len(self.suspects), "examples": self.examples, "file": self.file, "pairs": shown}

    def write(self, folder: Path) -> None:
        made = io.StringIO()
        writer = csv.DictWriter(made, list(Suspect.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(one) for one in self.suspects)
        write_text(folder / self.file, made.getvalue())

    def table(self) -> Table:
        """The first of them, for a terminal."""
        shown = f": the first {SHOWN}, all in {self.file}" if len(self.suspects) > SHOWN else ""
        title = f"{len(self.suspects):,} of {self.examples:,} labels are likely wrong{shown}"
        made = Table(title=title, show_edge=False)
        for heading in ("place", "given", "suggested", "p suggested", "p given"):
            made.add_column(heading, justify="right" if heading.startswith("p ") else "left")
        for one in self.suspects[:SHOWN]:
            place = one.place if len(one.place) <= LETTERS else f"...{one.place[3 - LETTERS :]}"
            sure = (f"{one.probability:.4f}", f"{one.probability_of_given:.4f}")
            made.add_row(place, shortened(one.given), shortened(one.suggested), *sure)
        return made


def require_classes(source: Source) -> Evaluation:
    """The evaluation of the first model. ConfigError for one that does not say one of several classes."""
    first, model = source.evaluations[0], source.measuring[0]
    if not isinstance(first, Evaluation):
        raise ConfigError(
            f"--find-label-errors is for labels that are one of several classes, not for {model.name} ({model.task})"
        )
    return first


def find(source: Source, predictions: Path, name: str) -> LabelErrors:
    """Of all examples that were measured, whose records lie in `predictions` in their order; `name` is that of the report."""
    first = require_classes(source)
    found = suspects(*first.meter.answers())
    places = _places(predictions, found.examples)
    wanted = set(places.values())
    inputs = {one.name: _shown(one.raw) for one in source.again() if one.name in wanted}
    listed = tuple(_listed(found, first.meter, places, inputs))
    return LabelErrors(first.meter.examples, listed, f"{name}.label-errors.csv", tuple(_warnings(source)))


def _listed(found: Suspects, meter: LabelMeter, places: dict[int, str], inputs: dict[str, str]) -> Iterator[Suspect]:
    given, said = meter.answers()
    for number, other, margin in zip(found.examples.tolist(), found.suggested.tolist(), found.margin.tolist()):
        own, p, place = int(given[number]), said[number], places[number]
        sure = (round(float(p[other]), 6), round(float(p[own]), 6))
        yield Suspect(place, meter.labels[own], meter.labels[other], *sure, round(margin, 6), inputs[place])


def _shown(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    return json.dumps(raw, ensure_ascii=False) if isinstance(raw, dict) else ""


def _places(predictions: Path, numbers: np.ndarray) -> dict[int, str]:
    """Number of an example -> where it stands."""
    wanted = set(numbers.tolist())
    with predictions.open("rb") as lines:
        kept = ((number, line) for number, line in enumerate(lines) if number in wanted)
        return {
            number: parse_json(line, dict[str, Any], origin=str(predictions), again="")["input"]
            for number, line in kept
        }


def _warnings(source: Source) -> Iterator[str]:
    """What to say where a model may have learned from the very labels that it judges."""
    for one in source.measuring[0].all:
        if source.data is None and source.split == "train":
            yield f"{one.name} has learned these very labels, wrong ones too, so that most errors are missed{_OWN}"
        elif one.run is None:
            yield f"whether {one.name} has learned from these examples cannot be told from an exported model: then most errors are missed"
        elif source.data is not None and any(seen.in_files(one, source.keys)):
            yield f"{one.name} has learned some of these very labels, wrong ones too, so that errors are missed{_OWN}"
