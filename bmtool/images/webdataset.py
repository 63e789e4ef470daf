"""Images in tars of WebDataset: a sample has an image, and its class in a .cls, or in an object in a .json."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images.items import Item
from bmtool.images.lists import NAMES, UNLABELLED, text
from bmtool.predict import folders
from bmtool.sources.tars import Sample, samples

MAX_NAME, MAX_JSON = 1 << 10, 1 << 20  # bytes of a .cls and of a .json
BAD_CLASS, BAD_JSON = "a .cls that is no name of a class", "a .json that is no object"


def items(path: Path, columns: Mapping[str, str], tally: Tally) -> list[Item]:
    """The images of a tar, where they lie; `columns` may name another member for the image, and another key of the .json for the class.

    Where one sample has a class, those that have none are dropped and counted. DataError for a member or key that no sample has.
    """
    found = list(_items(path, columns, tally))
    labelled = any(item.label is not None for item in found)
    if "label" in columns and found and not labelled:
        raise DataError(f"{path}: data.columns: no .json with the key {columns['label']!r} for the label")
    for item in found if labelled else ():
        if item.label is None:
            tally.read += 1
            tally.drop(UNLABELLED, item.name)
    return [item for item in found if item.label is not None or not labelled]


def _items(path: Path, columns: Mapping[str, str], tally: Tally) -> Iterator[Item]:
    for sample in samples(path, tally.ignore):
        kinds = [columns["image"]] if columns.get("image") in sample.members else folders.kinds(sample.members)
        if len(kinds) != 1:
            tally.ignore(folders.SEVERAL if kinds else folders.NO_IMAGE, sample.name)
            continue
        try:
            label = _label(sample, columns.get("label"))
        except ValueError as error:
            tally.read += 1
            tally.drop(str(error), sample.name)
            continue
        for kind in sample.members.keys() - {*kinds, "cls", "json"}:
            tally.ignore(f"member .{kind}", f"{sample.name}.{kind}")
        yield Item(f"{sample.name}.{kinds[0]}", label, None, sample.members[kinds[0]])


def _label(sample: Sample, key: str | None) -> str | None:
    """ValueError, in the words in which it is counted, for what is no class."""
    if "cls" in sample.members and key is None:
        return _named(sample)
    held = _object(sample) if "json" in sample.members else {}
    known = [key] if key else [name for name in held if name.casefold() in NAMES["label"]]
    return text(held.get(known[0])) or None if known else None


def _named(sample: Sample) -> str | None:
    member = sample.members["cls"]
    name = member.read().decode("utf-8", "replace").strip() if member.size <= MAX_NAME else "\n"
    if "\n" in name or "\ufffd" in name:
        raise ValueError(BAD_CLASS)
    return name or None


def _object(sample: Sample) -> dict:
    member = sample.members["json"]
    try:
        held = json.loads(member.read()) if member.size <= MAX_JSON else None
    except (ValueError, RecursionError) as error:
        raise ValueError(BAD_JSON) from error
    if not isinstance(held, dict):
        raise ValueError(BAD_JSON)
    return held
