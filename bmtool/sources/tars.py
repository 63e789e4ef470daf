"""Samples in tars, as WebDataset has them: members that follow each other and have one name up to its first dot. Nothing is unpacked."""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from typing_extensions import Self

from bmtool.errors import DataError
from bmtool.sources.parts import Ignore

MAX_MEMBER = 256 << 20  # bytes
SUFFIX = ".tar"
MAX_HEADER = 1 << 20  # bytes of a name or of other facts about a member
_EXTENDING = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_BLOCK, _CHUNK = 512, 1 << 20


class Member(NamedTuple):
    """Bytes in a tar, which stay there until they are read."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """DataError when the tar cannot be read any more."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                return stream.read(self.size)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror}") from error


class Sample(NamedTuple):
    """`members` by what stands behind the first dot of their names, in small letters."""

    # tar/name
    name: str
    members: dict[str, Member]


def samples(path: Path, ignore: Ignore) -> Iterator[Sample]:
    """Every sample, in order; `ignore` hears of hidden members.

    DataError that names the member for what no set of samples holds: links, paths that lead out, one that is cut short.
    """
    held: Sample | None = None
    for name, member in _members(path):
        folder, _, file = name.rpartition("/")
        stem, _, kind = file.partition(".")
        key = f"{path}/{folder}/{stem}" if folder else f"{path}/{stem}"
        if not stem:
            ignore("hidden member", f"{path}/{name}")
            continue
        if held is None or held.name != key:
            if held is not None:
                yield held
            held = Sample(key, {})
        if kind.casefold() in held.members:
            raise DataError(f"{path}: {name!r} is there twice")
        held.members[kind.casefold()] = member
    if held is not None:
        yield held


class _Header(tarfile.TarInfo):
    """One whose extension, which is held in memory, is bounded."""

    @classmethod
    def frombuf(cls, *about: Any) -> Self:
        held = super().frombuf(*about)
        if held.type in _EXTENDING and held.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {held.size:,} bytes")
        return held


def _members(path: Path) -> Iterator[tuple[str, Member]]:
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:", tarinfo=_Header) as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # it would keep them all
                _require_plain(path, info)
                if info.isfile():
                    if info.offset_data + info.size > size:
                        raise DataError(f"{path}: {info.name!r} is cut short")
                    yield str(PurePosixPath(info.name)), Member(path, info.offset_data, info.size)
            _require_end(path, tar.offset)
    # What headers hold that were made to be unreadable.
    except (tarfile.TarError, RecursionError, OverflowError, ValueError) as error:
        raise DataError(
            f"{path} is no .tar, or a damaged one: {error} (one that is compressed is unpacked first: gunzip)"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _require_plain(path: Path, info: tarfile.TarInfo) -> None:
    name = PurePosixPath(info.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{path}: {info.name!r} leads out of it: such a tar is not read")
    if not (info.isfile() or info.isdir()) or info.issparse():
        raise DataError(f"{path}: {info.name!r} is a link, a device or has holes: such a tar is not read")
    if info.size > MAX_MEMBER:
        raise DataError(f"{path}: {info.name!r} has {info.size:,} bytes: {MAX_MEMBER:,} at most")


def _require_end(path: Path, offset: int) -> None:
    """DataError unless zeros alone end the tar: what follows a damaged header, or another tar, would be left out in silence."""
    with path.open("rb") as stream:
        stream.seek(offset)
        block = stream.read(_BLOCK)
        if block != bytes(_BLOCK):
            raise DataError(f"{path} {'is damaged' if block else 'is cut short'} at byte {offset:,}")
        while rest := stream.read(_CHUNK):
            if any(rest):
                raise DataError(
                    f"{path} holds more behind its end, which is at byte {offset:,}: name tars one by one, not joined"
                )
