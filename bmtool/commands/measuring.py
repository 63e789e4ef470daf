"""Feeding evaluations: the examples that several models are measured on alike, block by block."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.files import sha256
from bmtool.commands import seen
from bmtool.commands.checking import checked
from bmtool.commands.lines import warn
from bmtool.commands.loading import Loaded
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.bootstrap import BLOCK, weights
from bmtool.measure.groups import Groups, groupings
from bmtool.measure.report import Measured
from bmtool.predict.contract import Evaluation, Predictor
from bmtool.predict.examples import Example


class Source:
    """The examples that all models are measured on: those that each of them can read, and whose truth each of them knows.

    `evaluations` holds one for each model; `tally` what was left out, and why.
    """

    def __init__(
        self, measuring: Sequence[Loaded], split: str, data: str | None, unit: str | None, *, by: Sequence[str] = ()
    ):
        """Examples of the split of the first model's prepared data, or of the files at `data`; `by` are columns that tell groups apart.

        With `by`, all examples are gone through once before, for the groups that there are.
        """
        self.measuring, self.split, self.data, self.unit, self.tally = measuring, split, data, unit, Tally()
        self._digest = hashlib.sha256()
        # of the examples of files, as `seen` compares them
        self.keys: set[Hashable] = set()
        self._kit = measuring[0].entry.load("examples")
        self._prepared = self._checked() if data is None else None
        self._fields = (
            self._kit.fields(self._config().data) if by and data is None and hasattr(self._kit, "fields") else None
        )
        self.groups = Groups(groupings(by, (one.fields for one in self.again())) if by else ())
        kind = measuring[0].entry.load("evaluation")
        self.evaluations: list[Evaluation] = [kind(one.predictor, self.groups.columns) for one in measuring]
        # of the examples that were measured, by column and group
        self.counts = Counter[tuple[str, str]]()
        self._examples = self._opened(self.tally)

    def _checked(self) -> Path:
        """The prepared data of the first model."""
        first = self.measuring[0]
        if first.run is None:
            what = "file" if first.path.endswith(".onnx") else "of others"
            raise ConfigError(f"a model {what} has no splits: give what to measure on with --data PATH")
        return checked(first.run.prepared(), first.entry, warn)

    def again(self) -> Iterator[Example]:
        """All examples once more, before any model reads them; what cannot be used is not counted again."""
        return self._opened(Tally())

    def _opened(self, tally: Tally) -> Iterator[Example]:
        reads = [one.predictor for one in self.measuring]
        if self._prepared is None:
            assert self.data is not None  # there is the one or the other
            return self._kit.file(Path(self.data), self.unit, tally, reads)
        found = self._kit.split(self._config().data, self._prepared, self.split, reads)
        if self._fields is None:
            return found
        return (replace(one, fields=self._fields.get(one.name, {})) for one in found)

    def _config(self) -> Any:
        """That of the first model's run."""
        run = self.measuring[0].run
        assert run is not None  # else nothing is prepared
        return run.config()

    def __iter__(self) -> Iterator[tuple[Example, ...]]:
        """Each example as every model has read it."""
        for example in self._examples:
            if self.data is not None:
                self._digest.update(fingerprint(example.raw) + fingerprint(example.truth))
                self._remember(example)
            if reason := self._refused(example):
                self.tally.drop(reason, example.name, str(example.truth))
                continue
            try:
                yield tuple(replace(example, read=evaluation.read(example)) for evaluation in self.evaluations)
            except BadInput as error:
                self.tally.drop(str(error), example.name)

    def weights(self, examples: Sequence[Example], weight: np.ndarray) -> np.ndarray:
        """[examples, columns] of the evaluations, of the weights of the whole; the examples are counted by group."""
        fields = [example.fields for example in examples]
        self.counts.update(
            (one.column, one.group(held.get(one.column))) for held in fields for one in self.groups.found
        )
        return self.groups.weights(fields, weight)

    def _remember(self, example: Example) -> None:
        if len(self.keys) < seen.LIMIT:
            self.keys.add(self._kit.key(example))

    def warnings(self) -> Iterator[str]:
        """What was measured on and a model had learned from."""
        first, *others = self.measuring
        if self.data is None:
            yield from seen.warnings(first, [*first.members, *others], self.split)
        else:
            for one in self.measuring:
                yield from seen.in_files(one, self.keys)

    def digest(self) -> str:
        """sha256, in hex, of the examples of files, wherever these lie; those that were left out are among them."""
        return self._digest.hexdigest()

    def _refused(self, example: Example) -> str:
        """Why an example of a file is left out. DataError for one of a split: its classes are what is measured."""
        for loaded, evaluation in zip(self.measuring, self.evaluations):
            if reason := evaluation.refuses(example):
                if self.data is None:
                    raise DataError(
                        f"{loaded.name} cannot be measured on these data: {example.name} is {example.truth!r}, {reason}"
                    )
                return reason
        return ""


def fingerprint(value: Any) -> bytes:
    """32 bytes of a raw input or of what is right: a file by its bytes, whatever its name; zeros for one that cannot be read."""
    if isinstance(value, Path):
        try:
            return bytes.fromhex(sha256(value))
        except OSError:  # it is left out, and counted, when a model reads it
            return bytes(32)
    if isinstance(value, np.ndarray):
        return hashlib.sha256(repr((value.shape, value.dtype.str)).encode() + value.tobytes()).digest()
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")).digest()


def feed(source: Source, predictions: Path) -> None:
    """Every example to every evaluation, in blocks that are resampled alike; records of the first model go to `predictions`.

    DataError when there is no example that can be measured.
    """
    stream, drawn, count = iter(source), weights(), 0
    first, *others = source.evaluations
    with predictions.open("w", encoding="utf-8") as kept:
        while block := list(islice(stream, BLOCK)):
            (mine, *theirs) = zip(*block)
            weight = source.weights(mine, next(drawn)[: len(block)])
            for record in first.add(mine, weight):
                kept.write(json.dumps(record, ensure_ascii=False) + "\n")
            for evaluation, examples in zip(others, theirs):
                deque(evaluation.add(examples, weight), maxlen=0)
            count += len(block)
    if not count:
        why = "; ".join(f"{n:,} x {reason}" for reason, n in source.tally.dropped.items())
        raise DataError(f"nothing to evaluate on: no example that can be measured{f' ({why})' if why else ''}")


def measure(
    kind: Callable[..., Evaluation], predictor: Predictor, examples: Iterable[Example], *, columns: int = 1
) -> Measured:
    """A model on some examples; with one column the figures have no intervals."""
    evaluation, drawn = kind(predictor, columns), weights()
    stream = (replace(example, read=evaluation.read(example)) for example in examples)
    while block := list(islice(stream, BLOCK)):
        deque(evaluation.add(block, next(drawn)[: len(block), :columns]), maxlen=0)
    return evaluation.measured()
