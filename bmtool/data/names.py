"""Names of classes that people would take for one."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator

from bmtool.base.delimited import number
from bmtool.base.units import few
from bmtool.errors import DataError

_SHOWN = 3  # pairs in a message


def require_apart(names: Iterable[str], source: str) -> None:
    """DataError when two are one text in other code points, as an é may be one or two: they look the same everywhere."""
    if alike := _alike(names, lambda name: unicodedata.normalize("NFC", name)):
        shown = few([" and ".join(map(ascii, pair)) for pair in alike], _SHOWN)
        raise DataError(
            f"{source}: classes whose names are the same text in other code points ({shown}): give both one name"
        )


def look_alike(names: Collection[str]) -> Iterator[str]:
    """What is to be said of names that differ in capitals or in spaces only, or that are the same number."""
    if alike := _alike(names, lambda name: " ".join(unicodedata.normalize("NFC", name).casefold().split())):
        shown = few([" and ".join(map(repr, pair)) for pair in alike], _SHOWN)
        yield f"classes whose names differ in capitals or spaces only: {shown}; if they are one, give them one name"
    if alike := _alike((name for name in names if number(name) is not None), lambda name: str(number(name))):
        shown = few([" and ".join(map(repr, pair)) for pair in alike], _SHOWN)
        yield f"classes whose names are one number: {shown}; if they are one, write it in one way"


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """Groups of names, two or more each, that have the same key."""
    held: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        held.setdefault(key(name), []).append(name)
    return [group for group in held.values() if len(group) > 1]
