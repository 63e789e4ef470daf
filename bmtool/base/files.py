"""Writing files so that a reader sees all of one or nothing, hashing them, and holding a directory for one process."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bmtool.errors import DataError, ResourceError

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.tmp")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one step, by `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, contents: bytes) -> None:
    """Replace `path` in one step: temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    working = temporary(path)
    try:
        with working.open("wb") as stream:
            stream.write(contents)
            stream.flush()
            os.fsync(stream.fileno())
        working.replace(path)
    finally:
        working.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Where this process writes a file or directory that is then renamed to `path`; what killed ones left of the same is removed."""
    for left in path.parent.glob(".*.tmp"):
        written = _TEMPORARY.fullmatch(left.name)
        if written and written["name"] == path.name and not _is_another_that_lives(int(written["process"])):
            _remove(left)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(directory: Path) -> None:
    """Remove all temporaries that killed processes left in a directory of ours; those of another process that lives stay."""
    for left in directory.glob(".*.tmp"):
        written = _TEMPORARY.fullmatch(left.name)
        if written is None or not _is_another_that_lives(int(written["process"])):
            _remove(left)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def filling(folder: Path, name: str, last: Callable[[Path], bool]) -> Iterator[Path]:
    """A directory, called after `name`, whose files move to `folder` when the block ends, the `last` ones behind the others.

    When the block fails none does. What a killed process left under the same name goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    working = temporary(folder / name)
    working.mkdir()
    try:
        yield working
        for path in sorted(working.iterdir(), key=last):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _is_another_that_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid != os.getpid()


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`; DataError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error


def fsync(path: Path) -> None:
    """Make what was written to a file, or renamed inside a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_held: set[tuple[int, Path]] = set()  # (process, directory)


@contextmanager
def lock(directory: Path, busy: str) -> Iterator[None]:
    """Hold a directory, made if need be, for one process; ResourceError that says `busy` when it is held already.

    Forked children, such as loader workers, hold nothing: it is free in the moment in which the process that took it is no more.
    """
    directory.mkdir(parents=True, exist_ok=True)
    mine = (os.getpid(), directory.resolve())
    # A record lock is of a whole process, and gone as soon as that closes the file once.
    if mine in _held:
        raise ResourceError(busy)
    with (directory / ".lock").open("w") as stream:
        _take(stream, busy)
        _held.add(mine)
        try:
            yield
        finally:
            _held.discard(mine)


def _take(stream: IO[str], busy: str) -> None:
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ResourceError(busy) from error
