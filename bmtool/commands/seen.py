"""Whether models that are compared on a split of one were trained on some of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bmtool.base.files import read_json
from bmtool.commands.loading import Loaded
from bmtool.errors import DataError

LIMIT = 1_000_000  # training examples that are looked through


def warnings(first: Loaded, others: list[Loaded], split: str) -> Iterator[str]:
    """What to say of `first`, whose split is measured, and of each other model, which may have been trained on examples of that split."""
    if changed := first.run.changed_data():
        yield f"{changed}: its {split} split may hold what the run was trained on, so that figures are too good"
    for other in others:
        if other.info.get("data_hash") != first.info["data_hash"] and (said := _of(first, other, split)):
            yield said


def _of(first: Loaded, other: Loaded, split: str) -> str:
    unknown = f"{other.name} was trained on other data, perhaps on some of these examples, which cannot be told"
    if other.run is None:
        return f"{unknown} from an exported model"
    try:
        prepared = other.run.prepared()
    except DataError:
        return f"{unknown}: its prepared data are gone"
    if other.run.changed_data():
        return f"{unknown}: {prepared} has changed since"
    if read_json(prepared / "manifest.json")["splits"]["train"]["examples"] > LIMIT:
        return f"{unknown} quickly: it has more than {LIMIT:,} training examples"
    measured = _keys(first, first.run.prepared(), split)
    seen = measured & _keys(other, prepared, "train")
    if not seen:
        return ""
    return (
        f"{other.name} was trained on other splits: {len(seen):,} of these {len(measured):,} examples were among its training "
        "examples, so that it looks better than it is; prepare both alike, or measure on new examples with --data"
    )


def _keys(loaded: Loaded, prepared: Path, split: str) -> set[Any]:
    key = loaded.entry.load("examples").key
    return {
        key(example) for example in loaded.entry.load("examples").split(loaded.run.config().data, prepared, split, [])
    }
