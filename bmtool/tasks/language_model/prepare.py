"""From raw text to one stream of tokens for each split, and from there to batches.

A prepared directory holds the field `tokens`, every line between two tokens: those that begin and end a document, or line ends where a file
is one. With `data.whole_words` a field `words` says which tokens begin a word. Dialogues are what their chat template makes of them, and a
field `turns` says what the assistant speaks. `tokenizer.json` and `tokenizer_config.json` stand beside.
"""

import functools
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.console import Console
from bmtool.base.files import read_json, write_bytes
from bmtool.data.prepared import AGAIN, MANIFEST, described
from bmtool.errors import ConfigError
from bmtool.tasks.language_model.config import Config, Data
from bmtool.text import learning, prepared
from bmtool.text.assemble import Manifest
from bmtool.text.chat import encoding, template
from bmtool.text.chat.chat import with_template
from bmtool.text.encoding import kind_of, opened, unknown
from bmtool.text.packing import Stream
from bmtool.text.prepare import changed as changed_text
from bmtool.text.prepare import prepare as prepare_text
from bmtool.text.records import DIALOGUES
from bmtool.text.task import Counts, Encoded, TextTask
from bmtool.text.tokenizer import Tokenizer, open_tokenizer, plain

NAME, RULES = "language-model", 1
NO_LINES = "data.document: file takes a tokenizer that keeps line ends (char, bpe, unigram), which this one does not"


def _around(tokenizer: Tokenizer, document: str) -> tuple[int, int]:
    """What stands before and behind every line."""
    if document == "line":
        return tokenizer.begin, tokenizer.end
    found = tokenizer.encode(["\n"])[0]
    if len(found) != 1:
        raise ConfigError(NO_LINES)
    return int(found[0]), int(found[0])


def encode(  # noqa: PLR0913
    sentences: list[str], keys: np.ndarray, training: np.ndarray, *,
    folder: str | None, document: str, whole_words: bool, learned: Path | None = None,
) -> Encoded:  # fmt: skip
    """Lines as tokens, each between two more. See `TextTask`."""
    tokenizer = opened(str(learned or folder))
    flat, ends = tokenizer.flat(sentences)
    lengths = np.diff(ends, prepend=0)
    before, behind = _around(tokenizer, document)
    tokens = _between(flat, ends, before, behind).astype(kind_of(tokenizer))
    fields = {"tokens": tokens}
    if whole_words:
        begins = [_begins(tokenizer, sentence) for sentence in sentences]
        fields["words"] = _between(np.concatenate([np.empty(0, bool), *begins]), ends, 1, 1).astype(np.uint8)
    good = np.flatnonzero(lengths)
    dropped = [(row, "no token in it") for row in np.flatnonzero(lengths == 0).tolist()]
    starts = np.cumsum(lengths + 2) - (lengths + 2)
    return Encoded(fields, starts[good], (lengths + 2)[good], good, dropped, unknown(tokenizer, flat, ends))


def _between(values: np.ndarray, ends: np.ndarray, before: int, behind: int) -> np.ndarray:
    """Every line of some values between two more."""
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)]
    at = np.stack([starts, ends], axis=1).ravel()
    return np.insert(values, at, np.tile([before, behind], len(ends)))


def _begins(tokenizer: Tokenizer, sentence: str) -> np.ndarray:
    """Which tokens of a line begin a word, bool [tokens]."""
    import rjieba

    words = np.cumsum([0, *map(len, rjieba.cut(plain(sentence)))])
    at = tokenizer.spans(sentence)[1][:, 0]
    return np.isin(at, words) & (np.diff(at, prepend=-1) != 0)


def _learn(texts: Iterator[str], *, kind: str, size: int, dialogue: bool) -> dict[str, bytes]:
    """Of dialogues what is said is learned from."""
    said = (text.partition("\t")[0] for text in texts) if dialogue else texts
    return learning.learn(said, kind=kind, size=size).files()


def _count(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Lengths alone are of interest, which are counted anyway."""
    return {}


def text_task(data: Data) -> TextTask:
    learns = data.tokenizer in learning.KINDS
    if data.document == "file" and data.tokenizer == "wordpiece":
        raise ConfigError(NO_LINES)
    given = None if learns else open_tokenizer(data.tokenizer)
    folder, dialogue = None if learns else data.tokenizer, data.document == "dialogue"
    settings = {
        "document": data.document, "whole_words": data.whole_words, "tokenizer": given.sha256 if given else data.tokenizer
    }  # fmt: skip
    if dialogue:
        settings["chat_template"] = (given and template.of(given.config, given.origin)) or template.PLAIN
        working: Any = functools.partial(encoding.encode, folder=folder)
    else:
        working = functools.partial(encode, folder=folder, document=data.document, whole_words=data.whole_words)
    return TextTask(
        NAME, RULES, DIALOGUES[0].columns if dialogue else (), settings, {}, working, _count,
        functools.partial(_finish, given=folder, dialogue=dialogue), DIALOGUES[1].columns if dialogue else (), dialogue,
        learn=functools.partial(_learn, kind=data.tokenizer, size=data.vocabulary_size, dialogue=dialogue) if learns else None,
        learning={"vocabulary_size": data.vocabulary_size} if learns else {},
    )  # fmt: skip


def _finish(directory: Path, counts: dict[str, dict[str, Counts]], given: str | None, dialogue: bool) -> dict:
    """Write a tokenizer that was given beside the tokens, as one that was learned is; of dialogues with its template."""
    tokenizer = open_tokenizer(given or directory)
    tokenizer = with_template(tokenizer) if dialogue else tokenizer
    for name, contents in tokenizer.files().items():
        write_bytes(directory / name, contents)
    return {"vocabulary": {"sha256": tokenizer.sha256, "tokens": tokenizer.size}}


def prepare(config: Config, console: Console, limit: int | None = None) -> dict:
    """Write the prepared data set that `config.data` describes and return its manifest; see `text.prepare`."""
    manifest = prepare_text(config.data, text_task(config.data), console, limit)
    if config.data.document == "dialogue":
        _say_what_is_too_long(config, manifest, console)
    return manifest


def _say_what_is_too_long(config: Config, manifest: dict, console: Console) -> None:
    most = config.model.context + 1
    long = sum(count for length, count in manifest["lengths"].items() if int(length) > most)
    if long:
        told = f"{long:,} of {manifest['splits']['train']['examples']:,} dialogues to learn from are longer than"
        console.say(f"{told} model.context ({config.model.context:,} tokens): what stands behind that is not learned")


def changed(config: Config, *, sources: bool = True) -> list[str]:
    return changed_text(config.data, text_task(config.data), sources=sources)


# --- reading prepared data ---


def data_hash(directory: str) -> str:
    return described(Path(directory))["data_hash"]


def open_stream(data: Data, directory: str | Path, split: str) -> Stream:
    """The documents of a split. DataError that names the command to run when there are none."""
    more = {"dialogue": ("turns",)}.get(data.document, ("words",) if data.whole_words else ())
    fields = ("tokens", *more)
    _, shards = prepared.open_split(directory, split, task=NAME, rules=RULES, fields=fields)
    files = None
    if data.document == "file":
        files = np.unique(np.cumsum([0, *(count for _, count in _sources(directory, split))]))
    return Stream(shards, open_tokenizer(directory), files)


def domains(data: Data, directory: str | Path, split: str) -> Iterator[str]:
    """Of each document, in their order."""
    for domain, count in _sources(directory, split):
        yield from repeat(domain, min(count, 1) if data.document == "file" else count)


def _sources(directory: str | Path, split: str) -> Iterator[tuple[str, int]]:
    """(domain, lines of the split) of each source, in their order."""
    manifest = read_json(Path(directory) / MANIFEST, Manifest, AGAIN)
    for source in manifest["sources"].values():
        yield source["domain"], source["examples_of_split"].get(split, 0)
