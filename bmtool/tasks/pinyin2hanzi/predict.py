"""Typed pinyin to text, whatever the model. Numpy only: the same code serves PyTorch runs and exported models, a line or a test set.

Shapes: B sentences, T positions, C candidates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from typing_extensions import NotRequired

from bmtool.base.suggest import suggest
from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import Token
from bmtool.chinese.traditional import to_traditional
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.nn import search
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.values import Text
from bmtool.tasks.pinyin2hanzi import typed
from bmtool.tasks.pinyin2hanzi.config import Decode, Options
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice, linear
from bmtool.tasks.pinyin2hanzi.typed.lexicon import Lexicon, load
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS, Held, Vocabulary

LONG = (
    2048  # places of a line from which on it is written bit by bit, and progress told: it may take seconds for so many
)


class About(exported.About):
    kind: str
    vocabulary: Held
    decode: Decode
    max_length: int
    # of an encoder-decoder: the shape of an empty state, and what of it moves
    state: NotRequired[dict[str, list[int]]]
    moving: NotRequired[list[str]]


class Way(NamedTuple):
    """One way to write an example: a hanzi a position, None where a copy stands."""

    hanzi: tuple[str | None, ...]
    log_probability: float


class Written(NamedTuple):
    """One way to write a part: arcs with the text that stands on each, None for the copy of the arc's token."""

    arcs: tuple[Arc, ...]
    texts: tuple[str | None, ...]
    log_probability: float


@dataclass(frozen=True)
class Translation:
    """One line of output.

    `n_best` is (text, probability), best first; `unread` are copied words that look like mistyped pinyin; `ways` are the parts of the
    line, each with what the best text was made of.
    """

    text: str
    n_best: list[tuple[str, float]]
    unread: list[str] = field(default_factory=list)
    ways: list[tuple[typed.Part, Written]] = field(default_factory=list)

    @property
    def confidence(self) -> float:
        """The probability of the best text."""
        return self.n_best[0][1]


@dataclass(frozen=True)
class Wishes:
    """What a user may want beyond plain reading."""

    fuzzy: tuple[str, ...] = ()  # names of typed.FUZZY
    initials: bool = False  # initials may stand for syllables
    lexicon: Lexicon | None = None
    context: str = ""  # text that stands before the line


class Model(Protocol):
    """A trained model with what it needs to read pinyin and write text."""

    vocabulary: Vocabulary
    max_length: int

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        """Up to `n_best` ways to write each, best first."""

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        """What the network gives every reference hanzi; NaN under a copy, -inf where it is no candidate."""


def best_ways(predictor: Model, sources: list[list[int]], n_best: int) -> list[list[Way]]:
    """The best readings of each example (input numbers), best first."""
    found = predictor.write([linear(source) for source in sources], n_best)
    return [[Way(w.texts, w.log_probability) for w in ways] for ways in found]


def translate(
    predictor: Model, lines: Sequence[str], n_best: int = 1, wishes: Wishes = Wishes(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Translation]:  # fmt: skip
    """Each line of typed pinyin as text, with up to `n_best` ways to write it. An empty line stays empty.

    `progress` hears how many places of how many are written when a line has more than LONG.
    """
    parts = [
        typed.read(
            line, predictor.vocabulary, max_length=predictor.max_length, fuzzy=wishes.fuzzy, initials=wishes.initials,
            lexicon=wishes.lexicon, context=wishes.context,
        )
        for line in lines
    ]  # fmt: skip
    lattices = [part.lattice for line in parts for part in line]
    longest = max((sum(part.lattice.size for part in line) for line in parts), default=0)
    written = (
        iter(predictor.write(lattices, n_best))
        if longest <= LONG
        else _bit_by_bit(predictor, lattices, n_best, progress)
    )
    return [_translation(line, [next(written) for _ in line], n_best) for line in parts]


def _bit_by_bit(
    predictor: Model, lattices: list[Lattice], n_best: int, progress: Callable[[int, int], None]
) -> Iterator[list[Written]]:
    """The ways to write each lattice, about LONG places at a time."""
    ends = np.cumsum([lattice.size for lattice in lattices])
    group = (ends - 1) // LONG
    for number in np.unique(group).tolist():
        here = np.flatnonzero(group == number)
        found = predictor.write([lattices[n] for n in here.tolist()], n_best)
        progress(int(ends[here[-1]]), int(ends[-1]))
        yield from found


def _translation(parts: list[typed.Part], written: list[list[Written]], n_best: int) -> Translation:
    texts: dict[str, float] = {}
    best: list[tuple[typed.Part, Written]] = []
    for choice, log_p in search.merge(written, n_best):
        ways = [(part, options[i]) for part, options, i in zip(parts, written, choice)]
        best = best or ways
        text = pinyin.join([piece for way in ways for piece in _pieces(*way)])
        texts[text] = texts.get(text, 0.0) + float(np.exp(log_p))
    unread = [token.text for way in best for _, token in _pieces(*way) if pinyin.looks_mistyped(token)]
    return Translation(next(iter(texts)), list(texts.items()), unread, best)


def _pieces(part: typed.Part, written: Written) -> Iterator[tuple[str, Token]]:
    """(text, token) of everything that a way writes, without the context; copies that it lacks stand at the end."""
    copies = [unit for unit, token in enumerate(part.tokens) if token.is_copy and unit >= part.given]
    for arc, text in zip(written.arcs, written.texts):
        token = part.tokens[arc.unit]
        if arc.unit < part.given:
            continue
        if text is not None:
            yield text, Token(text, "hanzi", False, token.start)
        else:
            if arc.unit in copies:
                copies.remove(arc.unit)
            copy = token if token.is_copy else _inside(token, *arc.span)
            yield copy.text, copy
    for unit in copies:
        yield part.tokens[unit].text, part.tokens[unit]


def _inside(token: Token, start: int, end: int) -> Token:
    """The letters of a word from `start` to `end` of the line, that are copied."""
    text = token.text[start - token.start : end - token.start]
    return Token(text, "latin", token.spaced and start == token.start, start)


# --- the predictor ---

EXPLAINED = 5  # candidates of a position
PROBE_LENGTHS = (1, 5, 12, 40)


class Translator:
    """Lines of pinyin to texts, by any model."""

    def __init__(self, model: Model):
        self.model = model
        self.progress: Callable[[int, int], None] = lambda done, total: None

    def read(self, raw: Any) -> str:
        if not isinstance(raw, str):
            raise BadInput("no text")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in raw):
            raise BadInput("half a surrogate pair")
        return raw

    def facts(self) -> dict:
        """What a model card says of it."""
        return {"hanzi": len(self.model.vocabulary.hanzi)}

    def probes(self, count: int) -> list[str]:
        """Syllables of the vocabulary drawn at random, always the same."""
        random, vocabulary = np.random.default_rng(0), self.model.vocabulary
        syllables = [name for number, name in enumerate(INPUTS) if vocabulary.candidate_count(number)]
        lengths = [min(PROBE_LENGTHS[n % len(PROBE_LENGTHS)], self.model.max_length) for n in range(count)]
        return [" ".join(random.choice(syllables, length)) for length in lengths]

    def predict(self, lines: Sequence[str], options: Options = Options()) -> list[Text]:
        found = self.translate(lines, options)
        texts = [Text(tuple(one.n_best), tuple(one.unread), self._details(one, options)) for one in found]
        return [_traditional(text) for text in texts] if options.traditional else texts

    def translate(self, lines: Sequence[str], options: Options) -> list[Translation]:
        lexicon = _lexicon(options.lexicon, _changed(options.lexicon)) if options.lexicon else None
        wishes = Wishes(fuzzy_names(options.fuzzy), options.initials, lexicon, options.context)
        return translate(self.model, lines, options.n_best, wishes, self.progress)

    def _details(self, translation: Translation, options: Options) -> dict[str, Any]:
        if not options.alternatives:
            return {}
        return {"syllables": [_syllable(position) for position in self.alternatives(translation)]}

    @property
    def weighs(self) -> bool:
        """Whether the model has candidates to compare: a tagger has, an encoder-decoder has not."""
        return hasattr(self.model, "weigh")

    def explained(self, line: str, options: Options) -> Iterator[str]:
        """A line for each hanzi: how likely each candidate is with the rest as it stands, and what the n-grams, the reading and the
        network say of it, in nats."""
        for position in self.alternatives(self.translate([line], options)[0]):
            shown = "  ".join(
                f"{c.text} {c.probability:.3f} ({c.ngram:.1f} {c.reading:+.1f} {c.network:+.1f})"
                for c in position["candidates"][:EXPLAINED]
            )
            yield f"    {position['pinyin']:7}{position['text']}   {shown}"

    def alternatives(self, translation: Translation) -> list[dict]:
        """For every hanzi of the best text its place in the line, its syllable, and what could stand there, likeliest first."""
        if not self.weighs:
            raise ConfigError("this model has no candidates to compare: that needs a tagger")
        out = []
        for part, written in translation.ways:
            weighed = iter(self.model.weigh(written))
            for arc, text in zip(written.arcs, written.texts):
                for place, hanzi in enumerate(text or " "):
                    candidates = next(weighed)
                    if text is not None and arc.unit >= part.given:
                        out.append(_position(arc, place, hanzi, candidates))
        return out


def predictor(about: dict, backend: Backend, assets: Assets) -> Translator:
    """Of a run or an export; a tagger's tables are among the assets."""
    from bmtool.tasks.pinyin2hanzi import kinds

    vocabulary = Vocabulary.from_dict(about["vocabulary"], "the model")
    return Translator(kinds.KINDS[about["kind"]].predictor(vocabulary, about, backend, assets))


def _position(arc: Arc, place: int, hanzi: str, candidates: list) -> dict:
    syllable = INPUTS[(arc.numbers or (arc.number,))[place]]
    return {"start": arc.span[0], "end": arc.span[1], "pinyin": syllable, "text": hanzi, "candidates": candidates}


def _syllable(position: dict) -> dict:
    shown = [{"text": c.text, "probability": round(c.probability, 6)} for c in position["candidates"][:EXPLAINED]]
    return {key: position[key] for key in ("start", "end", "pinyin", "text")} | {"alternatives": shown}


def fuzzy_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of fuzzy sounds; `all` stands for every one."""
    for name in names:
        if name not in typed.FUZZY and name != "all":
            known = ", ".join(typed.FUZZY)
            raise ConfigError(f"unknown fuzzy sound {name!r}{suggest(name, typed.FUZZY)} (known are {known}, all)")
    return tuple(typed.FUZZY) if "all" in names else tuple(names)


def _changed(path: str) -> float:
    """When a file was changed, 0 where there is none."""
    return Path(path).stat().st_mtime if Path(path).is_file() else 0.0


@lru_cache(maxsize=4)
def _lexicon(path: str, changed: float) -> Lexicon:
    return load(Path(path))


def _traditional(text: Text) -> Text:
    return replace(text, n_best=tuple((to_traditional(way), p) for way, p in text.n_best))


# --- several models ---


class _Vote:
    """Several models as one: ways to write a line that several of them find add up their probabilities."""

    def __init__(self, members: Sequence[Model], weights: Sequence[float]):
        self.members, self.weights = list(members), np.log(np.array(weights) / sum(weights))
        self.vocabulary, self.max_length = members[0].vocabulary, min(member.max_length for member in members)

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        each = [member.write(lattices, max(n_best, 5)) for member in self.members]
        return [self._merged(found)[:n_best] for found in zip(*each)]

    def _merged(self, found: Sequence[list[Written]]) -> list[Written]:
        held: dict[tuple, Written] = {}
        for weight, ways in zip(self.weights, found):
            for way in ways:
                log_p = way.log_probability + weight
                if (before := held.get(way.texts)) is not None:
                    log_p = float(np.logaddexp(log_p, before.log_probability))
                held[way.texts] = way._replace(log_probability=log_p)
        return sorted(held.values(), key=lambda way: -way.log_probability)

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        each = [member.log_probabilities(sources, references) for member in self.members]
        with np.errstate(invalid="ignore"):  # NaN stands under copies
            return [np.logaddexp.reduce([p + w for p, w in zip(found, self.weights)]) for found in zip(*each)]


def combine(translators: Sequence[Translator], weights: Sequence[float]) -> Translator:
    """Several models vote. DataError unless they know the same hanzi, by name."""
    vocabularies = {translator.model.vocabulary.sha256 for translator in translators}
    if len(vocabularies) > 1:
        raise DataError("the models differ in their vocabulary: they cannot vote")
    return Translator(_Vote([translator.model for translator in translators], weights))
