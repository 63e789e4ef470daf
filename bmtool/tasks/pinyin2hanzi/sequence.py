"""The predictor of the encoder-decoders: they write one hanzi after the other, by beam search.

Shapes: B sentences, T positions, C candidates.
"""

import numpy as np

from bmtool.chinese.pinyin import COPY_CLASSES
from bmtool.predict.batches import batches
from bmtool.tasks.pinyin2hanzi.predict import Written
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice
from bmtool.tasks.pinyin2hanzi.vocab import COPY, INPUTS, SPECIALS, Vocabulary
from bmtool.text.seq2seq.decode import Backend, Constrained, Free, force, search
from bmtool.text.seq2seq.specials import PAD

EXTRA_STEPS = 10  # free generation may write so many tokens more than it read


class SequencePredictor:
    """Reads a lattice in one way, as it was typed: guesses are for models that can weigh them."""

    def __init__(self, vocabulary: Vocabulary, backend: Backend, decode: dict, max_length: int):
        self.vocabulary, self.backend, self.decode, self.max_length = vocabulary, backend, decode, max_length

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        ways = [_as_typed(lattice) for lattice in lattices]
        out = [[Written((), (), 0.0)] for _ in lattices]
        for numbers in batches([len(way) for way in ways]):
            source = _padded([[arc.number for arc in ways[n]] for n in numbers])
            found = search(
                self._stepper(source), beam=max(n_best, self.decode["beam"]),
                max_steps=source.shape[1] + (1 if self.decode["constrained"] else EXTRA_STEPS),
                length_penalty=self.decode["length_penalty"],
            )  # fmt: skip
            for number, hypotheses in zip(numbers, found):
                out[number] = [
                    self._written(ways[number], self._hanzi(h.tokens), h.log_probability) for h in hypotheses[:n_best]
                ]
        return out

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        """Given the reference before each; NaN under a copy, -inf where the hanzi is no candidate."""
        out: list[np.ndarray] = [np.zeros(0)] * len(sources)
        for numbers in batches([len(source) for source in sources]):
            source = _padded([sources[n] for n in numbers])
            allowed = candidates(self.vocabulary, source)
            target = _padded([[self._target(hanzi) for hanzi in references[n]] for n in numbers])
            log_p = force(Constrained(self.backend, source, allowed), target)
            log_p[allowed[:, :, 0] == COPY] = np.nan
            for row, number in zip(log_p, numbers):
                out[number] = row[: len(sources[number])]
        return out

    def _stepper(self, source_BT: np.ndarray) -> Free | Constrained:
        if self.decode["constrained"]:
            return Constrained(self.backend, source_BT, candidates(self.vocabulary, source_BT))
        return Free(self.backend, source_BT)

    def _target(self, hanzi: str | None) -> int:
        return COPY if hanzi is None else self.vocabulary.hanzi_id(hanzi)

    def _hanzi(self, tokens: tuple[int, ...]) -> list[str | None]:
        return [None if token == COPY else self.vocabulary.hanzi[token - SPECIALS] for token in tokens]

    def _written(self, arcs: list[Arc], hanzi: list[str | None], log_p: float) -> Written:
        """Free generation may write more or fewer hanzi than there are arcs: each text is laid on an arc of its own kind."""
        if self.decode["constrained"]:
            return Written(tuple(arcs), tuple(arc.word or text for arc, text in zip(arcs, hanzi)), log_p)
        copies = [arc for arc in arcs if not self.vocabulary.candidate_count(arc.number)]
        syllables = [arc for arc in arcs if self.vocabulary.candidate_count(arc.number)] or arcs
        laid: list[tuple[Arc, str | None]] = []
        written = 0
        for text in hanzi:
            if text is not None:
                laid.append((syllables[min(written, len(syllables) - 1)], text))
                written += 1
            elif copies:
                laid.append((copies.pop(0), None))
        return Written(tuple(arc for arc, _ in laid), tuple(text for _, text in laid), log_p)


def candidates(vocabulary: Vocabulary, source_BT: np.ndarray) -> np.ndarray:
    """The hanzi ids [B, T, C] that may stand at each position, PAD where there is none; of a copy, COPY alone."""
    pairs = vocabulary.pairs_of(source_BT)
    allowed = np.where(pairs >= 0, vocabulary.pair_target[pairs], PAD)
    allowed[(pairs[:, :, 0] < 0) & (source_BT != PAD), 0] = COPY
    return allowed


def _padded(rows: list[list[int]]) -> np.ndarray:
    """int64 [B, T], PAD behind the shorter ones."""
    out = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for row, values in zip(out, rows):
        row[: len(values)] = values
    return out


def _as_typed(lattice: Lattice) -> list[Arc]:
    """The way without guesses that has the fewest arcs, and of those the one whose first syllables are longer; or the copy."""
    best: list[tuple[int, tuple[int, ...], list[Arc]] | None] = [(0, (), []), *[None] * lattice.size]
    for arc in lattice.arcs:
        if (before := best[arc.start]) is not None and (not arc.cost or INPUTS[arc.number] in COPY_CLASSES):
            way = (before[0] + 1, (*before[1], arc.start - arc.end), [*before[2], arc])
            if best[arc.end] is None or way[:2] < best[arc.end][:2]:
                best[arc.end] = way
    return best[-1][2]
