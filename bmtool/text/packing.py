"""Batches of a language model: rows out of the stream of all documents to learn from, whole documents to measure on.

A document begins with one token and ends with another, and nothing crosses from one to the next: neither attention nor positions.
Shapes: B rows, T tokens, W tokens of a row as it is stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bmtool.data.batching import LengthBatches, LengthSource
from bmtool.data.packing import Cut, Rows, Windows
from bmtool.data.shards import Shards
from bmtool.text.chat.turns import ANSWERS, BEGINS
from bmtool.text.tokenizer import Tokenizer

NOTHING = -1  # a target that is not asked for; the document of padding


@dataclass
class Batch:
    """All int64 [B, T]: `tokens`, their `places` in their documents, the numbers of these `documents` in the row, and the `target`."""

    token: Tensor
    place: Tensor
    document: Tensor
    target: Tensor

    @property
    def size(self) -> int:
        return len(self.token)

    @property
    def tokens(self) -> int:
        return int((self.document != NOTHING).sum())

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(value.to(device) for value in (self.token, self.place, self.document, self.target)))

    def keep(self, *, causal: bool) -> Tensor | None:
        """Which tokens see which, [B, 1, T, T]; None where all do, or all those before."""
        if not (self.document != self.document[:, :1]).any():
            return None
        same = self.document[:, :, None] == self.document[:, None, :]
        return (same.tril() if causal else same)[:, None]


class Read(NamedTuple):
    """What of a row is seen and what asked for, int64 [B, T] each."""

    token: np.ndarray
    target: np.ndarray


def documents(tokens_BW: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The number of each token's document in its row. One begins where its first token stands behind the last of another."""
    begins = np.zeros(tokens_BW.shape, np.int64)
    begins[:, 1:] = (tokens_BW[:, 1:] == tokenizer.begin) & (tokens_BW[:, :-1] == tokenizer.end)
    return begins.cumsum(axis=1)


def batch(read: Read, document_BT: np.ndarray) -> Batch:
    first = np.ones(document_BT.shape, bool)
    first[:, 1:] = document_BT[:, 1:] != document_BT[:, :-1]
    count = np.arange(document_BT.shape[1])
    place = count - np.maximum.accumulate(np.where(first, count, 0), axis=1)
    return Batch(*map(torch.from_numpy, (read.token, place, document_BT, read.target)))


def next_tokens(tokens_BW: np.ndarray, document_BW: np.ndarray) -> tuple[Read, np.ndarray]:
    """Each token sees what is next in its document; (what is seen and asked for, documents), T = W - 1."""
    asked = document_BW[:, 1:] == document_BW[:, :-1]
    target = np.where(asked & (document_BW[:, 1:] != NOTHING), tokens_BW[:, 1:], NOTHING)
    return Read(tokens_BW[:, :-1], target), document_BW[:, :-1]


def answers(tokens_BW: np.ndarray, turns_BW: np.ndarray) -> tuple[Read, np.ndarray]:
    """As `next_tokens`, of dialogues: only what the assistant says is asked for, where what it answers stands in the row."""
    document = ((turns_BW & BEGINS) > 0).cumsum(axis=1)
    read, document_BT = next_tokens(tokens_BW, document)
    asked = ((turns_BW[:, 1:] & ANSWERS) > 0) & (document_BT > 0)
    return read._replace(target=np.where(asked, read.target, NOTHING)), document_BT


class Stream:
    """All documents of a split, one after the other. They are the examples, or begin and end at the examples that `documents`, int64
    [documents + 1], names; these are stored with line ends around them, where a document has what begins and ends it."""

    def __init__(self, shards: Shards, tokenizer: Tokenizer, documents: np.ndarray | None = None):
        self._shards, self.tokenizer, self.tokens = shards, tokenizer, shards.tokens
        self._within = None if documents is None else shards.bounds()[documents]

    @cached_property
    def bounds(self) -> np.ndarray:
        """Where each document begins, and the last ends; int64 [documents + 1]."""
        return self._shards.bounds() if self._within is None else self._within

    def span(self, start: int, stop: int) -> np.ndarray:
        """Tokens int64."""
        out = self._shards.span("tokens", start, stop).astype(np.int64)
        if self._within is not None:
            for ahead, token in ((0, self.tokenizer.begin), (1, self.tokenizer.end)):
                first, last = np.searchsorted(self._within, [start + ahead, stop + ahead])
                out[self._within[first:last] - start - ahead] = token
        return out

    def rows(self, starts: np.ndarray, width: int) -> np.ndarray:
        """int64 [rows, width]."""
        return np.stack([self.span(start, start + width) for start in starts.tolist()])

    def words(self, starts: np.ndarray, width: int) -> np.ndarray:
        """Which tokens begin a word, bool [rows, width]."""
        return np.stack([self._shards.span("words", start, start + width) for start in starts.tolist()]).astype(bool)

    def turns(self, start: int, stop: int) -> np.ndarray:
        """Of dialogues, uint8: see ANSWERS and BEGINS."""
        return self._shards.span("turns", start, stop)


class PackedBatches:
    """Rows to learn from; `make` makes a batch of (tokens [B, W], position, where the rows begin)."""

    def __init__(self, stream: Stream, rows: Rows, make: Callable[[np.ndarray, int, np.ndarray], Batch]):
        self._stream, self._rows, self._make = stream, rows, make
        self.examples, self.per_epoch = rows.rows, rows.per_epoch

    def __getitem__(self, position: int) -> Batch:
        starts = self._rows[position]
        return self._make(self._stream.rows(starts, self._rows.width), position, starts)


def whole_batches(
    stream: Stream, cut: Cut, *, batch_tokens: int, make: Callable[[list[tuple[int, int]]], Batch]
) -> LengthBatches:
    """Every document whole, in windows where it is too long: what is measured on. `make` makes a batch of places from start to stop."""
    windows = Windows(stream.bounds, cut)

    def collate(numbers: np.ndarray) -> Batch:
        places = zip(windows.starts[numbers].tolist(), windows.lengths[numbers].tolist())
        return make([(start, start + length) for start, length in places])

    tokens = int(windows.lengths.sum())
    counted = LengthSource(len(windows), tokens, lambda numbers: windows.lengths[numbers], collate)
    return LengthBatches(counted, batch_tokens=batch_tokens, seed=None)


def padded(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """int64 [rows, longest]."""
    out = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for target, row in zip(out, rows):
        target[: len(row)] = row
    return out


def measured_next(rows: Sequence[np.ndarray], tokenizer: Tokenizer, asked: Sequence[np.ndarray] | None = None) -> Batch:
    """Rows to be measured on: what is next; of `asked`, bool [tokens] of each row, the tokens that count."""
    document = padded([np.zeros(len(row), np.int64) for row in rows], NOTHING)
    read, document = next_tokens(padded(rows, tokenizer.pad), document)
    if asked is not None:
        read = read._replace(target=np.where(padded(asked, 0)[:, 1:] > 0, read.target, NOTHING))
    return batch(read, document)


def measured_masked(rows: Sequence[tuple[np.ndarray, np.ndarray]], tokenizer: Tokenizer) -> Batch:
    """Rows to be measured on, (tokens with masks, targets): what stands under the masks."""
    document = padded([np.zeros(len(seen), np.int64) for seen, _ in rows], NOTHING)
    read = Read(padded([seen for seen, _ in rows], tokenizer.pad), padded([target for _, target in rows], NOTHING))
    return batch(read, document)
