"""Interactions from their files to arrays that training reads, in memory for one number a row and for each id once.

A prepared directory holds the ids of users and items (`users.*.npy`, `items.*.npy`, see `names.Names`), of each split the rows by user
(`train.bounds.npy`, `train.items.npy`, `train.values.npy`, `train.times.npy`, see `store.Rows`), titles, words and profiles where there
is a catalogue or a table of users, and `manifest.json`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.base.console import Console
from bmtool.base.files import SUMS, allocate, read_json, write_json, write_sums
from bmtool.config.interactions import InteractionData
from bmtool.config.schema import BaseConfig
from bmtool.data import prepared, splitting
from bmtool.data.prepared import AGAIN, MANIFEST
from bmtool.data.replacing import making, put, require_own
from bmtool.data.splitting import SPLITS, same
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.tables import checks
from bmtool.tables.interactions import catalogue, splits
from bmtool.tables.interactions.names import PARTS, Names
from bmtool.tables.interactions.reading import read, sources
from bmtool.tables.interactions.spill import Spill
from bmtool.tables.interactions.store import (
    ARRAYS,
    FORMAT,
    NAME,
    Manifest,
    Rows,
    is_readable,
    setting_changes,
    settings_of,
)
from bmtool.tables.sources import parts_of

_TEXTS = tuple(
    f"{kind}.{part}.npy"
    for kind in (catalogue.TITLE, catalogue.CONTENT, catalogue.PROFILE)
    for part in ("bounds", "text")
)
_NAMES = tuple(f"{kind}.{part}.npy" for kind in ("users", "items") for part in PARTS)
FILES = frozenset({*ARRAYS, *_TEXTS, *_NAMES, SUMS, MANIFEST, "report"})
SHOWN_REASONS = 5
MANY_TIES = 0.02
KEPT_BEFORE = "rows with the same user and item, of which the last counts"


def prepare(config: BaseConfig, console: Console, limit: int | None = None) -> dict:
    """Write the prepared interactions that `config.data` describes and return their manifest.

    Rows that cannot be used are dropped and counted. A directory that holds the same already is left as it is.
    """
    data: InteractionData = config.data
    target = Path(data.prepared).resolve()
    busy = f"{data.prepared} is being prepared by another process: wait for it, or name another directory"
    with making(target, busy) as new:
        before = fingerprint(data)
        if (kept := same(target, before, content_hash, Manifest, console)) is not None:
            return kept
        require_own(target, FILES)
        (beside := new.with_name("spill")).mkdir(exist_ok=True)
        spill = Spill(beside)
        try:
            about = _write(new, spill, data, limit)
        finally:
            spill.remove()
            beside.rmdir()
        write_sums(new, [path.name for path in new.iterdir()])
        about |= {"kind": NAME, "format": FORMAT, "settings": settings_of(data), "fingerprint": before}
        write_json(new / MANIFEST, about | {"data_hash": content_hash(new)})
        put(new, target)
    return read_json(target / MANIFEST, Manifest, AGAIN)


def _write(new: Path, spill: Spill, data: InteractionData, limit: int | None) -> dict:
    """The arrays, and what the manifest says of them."""
    found = read(data, spill, Tally(), limit)
    tally = found.tally
    if not tally.kept:
        raise DataError(f"{data.source} leaves no interaction: {_gone(tally)}")
    counted = splits.in_order(spill, data)
    users, items = splits.core(spill, found.users.names(), found.items.names(), data.core)
    _require_several(users, items, data, tally)
    rule = splits.assign(spill, data)
    described = catalogue.items(data, tally)
    every = catalogue.joined(items, described)
    lengths = _rows(new, spill, users, every)
    for kind, names in (("users", users), ("items", every)):
        for part, values in names.arrays().items():
            np.save(new / f"{kind}.{part}.npy", values)
    if data.items is not None:
        _titles(new, every, described, tally)
    if data.users is not None:
        _profiles(new, users, catalogue.users(data, tally))
    about = {
        "rule": rule, "times": found.clock.kind, "splits": {name: {"examples": count} for name, count in zip(SPLITS, lengths)},
        "counts": _counts(new, users, every, counted, taken=len(items)), "noted": dict(tally.noted), "ignored": dict(tally.ignored),
        **tally.as_dict(),
    }  # fmt: skip
    return about | {"warnings": list(_warnings(data, about, tally))}


def _require_several(users: Names, items: Names, data: InteractionData, tally: Tally) -> None:
    """DataError where there is nobody to learn from, or nothing to choose."""
    for kind, names in (("user", users), ("item", items)):
        if len(names) == 0:
            raise DataError(f"no {kind} has {data.core} interactions with others that have as many: lower data.core")
        if len(names) == 1:
            raise DataError(
                f"{data.source} has one {kind} ({names[0]!r}): there is nothing to compare it with ({_gone(tally)})"
            )


def _gone(tally: Tally) -> str:
    """What became of rows that are missed, with the place of one for each reason."""
    why = [(reason, count, tally.examples[reason][0]) for reason, count in tally.dropped.most_common(SHOWN_REASONS)]
    return ", ".join(f"{count:,} x {reason}, such as {place}" for reason, count, place in why) or "no row was dropped"


def _rows(new: Path, spill: Spill, users: Names, items: Names) -> list[int]:
    """The rows of each split by user, part by part; how many there are."""
    counts = np.zeros((len(SPLITS), len(users)), np.int64)
    for split, rows in splits.by_split(spill):
        np.add.at(counts[split], users.ranks(rows["user"]), 1)
    lengths = counts.sum(axis=1).tolist()
    if not lengths[0]:
        raise DataError("no interaction is left to train on: see data.split, data.valid_share and data.test_share")
    kinds = {"items": np.int32, "values": np.float32, "times": np.int64}
    for number, split in enumerate(SPLITS):
        np.save(new / f"{split}.bounds.npy", np.concatenate([[0], np.cumsum(counts[number])]).astype(np.int64))
        files = {name: _empty(new / f"{split}.{name}.npy", kind, lengths[number]) for name, kind in kinds.items()}
        at = 0
        for rows in (rows for which, rows in splits.by_split(spill) if which == number):
            place = slice(at, at := at + len(rows))
            files["items"][place] = items.ranks(rows["item"])
            files["values"][place], files["times"][place] = rows["value"], rows["time"]
    return lengths


def _empty(path: Path, kind: type, length: int) -> np.ndarray:
    """An array on the disk, where there is room for all of it; numpy maps none without a row. ResourceError on a disk that is too full."""
    if not length:
        np.save(path, np.zeros(0, kind))
        return np.zeros(0, kind)
    held = np.dtype(kind)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": held.str, "fortran_order": False, "shape": (length,)})
        size = stream.tell() + length * held.itemsize
        allocate(stream, size)
        stream.truncate(size)
    return np.lib.format.open_memmap(path, "r+")


def _titles(new: Path, items: Names, described: dict[str, tuple[str, str]], tally: Tally) -> None:
    """Titles and words, by number."""
    names = items.texts.every()
    catalogue.write(new, catalogue.TITLE, (described.get(name, (name, ""))[0] for name in names))
    catalogue.write(new, catalogue.CONTENT, (described.get(name, (name, ""))[1] for name in names))
    for name in (name for name in names if name not in described):
        tally.note(catalogue.NOT_THERE, name)


def _profiles(new: Path, users: Names, profiles: dict[str, str]) -> None:
    catalogue.write(new, catalogue.PROFILE, (profiles.get(name, "") for name in users.texts.every()))


def _counts(new: Path, users: Names, items: Names, counted: splits.Counted, *, taken: int) -> dict[str, float]:
    """What the report says in numbers; `taken` items have an interaction."""
    found = [Rows(*(prepared.array(new / f"{split}.{part}.npy") for part in Rows._fields)) for split in SPLITS]
    by_user = sum(rows.counts for rows in found)
    by_item = sum(rows.popularity(len(items)) for rows in found)
    total = int(by_user.sum())
    known = found[0].counts > 0
    return {
        "users": len(users), "items": taken, "interactions": total, "density": total / (len(users) * taken),
        "duplicates": counted.repeated, "left_out_by_core": counted.rows - total,
        "users_seen_once": int((by_user == 1).sum()), "items_seen_once": int((by_item == 1).sum()),
        "items_in_catalogue_only": len(items) - taken,
        "items_of_half_the_interactions": int((np.cumsum(np.sort(by_item)[::-1]) < total / 2).sum()) + 1,
        "share_of_ties_in_time": counted.ties / max(1, counted.rows),
        **{f"{split}_users": int((rows.counts > 0).sum()) for split, rows in zip(SPLITS, found)},
        **{f"{split}_users_without_training_rows": int(((rows.counts > 0) & ~known).sum())
           for split, rows in zip(SPLITS[1:], found[1:])},
        "ratings_differ": float(np.ptp(found[0].values)),
    }  # fmt: skip


def _warnings(data: InteractionData, about: dict, tally: Tally) -> Iterator[str]:
    """What should be looked at before anything is learned."""
    counts = about["counts"]
    if counts["duplicates"]:
        yield f"{counts['duplicates']:,} {KEPT_BEFORE}"
    if data.columns.rating is not None and not counts["ratings_differ"]:
        yield f"all ratings in {data.columns.rating!r} are equal: they say who took what, and no more"
    if counts["share_of_ties_in_time"] > MANY_TIES and data.split == "last":
        yield (
            f"{counts['share_of_ties_in_time']:.0%} of the interactions have the time of another of the same user: which of them is "
            "the last is decided by a hash, so figures hang on data.tie_seed"
        )
    for split in SPLITS[1:]:
        if new := counts[f"{split}_users_without_training_rows"]:
            of = f"{new:,} of {counts[f'{split}_users']:,} users of the {split} split"
            yield f"{of} have no training rows: nothing is known of them"
    if counts["items_in_catalogue_only"]:
        yield f"{counts['items_in_catalogue_only']:,} {catalogue.ONLY_THERE}"
    yield from checks.of_dropped(tally)


# --- what a preparation depends on ---


def content_hash(folder: Path) -> str:
    """The data hash of what lies there now: ids, rows, titles and words, in this order."""
    digest = hashlib.sha256()
    for name in (*_NAMES, *ARRAYS, *_TEXTS):
        if name in _TEXTS and not (folder / name).is_file():
            continue
        digest.update(np.ascontiguousarray(prepared.array(folder / name, mapped=True)).data)
    return digest.hexdigest()


def _files(data: InteractionData) -> dict[str, str]:
    """The sources with the sha256 of their bytes. DataError when one is missing."""
    found = [path for path, _ in sources(data, Tally())]
    for beside in (data.items, data.users):
        found += [str(part.path) for part in parts_of(beside.source, Tally().ignore)] if beside else []
    return {path: splitting.digest(path) for path in found}


def fingerprint(data: InteractionData) -> str:
    """sha256 in hex of the settings and the files; another one says that the interactions must be prepared again."""
    return splitting.fingerprint(FORMAT, settings_of(data), _files(data))


def changed(config: BaseConfig, *, sources: bool = True) -> list[str]:
    """What of the prepared data is another than `config.data` asks for; see `registry.PARTS`."""
    data: InteractionData = config.data
    manifest = prepared.read_manifest(Path(data.prepared), Manifest, is_readable)
    if (lines := setting_changes(manifest, data)) or not sources:
        return lines
    return [] if manifest["fingerprint"] == fingerprint(data) else ["data.source: its rows have changed"]
