"""The spans of a row, as people and tools write them down: lists, objects, what doccano and Label Studio export, tags of tokens, the
texts of each type with their places, as CLUENER has them.

Places are characters (code points) of the text as it stands there, ends exclusive. Where the text of a span is written beside its places,
inclusive ends and places in bytes or in UTF-16 units are seen by it and converted. Where it is not, spans that end past the text are
refused, with what they look like.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from bmtool.errors import BadInput
from bmtool.measure.spans import Span, overlapping
from bmtool.tasks.token_classification import tags

STARTS, ENDS = ("start", "start_offset", "begin"), ("end", "end_offset")
LABELS, TEXTS = ("label", "type", "labels", "tag", "entity"), ("text", "word")
NO_LIST = (
    "no list of spans: write [[start, end, type], ...], places in characters, the end exclusive, "
    "or {type: {text: [[start, end], ...]}}"
)
INCLUSIVE = "ends of spans were inclusive, by the texts beside them, and were converted"
OVERLAP = "spans that overlap or nest: a character has one type at most"
# What a place can count beside characters, as data.offsets has it -> how many of them a character is.
UNITS: dict[str, Callable[[str], int]] = {
    "utf-16": lambda letter: 2 if ord(letter) > 0xFFFF else 1,
    "bytes": lambda letter: len(letter.encode("utf-8", "surrogatepass")),
}


class Written(NamedTuple):
    """A span as it was written down; `text` is "" where its text is not beside it."""

    start: int
    end: int
    label: str
    text: str


class PastError(BadInput):
    """A span that ends past its text where places count characters; they would fit as `units`."""

    def __init__(self, units: set[str]):
        like = f"; they fit as {' or '.join(sorted(units))}: --set data.offsets={min(units)}" if units else ""
        super().__init__(f"a span that ends past its text{like}")
        self.units = units


def units(text: str, value: Any) -> set[str]:
    """What the places of a text's spans may count beside characters, by their places and the texts beside them."""
    try:
        written = [_written(item) for item in value]
    except BadInput:
        return set(UNITS)
    each = {unit: _converted(text, written, unit) for unit in UNITS}
    return {unit for unit, spans in each.items() if spans is not None and _fits(text, written, spans)}


def read(text: str, value: Any, unit: str = "characters") -> tuple[list[Span], str]:
    """(spans in order, what was guessed) of a text and what stands in the column of spans, whose places count `unit`.

    BadInput with the reason where it is no such.
    """
    items = list(_by_type(value)) if isinstance(value, Mapping) else value
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise BadInput(NO_LIST)
    written = sorted({_written(item) for item in items})
    spans, guessed = _placed(text, written) if unit == "characters" else (_counted(text, written, unit), "")
    if overlapping(spans):
        raise BadInput(OVERLAP)
    return spans, guessed


class How(NamedTuple):
    """How tokens and tags of a file are to be read: by all of them, as one sequence may belong to several schemes."""

    scheme: tags.Scheme
    # whether tokens are words, and not characters alone
    spaced: bool

    @classmethod
    def of(cls, sequences: Sequence[tuple[Sequence[str], Sequence[tuple[str, str]]]]) -> "How":
        """Of the tokens and the tags, as `tags.split` has them, of all sequences."""
        spaced = any(len(token) > 1 for tokens, _ in sequences for token in tokens)
        return cls(tags.recognised([found for _, found in sequences]), spaced)

    @property
    def told(self) -> str:
        return f"{'words' if self.spaced else 'characters'} with tags of {self.scheme.name}"


def how(pairs: Iterable[tuple[Any, Any]]) -> How:
    """Of all tokens and tags of a file, those that are none left out."""
    split = []
    for tokens, labels in pairs:
        try:
            split.append((tokens, _split(tokens, labels)))
        except BadInput:
            continue
    return How.of(split)


def of_tokens(tokens: Sequence[Any], labels: Any, how: How) -> tuple[str, list[Span]]:
    """(text, spans) of a list of tokens and one of their tags. BadInput with the reason where they are none."""
    sequence = _split(tokens, labels)
    try:
        return joined(tokens, tags.read(sequence, how.scheme), spaced=how.spaced)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _split(tokens: Any, labels: Any) -> list[tuple[str, str]]:
    lists = isinstance(tokens, Sequence) and isinstance(labels, Sequence)
    if not lists or isinstance(tokens, bytes) or isinstance(labels, str | bytes) or len(labels) != len(tokens):
        raise BadInput("a list of tokens needs a list of as many tags")
    if not all(isinstance(one, str) for one in (*tokens, *labels)):
        raise BadInput("tokens and tags are text: name tags, as B-place")
    if not all(tokens):
        raise BadInput("a token without a character")
    try:
        return [tags.split(label) for label in labels]
    except ValueError as error:
        raise BadInput(str(error)) from error


def joined(tokens: Sequence[str], spans: Sequence[Span], *, spaced: bool) -> tuple[str, list[Span]]:
    """A text of tokens, and spans of tokens as spans of its characters. Where it is `spaced`, words of letters are written apart."""
    gaps = [spaced and _is_apart(before, here) for before, here in zip(("", *tokens), tokens)]
    starts = [end - len(one) for one, end in zip(tokens, accumulate(len(one) + gap for one, gap in zip(tokens, gaps)))]
    text = "".join(" " * gap + one for one, gap in zip(tokens, gaps))
    return text, [Span(starts[s.start], starts[s.end - 1] + len(tokens[s.end - 1]), s.label) for s in spans]


def _is_apart(before: str, here: str) -> bool:
    """Whether white space stands between two words: both are of a script that is written with it."""
    return bool(before and here) and _is_lettered(before[-1]) and _is_lettered(here[0])


def _is_lettered(letter: str) -> bool:
    return letter.isalnum() and not 0x2E80 <= ord(letter) <= 0xFFEF and ord(letter) < 0x20000


def _by_type(value: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    """The spans of {type: {text: [[start, end], ...]}} as objects. BadInput for what is none."""
    for label, texts in value.items():
        if not isinstance(texts, Mapping):
            raise BadInput(NO_LIST)
        for text, places in texts.items():
            if not text or not isinstance(places, list) or not all(isinstance(p, list) and len(p) == 2 for p in places):
                raise BadInput(NO_LIST)
            yield from ({"start": start, "end": end, "label": label, "text": text} for start, end in places)


# --- one span ---


def _written(item: Any) -> Written:
    """BadInput for what is no span."""
    if isinstance(item, Mapping):
        item = item.get("value", item)
        found = [_first(item, names) for names in (STARTS, ENDS, LABELS, TEXTS)]
    elif isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 3:
        found = [*item, None]
    else:
        found = [None] * 4
    start, end, label, text = found
    label = label[0] if isinstance(label, list | tuple) and len(label) == 1 else label
    if not _is_place(start) or not _is_place(end) or not isinstance(label, str) or not label.strip():
        raise BadInput("no span: write [start, end, type] with places as whole numbers and a type as text")
    text = text if isinstance(text, str) else ""
    # An inclusive end may be the place of the only character.
    if start > end or (start == end and len(text) != 1):
        raise BadInput("an empty span: the end is exclusive")
    return Written(start, end, label.strip(), text)


def _first(item: Any, names: Sequence[str]) -> Any:
    return next((item[name] for name in names if isinstance(item, Mapping) and item.get(name) is not None), None)


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# --- what places count ---


def _placed(text: str, written: Sequence[Written]) -> tuple[list[Span], str]:
    """Spans whose places count characters, or what the texts beside them say."""
    plain = [Span(one.start, one.end, one.label) for one in written]
    if _fits(text, written, plain):
        return plain, ""
    converted = {unit: found for unit in UNITS if (found := _converted(text, written, unit)) is not None}
    are_told = all(one.text for one in written)
    if are_told and _fits(text, written, longer := [span._replace(end=span.end + 1) for span in plain]):
        return longer, INCLUSIVE
    for unit, spans in converted.items():
        if are_told and _fits(text, written, spans):
            return spans, f"places of spans counted {unit}, by the texts beside them, and were converted"
    if any(span.end > len(text) for span in plain):
        raise PastError(set(converted))
    raise BadInput("the text of a span is not what stands at its places")


def _counted(text: str, written: Sequence[Written], unit: str) -> list[Span]:
    """Spans whose places are known to count `unit`."""
    spans = _converted(text, written, unit)
    if spans is None or not _fits(text, written, spans):
        raise BadInput(f"places of spans that do not count {unit}, as data.offsets says")
    return spans


def _fits(text: str, written: Sequence[Written], spans: Sequence[Span]) -> bool:
    """Whether spans end within a text, and have the texts that are written beside them."""
    return all(
        span.end <= len(text) and one.text in ("", text[span.start : span.end]) for one, span in zip(written, spans)
    )


def _converted(text: str, written: Sequence[Written], unit: str) -> list[Span] | None:
    """The spans where places count something else; None where one of them is within a character, or past the end."""
    at = {place: number for number, place in enumerate(accumulate(map(UNITS[unit], text), initial=0))}
    if not all(one.start in at and one.end in at for one in written):
        return None
    return [Span(at[one.start], at[one.end], one.label) for one in written]
