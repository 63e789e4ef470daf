"""Labelled texts to measure on: of a prepared split, or of a file, each as it came and with what is right."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bmtool import registry
from bmtool.config.labelled import LabelledData
from bmtool.data.prepared import described
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example, reader_of
from bmtool.sources.parts import to_measure
from bmtool.text.labelled.kind import Draft, Kind, same_text
from bmtool.text.labelled.reading import one, parts_of, rows_of
from bmtool.text.labelled.store import Texts

CALL_IT_SO = "call the column that holds the {name} so, as the training data did"


def split(data: LabelledData, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The examples of a split in stored order."""
    kind: Kind = registry.find(described(prepared).get("task")).load("kind")(data)
    for draft in Texts(prepared, name, kind).drafts:
        yield _example(draft, kind)


def _example(draft: Draft, kind: Kind) -> Example:
    raw = draft.texts[0] if len(draft.texts) == 1 else dict(zip(kind.texts, draft.texts))
    return Example(draft.place, raw, draft.target, fields=draft.fields)


def key(example: Example) -> tuple:
    """What tells an example in splits of any preparation: its texts, but for white space."""
    return same_text(list(example.raw.values()) if isinstance(example.raw, dict) else [example.raw])


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Any]) -> Iterator[Example]:
    """The examples of a file, or of the test split of a set. DataError when a column is missing."""
    if unit is not None:
        raise ConfigError("--unit is for text without labels")
    reader = reader_of(reads[0])
    kind, columns = reader.kind, reader.named
    files = to_measure(parts_of(str(path), kind, tally.ignore), tally.ignore)
    for row in chain.from_iterable(rows_of(file, kind) for file in files):
        if (draft := one(row, kind, columns, tally, way=CALL_IT_SO)) is not None:
            yield _example(draft, kind)
