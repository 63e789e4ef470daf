"""What the predictors of tasks on tables share: reading rows, running the model, probes, and why it says what it says. numpy only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.predict.backends import Backend
from bmtool.predict.inputs import record
from bmtool.tables import shapley
from bmtool.tables.columns import Column, Schema

CHUNK = 4096  # rows of one run of the model


class Row(NamedTuple):
    """`values` float32 [columns]; `unseen` are the columns whose category was not among the training rows."""

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
        return {"target": self.target, "columns": [_described(column) for column in self.schema.columns]} | classes

    def run(self, values: np.ndarray) -> np.ndarray:
        """The output of the model for float32 [N, columns]; each row's own, whatever is beside it."""
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

        typical = np.array([column.typical() for column in self.schema.columns], np.float32)
        shown = inputs[: plots.ROWS]
        start, *ends = say(np.stack([typical, *(row.values for _, row in shown)])).tolist()
        panels = [
            plots.Panel(
                f"{_short(name)}: {unit}, typical {start:.4g} -> {end:.4g}",
                [column.told(value) for column, value in zip(self.schema.columns, row.values)],
                shapley.contributions(say, row.values, typical),
            )
            for (name, row), end in zip(shown, ends)
        ]
        left = f", the first {len(shown)} of {len(inputs)} rows" if len(shown) < len(inputs) else ""
        plots.contributions(panels, f"adds to {unit}, against a typical row{left}", path)
        return path


def _short(name: str) -> str:
    """file:line without its folders; the start of a row that was given itself."""
    return "row" if name.lstrip().startswith("{") else Path(name).name


def probes(schema: Schema, count: int) -> np.ndarray:
    """float32 [count, columns] as the training rows might have been, missing values and unknown categories among them; always the same."""
    random = np.random.default_rng(0)
    values = np.empty((count, len(schema.columns)), np.float32)
    for place, column in enumerate(schema.columns):
        if column.kind == "category":
            values[:, place] = random.integers(0, len(column.categories) + 1, count)
        else:
            values[:, place] = random.uniform(column.low, column.high, count)
            values[random.random(count) < 0.1, place] = np.nan
    return values


def _described(column: Column) -> dict[str, Any]:
    """A column for people: its categories, or the middle one of its numbers."""
    more = {"example": column.median} if column.kind == "number" else {"categories": list(column.categories)}
    return {"name": column.name, "kind": column.kind} | more
