"""What models say. Every kind of value is one JSON object and one line of text, wherever it is shown: shell, Python, HTTP, page."""

import base64
import io
from dataclasses import dataclass, field
from math import isfinite, log10
from typing import Any, NamedTuple, Protocol

import numpy as np

from bmtool.measure.spans import Span


class Value(Protocol):
    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        ...

    def line(self) -> str:
        """As a line of text has it, cells apart by tabs."""
        ...

    def distance(self, other: Any) -> float:
        """How far another model's answer to the same input is from this one, in the unit of its numbers: what an export is held to."""
        ...


def noted(notes: tuple[str, ...]) -> dict[str, Any]:
    """Nothing where nothing was amiss."""
    return {"notes": list(notes)} if notes else {}


@dataclass(frozen=True)
class Labels:
    """Classes with their probabilities, the one that is given first: the likeliest, or what a decision by costs says."""

    classes: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = ()  # what was amiss with the input

    @property
    def label(self) -> str:
        return self.classes[0][0]

    def record(self) -> dict[str, Any]:
        shown = [{"label": label, "probability": round(p, 6)} for label, p in self.classes]
        return {"label": self.label, "classes": shown} | noted(self.notes)

    def line(self) -> str:
        return "\t".join([*(f"{label} {p:.4f}" for label, p in self.classes), *self.notes])

    def distance(self, other: "Labels") -> float:
        theirs, least = dict(other.classes), min(p for _, p in other.classes)
        return max(abs(p - theirs.get(label, min(p, least))) for label, p in self.classes)


@dataclass(frozen=True)
class Several(Labels):
    """Any number of classes, each with a probability of its own, likeliest first; `given` are those that are said."""

    given: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        shown = [{"label": label, "probability": round(p, 6)} for label, p in self.classes]
        return {"labels": list(self.given), "classes": shown} | noted(self.notes)

    def line(self) -> str:
        said = dict(self.classes)
        shown = [f"{label} {said[label]:.4f}" for label in self.given if label in said]
        return "\t".join([*(shown or ["-"]), *self.notes])


@dataclass(frozen=True)
class Click(Labels):
    """How likely something is to be taken; `because` is what the probability loses without each of the columns that matter most."""

    positive: str = ""
    because: tuple[tuple[str, float], ...] = ()

    @property
    def probability(self) -> float:
        return dict(self.classes)[self.positive]

    def record(self) -> dict[str, Any]:
        why = [{"column": column, "adds": round(added, 6)} for column, added in self.because]
        return {"probability": round(self.probability, 6), "because": why} | super().record()

    def line(self) -> str:
        why = [f"{column} {added:+.4f}" for column, added in self.because]
        return "\t".join([f"{self.positive} {self.probability:.4f}", *why, *self.notes])


@dataclass(frozen=True)
class Text:
    """Ways to write something, likeliest first. `unread` are words that were copied though they look as if they were meant otherwise;
    `details` is what else is known of the best way."""

    n_best: tuple[tuple[str, float], ...]
    unread: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.n_best[0][0]

    @property
    def confidence(self) -> float:
        """The probability of the best text."""
        return self.n_best[0][1]

    def record(self) -> dict[str, Any]:
        shown = [{"text": text, "probability": round(p, 6)} for text, p in self.n_best]
        best = {"text": self.text, "confidence": round(self.confidence, 6)}
        return best | {"n_best": shown, "unread": list(self.unread)} | self.details

    def line(self) -> str:
        return "\t".join(f"{text} {p:.4f}" for text, p in self.n_best)

    def distance(self, other: "Text") -> float:
        """Ways that are as likely may change places, and the last ones may fall out."""
        theirs, least = dict(other.n_best), min(p for _, p in other.n_best)
        return max(abs(p - theirs.get(text, min(p, least))) for text, p in self.n_best)


@dataclass(frozen=True)
class Continuation(Text):
    """What stands behind a text, token by token: the log-probabilities of the tokens of the best way, what ended it included."""

    log_probabilities: tuple[float, ...] = ()

    def distance(self, other: "Text") -> float:
        """1 for another text; of the same what its tokens differ by."""
        theirs = getattr(other, "log_probabilities", ())
        if self.text != other.text or len(theirs) != len(self.log_probabilities):
            return 1.0
        own = np.subtract(self.log_probabilities, theirs)
        return max(float(np.abs(own).max(initial=0.0)), super().distance(other))


class Piece(NamedTuple):
    """Characters `start` to `end` of a text as it came in, with the probability that they are the answer. Of one that was looked for in
    documents, `passage` is that text, and `source` the file:line where it stands."""

    text: str
    start: int
    end: int
    probability: float
    source: str = ""
    passage: str = ""

    def record(self) -> dict[str, Any]:
        found = {"source": self.source, "passage": self.passage} if self.source else {}
        return {"start": self.start, "end": self.end, "probability": round(self.probability, 6)} | found


@dataclass(frozen=True)
class Answer:
    """Pieces of a text, the likeliest answer first, or that it holds none; `no_answer` is the probability of that."""

    n_best: tuple[Piece, ...]
    no_answer: float
    # Whether that it has no answer is what is said.
    refuses: bool = False

    @property
    def text(self) -> str:
        """ "" for none."""
        return "" if self.refuses or not self.n_best else self.n_best[0].text

    def record(self) -> dict[str, Any]:
        shown = [{"answer": piece.text} | piece.record() for piece in self.n_best]
        best = {"answer": None, "probability": round(self.no_answer, 6)} if not self.text else shown[0]
        return best | {"no_answer": round(self.no_answer, 6), "n_best": shown}

    def line(self) -> str:
        cells = [f"{piece.text} {piece.probability:.4f} {piece.source}".split() for piece in self.n_best]
        none = [["(no", "answer)", f"{self.no_answer:.4f}"]] if not self.text else []
        return "\t".join(" ".join(words) for words in (*none, *cells))

    def distance(self, other: "Answer") -> float:
        """Pieces that are as likely may change places, and the last ones may fall out."""
        theirs = {piece[:3]: piece.probability for piece in other.n_best}
        least = min(theirs.values(), default=0.0)
        apart = [abs(piece.probability - theirs.get(piece[:3], min(piece.probability, least))) for piece in self.n_best]
        return max([abs(self.no_answer - other.no_answer), *apart])


@dataclass(frozen=True)
class Vector:
    """Numbers float [F] under a name, and figures beside them."""

    name: str
    numbers: np.ndarray
    figures: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return self.figures | {self.name: self.numbers.round(5).tolist()}

    def line(self) -> str:
        return "\t".join(f"{name} {value:.6f}" for name, value in self.figures.items())

    def distance(self, other: "Vector") -> float:
        own = np.append(self.numbers, list(self.figures.values()))
        return float(np.abs(own - np.append(other.numbers, list(other.figures.values()))).max())


@dataclass(frozen=True)
class Picture:
    """Pixels float [H, W, C] in 0 .. 1, and figures beside them."""

    pixels: np.ndarray
    figures: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return self.figures | {"image": base64.b64encode(self.png()).decode()}

    def png(self) -> bytes:
        from PIL import Image

        pixels = (self.pixels.clip(0, 1) * 255).round().astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
        return out.getvalue()

    def line(self) -> str:
        return "\t".join(f"{name} {value:.4f}" for name, value in self.figures.items())

    def distance(self, other: "Picture") -> float:
        return float(np.abs(self.pixels - other.pixels).mean())


@dataclass(frozen=True)
class Number:
    """One number in the unit of what was learned; `unit` is the typical size of an error that matters, for comparisons."""

    value: float
    unit: float = 1.0
    notes: tuple[str, ...] = ()  # what was amiss with the input

    def record(self) -> dict[str, Any]:
        return {"value": round(self.value, 6) if isfinite(self.value) else None} | noted(self._said())

    def line(self) -> str:
        return "\t".join([f"{self.value:.{self._digits()}g}", *self._said()])

    def _digits(self) -> int:
        """Six, and more for a value far from zero, whose first digits never change."""
        far = abs(self.value) / self.unit if self.unit else 0.0
        return 6 + int(log10(far)) if isfinite(far) and far > 1 else 6

    def _said(self) -> tuple[str, ...]:
        return (
            self.notes
            if isfinite(self.value)
            else (*self.notes, "no finite number: the input is out of all proportion")
        )

    def distance(self, other: "Number") -> float:
        return abs(self.value - other.value) / self.unit


@dataclass(frozen=True)
class Spans:
    """Parts of a text and what they are, in order and without overlap, and how likely each is to be one."""

    text: str
    spans: tuple[Span, ...]
    probabilities: tuple[float, ...]
    notes: tuple[str, ...] = ()  # what was amiss with the input

    def record(self) -> dict[str, Any]:
        """Places are those of the text as it came, in characters (code points)."""
        shown = [
            {"start": span.start, "end": span.end, "label": span.label, "text": self.text[span.start : span.end],
             "probability": round(p, 6)}
            for span, p in zip(self.spans, self.probabilities)
        ]  # fmt: skip
        return {"spans": shown} | noted(self.notes)

    def line(self) -> str:
        """A cell for each span, `北京 place 3-5`."""
        shown = [f"{self.text[start:end]} {label} {start}-{end}" for start, end, label in self.spans]
        return "\t".join([*shown, *self.notes])

    def distance(self, other: "Spans") -> float:
        """1 for other spans; of the same what their probabilities differ by."""
        if self.spans != other.spans:
            return 1.0
        return float(np.abs(np.subtract(self.probabilities, other.probabilities)).max(initial=0.0))


class Term(NamedTuple):
    """What one thing adds to a rating. `what` says what it is: the mean, the user, the item, their factors, another rating of the user
    (rated) or of the item (rater), all others of these, or the scale that ends there; `name` is its id, where it has one."""

    what: str
    name: str
    title: str
    adds: float

    def record(self) -> dict[str, Any]:
        named = {"name": self.name, "title": self.title} if self.name else {}
        return {"what": self.what} | named | {"adds": round(self.adds, 6)}

    def line(self) -> str:
        named = f"{self.what} {self.title}" if self.name else self.what
        return f"{named} {self.adds:.4f}" if self.what == "mean" else f"{named} {self.adds:+.4f}"


@dataclass(frozen=True)
class Rating(Number):
    """A number that is the sum of terms; `source` says which of user and item were known, "mean" where neither was."""

    source: str = ""
    terms: tuple[Term, ...] = ()

    def record(self) -> dict[str, Any]:
        return super().record() | {"from": self.source, "because": [term.record() for term in self.terms]}

    def line(self) -> str:
        because = ", ".join(term.line() for term in self.terms)
        return "\t".join([f"{self.value:.4g}", f"from {self.source}: {because}", *self.notes])

    def distance(self, other: "Rating") -> float:  # type: ignore[override]  # of one task
        """1 for what follows from something else."""
        return super().distance(other) if self.source == other.source else 1.0


class Reason(NamedTuple):
    """An item that a user took, and how much of the score of another it adds."""

    item: str
    title: str
    adds: float


class Place(NamedTuple):
    """An item of a list; `because` are the reasons that add most, where the model can say."""

    item: str
    title: str
    score: float
    because: tuple[Reason, ...] = ()

    def record(self) -> dict[str, Any]:
        reasons = [{"item": one.item, "title": one.title, "adds": round(one.adds, 6)} for one in self.because]
        return {"item": self.item, "title": self.title, "score": round(self.score, 6), "because": reasons}

    def line(self) -> str:
        named = self.item if self.title == self.item else f"{self.item} {self.title}"
        reasons = ", ".join(one.title for one in self.because)
        return f"{named} {self.score:.4f}" + (f" (because of {reasons})" if reasons else "")


@dataclass(frozen=True)
class Ranking:
    """Items, the best first. `source` is what they follow from: history, content or popularity."""

    places: tuple[Place, ...]
    source: str
    notes: tuple[str, ...] = ()  # what was amiss with the input

    def record(self) -> dict[str, Any]:
        return {"items": [place.record() for place in self.places], "from": self.source} | noted(self.notes)

    def line(self) -> str:
        """A cell for each item, what they follow from before them."""
        return "\t".join([f"from {self.source}:", *(place.line() for place in self.places), *self.notes])

    def distance(self, other: "Ranking") -> float:
        """1 for what follows from something else; items that are as good may change places, and the last ones may fall out."""
        if self.source != other.source or len(self.places) != len(other.places):
            return 1.0
        theirs = {place.item: place.score for place in other.places}
        scores = [place.score for place in self.places]
        least, unit = min(scores, default=0.0), max(1.0, max(map(abs, scores), default=1.0))
        return (
            max((abs(one.score - theirs.get(one.item, min(one.score, least))) for one in self.places), default=0.0)
            / unit
        )
