"""What prepared data of every kit say of themselves, and whether they are still what was prepared."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, TypeVar

import numpy as np
from typing_extensions import NotRequired, TypedDict

from bmtool.base.cores import cores
from bmtool.base.files import SUMS, damaged, file_checksum, noted, read_json
from bmtool.errors import ConfigError, DataError

MANIFEST = "manifest.json"
AGAIN = "run `bmtool prepare-data CONFIG` again"
# What numpy says of a file that is no array; the last two of a header that Python cannot read.
_NO_ARRAY = (ValueError, TypeError, EOFError, OverflowError, MemoryError, SyntaxError, TokenError)
# Whether prepared data are checked before they are used; `--no-verify` says no.
verifies: ContextVar[bool] = ContextVar("verifies", default=True)


class Counted(TypedDict):
    """Of a split."""

    examples: int


class Manifest(TypedDict):
    """What manifests of all kits hold; each kit has more."""

    data_hash: str
    splits: dict[str, Counted]
    format: NotRequired[int]
    kind: NotRequired[str]
    task: NotRequired[str]
    fingerprint: NotRequired[str]


M = TypeVar("M")
# The data hash of what a folder holds now.
ContentHash = Callable[[Path], str]


def read_manifest(path: Path, kind: type[M], is_readable: Callable[[Any], bool]) -> M:
    """DataError that names the command to run when `path` is not prepared, or in a way that this version does not read."""
    if not is_readable(described(path)):
        raise DataError(f"{path} was prepared by another version or task: {AGAIN}")
    return read_json(path / MANIFEST, kind, AGAIN)


def described(path: Path) -> Manifest:
    """The manifest of prepared data of any kit. DataError when there is none."""
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is not prepared yet: run `bmtool prepare-data CONFIG` first")
    return read_json(path / MANIFEST, Manifest, AGAIN)


def array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """A `.npy` of prepared data, in memory or on disk. DataError when it is none."""
    try:
        return np.load(path, mmap_mode="r" if mapped else None)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}: {AGAIN}") from error
    except _NO_ARRAY as error:
        raise damaged(str(path), str(error).splitlines()[0][:120] if str(error) else "it ends early", AGAIN) from error


# --- are they still what was prepared? ---


class Checked(NamedTuple):
    """What a check took."""

    bytes: int
    seconds: float


def check(folder: Path, content_hash: ContentHash) -> Checked:
    """Read all of prepared data: every file against its checksum, and what training reads against the data hash.

    DataError that names the first file that has changed.
    """
    from concurrent.futures import ThreadPoolExecutor  # an exported model, which knows this module, never checks

    began = time.perf_counter()
    sums = noted(folder)
    try:
        with ThreadPoolExecutor(cores()) as pool:
            found = dict(zip(sums, pool.map(lambda name: file_checksum(folder / name), sums)))
        for name in (name for name in sums if found[name] != sums[name]):
            raise damaged(str(folder / name), f"it is not what {SUMS} beside it says", AGAIN)
        if content_hash(folder) != described(folder)["data_hash"]:
            raise damaged(str(folder), f"its files are not those of the data hash in its {MANIFEST}", AGAIN)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}: {AGAIN}") from error
    except (IndexError, ValueError, TypeError) as error:
        raise damaged(str(folder), "its arrays do not fit together", AGAIN) from error
    return Checked(size, time.perf_counter() - began)


def is_whole(folder: Path, content_hash: ContentHash, say: Callable[[str], None]) -> bool:
    """Whether what lies there can be left as it is; else it is said that it is made again."""
    try:
        check(folder, content_hash)
    except DataError as error:
        say(f"{error}; this is done now")
        return False
    return True


# --- words ---


def page_title(name: str, manifest: dict) -> tuple[str, ...]:
    """How the page about prepared data begins."""
    return f"# {name}", "", f"Data hash `{manifest['data_hash'][:12]}`; everything in full in `manifest.json`.", ""


def differing(before: dict, now: dict) -> list[str]:
    """`data.key: old -> new` for every setting of now that was another when the data were prepared."""
    return [f"data.{key}: {before.get(key)} -> {new}" for key, new in now.items() if before.get(key) != new]


def require_same(prepared: str, found: list[str]) -> None:
    """ConfigError that names what was `found` to be differing, where anything was."""
    if found:
        raise ConfigError(
            f"{prepared} was prepared with other settings ({'; '.join(found)}): run `bmtool prepare-data` with these, "
            "or choose another data.prepared"
        )
