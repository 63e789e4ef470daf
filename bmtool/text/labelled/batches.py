"""Batches of windows of like length. Shapes: B windows, T tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bmtool.data.batching import LengthBatches, LengthSource
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.windows import Cutting, Row, Windows, padded

# (example, row, where the window starts) of each row of a batch, and tokens of the longest -> what is right, by name
Targets = Callable[[Sequence[tuple[int, Row, int]], int], Mapping[str, np.ndarray]]


@dataclass
class Batch:
    """`token` and `kind` int64, `keep` bool (False behind a row), [B, T]; of each row its `example`, where its window begins (`start`) and
    how many tokens it has (`length`), int64 [B]; `target` by name, as the task has it."""

    token: Tensor
    keep: Tensor
    kind: Tensor
    example: Tensor
    start: Tensor
    length: Tensor
    target: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.token)

    @property
    def tokens(self) -> int:
        return int(self.keep.sum())

    def to(self, device: torch.device) -> "Batch":
        rows = (self.token, self.keep, self.kind, self.example, self.start, self.length)
        return Batch(
            *(value.to(device) for value in rows), {name: value.to(device) for name, value in self.target.items()}
        )

    def mean(self, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the first row of each example, the mean of what is said [B, ...] of its windows [examples, ...], each as much as it is long)."""
        _, first, of = np.unique(self.example.cpu().numpy(), return_index=True, return_inverse=True)
        weight = self.length.cpu().numpy().astype(np.float64).reshape(-1, *[1] * (said.ndim - 1))
        total, weights = np.zeros((len(first), *said.shape[1:])), np.zeros((len(first), *weight.shape[1:]))
        np.add.at(total, of, weight * said)
        np.add.at(weights, of, weight)
        return first, total / weights


@dataclass(frozen=True)
class WindowSource:
    """The windows of a split, `chosen` by number (a window may come several times), and what is right of them."""

    texts: Texts
    cutting: Cutting
    windows: Windows
    chosen: np.ndarray
    targets: Targets

    @classmethod
    def of(cls, texts: Texts, cutting: Cutting, targets: Targets, times: np.ndarray | None = None) -> "WindowSource":
        """`times` int64 [examples]: how often each comes in an epoch; once where nothing is given."""
        windows = cutting.windows(texts.lengths)
        every = np.arange(len(windows))
        return cls(
            texts, cutting, windows, every if times is None else np.repeat(every, times[windows.example]), targets
        )

    def batches(self, *, batch_tokens: int, seed: int | None) -> LengthBatches:
        """Of windows in another order every epoch; without a seed all windows of an example are in one batch."""
        lengths = self._lengths(self.chosen)
        if seed is None:
            return self._whole(lengths, batch_tokens)
        source = LengthSource(len(self.chosen), int(lengths.sum()), lambda numbers: lengths[numbers], self.collate)
        return LengthBatches(source, batch_tokens=batch_tokens, seed=seed)

    def _whole(self, lengths: np.ndarray, batch_tokens: int) -> LengthBatches:
        of = self.windows.example
        tokens = np.bincount(of, lengths, len(self.texts)).astype(np.int64)
        count = np.bincount(of, minlength=len(self.texts))
        last = count.cumsum()

        def collate(examples: np.ndarray) -> Batch:
            return self.collate(np.concatenate([np.arange(last[n] - count[n], last[n]) for n in examples.tolist()]))

        source = LengthSource(len(self.texts), int(lengths.sum()), lambda numbers: tokens[numbers], collate)
        return LengthBatches(source, batch_tokens=batch_tokens, seed=None)

    def _lengths(self, numbers: np.ndarray) -> np.ndarray:
        windows = self.windows
        before = self.cutting.before(self.texts.lengths)
        return 2 + before[windows.example[numbers]] + windows.stop[numbers] - windows.start[numbers]

    def collate(self, numbers: np.ndarray) -> Batch:
        windows, tokenizer = self.windows, self.texts.tokenizer
        example, start, stop = (column[self.chosen[numbers]] for column in windows)
        places = list(zip(example.tolist(), start.tolist(), stop.tolist()))
        rows = [
            self.cutting.row(self._texts(one), first, last, begin=tokenizer.begin, end=tokenizer.end)
            for one, first, last in places
        ]
        arrays = padded(rows, tokenizer.pad)
        known = [(one, row, first) for (one, first, _), row in zip(places, rows)]
        target = self.targets(known, arrays["token"].shape[1])
        return Batch(
            *(torch.from_numpy(arrays[name]) for name in ("token", "keep", "kind")),
            *map(torch.from_numpy, (example, start, stop - start)),
            {name: torch.from_numpy(value) for name, value in target.items()},
        )  # fmt: skip

    def _texts(self, example: int) -> list[np.ndarray]:
        return [self.texts.tokens(example, text) for text in range(self.texts.texts)]
