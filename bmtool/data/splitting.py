"""Which split an example is of, and whether what was prepared is still that of its files: shared by kits that hold examples in memory."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from bmtool.base.console import Console
from bmtool.base.files import read_json, sha256
from bmtool.config.splits import TRAIN, SplitData
from bmtool.data.prepared import AGAIN, MANIFEST, ContentHash, described, is_whole
from bmtool.errors import DataError

SPLITS = ("train", "valid", "test")
M = TypeVar("M")


def with_own(data: SplitData, given: list[tuple[str, str | None]], parts: Callable[[str], Iterable[Any]]) -> list:
    """(file, the split that all its rows go to; None: by their hash): those of the source, and those of `valid` and `test`."""
    found = list(given)
    for split in ("valid", "test"):
        if (source := getattr(data, split)) not in (None, TRAIN):
            found += [(str(part.path), split) for part in parts(source)]
    return found


def split_of(content: str, data: SplitData, given: Collection[str | None]) -> str:
    """By a hash of the content, so that copies stay together and a row stays where it is when others are added; none of those `given`."""
    valid_share, test_share = (0.0 if name in given else getattr(data, f"{name}_share") for name in ("valid", "test"))
    place = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "little") / 2**64
    if place < valid_share:
        return "valid"
    return "test" if place < valid_share + test_share else "train"


def fingerprint(*depends: Any) -> str:
    """sha256 in hex of all that prepared data depend on, as JSON."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def digest(source: str) -> str:
    """sha256 of a file's bytes. DataError when it is missing."""
    try:
        return sha256(Path(source))
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}") from error


def same(target: Path, wanted: str, content_hash: ContentHash, kind: type[M], console: Console) -> M | None:
    """The manifest of what was prepared before, where its fingerprint is the one `wanted` and it is whole."""
    if not (target / MANIFEST).is_file() or not is_whole(target, content_hash, console.say):
        return None
    return read_json(target / MANIFEST, kind, AGAIN) if described(target).get("fingerprint") == wanted else None
