"""When an interaction was: what a file's times are is recognised, and a mix is refused."""

from datetime import datetime, timezone

from bmtool.base.delimited import number
from bmtool.errors import BadInput, DataError

# Numbers of a time, by their size: seconds since 1970 reach from 1973 to the year 5138.
_UNITS = ((1e8, "positions"), (1e11, "seconds"), (1e14, "milliseconds"), (1e17, "microseconds"))
_FACTOR = {"positions": 1.0, "seconds": 1000.0, "milliseconds": 1.0, "microseconds": 0.001}
ISO = "dates (ISO 8601)"


def read(text: str) -> tuple[str, int]:
    """(what it is, milliseconds since 1970; a position as it is). BadInput for what is no time.

    A number under 100,000,000 is a position: it orders, and says no more. A date without an offset is taken for UTC.
    """
    value = number(text)
    if value is not None:
        kind = next((kind for limit, kind in _UNITS if abs(value) < limit), None)
        if kind is None:
            raise BadInput("a time that is too large")
        return kind, round(value * _FACTOR[kind])
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError as error:
        raise BadInput("a time that is no number and no date (2024-05-01T12:00:00)") from error
    moment = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return ISO, round(moment.timestamp() * 1000)


class Clock:
    """Reads the times of one data set. `kind` is what they are, once one was read."""

    def __init__(self) -> None:
        self.kind, self._place, self._text = "", "", ""

    def read(self, text: str, place: str) -> int:
        """BadInput for what is no time; DataError for one that is not written as those before it."""
        kind, value = read(text)
        if not self.kind:
            self.kind, self._place, self._text = kind, place, text
        if kind != self.kind:
            raise DataError(
                f"{place}: the time {text!r} reads as {kind}, and {self._text!r} in {self._place} as {self.kind}: "
                "write all times in one way"
            )
        return value
