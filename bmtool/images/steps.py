"""The steps of preparing images: decode, drop duplicates, choose, require classes, measure, describe."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from bmtool.base.console import Console
from bmtool.base.files import write_json, write_text
from bmtool.base.units import few
from bmtool.config.image import ImageData
from bmtool.data.names import look_alike
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.images import levels
from bmtool.images.decoding import Draft, store
from bmtool.images.items import Item
from bmtool.images.targets import NAMES, VOID

_CHUNK = 256
Of = Callable[[int], bytes]
_TARGETS = {"boxes": "boxes", "mask": "mask", "paired": "image"}  # field of an Item -> kind of target


def make(  # noqa: PLR0913
    folder: Path, data: ImageData, listed: list[Item], *, labels: list[str], tally: Tally, console: Console
) -> dict:
    """Write all files of a prepared directory but its manifest, which is returned. DataError when too little is left to train on.

    `tally` holds what was counted while the items were listed.
    """
    began = time.perf_counter()
    draft = Draft(data, listed, _kind(data, listed), labels, {item.split for item in listed}, tally)
    _require_effect(data, draft.kind)
    store(folder, draft, console)
    _require_range(draft)
    _drop_duplicates(draft)
    chosen = _choose(draft)
    _name_classes(draft, chosen)
    _require_classes(draft, chosen)
    _write_lists(folder, draft, chosen)
    mean, deviation = _statistics(np.load(folder / "images.npy", mmap_mode="r"), chosen["train"])
    seconds = round(time.perf_counter() - began, 2)
    return _manifest(draft, chosen) | {"mean": mean, "deviation": deviation, "seconds": seconds}


def _require_effect(data: ImageData, kind: str) -> None:
    """ConfigError for settings that mean nothing with targets of this kind."""
    if data.per_class and kind != "label":
        raise ConfigError("data.per_class counts images of one class each: leave it out where the targets are others")
    if data.fit != "square" and kind == "label":
        raise ConfigError("data.fit: pad is for boxes, masks and paired images: a class is told from the middle square")


def _require_range(draft: Draft) -> None:
    """DataError when the type of all deep images says that they are nearly black: their values may not fill it."""
    noted = draft.tally.noted
    if noted[levels.DIM] and noted[levels.DIM] == noted[levels.SIXTEEN]:
        raise DataError(
            f"{draft.data.source}: all {noted[levels.DIM]:,} images of 16 bits a pixel hold no value over 4,095, and would be nearly "
            "black: set data.range to what their white is, such as 12bit or [0, 255], or to 16bit if they are so dark"
        )


def _kind(data: ImageData, listed: list[Item]) -> str:
    """The kind of target that all items have. DataError when they differ."""
    kinds = {_kind_of(item) for item in listed}
    if len(kinds) > 1:
        held = " in one part and ".join(sorted(NAMES[kind] for kind in kinds))
        raise DataError(f"{data.source} holds {held} in another: prepare them apart")
    return kinds.pop()


def _kind_of(item: Item) -> str:
    return next((kind for name, kind in _TARGETS.items() if getattr(item, name) is not None), "label")


# --- splits ---


def _drop_duplicates(draft: Draft) -> None:
    """Leave out all images but one of those with the same pixels; what is tested on is kept, and its copies go."""
    listed, seen = draft.listed, {}
    for number in sorted(range(len(listed)), key=lambda n: -draft.split_of[n]):
        first = seen.setdefault(draft.digests[number], number)
        if draft.split_of[number] < 0 or first == number:
            continue
        if listed[number].split == "test":
            draft.tally.note("duplicate in the test split, kept", listed[number].name, listed[first].name)
            continue
        other = "the same image in another class" if draft.kind == "label" else "the same image with another target"
        reason = "duplicate" if draft.marks[first] == draft.marks[number] else other
        draft.tally.drop(reason, listed[number].name, listed[first].name)
        draft.split_of[number] = -1


def _choose(draft: Draft) -> dict[str, np.ndarray]:
    """The numbers of the images of each split, int64."""
    chosen = {split: np.flatnonzero(np.array(draft.split_of) == code) for code, split in enumerate(SPLITS)}
    if draft.data.per_class:
        chosen["train"] = _first_of_each(chosen["train"], draft, draft.data.per_class)
    draft.tally.kept = sum(map(len, chosen.values()))
    return chosen


def _first_of_each(numbers: np.ndarray, draft: Draft, count: int) -> np.ndarray:
    """So many images of each class, chosen by a hash of their pixels."""
    taken: dict[str | None, list[int]] = {}
    for number in sorted(numbers.tolist(), key=lambda n: draft.digests[n]):
        held = taken.setdefault(draft.listed[number].label, [])
        if len(held) < count:
            held.append(number)
        else:
            draft.tally.drop("beyond data.per_class images of its class", draft.listed[number].name)
    return np.array(sorted(n for held in taken.values() for n in held), np.int64)


# --- classes ---


def _name_classes(draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    """Classes of masks are their numbers, unless `data.labels` names them. DataError when there are none, or too few names."""
    if draft.kind != "mask":
        return
    most = int(draft.classes.of(np.concatenate(list(chosen.values()))).max(initial=0))
    if most == 0:
        raise DataError(f"{draft.data.source}: no mask shows a class but 0; {VOID} means that a pixel is not counted")
    if draft.data.labels is None:
        draft.labels = [str(number) for number in range(most + 1)]
    elif most >= len(draft.labels):
        raise DataError(
            f"{draft.data.source}: masks show class {most}, {draft.data.labels} names {len(draft.labels)} only"
        )


def _require_classes(draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    """DataError when nothing is left to train on, or nothing of a class; of masks only of one that is tested."""
    source, training = draft.data.source, chosen["train"]
    if not len(training):
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in draft.tally.dropped.items())
        raise DataError(f"{source}: no image is left to train on ({reasons or 'all are in other splits'})")
    wanted = range(len(draft.labels))
    if draft.kind == "mask":
        wanted = np.unique(draft.classes.of(np.concatenate(list(chosen.values())))).tolist()
    missing = _missing(draft, wanted, training)
    if missing and draft.data.labels is None:
        raise DataError(
            f"{source}: no image of the class {', '.join(missing[:5])} is left to train on: add some, or lower test_share"
        )


def _missing(draft: Draft, wanted: Iterable[int], numbers: np.ndarray) -> list[str]:
    """The classes among `wanted` that no image of these shows."""
    present = set(draft.classes.of(numbers).tolist())
    return [draft.labels[number] for number in wanted if number not in present]


def _warnings(draft: Draft, training: np.ndarray) -> Iterator[str]:
    yield from look_alike(draft.labels)
    if draft.data.labels and (missing := _missing(draft, range(len(draft.labels)), training)):
        yield f"no image to train on of {len(missing):,} of the classes of {draft.data.labels}: {few(missing, 5)}"


# --- what is written at the end ---


def _write_lists(folder: Path, draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    for split, numbers in chosen.items():
        np.save(folder / f"{split}.npy", numbers)
    np.save(folder / "labels.npy", _codes(draft))
    write_json(folder / "labels.json", draft.labels)
    write_text(folder / "names.json", json.dumps([item.name for item in draft.listed], ensure_ascii=False))


def _codes(draft: Draft) -> np.ndarray:
    """int32 [N]: the number of each image's class, -1 where it has none."""
    number_of = {label: number for number, label in enumerate(draft.labels)}
    return np.array([-1 if item.label is None else number_of[item.label] for item in draft.listed], np.int32)


def _statistics(images: np.ndarray, numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the training images, in 0 .. 1."""
    total, squares, count = np.zeros(images.shape[-1]), np.zeros(images.shape[-1]), 0
    for start in range(0, len(numbers), _CHUNK):
        block = images[numbers[start : start + _CHUNK]].reshape(-1, images.shape[-1]) / 255.0
        total, squares, count = total + block.sum(0), squares + (block**2).sum(0), count + len(block)
    mean = total / count
    return mean.round(6).tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-8)).round(6).tolist()


def data_hash(about: list, chosen: dict[str, np.ndarray], codes: np.ndarray, digest_of: Of, mark_of: Of | None) -> str:
    """sha256 of all that training reads: `about` [size, channels, classes], pixels and targets of each split.

    `codes` are the classes of all images; `digest_of` and `mark_of` give the hashes of an image and of its target, where that is no class.
    """
    digest = hashlib.sha256(json.dumps(about).encode())
    for split, numbers in chosen.items():
        digest.update(split.encode() + b"".join(map(digest_of, numbers)) + codes[numbers].tobytes())
        if mark_of is not None:
            digest.update(b"".join(map(mark_of, numbers)))
    return digest.hexdigest()


def _data_hash(draft: Draft, chosen: dict[str, np.ndarray]) -> str:
    about = [draft.data.size, draft.data.channels, draft.labels]
    marks = None if draft.kind == "label" else draft.marks.__getitem__
    return data_hash(about, chosen, _codes(draft), draft.digests.__getitem__, marks)


def _manifest(draft: Draft, chosen: dict[str, np.ndarray]) -> dict:
    """What was read, kept and dropped, and how many examples of each class there are (of boxes, how many boxes)."""
    counts = {
        split: {
            "examples": len(numbers),
            "classes": np.bincount(draft.classes.of(numbers), minlength=len(draft.labels)).tolist(),
        }
        for split, numbers in chosen.items()
    }
    return {
        "kind": "images", "target": draft.kind, "data_hash": _data_hash(draft, chosen), "splits": counts, "labels": draft.labels,
        **draft.tally.as_dict(), "noted": dict(draft.tally.noted), "ignored": dict(draft.tally.ignored),
        "warnings": [*_warnings(draft, chosen["train"])],
    }  # fmt: skip
