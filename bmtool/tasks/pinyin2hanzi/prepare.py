"""From raw text or pairs to labelled, indexed shards, and from shards to batches.

A prepared directory holds, for each split, the fields `source` (input numbers), `hanzi` (code points, 0 under a copy) and `tone` (1 to
5, 0 where unknown, plus GUESSED), `vocab.json`, `readings.tsv`, and `manifest.json`, which is written last: a directory without it
is not prepared.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bmtool.base.console import Console
from bmtool.base.files import write_text
from bmtool.chinese import variants
from bmtool.chinese.hanzi import hanzi_mask
from bmtool.chinese.pinyin import COPY_CLASSES, VERSION, WORD, Token, copy_class, tokenise_pinyin
from bmtool.chinese.readings import labeller, load_dictionary
from bmtool.data.shards import Shards
from bmtool.data.tally import Tally
from bmtool.tasks.pinyin2hanzi import report, vocab
from bmtool.tasks.pinyin2hanzi.config import Config, Data
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, INPUTS, Vocabulary, input_id
from bmtool.text import prepared, recipe
from bmtool.text.characters import Text
from bmtool.text.keys import mix
from bmtool.text.prepare import changed as changed_text
from bmtool.text.prepare import prepare as prepare_text
from bmtool.text.sources import File
from bmtool.text.task import Counts, Encoded, TextTask

NAME = "pinyin2hanzi"
FIELDS = ("source", "hanzi", "tone")
PAIR = ("pinyin", "hanzi")
UNCERTAIN = "uncertain reading"
GUESSED = 8  # added to the tone of a hanzi of several readings that no phrase settles


# --- sentences to numbers ---


@functools.lru_cache(maxsize=1)
def _first_input() -> np.ndarray:
    """For a character that begins a token, the input number of its class as a copy; 0 for white space. uint16 [65536]."""
    table = np.full(1 << 16, INPUT_ID["<symbol>"], np.uint16)
    for code in range(1 << 16):
        character = chr(code)
        if character.isspace():
            table[code] = 0
        elif word := WORD.match(character):
            table[code] = INPUT_ID[f"<{word.lastgroup}>"]
        else:
            table[code] = INPUT_ID[copy_class(Token(character, "other", False))]
    return table


def tokens(text: Text) -> tuple[np.ndarray, np.ndarray]:
    """(position in the text, input number as a copy) of every token of hanzi text, as `pinyin.tokenise` cuts it."""
    codes = text.codes
    first = _first_input()[np.where(codes < (1 << 16), codes, 0xFFFD)]
    for match in WORD.finditer(text.joined):
        first[match.start() + 1 : match.end()] = 0
    at = np.flatnonzero(first)
    return at, first[at]


class _Tokens(NamedTuple):
    """The tokens of some sentences, one after the other; [tokens] each but `bounds`."""

    at: np.ndarray  # int64: the place in the text
    row: np.ndarray  # int64: the sentence
    is_hanzi: np.ndarray
    source: np.ndarray  # uint16: the input number, 0 of a hanzi without a reading
    hanzi: np.ndarray  # uint16: the code point, 0 under a copy
    tone: np.ndarray  # uint8: 1 to 5, 0 where unknown, plus GUESSED
    guessed: np.ndarray
    bounds: np.ndarray  # int64 [sentences + 1]: where each sentence begins and ends


def encode(  # noqa: PLR0913
    sentences: list[str], keys: np.ndarray, training: np.ndarray, *,
    entries: tuple, max_length: int, variant_share: float, drop_uncertain: bool,
) -> Encoded:  # fmt: skip
    """Sentences, or pairs of pinyin and hanzi with a tab between them, as numbers. See `TextTask`."""
    if not sentences:
        nothing = np.empty(0, np.int64)
        kinds = zip(FIELDS, (np.uint16, np.uint16, np.uint8))
        return Encoded({name: np.empty(0, kind) for name, kind in kinds}, nothing, nothing, nothing)
    pairs = {row: sentence.split("\t") for row, sentence in enumerate(sentences) if "\t" in sentence}
    text = Text([pairs[row][-1] if row in pairs else sentence for row, sentence in enumerate(sentences)])
    read = _read(text, len(sentences), entries)
    if variant_share:
        _vary(read, text, keys, training, variant_share)
    dropped = _typed(read, pairs)
    for number in np.unique(read.row[read.source == 0]).tolist():
        dropped.setdefault(number, "hanzi without a reading")
    has_hanzi = np.bincount(read.row[read.is_hanzi], minlength=len(sentences)) > 0
    for number in np.flatnonzero(~has_hanzi).tolist():
        dropped.setdefault(number, "no hanzi to learn from")
    uncertain = [
        (number, UNCERTAIN)
        for number in np.unique(read.row[read.guessed]).tolist()
        if number not in pairs and number not in dropped
    ]
    if drop_uncertain:
        dropped |= dict(uncertain)
        uncertain = []
    starts, lengths, rows = _examples(read.bounds, read.is_hanzi, max_length, set(dropped))
    fields = {"source": read.source, "hanzi": read.hanzi, "tone": read.tone}
    long = np.flatnonzero(np.diff(read.bounds) > max_length).tolist()
    cut_up = [(number, f"longer than {max_length} tokens: cut up") for number in long if number not in dropped]
    return Encoded(fields, starts, lengths, rows, sorted(dropped.items()), uncertain + cut_up)


def _read(text: Text, sentences: int, entries: tuple) -> _Tokens:
    """The tokens of hanzi text, read by the dictionary and `entries` besides."""
    reader = labeller(entries)
    read = reader.read(text.codes)
    at, copies = tokens(text)
    row, codes = text.row(at), text.codes[at]
    is_hanzi = hanzi_mask(codes)
    toned = read.toned[at]
    syllable = reader.toneless[toned]
    source = np.where(is_hanzi, np.where(syllable > 0, len(COPY_CLASSES) + syllable, 0), copies).astype(np.uint16)
    guessed = read.guessed[at] & is_hanzi
    tone = np.where(is_hanzi, reader.tone[toned] + GUESSED * guessed, 0).astype(np.uint8)
    bounds = np.searchsorted(row, np.arange(sentences + 1))
    hanzi = np.where(is_hanzi, codes, 0).astype(np.uint16)
    return _Tokens(at, row, is_hanzi, source, hanzi, tone, guessed, bounds)


def _vary(read: _Tokens, text: Text, keys: np.ndarray, training: np.ndarray, share: float) -> None:
    """Other ways to say 这, 那, 谁 ... at a share of their places in training sentences, chosen by the sentence's key and the place."""
    here = variants.candidates(read.hanzi)
    here = here[training[read.row[here]]]
    rows = read.row[here]
    place = read.at[here] - text.starts[rows]
    chance = mix(keys[rows] + place.astype(np.uint64), 21) / 2.0**64
    read.source[here] = variants.vary(read.hanzi[here], read.source[here], INPUT_ID, chance, share)


def _typed(read: _Tokens, pairs: dict[int, list[str]]) -> dict[int, str]:
    """Put the pinyin of pairs in the place of what was read, without tones; the pairs where it does not fit, and why."""
    reasons = {}
    for number, cells in pairs.items():
        here = slice(read.bounds[number], read.bounds[number + 1])
        aligned = _align(cells[0], read.source[here], read.is_hanzi[here])
        if isinstance(aligned, str):
            reasons[number] = aligned
        else:
            read.source[here], read.tone[here] = aligned, 0
    return reasons


def _align(pinyin: str, source: np.ndarray, is_hanzi: np.ndarray) -> np.ndarray | str:
    """Input numbers of the typed pinyin, one for each token of the hanzi; or why they do not match."""
    typed = list(tokenise_pinyin(pinyin))
    if len(typed) != len(source):
        return "pinyin and hanzi differ in length"
    for token, hanzi in zip(typed, is_hanzi.tolist()):
        if token.kind == "latin" and hanzi:
            return "pinyin is no syllable"
        if token.is_copy == hanzi:
            return "pinyin and hanzi do not line up"
    return np.array([input_id(token) for token in typed], np.uint16)


def _examples(
    bounds: np.ndarray, is_hanzi: np.ndarray, max_length: int, dropped: set[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, length, sentence) of every example: sentences, the long ones cut; without pieces that hold no hanzi."""
    starts, ends = bounds[:-1], bounds[1:]
    rows = np.arange(len(starts))
    long = np.flatnonzero(ends - starts > max_length)
    if len(long):
        spans = zip(long.tolist(), starts[long].tolist(), ends[long].tolist())
        marks = is_hanzi.tobytes()
        pieces = [(a, b, row) for row, start, end in spans for a, b in _cut(marks, start, end, max_length)]
        short = np.delete(rows, long)
        table = np.concatenate([np.stack([starts[short], ends[short], short], axis=1), np.array(pieces, np.int64)])
        starts, ends, rows = table[np.argsort(table[:, 0], kind="stable")].T
    before = np.append(0, np.cumsum(is_hanzi))
    good = (before[ends] > before[starts]) & ~np.isin(rows, list(dropped))
    return starts[good], (ends - starts)[good], rows[good]


def cut(is_hanzi: np.ndarray, max_length: int) -> list[tuple[int, int]]:
    """(start, end) of pieces of at most `max_length` tokens, cut after the last copy that leaves a piece of half that or more."""
    return list(_cut(is_hanzi.tobytes(), 0, len(is_hanzi), max_length))


def _cut(marks: bytes, start: int, end: int, max_length: int) -> Iterator[tuple[int, int]]:
    while end - start > max_length:
        copy = marks.rfind(b"\0", start + max_length // 2, start + max_length)
        at = copy + 1 if copy >= 0 else start + max_length
        yield start, at
        start = at
    yield start, end


def count(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(syllable, tone, hanzi) as `source << 20 | tone << 16 | code point` of every hanzi."""
    here = fields["hanzi"] > 0
    source, hanzi, tone = (fields[name][here].astype(np.int64) for name in FIELDS)
    return {"readings": source << 20 | (tone & ~GUESSED) << 16 | hanzi}


# --- prepare-data ---


def prepare(config: Config, console: Console, limit: int | None = None) -> dict:
    """Write the prepared data set that `config.data` describes and return its manifest; see `text.prepare`."""
    return prepare_text(config.data, text_task(config.data), console, limit)


def fingerprint(config: Config) -> dict | None:
    """What the prepared data depends on, to be compared with a manifest by `text.recipe.changes`."""
    return recipe.fingerprint(config.data, text_task(config.data))


def changed(config: Config, *, sources: bool = True) -> list[str]:
    return changed_text(config.data, text_task(config.data), sources=sources)


def text_task(data: Data) -> TextTask:
    entries = tuple(load_dictionary(Path(data.readings)).items()) if data.readings else ()
    vocabulary = Vocabulary.load(Path(data.vocabulary)) if data.vocabulary else None
    settings = {
        "readings": hashlib.sha256(repr(entries).encode()).hexdigest() if entries else None, "max_length": data.max_length,
        "variant_share": data.variant_share, "drop_uncertain": data.drop_uncertain,
    }  # fmt: skip
    working = functools.partial(
        encode,
        entries=entries,
        max_length=data.max_length,
        variant_share=data.variant_share,
        drop_uncertain=data.drop_uncertain,
    )
    finish = functools.partial(_finish, data=data, vocabulary=vocabulary)
    inputs = {"vocabulary": vocabulary.sha256 if vocabulary else None}
    return TextTask(NAME, VERSION, PAIR, settings, inputs, working, count, finish)


def _finish(directory: Path, counts: dict[str, dict[str, Counts]], data: Data, vocabulary: Vocabulary | None) -> dict:
    """Write the vocabulary and the readings, and describe both."""
    seen = counts["train"].get("readings", Counts())
    source, tone, hanzi = seen.keys >> 20, seen.keys >> 16 & 15, seen.keys & 0xFFFF
    pairs: dict[tuple[str, str], int] = {}
    lines = ["hanzi\treading\tcount"]
    for s, t, h, n in sorted(
        zip(source.tolist(), tone.tolist(), hanzi.tolist(), seen.counts.tolist()), key=lambda x: (x[2], -x[3], x)
    ):
        pair = (INPUTS[s], chr(h))
        pairs[pair] = pairs.get(pair, 0) + n
        lines.append(f"{chr(h)}\t{INPUTS[s]}{t or ''}\t{n}")
    write_text(directory / "readings.tsv", "\n".join(lines) + "\n")
    vocabulary = vocabulary or vocab.build(pairs, min_count=data.min_count, charset=data.charset)
    vocabulary.save(directory)
    coverage = {split: _coverage(vocabulary, found.get("readings", Counts())) for split, found in counts.items()}
    facts = {
        "sha256": vocabulary.sha256,
        "hanzi": len(vocabulary.hanzi),
        "pairs": vocabulary.pairs,
        "coverage": coverage,
    }
    return {"vocabulary": facts, "statistics": report.statistics(vocabulary, hanzi, seen.counts)}


def _coverage(vocabulary: Vocabulary, seen: Counts) -> dict:
    """Hanzi of a split, and those whose reading has them among its candidates."""
    found = vocab.find_pairs(vocabulary.pair_lookup(), seen.keys >> 20, seen.keys & 0xFFFF) >= 0
    return {"hanzi": int(seen.counts.sum()), "covered": int(seen.counts[found].sum())}


# --- reading prepared data and files ---


def read_examples(path: Path | None, tally: Tally) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(source, hanzi) of every sentence or pair of a file, uncut; what cannot be used is counted in `tally`."""
    plain = functools.partial(encode, entries=(), max_length=1 << 20, variant_share=0.0, drop_uncertain=False)
    for fields in prepared.read_examples(File(path, pair=PAIR), tally, plain):
        yield fields["source"], fields["hanzi"]


def open_split(directory: str, split: str) -> tuple[dict, Shards]:
    """Manifest and shards of a prepared split; see `text.prepared`."""
    return prepared.open_split(directory, split, task=NAME, rules=VERSION, fields=FIELDS)


def split_texts(directory: str, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(source, code points) of every example of a prepared split, in stored order."""
    _, shards = open_split(directory, split)
    for number in range(len(shards)):
        yield shards.example("source", number), shards.example("hanzi", number)
