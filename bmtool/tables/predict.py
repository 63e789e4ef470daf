"""What the predictors of tasks on tables share: reading rows, running the model, probes, and why it says what it says. numpy only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.predict.backends import Backend
from bmtool.predict.inputs import record
from bmtool.tables import shapley
from bmtool.tables.columns import OTHER, Column, Schema
from bmtool.tables.lists import BAR

CHUNK = 4096  # rows of one run of the model
LISTED = 1_000  # categories that a form chooses from; of more it is written
SHOWN = 3  # of the ids and words of an example


class Row(NamedTuple):
    """`values` float32 [width]; `unseen` are the columns whose category was not among the training rows."""

    values: np.ndarray
    unseen: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What an answer says of the row."""
        return tuple(f"column {name!r}: unknown category, taken as missing" for name in self.unseen)


class RowReader:
    """Reads rows, by the names of their columns, as a model takes them."""

    # name of the model's output
    output = ""

    def __init__(self, about: dict, backend: Backend):
        self.about, self.backend, self.schema = about, backend, Schema.of(about["schema"])
        self.target = self.schema.target

    def read(self, raw: Any) -> Row:
        """From a JSON object, or name -> value; BadInput that names the column for what cannot be used."""
        values, unseen = self.schema.encode(record(raw))
        return Row(values, tuple(unseen))

    def facts(self) -> dict[str, Any]:
        """What a model card says of it, and what a form that asks for a row is made from."""
        classes = {"labels": list(self.schema.labels)} if self.schema.labels else {}
        return {
            "target": self.target,
            "columns": [_described(self.schema, column) for column in self.schema.columns],
        } | classes

    def run(self, values: np.ndarray) -> np.ndarray:
        """The output of the model for float32 [N, width]; each row's own, whatever is beside it."""
        parts = [values[start : start + CHUNK] for start in range(0, max(1, len(values)), CHUNK)]
        return np.concatenate(
            [self.backend.numpy(self.backend.run("model", {"values": part})[self.output]) for part in parts]
        )

    def probes(self, count: int) -> list[Row]:
        return [Row(row) for row in probes(self.schema, count)]

    def explain_by(
        self, say: Callable[[np.ndarray], np.ndarray], inputs: Sequence[tuple[str, Row]], unit: str, path: Path
    ) -> Path:
        """Draw what each column, with its value, adds to what `say` gives for rows, from a row of typical values on."""
        from bmtool.tables import plots  # matplotlib, which predicting does without

        typical = self.schema.typical()
        shown = inputs[: plots.ROWS]
        start, *ends = say(np.stack([typical, *(row.values for _, row in shown)])).tolist()
        panels = [
            plots.Panel(
                f"{_short(name)}: {unit}, typical {start:.4g} -> {end:.4g}",
                self.schema.told(row.values),
                shapley.contributions(say, row.values, typical, self.schema.owner()),
            )
            for (name, row), end in zip(shown, ends)
        ]
        left = f", the first {len(shown)} of {len(inputs)} rows" if len(shown) < len(inputs) else ""
        plots.contributions(panels, f"adds to {unit}, against a typical row{left}", path)
        return path


class RowClassifier(RowReader):
    """Rows to probabilities [N, classes]."""

    output = "log_p"

    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.labels, self.positive = list(self.schema.labels), self.schema.positive

    def probabilities(self, rows: Sequence[Row]) -> np.ndarray:
        return np.exp(self.run(np.stack([row.values for row in rows])))

    def draw(self, picture: str, inputs: Sequence[tuple[str, Row]], path: Path) -> Path:
        """What each column adds to the probability of the class that matters: the positive one, else the first row's likeliest."""
        shown = self.positive
        if shown is None:
            shown = int(self.probabilities([inputs[0][1]]).argmax())
        unit = f"the probability of {self.labels[shown]}"
        return self.explain_by(lambda values: np.exp(self.run(values))[:, shown], inputs, unit, path)


def _short(name: str) -> str:
    """file:line without its folders; the start of a row that was given itself."""
    return "row" if name.lstrip().startswith("{") else Path(name).name


def probes(schema: Schema, count: int) -> np.ndarray:
    """float32 [count, width] as the training rows might have been, missing values and unknown categories among them; always the same."""
    random = np.random.default_rng(0)
    return np.concatenate([_probed(schema, column, random, count) for column in schema.columns], axis=1).astype(
        np.float32
    )


def _probed(schema: Schema, column: Column, random: np.random.Generator, count: int) -> np.ndarray:
    """[count, width of the column]."""
    if column.kind == "list":
        held = (
            random.integers(1, schema.source(column).known + 1, (count, column.length))
            if schema.source(column).known
            else 0
        )
        return np.where(np.arange(column.length) < random.integers(0, column.length + 1, (count, 1)), held, OTHER)
    if column.kind == "category":
        return random.integers(0, column.known + 1, (count, 1))
    values = random.uniform(column.low, column.high, (count, 1))
    values[random.random((count, 1)) < 0.1] = np.nan
    return values


def _described(schema: Schema, column: Column) -> dict[str, Any]:
    """A column for people: its categories, where a form can show them, or an example."""
    named = {"name": column.name, "kind": column.kind}
    if column.kind == "number":
        return named | {"example": column.median}
    if column.kind == "category" and not column.buckets and len(column.categories) <= LISTED:
        return named | {"categories": list(column.categories)}
    names = schema.source(column).categories[:SHOWN]
    if column.kind == "list":
        return named | {"example": (" " if column.words else BAR).join(names)}
    return named | {"example": names[0] if names else ""}
