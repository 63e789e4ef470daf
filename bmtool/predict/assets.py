"""Files that a model needs beside its weights: in a folder (a run), or packed into an export. Arrays are mapped, not read.

An export is one file. Behind the ONNX model stands one more protobuf field, which every reader of ONNX passes over; it holds a zip archive
whose entries are stored as they are, so that arrays in it can be mapped. The entry `sums.json` has the checksums of the model and of
all files.
"""

import io
import json
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from typing_extensions import TypedDict

from bmtool.base.files import SUMS, Sums, checksum, damaged, noted, parse_json, require_noted
from bmtool.errors import DataError

AGAIN = "export it again with `bmtool export-onnx RUN`"
TABLE_AGAIN = "restore it: a run is trained again, an export made again with `bmtool export-onnx RUN`"
_MODEL = "model.onnx"  # in the sums: what stands before the archive
_BROKEN = (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OverflowError, IndexError, RuntimeError)
_FIELD = 2047  # of the message, used by nobody: the tag of a field of bytes is (number << 3) | 2
_ALIGN = 64
_UTF8 = 0x800  # among the flags of an entry: how its name is written
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4",
          "U16": "<u2", "U8": "u1", "BOOL": "?"}  # fmt: skip


class Assets(Protocol):
    def names(self) -> list[str]: ...

    def read(self, name: str) -> memoryview:
        """The bytes of a file; DataError when there is no such file."""
        ...


class Folder:
    """The files of a directory."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> list[str]:
        """DataError when a file is gone that belongs there."""
        found = sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []
        if gone := sorted(noted(self.path).keys() - set(found)):
            raise DataError(f"no {gone[0]} in {self.path}, where it belongs: {TABLE_AGAIN}")
        return found

    def read(self, name: str) -> memoryview:
        try:
            with (self.path / name).open("rb") as stream:
                held = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise DataError(f"no {name} in {self.path}, or it cannot be read: {error}") from error
        require_noted(self.path / name, held, TABLE_AGAIN)
        return held


class Held:
    """Files in memory, made when they are first asked for."""

    def __init__(self, make: Callable[[], Mapping[str, bytes]]):
        self._make = cache(make)

    def names(self) -> list[str]:
        return sorted(self._make())

    def read(self, name: str) -> memoryview:
        return memoryview(self._make()[name])


class Packed:
    """The files inside an export."""

    def __init__(self, path: Path):
        """DataError when the archive is broken, or not what was exported."""
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = {entry.filename: entry for entry in archive.infolist()}
            with path.open("rb") as stream:
                self._bytes = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            self._places = {name: (self._data(entry), entry.file_size) for name, entry in entries.items()}
            self._sums = {name: f"{entry.CRC:08x}" for name, entry in entries.items()}
            self.start = min(entry.header_offset for entry in entries.values())
        except _BROKEN as error:
            raise damaged(str(path), str(error), AGAIN) from error
        self._require_whole()

    def _require_whole(self) -> None:
        """DataError when the model, or the list of files, is not what was exported; files are looked at when they are read."""
        if SUMS not in self._places:  # it was exported before there were sums
            return
        sums = parse_json(bytes(self.read(SUMS)), Sums, origin=f"{self.path}: {SUMS}", again=AGAIN)["files"]
        found = {name: noted for name, noted in self._sums.items() if name != SUMS}
        if sums != found | {_MODEL: checksum(self._model())}:
            raise damaged(str(self.path), "it is not what was exported", AGAIN)

    def _data(self, entry: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: behind its local header, its name and what pads it. ValueError where that is another name."""
        header = entry.header_offset
        name, extra = struct.unpack("<HH", self._bytes[header + 26 : header + 30])
        held = bytes(self._bytes[header + 30 : header + 30 + name])
        if held != entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437"):
            raise ValueError(f"a file in it has two names, {held!r} and {entry.orig_filename!r}")
        return header + 30 + name + extra

    def names(self) -> list[str]:
        return sorted(self._places.keys() - {SUMS})

    def read(self, name: str) -> memoryview:
        if name not in self._places:
            raise DataError(f"no {name} in {self.path}")
        start, size = self._places[name]
        held = self._bytes[start : start + size]
        if checksum(held) != self._sums[name]:
            raise damaged(str(self.path), f"{name} in it is not what was exported", AGAIN)
        return held

    def model(self) -> bytes:
        """The ONNX model before the files."""
        return bytes(self._model())

    def _model(self) -> memoryview:
        return self._bytes[: self.start - len(_head(len(self._bytes) - self.start))]


def is_packed(path: Path) -> bool:
    """Whether files stand behind the model."""
    return zipfile.is_zipfile(path)


class _Array(TypedDict):
    """What the header of a safetensors file says of an array."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def arrays(assets: Assets, name: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, mapped. DataError when it is broken."""
    held = assets.read(name)
    size = int.from_bytes(held[:8], "little")
    header = parse_json(bytes(held[8 : 8 + size]), dict[str, _Array | dict[str, str]], origin=name, again=TABLE_AGAIN)
    try:
        return {key: _array(held[8 + size :], about) for key, about in header.items() if key != "__metadata__"}
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(name, str(error), TABLE_AGAIN) from error


def _array(data: memoryview, about: Any) -> np.ndarray:
    begin, end = about["data_offsets"]
    return np.frombuffer(data[begin:end], _TYPES[about["dtype"]]).reshape(about["shape"])


def pack(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """A model and files behind it, with the checksums of all."""
    sums = {name: checksum(contents) for name, contents in files.items()} | {_MODEL: checksum(model)}
    files = {**files, SUMS: json.dumps({"files": sums}).encode()}
    size = len(_archive(files, 0))  # padding depends on where the archive begins, its size does not
    head = _head(size)
    return model + head + _archive(files, len(model) + len(head))


def _archive(files: Mapping[str, bytes], offset: int) -> bytes:
    """A zip archive for the place `offset` of a file, each entry's bytes at a multiple of _ALIGN there; its size is the same anywhere."""
    out, padded = io.BytesIO(), 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in files.items():
            padding = -(offset + out.tell() + 30 + len(name.encode()) + 4) % _ALIGN
            entry = zipfile.ZipInfo(name)
            # Stands before the bytes and in the directory.
            entry.extra = struct.pack("<HH", 0xB70E, padding) + bytes(padding)
            archive.writestr(entry, contents)
            padded += 2 * padding
        archive.comment = bytes(2 * _ALIGN * len(files) - padded)
    return out.getvalue()


def _head(size: int) -> bytes:
    """Tag and length of a field of so many bytes."""
    return _varint(_FIELD << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
