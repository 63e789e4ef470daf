"""Writing files so that a reader sees all of one or nothing, reading what bmtool wrote only if it is still that, and holding a directory.

A JSON object that is written here begins with its seal, the sha256 of the rest. A folder of bmtool's (prepared data, the assets of a
run, the model in the box) has a `sums.json` with the CRC-32 of its files. What has no seal and no sums, being older, is read without.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from typing_extensions import TypedDict

from bmtool.errors import DataError, ResourceError

if TYPE_CHECKING:  # of no use to most commands, and takes time to import
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
SUMS = "sums.json"
# What to do about a file of a run that has changed.
TRAIN_AGAIN = "restore it, or train the model again with another run directory (--set run=DIR)"
LARGEST = 1 << 28  # bytes of a file of JSON
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.tmp")
_BLOCK = 1 << 20
_SEAL = re.compile(rb'\{\n "seal": "([0-9a-f]{64})",')
_SHOWN = 120  # letters of what is wrong with a value


class Sums(TypedDict):
    """What `sums.json` holds: file name -> CRC-32 in eight hex digits."""

    files: dict[str, str]


# --- writing ---


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
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
    """Replace `path` in one step; an object is sealed."""
    text = (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
    write_bytes(path, _sealed(text) if isinstance(value, dict) and value else text)


def _sealed(text: bytes) -> bytes:
    return b'{\n "seal": "' + hashlib.sha256(text).hexdigest().encode() + b'",' + text[1:]


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Note what these files of a folder hold now, beside what was noted of others before."""
    held = noted(folder) | {name: file_checksum(folder / name) for name in names}
    write_json(folder / SUMS, {"files": dict(sorted(held.items()))})


def checksum(data: bytes | memoryview) -> str:
    """CRC-32 in eight hex digits: enough against damage, and several times as fast as a cryptographic hash."""
    return f"{zlib.crc32(data):08x}"


def file_checksum(path: Path) -> str:
    """The `checksum` of a file of any size."""
    found = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


# --- reading ---


def noted(folder: Path) -> dict[str, str]:
    """File name -> checksum of what bmtool wrote into a folder; nothing where it was written before there were sums."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    return read_json(path, Sums, "restore it, or delete it to read the folder unchecked")["files"]


def require_noted(path: Path, data: bytes | memoryview, again: str) -> None:
    """DataError when the sums beside a file say that it held something else than `data`."""
    wanted = noted(path.parent).get(path.name)
    if wanted is not None and checksum(data) != wanted:
        raise damaged(str(path), f"it is not what {SUMS} beside it says", again)


def read_bytes(path: Path, again: str) -> bytes:
    """A file that bmtool wrote. DataError when it is missing or has changed, with what to do about it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}: {again}") from error
    if path.name != SUMS:
        require_noted(path, data, again)
    return data


def read_text(path: Path, again: str) -> str:
    """As `read_bytes`."""
    try:
        return read_bytes(path, again).decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(str(path), f"not UTF-8 at byte {error.start + 1}", again) from error


def read_json(path: Path, kind: type[T], again: str) -> T:
    """The value in `path`, which must be of this kind (what pydantic takes, such as a TypedDict) and as it was sealed, if it was."""
    if path.is_file() and path.stat().st_size > LARGEST:
        raise damaged(str(path), f"it is larger than {LARGEST >> 20} MiB", again)
    data = read_bytes(path, again)
    if seal := _SEAL.match(data):
        data = b"{" + data[seal.end() :]
        if hashlib.sha256(data).hexdigest().encode() != seal[1]:
            raise damaged(str(path), "it was changed after it was written", again)
    return parse_json(data, kind, origin=str(path), again=again)


def parse_json(data: bytes | str, kind: type[T], *, origin: str, again: str) -> T:
    """JSON that bmtool wrote, as `json.loads` gives it. DataError in one line when it is none, or of another kind."""
    from pydantic import ValidationError
    from pydantic_core import from_json

    try:
        _adapter(kind).validate_json(data, strict=True)
        return from_json(data)
    except ValidationError as error:
        raise damaged(origin, _first(error), again) from error


def damaged(origin: str, why: str, again: str) -> DataError:
    """The error of a file that is not what bmtool wrote."""
    return DataError(f"{origin} is damaged ({why}): {again}")


@cache
def _adapter(kind: Any) -> "TypeAdapter":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _first(error: "ValidationError") -> str:
    """The first problem: where it is and what was expected."""
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, found["loc"]))
    message = found["msg"].replace("\n", " ")[:_SHOWN]
    return f"{place[:_SHOWN]}: {message}" if place else message


# --- the file system ---


def fsync(path: Path) -> None:
    """Make what was written to a file, or renamed inside a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# What the system says when a file cannot grow: the disk is full, or the share of it that a user, or one file, may have.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of file systems that promise nothing: a full disk shows when it is written to.
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL)


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


def is_locked(directory: Path) -> bool:
    """Whether a process holds a directory, asked without taking it for a moment."""
    if (os.getpid(), directory.resolve()) in _held:
        return True
    try:
        # Another open file of the same process would end its own hold, so this is never reached then.
        with (directory / ".lock").open("rb") as stream:
            answer = fcntl.fcntl(stream, fcntl.F_GETLK, struct.pack(_FLOCK, *_asked()))
    except OSError:
        return False
    return struct.unpack(_FLOCK, answer)[_KIND] != fcntl.F_UNLCK


# C's `struct flock` in this system's order: kind, whence, start, length, process; of Apple's the last two come first.
_APPLE = sys.platform == "darwin"
_FLOCK, _KIND = ("qqihh", 3) if _APPLE else ("hhqqi0q", 0)


def _asked() -> tuple[int, ...]:
    """The whole file, for writing."""
    return (0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET) if _APPLE else (fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _take(stream: IO[str], busy: str) -> None:
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ResourceError(busy) from error
