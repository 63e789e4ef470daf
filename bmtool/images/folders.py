"""Images in folders: a folder a class, or targets beside images; folders with the usual names of splits above them."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from bmtool.base.units import few
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images.items import Item
from bmtool.predict import folders
from bmtool.sources.parts import SPLIT_OF

# Folders beside `images/`, with a file of the same stem for each image: a target, and the field of Item that names it.
BESIDE = {"masks": "mask", "targets": "paired"}
_SHOWN = 5  # names in an error
_OR_LIST = "or list the images in a .csv of path,label"


def items(root: Path, tally: Tally) -> list[Item]:
    """The images of a folder, of its splits where it has some; files that are none of them are counted in `tally`.

    DataError where it cannot be told what is a split and what a class.
    """
    inside = folders.subfolders(root, tally.ignore)
    splits = {split: path for path in inside if (split := _split_of(path))}
    if not splits:
        return _part(root, inside, tally)
    _require_one_each(root, [path for path in inside if _split_of(path)])
    _require_no_images(root, splits.values(), [path for path in inside if not _split_of(path)], tally)
    out = []
    for split, path in sorted(splits.items(), key=lambda one: one[1].name):
        found = _part(path, folders.subfolders(path, tally.ignore), tally)
        for item in found if path.name not in ("train", "valid", "test") else ():
            tally.note(f"in {path.name}, taken for the split {split}", item.name)
        # what is missing is taken out of the training images, by a hash of their pixels
        out += [item._replace(split=None if split == "train" and len(splits) < 3 else split) for item in found]
    return out


def _split_of(path: Path) -> str | None:
    return SPLIT_OF.get(path.name.casefold())


def _require_one_each(root: Path, named: list[Path]) -> None:
    for path, other in ((a, b) for a in named for b in named if a < b):
        if _split_of(path) == _split_of(other):
            raise DataError(
                f"{root}: {path.name} and {other.name} both name the split {_split_of(path)}: keep one of them"
            )


def _require_no_images(root: Path, splits: Iterable[Path], others: list[Path], tally: Tally) -> None:
    """DataError when a folder beside the splits holds images: it is a class, or it is forgotten."""
    held = [path for path in others if folders.images(path, tally.ignore)]
    if held:
        raise DataError(
            f"{root}: {few([path.name for path in splits], _SHOWN)} would be splits, and {few([path.name for path in held], _SHOWN)} "
            f"beside them holds images: move what is no split away, or, where all are classes, rename them {_OR_LIST}"
        )


def _part(root: Path, inside: list[Path], tally: Tally) -> list[Item]:
    """A folder a class; or images/ and beside it masks/ or targets/ with a file of the same stem for each image."""
    for name, field in BESIDE.items():
        if {root / "images", root / name} <= set(inside):
            for other in set(inside) - {root / "images", root / name}:
                for image in folders.images(other, tally.ignore):
                    tally.ignore(f"image beside images and {name}", str(image))
            return _pairs(root / "images", root / name, field=field, tally=tally)
    return _classes(root, inside, tally)


def _pairs(images: Path, targets: Path, *, field: str, tally: Tally) -> list[Item]:
    """Images with their targets. DataError when one has no other: what belongs together is not guessed."""
    ours, theirs = (
        {path.relative_to(root).with_suffix(""): path for path in _named_apart(root, tally)}
        for root in (images, targets)
    )
    for missing, root in ((ours.keys() - theirs.keys(), targets), (theirs.keys() - ours.keys(), images)):
        if missing:
            raise DataError(
                f"{root} lacks {len(missing):,} files, {min(missing)} among them: add them, or remove the others"
            )
    return [Item(str(path), None, None, path)._replace(**{field: theirs[stem]}) for stem, path in ours.items()]


def _named_apart(root: Path, tally: Tally) -> list[Path]:
    """Images below a folder. DataError when two differ in their suffix only: one would stand for both."""
    found = folders.images(root, tally.ignore)
    stems = sorted(path.with_suffix("") for path in found)
    if twice := next((a for a, b in pairwise(stems) if a == b), None):
        raise DataError(f"{twice}: several images of this name, with different endings: keep one")
    return found


def _classes(root: Path, inside: list[Path], tally: Tally) -> list[Item]:
    out, empty = [], []
    for folder in inside:
        found = folders.images(folder, tally.ignore)
        out += [Item(str(path), folder.name, None, path) for path in found]
        empty += [] if found else [folders.shown(folder.name)]
    if empty and out:
        raise DataError(f"{root}: no image in {', '.join(empty)}: add some, or remove the folder")
    for folder in inside if out else []:
        _require_class(folder)
    return out


def _require_class(folder: Path) -> None:
    """DataError when it has the name of a split, or holds some: classes would be called train, or splits be mixed."""
    if split := _split_of(folder):
        raise DataError(f"{folder} would be a class, and its name is that of the split {split}: rename it, {_OR_LIST}")
    held = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and _split_of(path)]
    if held:
        raise DataError(
            f"{folder} would be a class, and holds {few(held, _SHOWN)}, which are names of splits: put splits above the classes "
            f"({held[0]}/{folder.name}), {_OR_LIST}"
        )
