"""Writing files so that a reader sees all of one or nothing, and hashing them."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bmtool.errors import DataError, ResourceError


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(contents)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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


# What the system says when a file cannot grow: the disk is full, or the share of it that a user, or one file, may have.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CANNOT_ALLOCATE = (
    errno.EOPNOTSUPP,
    errno.EINVAL,
)  # file systems that promise nothing: a full disk shows when it is written to


def allocate(stream: IO[bytes], size: int) -> None:
    """Room for `size` bytes in a new file, so that a full disk shows before the work is done. ResourceError that says what is missing."""
    try:
        os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        if is_full(error):
            stream.truncate(0)
            raise ResourceError(_no_room(Path(stream.name), size, error)) from error
        if error.errno not in _CANNOT_ALLOCATE:
            raise


def _no_room(path: Path, size: int, error: OSError) -> str:
    free = shutil.disk_usage(path.parent).free
    missing = f"{(size - free) / 1e6:,.1f} MB are missing" if size > free else error.strerror
    return f"no room for {path.name} ({size / 1e6:,.1f} MB) in {path.parent}: {missing}; make room, and run the same command again"


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room; numpy says it in words."""
    return error.errno in _FULL or ("requested and" in str(error) and "written" in str(error))


@contextmanager
def lock(directory: Path, busy: str) -> Iterator[None]:
    """Hold a directory, made if need be, for one process; ResourceError that says `busy` when another process has it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(busy) from error
        yield
