"""From raw text or pairs to labelled, indexed shards, and from shards to batches.

A prepared directory holds, for each split, the fields `source` (input numbers) and `hanzi` (code points, 0 under a copy),
`vocab.json`, and `manifest.json`, which is written last: a directory without it is not prepared.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pypinyin import lazy_pinyin

from bmtool.data import text
from bmtool.data.files import read_json, sha256, write_json
from bmtool.data.shards import Shards, ShardWriter
from bmtool.errors import DataError
from bmtool.tasks.pinyin2hanzi import vocab
from bmtool.tasks.pinyin2hanzi.config import Config, Data
from bmtool.tasks.pinyin2hanzi.pinyin import VERSION, Token, hanzi_runs, tokenise, tokenise_pinyin
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, Vocabulary, input_id

FIELDS = ("source", "hanzi")
SPLITS = ("train", "valid", "test")
MIN_HANZI = 2
PAIR_SUFFIXES = (".tsv", ".jsonl")
Example = list[tuple[Token, int]]  # tokens of the text, each with its input number

Say = Callable[[str], None]


def label(sentence: str) -> Example:
    """A hanzi sentence as its tokens with input numbers; raises ValueError for a hanzi without a known reading."""
    readings = iter([reading for run in hanzi_runs(sentence) for reading in lazy_pinyin(run, errors=list)])
    example = []
    for token in tokenise(sentence):
        name = token.text if token.is_copy else next(readings)
        if not token.is_copy and name not in INPUT_ID:
            raise ValueError(f"no reading for {token.text}")
        example.append((token, input_id(token) if token.is_copy else INPUT_ID[name]))
    return example


def align(pinyin: str, hanzi: str) -> Example:
    """A pair as the tokens of its hanzi with the input numbers of its pinyin; raises ValueError when they do not match."""
    typed, written = list(tokenise_pinyin(pinyin)), list(tokenise(hanzi))
    if len(typed) != len(written):
        raise ValueError("pinyin and hanzi differ in length")
    for left, right in zip(typed, written):
        if left.kind == "latin" and not right.is_copy:
            raise ValueError(f"{left.text!r} is no pinyin syllable")
        if left.is_copy != right.is_copy:
            raise ValueError("pinyin and hanzi do not line up")
    return [(right, input_id(left)) for left, right in zip(typed, written)]


def cut(example: Example, max_length: int) -> Iterator[Example]:
    """Pieces of at most `max_length` tokens, cut after the last copy that leaves a piece of half that length or more."""
    while len(example) > max_length:
        breaks = [i + 1 for i in range(max_length // 2, max_length) if example[i][0].is_copy]
        at = breaks[-1] if breaks else max_length
        yield example[:at]
        example = example[at:]
    yield example


def read_examples(path: Path | None, tally: text.Tally) -> Iterator[tuple[str, Example]]:
    """(place, example) for every sentence or pair of one source; the others are counted in `tally`."""
    suffix = text.plain_suffix(path)
    for place, line in text.read_lines(path, tally):
        if not line:
            tally.drop("empty line", place)
            continue
        try:
            if suffix in PAIR_SUFFIXES:
                pairs = [_read_pair(line, suffix)]
            else:
                pairs = [(None, sentence) for sentence in text.split_sentences(text.clean(line))]
        except ValueError as error:
            tally.drop(str(error), place, line)
            continue
        for pinyin, sentence in pairs:
            try:
                yield place, label(sentence) if pinyin is None else align(pinyin, sentence)
            except ValueError as error:
                reason = "hanzi without a reading" if pinyin is None else _reason(error)
                tally.drop(reason, place, sentence)


def _reason(error: ValueError) -> str:
    return "pinyin is no syllable" if "no pinyin syllable" in str(error) else str(error)


def _read_pair(line: str, suffix: str) -> tuple[str, str]:
    if suffix == ".tsv":
        cells = line.split("\t")
        if len(cells) != 2:
            raise ValueError("not two columns: pinyin, tab, hanzi")
    else:
        try:
            record = json.loads(line)
            cells = [record["pinyin"], record["hanzi"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError('not a JSON object with "pinyin" and "hanzi"') from error
        if not all(isinstance(cell, str) for cell in cells):
            raise ValueError('not a JSON object with "pinyin" and "hanzi"')
    return text.clean(cells[0]), text.clean(cells[1])


def prepare(config: Config, say: Say) -> dict:
    """Write the prepared data set that `config.data` describes and return its manifest.

    The same sources and settings give the same bytes. Data that is prepared already is left as it is; prepared data of other
    sources or settings is replaced. Raises DataError when a source is missing, nothing usable is found, or the directory holds
    something else.
    """
    data, target = config.data, Path(config.data.prepared)
    paths = text.expand(data.sources)
    recipe = _recipe(data, paths)
    if recipe is not None and _is_prepared(target, recipe):
        say(f"{target} is already prepared from these sources and settings: nothing to do")
        return read_json(target / "manifest.json")
    if target.exists() and not (target / "manifest.json").is_file() and any(target.iterdir()):
        raise DataError(
            f"data.prepared: {target} exists and holds something else than prepared data: name another directory"
        )
    working = target.with_name(f".{target.name}.working")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        manifest = _write(data, paths, working, say) | {"recipe": recipe}
        write_json(working / "manifest.json", manifest)
        shutil.rmtree(target, ignore_errors=True)
        working.rename(target)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return manifest


def _recipe(data: Data, paths: list[Path | None]) -> dict | None:
    """What the prepared bytes depend on; None when standard input is among the sources and cannot be known beforehand."""
    if None in paths:
        return None
    settings = data.model_dump(exclude={"prepared", "sources"})
    if data.vocabulary is not None:
        settings["vocabulary"] = Vocabulary.load(Path(data.vocabulary)).sha256
    return {"rules": VERSION, "settings": settings, "sources": {str(path): sha256(path) for path in paths}}


def _is_prepared(target: Path, recipe: dict) -> bool:
    manifest = target / "manifest.json"
    return manifest.is_file() and read_json(manifest).get("recipe") == recipe


def _write(data: Data, paths: list[Path | None], directory: Path, say: Say) -> dict:
    given = Vocabulary.load(Path(data.vocabulary)) if data.vocabulary else None
    writers = {split: ShardWriter(directory, split, FIELDS) for split in SPLITS}
    tallies: dict[str, text.Tally] = {}
    seen: set[int] = set()
    observed: Counter = Counter()
    for path in paths:
        tally = tallies.setdefault("<stdin>" if path is None else str(path), text.Tally())
        for place, example in read_examples(path, tally):
            _keep(data, place, example, tally, seen, writers, observed)
        say(
            f"{path or 'standard input'}: {tally.read:,} lines read, {tally.kept:,} examples kept, {sum(tally.dropped.values()):,} dropped"
        )
    for writer in writers.values():
        writer.flush()
    if not writers["train"].examples:
        raise DataError(f"nothing to train on: no usable sentence in {', '.join(tallies)} ({_why(tallies)})")
    vocabulary = given or vocab.build(observed, min_count=data.min_count, charset=data.charset)
    vocabulary.save(directory)
    files = {p.name: sha256(p) for p in sorted(directory.iterdir())}
    return {
        "format": 1,
        "task": "pinyin2hanzi",
        "rules": VERSION,
        "splits": {s: {"examples": w.examples, "tokens": w.tokens} for s, w in writers.items()},
        "sources": {name: tally.as_dict() for name, tally in tallies.items()},
        "vocabulary": {"sha256": vocabulary.sha256, "hanzi": len(vocabulary.hanzi), "pairs": vocabulary.pairs},
        "files": files,
        "data_hash": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    }


def _why(tallies: dict[str, text.Tally]) -> str:
    dropped = sum((tally.dropped for tally in tallies.values()), Counter())
    return ", ".join(f"{count} x {reason}" for reason, count in dropped.most_common()) or "no lines"


def _keep(  # noqa: PLR0913
    data: Data,
    place: str,
    example: Example,
    tally: text.Tally,
    seen: set[int],
    writers: dict[str, ShardWriter],
    observed: Counter,
) -> None:
    """Filter, deduplicate and write one example, counting its readings when it is for training."""
    written = " ".join(token.text for token, _ in example)
    if sum(not token.is_copy for token, _ in example) < MIN_HANZI:
        return tally.drop(f"fewer than {MIN_HANZI} hanzi", place, written.replace(" ", ""))
    identity = " ".join([written, *(str(number) for _, number in example)])
    digest = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big")
    if digest in seen:
        return tally.drop("duplicate", place, written.replace(" ", ""))
    seen.add(digest)
    share = int.from_bytes(hashlib.blake2b(written.encode(), digest_size=8).digest(), "big") / (1 << 64)
    split = "test" if share < data.test_share else "valid" if share < data.test_share + data.valid_share else "train"
    for piece in cut(example, data.max_length):
        if all(token.is_copy for token, _ in piece):
            continue
        writers[split].add([number for _, number in piece], [0 if t.is_copy else ord(t.text) for t, _ in piece])
        tally.kept += 1
        if split == "train":
            observed.update((vocab.INPUTS[number], token.text) for token, number in piece if not token.is_copy)


def open_split(directory: str, split: str) -> tuple[dict, Shards]:
    """Manifest and shards of a prepared split; DataError that names the command to run when there is none."""
    path = Path(directory)
    if not (path / "manifest.json").is_file():
        raise DataError(f"{path} is not prepared yet: run `bmtool prepare-data CONFIG` first")
    manifest = read_json(path / "manifest.json")
    if manifest.get("rules") != VERSION:
        raise DataError(f"{path} was prepared with other pinyin rules: run `bmtool prepare-data CONFIG` again")
    return manifest, Shards(path, split, FIELDS)


def split_texts(directory: str, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(source, code points) of every example of a prepared split, in stored order."""
    _, shards = open_split(directory, split)
    for number in range(len(shards)):
        yield shards.example("source", number), shards.example("hanzi", number)
