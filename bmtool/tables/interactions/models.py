"""What models on interactions share: what they begin with, and the arrays of models that are parts of one."""

import hashlib

import numpy as np

from bmtool.config.interactions import InteractionData
from bmtool.engine.task import Identity, require_examples
from bmtool.tables.interactions.store import Interactions, open_same

RULE = "split.txt"  # among the assets: how the data were split
Arrays = dict[str, np.ndarray]


def begun(data: InteractionData) -> tuple[Interactions, Identity]:
    """The prepared data, and what tells them apart. DataError without training or validation rows."""
    held = open_same(data)
    for split in ("train", "valid"):
        require_examples(split, len(held.split(split)))
    return held, Identity(held.manifest["data_hash"], hashlib.sha256(held.items.hashes.tobytes()).hexdigest())


def as_part(number: int, arrays: Arrays) -> Arrays:
    """The arrays of a model as those of part `number` of another."""
    return {f"{number}.{name}": values for name, values in arrays.items()}


def of_part(number: int, arrays: Arrays) -> Arrays:
    """Those of part `number`, by their own names."""
    begin = f"{number}."
    return {name.removeprefix(begin): values for name, values in arrays.items() if name.startswith(begin)}
