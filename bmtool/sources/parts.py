"""The files of a data set and the splits that it brings: folders as `datasets` saves them or the hub has them, globs, {000..003}."""

import glob
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.units import few
from bmtool.errors import DataError
from bmtool.sources.rows import READERS

# Hears of every file that is passed over: (kind, path)
Ignore = Callable[[str, str], None]

# Names that parts of a data set have, in small letters -> the split.
SPLIT_OF = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
DICT, STATE = "dataset_dict.json", "state.json"
# What lies beside the rows of a set and is none of them.
ABOUT, ABOUT_KINDS = {DICT, STATE, "dataset_info.json", "dataset_infos.json", "download.json"}, {".md", ""}
OTHER_SPLIT = "part that is none of train, validation and test"
_WORD = re.compile(rf"(?:^|[^a-z0-9])({'|'.join(SPLIT_OF)})(?:[^a-z]|$)")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_MANY, _LARGEST, _SHOWN = 100_000, 1 << 24, 5


class Part(NamedTuple):
    """A file, and the split that all its rows are of; None where the set does not say."""

    path: Path
    split: str | None = None


# --- patterns ---


def is_pattern(source: str) -> bool:
    """Whether a source names several files: it has a glob or braces, and is no file or folder itself."""
    return bool(re.search(r"[*?\[{]", source)) and not Path(source).exists()


def matching(source: str, ignore: Ignore) -> list[Part]:
    """The files of a pattern as parts of the splits that their names say."""
    return in_order([Part(path, split_of(Path(path.name))) for path in paths(source)], ignore)


def paths(source: str) -> list[Path]:
    """The files of a pattern, sorted. DataError when one that braces name is missing, or when there is none."""
    found: set[Path] = set()
    for pattern in _unfolded(source):
        named = [path for path in map(Path, sorted(glob.glob(pattern, recursive=True))) if path.is_file()]
        if not named:
            raise DataError(f"nothing at {pattern!r} (looked from {Path.cwd()})")
        found.update(named)
    return sorted(found)


def _unfolded(source: str) -> Iterator[str]:
    """a{0..2}.tar as a0.tar, a1.tar, a2.tar; {x,y} as x and y."""
    texts = _BRACES.split(source)
    choices = [_choices(text) for text in texts[1::2]]
    count = 1
    for one in choices:
        count *= len(one)
    if count > _MANY:
        raise DataError(f"{source} names {count:,} files: {_MANY:,} at most")
    for chosen in product(*choices):
        yield "".join(a + b for a, b in zip(texts[::2], [*chosen, ""]))


def _choices(text: str) -> Collection[str]:
    """Of what stands between braces; zeros in front are kept."""
    if not (found := _RANGE.fullmatch(text)):
        return text.split(",")
    first, last = int(found[1]), int(found[2])
    if first > last or last - first >= _MANY:
        raise DataError(f"{{{text}}} counts from a number to a larger one, {_MANY:,} at most")
    width = len(found[1]) if found[1].startswith("0") else 0
    return [f"{number:0{width}}" for number in range(first, last + 1)]


# --- folders ---


def is_set(folder: Path) -> bool:
    """Whether a folder holds a data set of tables: one that `datasets` saved, or rows in files of one kind, and what is about them."""
    return _is_saved(folder) or kind_of(folder, READERS) is not None


def kind_of(folder: Path, among: Collection[str]) -> str | None:
    """The suffix, among these, that all files of a folder have, but for those that are about them; None where it is not so."""
    found = None
    for path in _visible(folder):
        suffix = path.suffix.lower()
        if path.name in ABOUT or suffix in ABOUT_KINDS:
            continue
        if suffix not in among or found not in (None, suffix):
            return None
        found = suffix
    return found


def brings_splits(folder: Path) -> bool:
    """Whether it is a set that says which of its rows are for training, and which are not."""
    if _is_saved(folder) or not is_set(folder):
        return _is_saved(folder)
    splits = {split_of(path.relative_to(folder)) for path in _visible(folder) if path.suffix.lower() in READERS} - {
        None
    }
    return "train" in splits and len(splits) > 1


def _is_saved(folder: Path) -> bool:
    return (folder / DICT).is_file() or (folder / STATE).is_file()


def parts(source: Path, ignore: Ignore) -> list[Part]:
    """The files of a set, those of tests first and those for training last; `ignore` hears of what is passed over.

    DataError when it is damaged, or when it cannot be told which of its files belong together.
    """
    if (source / DICT).is_file():
        found = [
            part for name in _splits(source) for part in _saved(source / name, SPLIT_OF.get(name.casefold(), name))
        ]
    elif (source / STATE).is_file():
        found = _saved(source, None)
    else:
        return by_name(source, _tables(source, ignore), ignore)
    return in_order(found, ignore)


def by_name(root: Path, files: list[Path], ignore: Ignore) -> list[Part]:
    """Files in and below a folder as parts of the splits that their names say."""
    return in_order([Part(path, split_of(path.relative_to(root))) for path in files], ignore)


def in_order(found: list[Part], ignore: Ignore) -> list[Part]:
    """Parts whose splits are some that are used; of one that is alone nothing is said."""
    names = {part.split for part in found}
    if len(names) == 1:
        return [Part(part.path) for part in found]
    order = ["test", "valid", "train"]
    for part in found:
        if part.split not in order:
            ignore(OTHER_SPLIT, str(part.path))
    return sorted((part for part in found if part.split in order), key=lambda part: order.index(part.split or ""))


def to_measure(found: list[Part], ignore: Ignore) -> list[Path]:
    """The files of the test split, or else of the validation split; all where a set brings no splits. `ignore` hears of the others."""
    for part in found:
        if part.split != found[0].split:
            ignore(f"file of another split than {found[0].split}", str(part.path))
    return [part.path for part in found if part.split == found[0].split]


def brought(found: list[Part]) -> dict[str, int]:
    """Split -> how many files a set brings of it; nothing where it brings no splits."""
    return dict(Counter(part.split for part in found if part.split is not None))


def told(counts: Mapping[str, int]) -> str:
    """`splits are those of the set: test 1 file, train 2 files`; "" where it brings none."""
    files = (f"{split} {count:,} file{'s' * (count > 1)}" for split, count in counts.items())
    return f"splits are those of the set: {', '.join(files)}" if counts else ""


def split_of(path: Path) -> str | None:
    """The split that a path, relative to its set, names: by a folder, or by a word of the file's name."""
    for folder in path.parts[:-1]:
        if folder.casefold() in SPLIT_OF:
            return SPLIT_OF[folder.casefold()]
    words = _WORD.findall(path.stem.casefold())
    return SPLIT_OF[words[-1]] if words else None


def _visible(folder: Path) -> Iterator[Path]:
    """All files below it, one after the other, hidden ones aside."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _tables(folder: Path, ignore: Ignore) -> list[Path]:
    """Files of rows, all of one kind and of one subset."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_visible(folder)):
        suffix = path.suffix.lower()
        if path.name in ABOUT or suffix not in READERS:
            ignore("file about the data" if path.name in ABOUT else suffix or "no suffix", str(path))
        else:
            found.setdefault(suffix, []).append(path)
    if len(found) != 1:
        held = ", ".join(f"{len(paths):,} x {suffix}" for suffix, paths in found.items()) or "no file of rows"
        raise DataError(f"{folder} holds {held}: name those that are meant, such as {folder}/*.parquet")
    (paths,) = found.values()
    _require_one_subset(folder, paths)
    return paths


def _require_one_subset(folder: Path, paths: list[Path]) -> None:
    """DataError when files lie in several folders that are no splits: they are several data sets."""
    inside = {path.parent.relative_to(folder) for path in paths}
    subsets = sorted({"/".join(part for part in one.parts if part.casefold() not in SPLIT_OF) for one in inside})
    if len(subsets) > 1:
        raise DataError(
            f"{folder} holds several data sets ({few(subsets, _SHOWN)}): name one of them, {folder / subsets[-1]}"
        )


# --- what `datasets` saved ---


def _splits(folder: Path) -> list[str]:
    return [_plain(folder / DICT, name) for name in _noted(folder / DICT, "splits")]


def _saved(folder: Path, split: str | None) -> list[Part]:
    """The files of one saved set, in their order."""
    state = folder / STATE
    if not state.is_file():
        raise DataError(f"{folder} was not saved whole: it has no {STATE}")
    files = [
        folder / _plain(state, held.get("filename") if isinstance(held, dict) else None)
        for held in _noted(state, "_data_files")
    ]
    if missing := [path for path in files if not path.is_file()]:
        raise DataError(f"{folder} was not saved whole: it lacks {missing[0].name}")
    return [Part(path, split) for path in files]


def _noted(path: Path, key: str) -> list[Any]:
    """A list in a file that `datasets` wrote. DataError when it has none."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        found = json.loads(path.read_bytes())[key]
        if not isinstance(found, list):
            raise ValueError(f"{key} is no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is not what `datasets` writes: {error!r:.120}") from error
    return found


def _plain(path: Path, name: Any) -> str:
    """The name of a file or folder right beside `path`. DataError for any other."""
    if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name or name == "..":
        raise DataError(f"{path} names {name!r}, which does not lie beside it")
    return name
