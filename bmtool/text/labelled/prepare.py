"""Labelled text: from files to examples, tokens, and what is to be learned.

A prepared directory holds `examples.jsonl` (place, texts, target and other columns of each example as it came), `tokens.npy` (of all texts
of all examples, one after the other) with `bounds.npy` (where each text begins, and the last ends), the numbers of the examples of each
split (`train.npy`, `valid.npy`, `test.npy`), `schema.json`, the tokenizer and `manifest.json`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import SUMS, read_json, sha256, write_bytes, write_json, write_sums, write_text
from bmtool.config.labelled import LabelledData
from bmtool.config.schema import BaseConfig
from bmtool.config.splits import TRAIN
from bmtool.data import prepared, splitting
from bmtool.data.prepared import AGAIN, MANIFEST, array
from bmtool.data.replacing import making, put, require_own
from bmtool.data.splitting import SPLITS, digest, same
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.sources.parts import brought
from bmtool.text import encoding, learning
from bmtool.text.labelled.kind import Draft, Kind, Schema, same_text
from bmtool.text.labelled.reading import drafts, parts_of, require_known_columns, sources
from bmtool.text.labelled.store import EXAMPLES, FORMAT, NAME, SCHEMA, Manifest, Texts, is_readable
from bmtool.text.tokenizer import CONFIG, FILE, Tokenizer, open_tokenizer

FILES = frozenset({EXAMPLES, SCHEMA, "tokens.npy", "bounds.npy", FILE, CONFIG, SUMS, MANIFEST, "report",
                   *(f"{split}.npy" for split in SPLITS)})  # fmt: skip
SHOWN_REASONS = 5  # for which rows were dropped, in an error
NO_TOKEN = "no token in it"
LEAK = "the same text as in a split that is measured on"
OTHER_TARGET = "the same text with another target"


def kind_of(config: BaseConfig) -> Kind:
    """How the task of a configuration reads rows."""
    return registry.find(config.task).load("kind")(config.data)


def prepare(config: BaseConfig, console: Console, limit: int | None = None) -> Manifest:
    """Write the prepared data that `config.data` describes and return its manifest.

    Rows that cannot be used are dropped and counted. A directory that holds the same already is left as it is; one that holds something
    else is replaced when all is written.
    """
    data, kind = config.data, kind_of(config)
    target = Path(data.prepared).resolve()
    busy = f"{data.prepared} is being prepared by another process: wait for it, or name another directory"
    with making(target, busy) as new:
        before = fingerprint(data, kind)
        if (kept := same(target, before, content_hash, Manifest, console)) is not None:
            return kept
        require_own(target, FILES)
        require_known_columns(kind, data.columns)
        tally = Tally()
        read = _without_copies(list(drafts(data, kind, tally, limit)), tally)
        schema = known_schema(data) or kind.describe(_of(read, "train", data, tally))
        used = _fitting(read, kind, schema, tally)
        manifest = _write(new, data, kind, schema=schema, used=used, tally=tally)
        write_sums(new, [path.name for path in new.iterdir()])
        write_json(new / MANIFEST, manifest | {"fingerprint": before, "settings": _settings(data)})
        put(new, target)
    return read_json(target / MANIFEST, Manifest, AGAIN)


def _of(read: list[Draft], split: str, data: LabelledData, tally: Tally) -> list[Draft]:
    """The examples of a split. DataError when there is none to train on."""
    found = [draft for draft in read if draft.split == split]
    if not found:
        raise DataError(f"{data.source} leaves no example to train on: {_gone(tally)}")
    return found


def _gone(tally: Tally) -> str:
    """What became of rows that are missed, with the place of one for each reason."""
    why = [(reason, count, tally.examples[reason][0]) for reason, count in tally.dropped.most_common(SHOWN_REASONS)]
    return (
        ", ".join(f"{count:,} x {reason}, such as {place}" for reason, count, place in why)
        or "all went to another split"
    )


def _without_copies(read: list[Draft], tally: Tally) -> list[Draft]:
    """Without the training examples whose text is measured on; that one text has several targets is noted."""
    measured = {same_text(draft.texts) for draft in read if draft.split != "train"}
    first: dict[tuple[str, ...], Draft] = {}
    kept = []
    for draft in read:
        if draft.split == "train" and same_text(draft.texts) in measured:
            tally.drop(LEAK, draft.place, draft.texts[-1])
            continue
        if first.setdefault(draft.texts, draft).target != draft.target:
            tally.note(OTHER_TARGET, draft.place, draft.texts[-1])
        kept.append(draft)
    return kept


def _fitting(read: list[Draft], kind: Kind, schema: Schema, tally: Tally) -> list[Draft]:
    """Those that go with the schema."""
    kept = []
    for draft in read:
        if why := kind.unfit(draft, schema):
            tally.drop(why, draft.place)
        else:
            kept.append(draft)
    return kept


def known_schema(data: LabelledData) -> Schema | None:
    """That of `data.labels`. DataError when there is none there."""
    file = _schema_file(data)
    return None if file is None else read_json(file, Schema, f"{AGAIN}, or train the run again")


def _schema_file(data: LabelledData) -> Path | None:
    if data.labels is None:
        return None
    place = Path(data.labels)
    file = next((path for path in (place / "assets" / SCHEMA, place / SCHEMA) if path.is_file()), None)
    if file is None:
        raise DataError(f"data.labels: {place} is no run and no prepared data with classes (no {SCHEMA})")
    return file


# --- what is written ---


def _write(  # noqa: PLR0913
    new: Path, data: LabelledData, kind: Kind, *, schema: Schema, used: list[Draft], tally: Tally
) -> dict[str, Any]:  # fmt: skip
    """All files but sums and manifest; what of the manifest describes them. DataError when a split of a class is left without examples."""
    tokenizer = _tokenizer(data, used)
    used, arrays = _encoded(tokenizer, used, tally)
    tally.kept = len(used)
    splits = {split: np.flatnonzero([draft.split == split for draft in used]) for split in SPLITS}
    splits |= {split: splits["train"] for split in ("valid", "test") if getattr(data, split) == TRAIN}
    for name, values in (arrays | splits).items():
        np.save(new / f"{name}.npy", values)
    lines = ([draft.place, draft.texts, draft.target, draft.fields] for draft in used)
    write_text(new / EXAMPLES, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    write_json(new / SCHEMA, schema)
    for name, contents in tokenizer.files().items():
        write_bytes(new / name, contents)
    counts = {split: _counts(kind, [used[number] for number in numbers]) for split, numbers in splits.items()}
    if not counts["train"]["examples"]:
        raise DataError(f"{data.source} leaves no example to train on: {_gone(tally)}")
    return {
        "kind": NAME, "task": kind.task, "format": FORMAT, "rules": kind.rules, "splits": counts,
        "data_hash": content_hash(new), "vocabulary": {"sha256": tokenizer.sha256, "tokens": tokenizer.size},
        "warnings": list(kind.warnings(used, schema)), "noted": dict(tally.noted), "ignored": dict(tally.ignored),
        "brought": brought(parts_of(data.source, kind, Tally().ignore)), **tally.as_dict(),
    }  # fmt: skip


def _tokenizer(data: LabelledData, used: Sequence[Draft]) -> Tokenizer:
    """That which is named, or one that is learned from the training texts."""
    if data.tokenizer not in learning.KINDS:
        return open_tokenizer(data.tokenizer)
    texts = (text for draft in used if draft.split == "train" for text in draft.texts)
    return learning.learn(texts, kind=data.tokenizer, size=data.vocabulary_size)


def _encoded(tokenizer: Tokenizer, used: list[Draft], tally: Tally) -> tuple[list[Draft], dict[str, np.ndarray]]:
    """The examples that have tokens, and these."""
    each = [tokenizer.encode(draft.texts) for draft in used]
    kept = [number for number, texts in enumerate(each) if all(len(tokens) for tokens in texts)]
    for number in sorted(set(range(len(used))) - set(kept)):
        tally.drop(NO_TOKEN, used[number].place)
    texts = [tokens for number in kept for tokens in each[number]]
    flat = np.concatenate([np.empty(0, np.int64), *texts])
    bounds = np.cumsum([0, *(len(tokens) for tokens in texts)], dtype=np.int64)
    count = max(1, len(texts) // max(1, len(kept)))
    for row, reason in encoding.unknown(tokenizer, flat, bounds[1:]):
        tally.note(reason, used[kept[row // count]].place)
    return [used[number] for number in kept], {"tokens": flat.astype(encoding.kind_of(tokenizer)), "bounds": bounds}


def _counts(kind: Kind, used: Sequence[Draft]) -> dict[str, Any]:
    counted = Counter(name for draft in used for name in kind.counted(draft.target))
    return {"examples": len(used), "classes": dict(counted.most_common())}


# --- what a preparation depends on ---


def content_hash(folder: Path) -> str:
    """sha256, in hex, of all that training reads of what lies there now."""
    held = {name: sha256(folder / name) for name in (EXAMPLES, FILE)}
    arrays = {name: array(folder / f"{name}.npy", mapped=True) for name in ("tokens", "bounds", *SPLITS)}
    digest = hashlib.sha256(json.dumps([read_json(folder / SCHEMA, Schema, AGAIN), held], sort_keys=True).encode())
    for values in arrays.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _settings(data: LabelledData) -> dict[str, Any]:
    return data.model_dump(exclude={"prepared"})


def fingerprint(data: LabelledData, kind: Kind) -> str:
    """sha256 in hex of settings and files; another one says that the data must be prepared again."""
    files = {source: digest(source) for source, _ in sources(data, kind, Tally())}
    if (file := _schema_file(data)) is not None:
        files[str(file)] = digest(str(file))
    given = None if data.tokenizer in learning.KINDS else open_tokenizer(data.tokenizer).sha256
    return splitting.fingerprint(FORMAT, kind.rules, _settings(data), files, given)


def changed(config: BaseConfig, *, sources: bool = True) -> list[str]:
    """What of the prepared data is another than `config.data` asks for; see `registry.PARTS`."""
    data: LabelledData = config.data
    manifest = prepared.read_manifest(Path(data.prepared), Manifest, is_readable)
    lines = prepared.differing(manifest["settings"], _settings(data))
    if lines or not sources:
        return lines
    return (
        [] if manifest["fingerprint"] == fingerprint(data, kind_of(config)) else ["data.source: its rows have changed"]
    )


def open_texts(data: LabelledData, split: str, kind: Kind) -> Texts:
    """A split as training reads it. ConfigError that names the settings with which it was prepared, where they are not those of `data`."""
    texts = Texts(data.prepared, split, kind)
    prepared.require_same(data.prepared, prepared.differing(texts.manifest["settings"], _settings(data)))
    return texts
