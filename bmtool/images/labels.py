"""The names of classes: their order, where they are kept, and what they must be."""

from pathlib import Path

from bmtool.base.files import read_json
from bmtool.base.units import few
from bmtool.config.image import ImageData
from bmtool.data.names import require_apart
from bmtool.data.prepared import AGAIN
from bmtool.errors import DataError
from bmtool.images.items import Item

_DIGITS = 18  # of a number; longer ones are names


def class_names(data: ImageData, listed: list[Item]) -> list[str]:
    """Names in their order, of images or of boxes: numbers by value, else by name; or those that `data.labels` gives.

    Empty where masks hold the classes: they are known when these are read. DataError when `data.labels` lacks a class, and for
    two names that look the same.
    """
    found = {item.label for item in listed if item.label is not None}
    found |= {box.label for item in listed for box in item.boxes or ()}
    require_apart(found, data.source)
    if data.labels is None:
        return sorted(found, key=order)
    known = load_labels(Path(data.labels))
    if unknown := sorted(found - set(known)):
        shown = few(unknown, 5)
        raise DataError(
            f"{data.labels} does not know {len(unknown)} of the classes of {data.source}: {shown}\n"
            "leave data.labels out: finetuning then makes a new head for the classes of this data"
        )
    return known


def order(name: str) -> tuple[int, int, str]:
    """Numbers come by their value, then all else; names of the same number (1, 01) by themselves, so that the order is always one."""
    return (0, int(name), name) if name.isdecimal() and len(name) <= _DIGITS else (1, 0, name)


def load_labels(path: Path) -> list[str]:
    """The class names of a run or of prepared data."""
    file = next((p for p in (path / "assets" / "labels.json", path / "labels.json") if p.is_file()), None)
    if file is None:
        raise DataError(f"{path} is no run and no prepared data with classes (no labels.json)")
    return read_json(file, list[str], f"{AGAIN}, or train the run again")


def require_classes(labels: list[str], source: str) -> None:
    """DataError when there is nothing to tell apart."""
    if len(labels) < 2:
        raise DataError(
            f"{source} holds one class only ({', '.join(labels) or 'none'}): a classifier needs two or more"
        )
