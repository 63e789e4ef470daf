"""The tagger's predictor: the network's opinion of every position, searched together with the n-gram model.

A lattice with several ways is first searched without the network; the network then reads the best few of the ways. Shapes: B
sentences, T positions, C candidates, N candidates of all positions.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bmtool.ngram.model import NgramModel
from bmtool.predict.batches import batches
from bmtool.tasks.pinyin2hanzi.channel import BOUNDARY, Candidates, Channel
from bmtool.tasks.pinyin2hanzi.decode import Found, Path, search, window
from bmtool.tasks.pinyin2hanzi.predict import Written
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice, linear, straighten
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary
from bmtool.text.seq2seq.specials import PAD

FLOOR = -14.0  # log-probability: the network rules nothing out
RULED_OUT = -12.0  # log-probability: what the network finds less likely is not searched
WAYS = 3  # ways through a lattice that the network reads
ALTERNATIVES = 3  # paths a line is searched for at least, so that there is something to compare the best with


class Backend(Protocol):
    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        """Log-probabilities [B, T, C] of each position's candidate pairs (-1: none), given the hanzi ids that are known."""


class Weighed(NamedTuple):
    """A candidate of one position, everything else given: its probability, and what each part says, in nats."""

    text: str
    probability: float
    ngram: float
    reading: float
    network: float


class TaggerPredictor:
    def __init__(  # noqa: PLR0913
        self,
        vocabulary: Vocabulary,
        backend: Backend,
        ngram: NgramModel,
        tones: np.ndarray,
        decode: dict,
        max_length: int,
    ):
        self.vocabulary, self.backend, self.ngram = vocabulary, backend, ngram
        self.decode, self.max_length = decode, max_length
        self.channel = Channel(vocabulary, tones)

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        out = [[Written((), (), 0.0)] for _ in lattices]
        for numbers in batches([lattice.size for lattice in lattices]):
            for number, found in zip(numbers, self._write([lattices[n] for n in numbers], n_best)):
                out[number] = found
        return out

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        out: list[np.ndarray] = [np.zeros(0)] * len(sources)
        for numbers in batches([len(source) for source in sources]):
            batch = [linear(sources[n]) for n in numbers]
            candidates = self.channel.candidates(batch)
            log_p, first = self.network(batch, candidates), candidates.first
            for n in numbers:
                pairs = self._pairs(sources[n], references[n])
                column = np.maximum(pairs - self.vocabulary.pair_start[sources[n]], 0)
                out[n] = np.where(pairs >= 0, log_p[first[: len(pairs)] + column], -np.inf)
                out[n][[hanzi is None for hanzi in references[n]]] = np.nan
                first = first[len(pairs) :]
        return out

    def _write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        ways = self._ways(lattices)
        straight = [straighten(arcs) for line in ways for arcs in line]
        candidates = self.channel.candidates(straight)
        network = np.maximum(self.network(straight, candidates), FLOOR)
        candidates.score += self.decode["network_weight"] * network
        candidates = candidates.only(likely(network, candidates.first, n_best))
        read = iter(zip(straight, self._search(straight, candidates, n_best, least=n_best)))
        return [self._ranked([next(read) for _ in line], candidates, n_best) for line in ways]

    def _search(self, lattices: list[Lattice], candidates: Candidates, n_best: int, least: int = 1) -> list[Found]:
        return search(
            self.ngram, lattices, candidates, beam=self.decode["beam"], n_best=n_best, before=np.zeros(len(lattices), np.int64),
            temperature=self.decode["temperature"], least=least,
        )  # fmt: skip

    def _ways(self, lattices: list[Lattice]) -> list[list[list[Arc]]]:
        """For each lattice the arcs of the ways that the network shall read."""
        ways = [[list(lattice.arcs)] for lattice in lattices]
        several = [number for number, lattice in enumerate(lattices) if not lattice.is_linear]
        if several:
            chosen = [lattices[number] for number in several]
            found = self._search(chosen, self.channel.candidates(chosen), self.decode["beam"])
            for number, (paths, _) in zip(several, found):
                different = dict.fromkeys(path.arcs for path in paths)
                ways[number] = [[lattices[number].arcs[arc] for arc in arcs] for arcs in list(different)[:WAYS]]
        return ways

    def _ranked(self, read: list[tuple[Lattice, Found]], candidates: Candidates, n_best: int) -> list[Written]:
        """The `n_best` best paths of one line, read in several ways, with their log-probabilities among all paths of these."""
        total = np.logaddexp.reduce([found.log_mass for _, found in read])
        paths = sorted(
            ((lattice, path) for lattice, found in read for path in found.paths), key=lambda way: -way[1].score
        )
        return [
            Written(
                lattice.arcs,
                self._texts(lattice.arcs, path, candidates),
                float(path.score / self.decode["temperature"] - total),
            )
            for lattice, path in paths[:n_best]
        ]

    def _texts(self, arcs: Sequence[Arc], path: Path, candidates: Candidates) -> tuple[str | None, ...]:
        pairs = candidates.pair[list(path.candidates)]
        return tuple(
            self.vocabulary.pair_hanzi[pair] if pair >= 0 else arc.word or None
            for arc, pair in zip(arcs, pairs.tolist())
        )

    def weigh(self, written: Written) -> list[list[Weighed]]:
        """For every hanzi and copy of a way its candidates, likeliest first: p(hanzi here | the other hanzi, all syllables)."""
        lattice = straighten(list(written.arcs))
        candidates = self.channel.candidates([lattice])
        network = np.maximum(self.network([lattice], candidates), FLOOR)
        symbols = np.array([self.channel.symbols(text)[0] if text else BOUNDARY for text in self._each(written)])
        history = np.zeros(1, np.int64)
        out = []
        for place, symbol in enumerate(symbols):
            rows = slice(candidates.first[place], candidates.first[place + 1])
            following = np.append(symbols[place + 1 : place + self.ngram.order], BOUNDARY)[: self.ngram.order - 1]
            ngram = window(self.ngram, history, candidates.symbols[rows, -1], following)
            out.append(self._weighed(candidates, rows, ngram, network[rows]))
            history = self.ngram.extend(history, np.array([symbol]))
        return out

    def doubt(
        self, sources: list[list[int]], texts: list[list[str | None]], threshold: float
    ) -> list[list[str | None]]:
        """The hanzi of each text, exchanged where the rest speaks for another one of the same syllable by more than `threshold` nats.

        `sources` are the input numbers of `texts`, which hold None for copies. The network sees the text as it stands.
        """
        out: list[list[str | None]] = [[] for _ in texts]
        for numbers in batches([len(source) for source in sources]):
            better = self._doubt([sources[n] for n in numbers], [texts[n] for n in numbers], threshold)
            for number, text in zip(numbers, better):
                out[number] = text
        return out

    def _doubt(
        self, sources: list[list[int]], texts: list[list[str | None]], threshold: float
    ) -> list[list[str | None]]:
        """`doubt` of one batch: a search in which what stands there gains `threshold`."""
        lattices = [linear(source) for source in sources]
        seen = [_showing(lattice, text) for lattice, text in zip(lattices, texts)]
        given = [self._pairs(source, text) for source, text in zip(sources, texts)]
        candidates = self.channel.candidates(lattices)
        candidates.score += self.decode["network_weight"] * np.maximum(self.network(seen, candidates), FLOOR)
        place = np.repeat(np.arange(sum(map(len, given))), np.diff(candidates.first))
        candidates.score += threshold * (candidates.pair == np.concatenate(given)[place])
        found = [candidates.pair[list(paths[0].candidates)] for paths, _ in self._search(lattices, candidates, 1)]
        return [
            [self.vocabulary.pair_hanzi[new] if old >= 0 else h for new, old, h in zip(best, pairs, text)]
            for best, pairs, text in zip(found, given, texts)
        ]

    def _pairs(self, source: list[int], text: list[str | None]) -> np.ndarray:
        """The pair of each hanzi with its syllable, -1 when it is none."""
        return np.array([self.vocabulary.pair_id(number, h) if h else -1 for number, h in zip(source, text)], np.int64)

    def _each(self, written: Written) -> Iterator[str | None]:
        for arc, text in zip(written.arcs, written.texts):
            yield from text if arc.numbers else [text]

    def _weighed(self, candidates: Candidates, rows: slice, ngram: np.ndarray, network: np.ndarray) -> list[Weighed]:
        reading = candidates.score[rows]
        total = (ngram + reading + self.decode["network_weight"] * network) / self.decode["temperature"]
        p = np.exp(total - total.max())
        names = [self.vocabulary.pair_hanzi[pair] if pair >= 0 else "" for pair in candidates.pair[rows]]
        columns = zip(names, (p / p.sum()).tolist(), ngram.tolist(), reading.tolist(), network.tolist())
        return sorted((Weighed(*row) for row in columns), key=lambda w: -w.probability)

    def network(self, lattices: list[Lattice], candidates: Candidates) -> np.ndarray:
        """The network's log-probability [N] of every candidate of linear lattices; 0 where there is nothing to choose."""
        lengths = [lattice.size for lattice in lattices]
        at = np.repeat(np.arange(len(lattices)), lengths), np.concatenate([np.arange(n) for n in lengths])
        source, known = (np.full((len(lattices), max(lengths)), PAD, np.int64) for _ in range(2))
        source[at] = [arc.number for lattice in lattices for arc in lattice.arcs]
        known[at] = [
            self.vocabulary.hanzi_id(arc.word) if arc.word else PAD for lattice in lattices for arc in lattice.arcs
        ]
        size = np.diff(candidates.first)
        position = np.repeat(np.arange(len(size)), size)
        # The softmax is over all candidates of the syllable, also when only some of them may stand here.
        log_p = self.backend.log_p(source, known, self.vocabulary.pairs_of(source))
        column = candidates.pair - self.vocabulary.pair_start[source[at]][position]
        real = candidates.pair >= 0
        out = np.zeros(len(position))
        out[real] = log_p[at[0][position[real]], at[1][position[real]], column[real]]
        return out


def _showing(lattice: Lattice, text: list[str | None]) -> Lattice:
    """A linear lattice with the hanzi of a text as known."""
    return straighten([arc._replace(word=hanzi or "") for arc, hanzi in zip(lattice.arcs, text)])


def likely(network: np.ndarray, first: np.ndarray, least: int) -> np.ndarray:
    """Which candidates the network leaves for the search, bool [N]: those above RULED_OUT, and of each arc the `least` best."""
    kept = network > RULED_OUT
    arc = np.repeat(np.arange(len(first) - 1), np.diff(first))
    best = np.lexsort((-network, arc))
    kept[best[np.arange(len(best)) - first[arc] < least]] = True
    return kept


class OnnxTagger:
    def __init__(self, session: Any):
        self.session = session

    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        return self.session.run(["log_p"], {"source": source_BT, "known": known_BT, "pairs": pairs_BTC})[0]
