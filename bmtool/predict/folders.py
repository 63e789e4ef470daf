"""Image files below a folder, and what else lies there, which is counted by kind. Needs Pillow only."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from PIL import Image, ImageFile

# Hears of every file and folder that is passed over: (kind, path)
Ignore = Callable[[str, str], None]

USUAL = (".jpg", ".png", ".webp", ".tif")  # endings that a message names
_NO_DECODER = {"EPS", "MPEG"}  # the first is given to another program, of the second only the size is read
_HIDDEN = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "desktop.ini", "lost+found"}
# Of samples in tars.
NO_IMAGE, SEVERAL = "sample without an image", "sample with several images"
# Pictures that are not read.
_CONVERT = {
    ".heic", ".heif", ".hif", ".jxl", ".svg", ".eps", ".dcm", ".nii", ".npy", ".npz",
    ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
}  # fmt: skip


@cache
def formats() -> tuple[str, ...]:
    """What the Pillow that is installed decodes by itself, by its names."""
    Image.init()
    readers = {name: reader for name, (reader, _) in Image.OPEN.items() if name not in _NO_DECODER}
    stubs = {
        name for name, one in readers.items() if isinstance(one, type) and issubclass(one, ImageFile.StubImageFile)
    }
    return tuple(sorted(readers.keys() - stubs))


@cache
def suffixes() -> frozenset[str]:
    """The endings of files of these formats, in small letters."""
    known = set(formats())
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def kinds(members: Iterable[str]) -> list[str]:
    """Those of the members of a sample in a tar, by their endings, that are images."""
    return [kind for kind in members if f".{kind}" in suffixes()]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that file managers do not show, or that a system left."""
    return name.startswith(".") or name.casefold() in _HIDDEN


def shown(path: str | os.PathLike) -> str:
    """A path as text, bytes of its name that are not UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def images(root: Path, ignore: Ignore) -> list[Path]:
    """The image files below a folder, sorted; all else but folders goes to `ignore`. Links to folders are not followed."""
    found = []

    def closed(error: OSError) -> None:
        ignore("folder that cannot be opened", shown(error.filename))

    for folder, folders, names in os.walk(root, onerror=closed):
        folders[:] = [name for name in sorted(folders) if _is_walked(Path(folder, name), ignore)]
        found += [path for name in sorted(names) if _is_image(path := Path(folder, name), ignore)]
    return sorted(found)


def subfolders(root: Path, ignore: Ignore) -> list[Path]:
    """The folders right in `root`, sorted, links to folders too; what lies beside them goes to `ignore`."""
    found = []
    for path in sorted(root.iterdir()):
        if path.is_dir() and is_hidden(path.name):
            ignore("hidden folder", shown(path))
        elif path.is_dir():
            found.append(path)
        elif _is_image(path, ignore):
            ignore("image beside the folders", shown(path))
    return found


def _is_walked(path: Path, ignore: Ignore) -> bool:
    kind = "hidden folder" if is_hidden(path.name) else "link to a folder" if path.is_symlink() else ""
    if kind:
        ignore(kind, shown(path))
    return not kind


def _is_image(path: Path, ignore: Ignore) -> bool:
    if kind := _kind(path):
        ignore(kind, shown(path))
    return not kind


def _kind(path: Path) -> str:
    """Why a file is none of the images; "" for one that is."""
    suffix = path.suffix.lower()
    if is_hidden(path.name):
        return "hidden file"
    if not path.exists():
        return "broken link"
    if not path.is_file():
        return "neither file nor folder"
    if shown(path) != str(path):
        return "name that is not UTF-8"
    if suffix in _CONVERT:
        return f"{suffix} (convert it to .png or .jpg first)"
    return "" if suffix in suffixes() else suffix or "no suffix"
