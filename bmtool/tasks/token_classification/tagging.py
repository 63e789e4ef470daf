"""What is right of batches of windows: tags of tokens, and the spans of whole texts. Numpy only.

Shapes: B windows, T tokens, S spans, F features of a lexicon.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bmtool.nn import tags
from bmtool.tasks.token_classification.lexicon import Lexicon
from bmtool.tasks.token_classification.places import covered, places
from bmtool.text.labelled.store import Texts
from bmtool.text.labelled.windows import Row

NOTHING = -100  # the tag of a token of which nothing is asked, and the place and span of none


class _Known(NamedTuple):
    """Of all tokens of a text: the tag [T], the bounds of the place that each speaks for [T, 2], from which token to which the span goes
    that it is in [T, 2], and what a lexicon says [T, F]; of the text its spans [S, 3] with the number of their type."""

    tag: np.ndarray
    place: np.ndarray
    reach: np.ndarray
    words: np.ndarray | None
    truth: np.ndarray


class Tagging:
    """`Targets` of a split: `tag` [B, T], `place` [B, T, 2], `truth` [B, S, 3] and with a lexicon `words` [B, T, F]."""

    def __init__(self, texts: Texts, types: Sequence[str], lexicon: Lexicon | None):
        self.texts, self.lexicon = texts, lexicon
        self._number = {label: number for number, label in enumerate(types)}

    def __call__(self, rows: Sequence[tuple[int, Row, int]], longest: int) -> dict[str, np.ndarray]:
        known = {example: self._known(example) for example in {example for example, _, _ in rows}}
        most = max((len(one.truth) for one in known.values()), default=0)
        out = {
            "tag": np.full((len(rows), longest), NOTHING),
            "place": np.full((len(rows), longest, 2), NOTHING),
            "truth": np.full((len(rows), most, 3), NOTHING),
        }
        if self.lexicon is not None:
            out["words"] = np.zeros((len(rows), longest, self.lexicon.features), np.float32)
        for number, (example, row, start) in enumerate(rows):
            held, there = known[example], slice(row.at, row.at + row.length)
            seen = slice(start, start + row.length)
            # Of a span that goes on beyond the window it cannot be said where it begins or ends.
            cut = (held.reach[seen, 0] < seen.start) | (held.reach[seen, 1] > seen.stop)
            out["tag"][number, there] = np.where(cut, NOTHING, held.tag[seen])
            out["place"][number, there] = held.place[seen]
            out["truth"][number, : len(held.truth)] = held.truth
            if held.words is not None:
                out["words"][number, there] = held.words[seen]
        return out

    def _known(self, example: int) -> _Known:
        draft = self.texts.drafts[example]
        text, right = draft.texts[0], [(start, end, self._number[label]) for start, end, label in draft.target]
        tokens = self.texts.tokenizer.spans(text)[1]
        held, count = places(text, tokens), len(tokens)
        chosen = covered(right, held.bounds)
        tag, place = np.full(count, NOTHING), np.full((count, 2), NOTHING)
        tag[held.first], place[held.first] = tags.numbers(chosen, len(held.first)), held.bounds
        reach = np.stack([np.arange(count), np.arange(count) + 1], axis=1)
        ends = np.append(held.first, count)
        for begin, stop, _ in chosen:
            reach[ends[begin] : ends[stop]] = ends[begin], ends[stop]
        words = None if self.lexicon is None else self.lexicon.of_tokens(text, tokens)
        return _Known(tag, place, reach, words, np.array(right, np.int64).reshape(-1, 3))
