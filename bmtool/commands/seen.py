"""Whether models that are compared on a split of one were trained on some of it."""

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from bmtool.commands.checking import checked
from bmtool.commands.loading import Loaded
from bmtool.data.prepared import described
from bmtool.errors import DataError
from bmtool.registry import Entry

if TYPE_CHECKING:
    from bmtool.engine.run_dir import RunDir

LIMIT = 1_000_000  # training examples that are looked through


def warnings(first: Loaded, others: list[Loaded], split: str) -> Iterator[str]:
    """What to say of `first`, whose split is measured, and of each other model, which may have been trained on examples of that split."""
    if first.run is None:
        return
    if changed := first.run.changed_data():
        yield f"{changed}: its {split} split may hold what the run was trained on, so that figures are too good"
    for other in others:
        if other.info.get("data_hash") != first.info["data_hash"] and (
            said := _of(other, first.entry, first.run, split)
        ):
            yield said


def in_files(loaded: Loaded, keys: set[Hashable]) -> Iterator[str]:
    """What to say where examples of files, by their `keys`, are among those that a run was trained on."""
    if loaded.run is None:
        return
    try:
        if loaded.run.changed_data():
            return
        prepared = checked(loaded.run.prepared(), loaded.entry, lambda message: None)
    except DataError as error:
        yield f"whether {loaded.name} was trained on some of these examples cannot be told: {error}"
        return
    if described(prepared)["splits"]["train"]["examples"] > LIMIT:
        return
    if seen := keys & _keys(loaded.entry, loaded.run, "train"):
        yield (
            f"{loaded.name} was trained on {len(seen):,} of these examples, so that the figures are too good: "
            "`bmtool evaluate` without --data measures on those that were kept from it"
        )


def _of(other: Loaded, entry: Entry, run: "RunDir", split: str) -> str:
    unknown = f"{other.name} was trained on other data, perhaps on some of these examples, which cannot be told"
    if other.run is None:
        return f"{unknown} from an exported model"
    try:
        prepared = checked(other.run.prepared(), other.entry, lambda message: None)
    except DataError as error:
        return f"{unknown}: {error}"
    if other.run.changed_data():
        return f"{unknown}: {prepared} has changed since"
    if described(prepared)["splits"]["train"]["examples"] > LIMIT:
        return f"{unknown} quickly: it has more than {LIMIT:,} training examples"
    measured = _keys(entry, run, split)
    seen = measured & _keys(other.entry, other.run, "train")
    if not seen:
        return ""
    return (
        f"{other.name} was trained on other splits: {len(seen):,} of these {len(measured):,} examples were among its training "
        "examples, so that it looks better than it is; prepare both alike, or measure on new examples with --data"
    )


def _keys(entry: Entry, run: "RunDir", split: str) -> set[Hashable]:
    kit = entry.load("examples")
    return {kit.key(example) for example in kit.split(run.config().data, run.prepared(), split, [])}
