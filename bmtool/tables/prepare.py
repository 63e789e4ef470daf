"""Tables and their target: from a file to arrays that training reads.

A prepared directory holds `values.npy` (float32 [rows, width], as `columns.Schema` encodes them), `target.npy` (float64 [rows]: the
number, or that of the class), the numbers of the rows of each split (`train.npy`, `valid.npy`, `test.npy`), `rows.jsonl` (place and
cells of each row as it came), `schema.json` and `manifest.json`; and `group.npy` (int64 [rows]: whose row it is, -1 where that is
missing) where `columns.user` says who is meant.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.delimited import is_beyond, number
from bmtool.base.files import SUMS, read_json, write_json, write_sums, write_text
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.config.schema import BaseConfig
from bmtool.config.splits import TRAIN
from bmtool.config.table import TableData
from bmtool.data import prepared, splitting
from bmtool.data.names import look_alike, require_apart
from bmtool.data.prepared import AGAIN, MANIFEST, array
from bmtool.data.replacing import making, put, require_own
from bmtool.data.splitting import SPLITS, digest, same, split_of, with_own
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.sources.parts import brought
from bmtool.tables import checks
from bmtool.tables.columns import Schema
from bmtool.tables.describing import describe
from bmtool.tables.sources import EXAMPLES, decimal_commas, parts_of, rows
from bmtool.tables.splits import Kept, settled
from bmtool.tables.table import FORMAT, Manifest, groups, is_readable

SHOWN = 20  # names of columns in an error
SHOWN_REASONS = 5  # for which rows were dropped, in an error
_NO_NUMBER = "a target that is no number ({})"
MANY = 20  # numbers as classes; more of them, most with one row, are an amount
FILES = frozenset({"values.npy", "target.npy", "group.npy", "rows.jsonl", "schema.json", SUMS, MANIFEST, "report",
                   *(f"{split}.npy" for split in SPLITS)})  # fmt: skip
STEPS = 1000  # of float32 in a standard deviation: with fewer, numbers that merge matter


# --- prepare-data ---


def prepare(config: BaseConfig, console: Console, limit: int | None = None) -> dict:
    """Write the prepared table that `config.data` describes and return its manifest.

    Rows that cannot be used are dropped and counted. A directory that holds the same already is left as it is; one that holds something
    else is replaced when all is written.
    """
    data: TableData = config.data
    numeric = registry.find(config.task).gives == "number"
    target = Path(data.prepared).resolve()
    with making(
        target, f"{data.prepared} is being prepared by another process: wait for it, or name another directory"
    ) as new:
        before = fingerprint(data)
        if (kept := same(target, before, content_hash, Manifest, console)) is not None:
            return kept
        require_own(target, FILES)
        tally, known = Tally(), _known(data, numeric)
        ignored = data.columns.left_out if known is None else known.ignored
        lists = data.columns.lists if known is None else known.lists
        kept = list(_kept(data, numeric, ignored, lists=lists, tally=tally, limit=limit))
        _require_numbers(data, kept, tally)
        kept, how = settled(data, kept, tally)
        schema, warnings = _schema(data, kept, numeric, tally=tally) if known is None else (known, [])
        warnings = [*how, *warnings, *look_alike(schema.labels)]
        manifest = _write(new, schema, kept, data=data, tally=tally)
        warnings += _merged(schema, kept)
        warnings += checks.warnings(data, schema, kept)
        warnings += [*_commas(data), *checks.of_dropped(tally), *checks.leaving_out(schema, warnings)]
        write_sums(new, [path.name for path in new.iterdir()])
        write_json(new / MANIFEST, manifest | {
            "kind": "tables", "format": FORMAT, "settings": _settings(data), "fingerprint": before, "warnings": warnings,
            "guessed": _guessed(schema, data),
            "noted": dict(tally.noted), "ignored": dict(tally.ignored), "brought": brought(parts_of(data.source, Tally().ignore)),
            **tally.as_dict(),
        })  # fmt: skip
        put(new, target)
    return read_json(target / MANIFEST, Manifest, AGAIN)


def _kept(  # noqa: PLR0913
    data: TableData, numeric: bool, ignored: Sequence[str], *, lists: Sequence[str], tally: Tally, limit: int | None
) -> Iterator[Kept]:
    """The rows of all sources that have a target, each with its split. DataError when a source has no such column."""
    found = _sources(data, tally)
    given = {split for _, split in found}
    for source, split in found:
        for row in islice(rows(source, ignored, lists), limit):
            tally.read += 1
            if row.cells is None:
                tally.drop(row.problem, row.place)
                continue
            if data.target not in row.cells:
                raise DataError(
                    f"{row.place.rpartition(':')[0]} has no column {data.target!r}{suggest(data.target, row.cells)} "
                    f"(columns are {few(row.cells, SHOWN)}): set data.target"
                )
            truth = row.cells[data.target]
            if truth in data.missing:
                tally.drop("no target", row.place)
            elif numeric and is_beyond(truth):
                tally.drop(f"a target that is infinite or too large ({data.target})", row.place, truth)
            elif numeric and number(truth) is None:
                tally.drop(_NO_NUMBER.format(data.target), row.place, truth)
            else:
                apart = split if split != "train" else None
                yield Kept(row.place, row.cells, apart or _split(data, row.cells, ignored, given))


def _require_numbers(data: TableData, kept: list[Kept], tally: Tally) -> None:
    """DataError for a target without a single number."""
    reason = _NO_NUMBER.format(data.target)
    if not kept and tally.dropped[reason]:
        shown = tally.examples[reason][0]
        raise DataError(
            f"{data.source}: {data.target!r} is no number in any row ({shown}): did you mean `task: tabular-classification`?"
        )


def _sources(data: TableData, tally: Tally) -> list[tuple[str, str | None]]:
    """(file, the split that all its rows go to; None: by their hash); training rows give what the source has no split of."""
    found = [(str(part.path), part.split) for part in parts_of(data.source, tally.ignore)]
    return with_own(data, found, lambda source: parts_of(source, tally.ignore))


def _commas(data: TableData) -> Iterator[str]:
    """The columns of each source whose numbers have decimal commas."""
    for source, _ in _sources(data, Tally()):
        if found := decimal_commas(source):
            name, text = next(iter(found.items()))
            names = ", ".join(map(repr, found))
            yield f"{source}: commas in {names} are read as decimal points, such as {text!r} in {name!r} as {text.replace(',', '.')}"


def _split(data: TableData, cells: dict[str, str], ignored: Sequence[str], given: Collection[str | None]) -> str:
    """By a hash of the columns that are learned from, so that copies stay together; none of the splits that are given."""
    left_out = {data.target, *ignored}
    content = json.dumps([(name, text) for name, text in sorted(cells.items()) if name not in left_out])
    return split_of(content, data, given)


def _gone(tally: Tally) -> str:
    """What became of rows that are missed, with the place of one for each reason."""
    why = [(reason, count, tally.examples[reason][0]) for reason, count in tally.dropped.most_common(SHOWN_REASONS)]
    said = ", ".join(f"{count:,} x {reason}, such as {place}" for reason, count, place in why)
    if any(reason.startswith("column ") for reason, *_ in why):
        said += "; data.columns.ignore leaves a column out"
    return said or "all went to another split"


def _schema(data: TableData, kept: list[Kept], numeric: bool, *, tally: Tally) -> tuple[Schema, list[str]]:
    """From the training rows, and what should be said of guesses. DataError when there is nothing to learn."""
    training = [row.cells for row in kept if row.split == "train"]
    if not training:
        raise DataError(f"{data.source} leaves no row to train on: {_gone(tally)}")
    names = _names(data, training)
    described = [
        describe(name, [cells.get(name, "") for cells in training], data.missing, data.columns) for name in names
    ]
    truths = [cells[data.target] for cells in training]
    schema = Schema(
        tuple(column for column, _ in described), data.target, tuple(data.columns.left_out), tuple(data.missing),
        **(_amount(data, truths) if numeric else _classes(data, truths)),
    )  # fmt: skip
    return schema, [said for _, said in described if said]


def _schema_file(data: TableData) -> Path | None:
    """That of `columns_of`. DataError when there is none there."""
    if data.columns_of is None:
        return None
    place = Path(data.columns_of)
    file = next((p for p in (place / "assets" / "schema.json", place / "schema.json") if p.is_file()), None)
    if file is None:
        raise DataError(f"data.columns_of: {place} is no run and no prepared table (no schema.json)")
    return file


def _known(data: TableData, numeric: bool) -> Schema | None:
    """That of `columns_of`. DataError when it is of another target."""
    file = _schema_file(data)
    if file is None:
        return None
    schema = Schema.read(file, f"{AGAIN}, or train the run again")
    if schema.target != data.target or numeric == bool(schema.labels):
        raise DataError(f"data.columns_of: {file} is of another target, or of another task: {schema.target!r}")
    return schema


def _names(data: TableData, training: list[dict[str, str]]) -> list[str]:
    """The columns to learn from, in their order. ConfigError for a column that is named and not there."""
    there = list(dict.fromkeys(name for cells in training for name in cells))
    for name in data.columns.mentioned:
        if name not in there:
            raise ConfigError(f"data.columns: {data.source} has no column {name!r}{suggest(name, there)}")
    names = [name for name in there if name != data.target and name not in data.columns.left_out]
    if not names:
        raise ConfigError(f"{data.source} has no column to learn from but {data.target!r}")
    return names


def _amount(data: TableData, truths: list[str]) -> dict:
    values = np.array(truths, np.float64)
    if values.min() == values.max():
        raise DataError(f"{data.source}: {data.target!r} is always {truths[0]}: there is nothing to learn")
    return {"mean": float(values.mean()), "deviation": float(values.std())}


def _classes(data: TableData, truths: list[str]) -> dict:
    counts = Counter(truths)
    require_apart(counts, data.source)
    if len(counts) < 2:
        raise DataError(f"{data.source}: {data.target!r} is always {truths[0]!r}: there is nothing to tell apart")
    if data.binary and len(counts) > 2:
        raise DataError(
            f"{data.source}: {data.target!r} has {len(counts):,} different values ({few(sorted(counts), SHOWN_REASONS)}), and a click is "
            "or is not: name a column with two as data.target, or did you mean `task: tabular-classification`?"
        )
    if len(counts) > max(MANY, len(truths) / 2) and all(number(name) is not None for name in counts):
        amount = (
            f"{data.source}: {data.target!r} has {len(counts):,} different values in {len(truths):,} rows, all numbers"
        )
        raise DataError(f"{amount}: did you mean `task: tabular-regression`?")
    # names of one number (1, 01) by themselves, so that the order is always one
    labels = sorted(counts, key=lambda name: (0, value, name) if (value := number(name)) is not None else (1, 0, name))
    if data.positive is not None and data.positive not in labels:
        raise ConfigError(
            f"data.positive: {data.target!r} has no class {data.positive!r}{suggest(data.positive, labels)} "
            f"(classes are {', '.join(labels[:10])})"
        )
    rarer = min(reversed(labels), key=lambda name: counts[name]) if len(labels) == 2 else None
    chosen = data.positive or (labels[1] if data.binary else rarer)
    return {"labels": tuple(labels), "positive": None if chosen is None else labels.index(chosen)}


def _guessed(schema: Schema, data: TableData) -> dict[str, list[str]]:
    """kind -> names of the columns whose kind was not said."""
    found = dict[str, list[str]]()
    for column in schema.columns:
        if data.columns.wanted(column.name).kind is None and data.columns_of is None:
            found.setdefault("numbers" if column.kind == "number" else "categories", []).append(column.name)
    return found


def _write(new: Path, schema: Schema, kept: list[Kept], *, data: TableData, tally: Tally) -> dict:
    """The arrays and rows; what of the manifest describes them."""
    encoded, used = _encoded(schema, kept, tally)
    truths = [row.cells[schema.target] for row in used]
    number_of = {label: n for n, label in enumerate(schema.labels)}
    target = np.array([number_of[truth] if number_of else float(truth) for truth in truths], np.float64)
    numbers = {split: np.flatnonzero([row.split == split for row in used]) for split in SPLITS}
    numbers |= {split: numbers["train"] for split in ("valid", "test") if getattr(data, split) == TRAIN}
    arrays = {"values": encoded, "target": target, **numbers, **groups(data, [row.cells for row in used])}
    for name, values in arrays.items():
        np.save(new / f"{name}.npy", values)
    lines = (json.dumps([row.place, row.cells], ensure_ascii=False) + "\n" for row in used)
    write_text(new / "rows.jsonl", "".join(lines))
    write_text(new / "schema.json", schema.dump())
    return {"data_hash": _data_hash(schema, arrays), "splits": _counts(schema, target, numbers, gone=_gone(tally))}


def content_hash(folder: Path) -> str:
    """The data hash of the table that lies there now."""
    names = ["values", "target", *SPLITS, *(["group"] if (folder / "group.npy").is_file() else [])]
    held = {name: array(folder / f"{name}.npy", mapped=True) for name in names}
    return _data_hash(Schema.read(folder / "schema.json", AGAIN), held)


def _data_hash(schema: Schema, arrays: dict[str, np.ndarray]) -> str:
    """sha256 of all that training reads: the schema, the values, the target and the splits, in this order."""
    digest = hashlib.sha256(schema.dump().encode())
    for values in arrays.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _encoded(schema: Schema, kept: list[Kept], tally: Tally) -> tuple[np.ndarray, list[Kept]]:
    """float32 [rows, columns], and the rows that they are of."""
    values, used = [], []
    for row in kept:
        try:
            if schema.labels and row.cells[schema.target] not in schema.labels:
                raise BadInput("a class that no training row has")
            encoded, unseen = schema.encode(row.cells)
        except BadInput as error:
            tally.drop(str(error), row.place)
            continue
        for name in unseen:
            tally.note(f"a category of {name!r} that no training row has", row.place, row.cells[name])
        values.append(encoded)
        used.append(row)
    tally.kept = len(used)
    return np.array(values, np.float32).reshape(len(used), schema.width), used


def _merged(schema: Schema, kept: list[Kept]) -> Iterator[str]:
    """What should be said of columns whose numbers float32, which models take, cannot tell apart."""
    for column in (column for column in schema.columns if column.kind == "number"):
        step = float(np.spacing(np.float32(max(abs(column.low), abs(column.high)))))
        if step * STEPS < column.deviation:
            continue
        cells = {row.cells.get(column.name, "") for row in kept if row.split == "train"}
        values = np.unique([value for text in cells if (value := number(text)) is not None])
        if (left := len(np.unique(values.astype(np.float32)))) < len(values):
            yield (
                f"column {column.name!r}: {len(values):,} different numbers become {left:,} in float32, which tells them apart in "
                f"steps of {step:g}: subtract a constant from the column first"
            )


def _counts(schema: Schema, target: np.ndarray, numbers: dict[str, np.ndarray], *, gone: str) -> dict:
    found: dict[str, dict] = {split: {"examples": len(held)} for split, held in numbers.items()}
    if schema.labels:
        for split, held in numbers.items():
            found[split]["classes"] = np.bincount(target[held].astype(int), minlength=len(schema.labels)).tolist()
    missing = [label for label, count in zip(schema.labels, found["train"].get("classes", [])) if count == 0]
    if missing or not found["train"]["examples"]:
        of = f" with {schema.target!r} {', '.join(missing[:5])}" if missing else ""
        raise DataError(f"no row{of} is left to train on: {gone}")
    return found


# --- what a preparation depends on ---


def _settings(data: TableData) -> dict:
    return data.model_dump(exclude={"prepared"})


def _files(data: TableData) -> dict[str, str]:
    """The sources with the sha256 of their bytes. DataError when one is missing."""
    found = [*_sources(data, Tally()), *([(str(file), None)] if (file := _schema_file(data)) else [])]
    return {source: _digest(source) for source, _ in found}


def _digest(source: str) -> str:
    return "scikit-learn" if source in EXAMPLES else digest(source)


def fingerprint(data: TableData) -> str:
    """sha256 in hex of the settings and the files; another one says that the table must be prepared again."""
    return splitting.fingerprint(FORMAT, _settings(data), _files(data))


def changed(config: BaseConfig, *, sources: bool = True) -> list[str]:
    """What of the prepared table is another than `config.data` asks for; see `registry.PARTS`."""
    data: TableData = config.data
    manifest = prepared.read_manifest(Path(data.prepared), Manifest, is_readable)
    if (lines := setting_changes(manifest, data)) or not sources:
        return lines
    return [] if manifest["fingerprint"] == fingerprint(data) else ["data.source: its rows have changed"]


def setting_changes(manifest: dict, data: TableData) -> list[str]:
    return prepared.differing(manifest["settings"], _settings(data))


def require_same(manifest: dict, data: TableData) -> None:
    """ConfigError that names the settings with which a table was prepared, where they are not those of `data`."""
    prepared.require_same(data.prepared, setting_changes(manifest, data))
