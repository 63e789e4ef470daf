"""Compressed streams: gz, xz, bz2, zst, each read to its end or to where it is broken off."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO

import zstandard


class _ZstdStream(io.RawIOBase):
    """Decompressed frames; EOFError where the last one is cut short, which zstandard's own reader passes over in silence."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._frame, self._ready = stream, zstandard.ZstdDecompressor().decompressobj(), b""
        self._rest, self._inside = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready:
            data = self._rest or self._stream.read(1 << 17)
            if not data:
                if self._inside:
                    raise EOFError("the last frame is cut short")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(data)
            self._rest = self._frame.unused_data if self._frame.eof else b""
            self._inside = not self._frame.eof
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


OPEN: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": lambda raw: io.BufferedReader(_ZstdStream(raw), 1 << 20),
}
# First bytes by which compressed standard input is recognised, which has no name to tell by.
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError, OSError)


def suffix_of_stdin(raw: BinaryIO) -> str:
    """The suffix that standard input would have, by its first bytes; empty for what is not compressed."""
    head = raw.peek(8)
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")
