"""What inputs cost, before the model sees them: letters, pixels, cells."""

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image

from bmtool.commands.documents import READ
from bmtool.predict.contract import Options
from bmtool.registry import Entry
from bmtool.serve.problems import ProblemError
from bmtool.serve.settings import Settings

CONTEXT = 16  # letters that stand before a line cost as much as one of the line


class Tariff(NamedTuple):
    """How inputs of one kind are counted."""

    unit: str
    # of one run of the model, so that it ends in about a second; a single input may be more
    run: int
    # of one request, so that it is answered in time when the model has nothing else to do
    request: int
    # bytes of memory that the model takes for a unit
    bytes: int


TARIFFS = {
    "text": Tariff("letters", 4_096, 40_000, 400_000),
    "image": Tariff("pixels", 64_000_000, 200_000_000, 16),
    "record": Tariff("cells", 20_000, 100_000, 2_000),
    "number": Tariff("numbers", 64, 256, 1_000_000),
    "question and context": Tariff("letters", 8_192, 80_000, 400_000),
}


def of_run(takes: str, settings: Settings) -> int:
    """What one run of the model may cost: by its time, and by the memory it takes."""
    tariff = TARIFFS[takes]
    return max(1, min(tariff.run, settings.run_bytes // tariff.bytes))


def priced(entry: Entry, inputs: Sequence[Any], options: Options, settings: Settings) -> list[int]:
    """The cost of each input under these options. ProblemError 413 for a request that is too dear."""
    times, extra = _times(options), len(getattr(options, "context", "")) // CONTEXT
    costs = [times * (_COUNTS[entry.takes](item) + extra) + 1 for item in inputs]
    tariff = TARIFFS[entry.takes]
    if entry.takes == "image":
        _require_decodable(costs, min(64_000_000, settings.run_bytes // tariff.bytes))
    if sum(costs) > tariff.request:
        how = f" ({times} times as many with these options)" if times > 1 else ""
        raise ProblemError(
            413,
            f"a request may hold {tariff.request:,} {tariff.unit}, this one has {sum(costs):,}{how}: send it in parts",
        )
    return costs


def _require_decodable(costs: Sequence[int], most: int) -> None:
    for number, cost in enumerate(costs, 1):
        if cost > most + 1:
            raise ProblemError(
                422, f"image {number} has more than the {most / 1e6:.0f} million pixels that one may have"
            )


def _times(options: Options) -> int:
    """What the options make of a letter: fields say so where they multiply the work."""
    times = 1
    for name, field in type(options).model_fields.items():
        marks: Any = field.json_schema_extra or {}
        times *= marks.get("times", 1) if getattr(options, name) not in (0, False) else 1
    return times


def _pixels(raw: bytes) -> int:
    """By the head of the file alone; 0 for what is no image, of which the model says why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(raw)) as image:
                return image.width * image.height
        except Image.DecompressionBombError:
            return 1 << 40
        except Exception:  # Pillow raises all kinds of errors on damaged files
            return 0


def _letters(raw: dict[str, str | None]) -> int:
    """Of a question and its text, or of the passages that are read where there are documents in place of one."""
    return sum(READ if text is None else len(text) for text in raw.values())


_COUNTS = {
    "text": len, "image": _pixels, "record": len, "number": lambda _: 0, "question and context": _letters,
}  # fmt: skip
