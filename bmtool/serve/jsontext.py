"""JSON from outside: its values are counted while it arrives, and what other readers would take in silence is refused."""

import json
import math
from typing import Any

from bmtool.serve.problems import ProblemError

_DIGITS = 40  # of a number


class Values:
    """Counts the values of a text that comes in pieces, without parsing it: commas and brackets outside of strings."""

    def __init__(self) -> None:
        self.count = 0
        self._inside = 0  # a string, 0 or 1
        self._left = b""  # a backslash that what it escapes has still to follow

    def add(self, piece: bytes) -> None:
        text = (self._left + piece).replace(rb"\\", b"")
        self._left = b"\\" if text.endswith(b"\\") else b""
        parts = text.replace(rb"\"", b"").split(b'"')
        outside = b"".join(parts[self._inside :: 2])
        self._inside ^= (len(parts) - 1) & 1
        self.count += len(outside) - len(outside.translate(None, b",[{"))


def parse(raw: bytes) -> Any:
    """ProblemError 422 for what is no JSON, or not plainly so: names that come twice, no numbers, endless ones, half surrogate pairs."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_number
        )
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(422, f"the body is not UTF-8 (byte {error.start + 1})") from error
    except UnicodeEncodeError as error:
        raise ProblemError(422, "the body holds half a surrogate pair") from error
    except RecursionError as error:
        raise ProblemError(422, "the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ProblemError(
            422, f"the body is no JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except ValueError as error:
        raise ProblemError(422, f"the body is no JSON that can be taken: {error}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < 1_000 else "a name"
        raise ValueError(f"{twice[:40]!r} comes twice in one object")
    return made


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"a number that is too large: {text[:_DIGITS]}")
    return value
