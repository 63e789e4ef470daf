"""What a language model says of text: how it goes on, what stands under a mask, how likely it is. Numpy only, on any back end.

Shapes: R rows, T tokens, M masks, V vocabulary.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bmtool.data.packing import Cut
from bmtool.errors import BadInput, ConfigError
from bmtool.nn import sampling, search
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.values import Continuation, Labels, Text
from bmtool.tasks.language_model.config import CAUSAL_ONLY, Options
from bmtool.text import generation
from bmtool.text.generation import ROWS, How, Steps, Written
from bmtool.text.masking import mask_to_measure
from bmtool.text.tokenizer import Tokenizer, from_files

BATCH_TOKENS = 2048
PROBE_LENGTHS = (1, 5, 12, 40)


class About(exported.About):
    objective: str
    context: int
    # of a decoder's cache: layers, heads of keys and values, width of a head
    cache: list[int]
    # of a masked model: the share of the tokens that is hidden to measure it
    mask_share: float


def cut(objective: str, context: int) -> Cut:
    """How text is cut for a model that reads so many tokens: what comes next is asked but for the first, so that rows share one."""
    return Cut(context + 1, context) if objective == "causal" else Cut(context, context)


@dataclass(frozen=True)
class Passage:
    """Text that a model is measured on. `tokens` are those of the tokenizer with this sha256, what begins and ends it included; without
    them the text is a document of its own."""

    text: str
    tokens: np.ndarray | None = None
    tokenizer: str = ""

    def __repr__(self) -> str:
        return repr(self.text)


class Prompt(NamedTuple):
    """A text with its tokens, as a model takes them."""

    text: str
    tokens: np.ndarray


class Model:
    """What both objectives share: reading text, and windows of it."""

    objective: str
    weighs = False
    progress: Callable[[int, int], None]

    def __init__(self, tokenizer: Tokenizer, backend: Backend, about: dict):
        self.tokenizer, self.backend, self.context = tokenizer, backend, about["context"]
        self.progress = lambda done, total: None

    def _text(self, raw: Any) -> str:
        """BadInput for what is no text, or longer than any text of so many tokens."""
        if not isinstance(raw, str):
            raise BadInput("no text")
        longest = int(self.tokenizer.characters.max(initial=1))
        if len(raw) > (self.context + 1) * longest * 4:
            raise BadInput(f"{len(raw):,} characters are too many: the model reads {self.context:,} tokens")
        return raw

    def _require_room(self, tokens: int, most: int) -> None:
        if tokens > most:
            raise BadInput(f"{tokens:,} tokens are too many: the model reads {self.context:,}; shorten the text")

    def read_passage(self, passage: Passage) -> list[np.ndarray]:
        """The windows that a passage is measured in, tokens each."""
        tokens = passage.tokens
        if tokens is None or passage.tokenizer != self.tokenizer.sha256:
            inside = self.tokenizer.encode([passage.text])[0]
            tokens = np.concatenate([[self.tokenizer.begin], inside, [self.tokenizer.end]])
        width, stride = cut(self.objective, self.context)
        last = max(1, len(tokens) - (width - stride))
        return [tokens[start : start + width] for start in range(0, last, stride)]

    def score(self, passages: Sequence[list[np.ndarray]]) -> np.ndarray:
        """(nats, how many were the likeliest, tokens, characters) of each passage, float64 [passages, 4]."""
        windows = [(number, window) for number, each in enumerate(passages) for window in each]
        out = np.zeros((len(passages), 4))
        order = sorted(range(len(windows)), key=lambda n: len(windows[n][1]))
        for batch in _batches(order, [len(window) for _, window in windows]):
            for number, row in zip(batch, self._scored([windows[n][1] for n in batch])):
                out[windows[number][0]] += row
        return out

    def _scored(self, rows: list[np.ndarray]) -> Iterator[tuple[float, ...]]:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        return {"objective": self.objective, "vocabulary": self.tokenizer.size, "context": self.context}

    def explained(self, line: str, options: Options) -> Iterator[str]:
        raise ConfigError("a language model weighs no candidates: leave --explain out")

    def _drawn(self, count: int) -> list[str]:
        """Texts of tokens at random, always the same."""
        random = np.random.default_rng(0)
        known = np.flatnonzero(self.tokenizer.characters)
        lengths = [min(PROBE_LENGTHS[n % len(PROBE_LENGTHS)], self.context // 4) for n in range(count)]
        return [self.tokenizer.decode(random.choice(known, length)) for length in lengths]


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Of items in the order of their lengths, about BATCH_TOKENS each."""
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * lengths[number] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


class Causal(Model):
    """Goes on from where a text stops."""

    objective = "causal"

    def __init__(self, tokenizer: Tokenizer, backend: Backend, about: dict):
        super().__init__(tokenizer, backend, about)
        self._cache = about["cache"]

    @property
    def steps(self) -> Steps:
        return Steps(self.backend, self._cache, self.tokenizer.size)

    def read(self, raw: Any) -> Prompt:
        tokens = self.tokenizer.encode([self._text(raw)])[0]
        self._require_room(len(tokens) + 1, self.context - 1)
        return Prompt(raw, np.concatenate([[self.tokenizer.begin], tokens]))

    def predict(self, inputs: Sequence[Prompt], options: Options = Options()) -> list[Text]:
        how = self._how(options)
        if options.beams:
            return [self._beams(prompt, how, options.beams) for prompt in inputs]
        order = sorted(range(len(inputs)), key=lambda n: len(inputs[n].tokens))
        out: dict[int, Text] = {}
        for start in range(0, len(order), ROWS):
            numbers = order[start : start + ROWS]
            steps = generation.write(self.steps, self.tokenizer, [inputs[n].tokens for n in numbers], how)
            (rows,) = deque(steps, maxlen=1)
            out |= {number: self._value(row) for number, row in zip(numbers, rows)}
        return [out[number] for number in range(len(inputs))]

    def stream(self, prompt: Prompt, options: Options) -> Iterator[str]:
        """What is written as it comes, in pieces that never change again."""
        if options.beams:
            yield self.predict([prompt], options)[0].text
            return
        told = 0
        for (row,) in generation.write(self.steps, self.tokenizer, [prompt.tokens], self._how(options)):
            yield row.ready[told:]
            told = len(row.ready)

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Labels]:
        """How likely each of some texts is to follow, among them."""
        tokens = [self.tokenizer.encode([choice])[0] for choice in choices]
        out = []
        for prompt in prompts:
            rows = [np.concatenate([prompt.tokens, choice]) for choice in tokens]
            self._require_room(max(map(len, rows)), self.context)
            found = [scored for row in rows for scored in generation.score(self.steps, [row])]
            log_p = np.array([-one.nats[len(prompt.tokens) - 1 :].sum() for one in found])
            p = np.exp(sampling.log_softmax(log_p))
            order = np.argsort(-p, kind="stable")
            out.append(Labels(tuple((choices[n], float(p[n])) for n in order)))
        return out

    def probes(self, count: int) -> list[Prompt]:
        return [self.read(text) for text in self._drawn(count)]

    def _how(self, options: Options) -> How:
        """ConfigError for options that have no effect."""
        set_ = options.asked
        if "top" in set_:
            raise ConfigError("--top is for masked models: --n-best of a text that goes on are --beams")
        idle = sorted({"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"} & set_)
        if options.beams and idle:
            raise ConfigError(f"--beams searches without chance: leave --{idle[0].replace('_', '-')} out")
        if "" in options.stop:
            raise ConfigError("--stop: an empty text stops everything")
        draw = sampling.Draw(
            options.temperature, options.top_k, options.top_p, options.min_p, options.repetition_penalty
        )
        return How(draw, options.seed, options.max_tokens, self.context, options.stop)

    def _value(self, row: Written) -> Continuation:
        log_p = tuple(row.log_probabilities)
        pieces = [*self.tokenizer.pieces(row.tokens, int(row.prompt[-1]))]
        shown = [
            {"text": piece.decode("utf-8", "replace"), "log_probability": round(p, 5)}
            for piece, p in zip(pieces, log_p)
        ]
        details = {"tokens": shown, "log_probability": round(sum(log_p), 5), "ended": row.ended}
        return Continuation(((row.text, float(np.exp(sum(log_p)))),), details=details, log_probabilities=log_p)

    def _beams(self, prompt: Prompt, how: How, beams: int) -> Continuation:
        found = generation.likeliest(self.steps, self.tokenizer, prompt.tokens, how, beams)
        ways = tuple((row.text, float(np.exp(log_p))) for row, log_p in found)
        details = {"log_probability": round(found[0][1], 5), "ended": found[0][0].ended}
        return Continuation(ways, details=details, log_probabilities=(found[0][1],))

    def _scored(self, rows: list[np.ndarray]) -> Iterator[tuple[float, ...]]:
        for row, (nats, right) in zip(rows, generation.score(self.steps, rows)):
            characters = self.tokenizer.characters[row[1:]].sum()
            yield float(nats.sum()), float(right.sum()), float(len(nats)), float(characters)


class Masked(Model):
    """Says what stands under the masks of a text."""

    objective = "masked"

    def __init__(self, tokenizer: Tokenizer, backend: Backend, about: dict):
        super().__init__(tokenizer, backend, about)
        self._share = about["mask_share"]

    @property
    def mask(self) -> str:
        return self.tokenizer.name(self.tokenizer.special.mask)

    def read(self, raw: Any) -> Prompt:
        parts = self._text(raw).split(self.mask)
        if len(parts) == 1:
            raise BadInput(f"no {self.mask} in the text: put one where a word is missing")
        special = self.tokenizer.special
        pieces = [np.array([self.tokenizer.begin])]
        for tokens in self.tokenizer.encode(parts):
            pieces += [tokens, np.array([special.mask])]
        tokens = np.concatenate([*pieces[:-1], [self.tokenizer.end]])
        self._require_room(len(tokens), self.context)
        return Prompt(raw, tokens)

    def predict(self, inputs: Sequence[Prompt], options: Options = Options()) -> list[Text]:
        if idle := sorted(options.asked & set(CAUSAL_ONLY)):
            raise ConfigError(f"--{idle[0].replace('_', '-')}: a masked model writes nothing on, it takes --top")
        order = sorted(range(len(inputs)), key=lambda n: len(inputs[n].tokens))
        out: dict[int, Text] = {}
        for batch in _batches(order, [len(prompt.tokens) for prompt in inputs]):
            rows = [inputs[n].tokens for n in batch]
            places = [np.flatnonzero(row == self.tokenizer.special.mask) for row in rows]
            for number, scores in zip(batch, self._run(rows, places)):
                out[number] = self._value(inputs[number], sampling.log_softmax(scores), options.top)
        return [out[number] for number in range(len(inputs))]

    def _run(self, rows: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Scores [M, V] at some places of each row."""
        width, most = max(map(len, rows)), max(1, *map(len, places))
        token = np.full((len(rows), width), self.tokenizer.pad, np.int64)
        keep, at = np.zeros((len(rows), width), bool), np.zeros((len(rows), most), np.int64)
        for number, (row, place) in enumerate(zip(rows, places)):
            token[number, : len(row)], keep[number, : len(row)], at[number, : len(place)] = row, True, place
        found = self.backend.numpy(self.backend.run("model", {"token": token, "keep": keep, "at": at})["scores"])
        return (scores[: len(place), : self.tokenizer.size] for scores, place in zip(found, places))

    def _value(self, prompt: Prompt, log_p_MV: np.ndarray, top: int) -> Text:
        order = np.argsort(-log_p_MV, axis=1, kind="stable")[:, :top]
        words = [[self.tokenizer.decode([token]) for token in row] for row in order.tolist()]
        log_p = np.take_along_axis(log_p_MV, order, axis=1).tolist()
        ways = search.merge([[search.Hypothesis((), p) for p in row] for row in log_p], top)
        parts = prompt.text.split(self.mask)
        texts: dict[str, float] = {}
        for choice, total in ways:
            text = parts[0] + "".join(words[n][i] + part for n, (i, part) in enumerate(zip(choice, parts[1:])))
            texts[text] = texts.get(text, 0.0) + float(np.exp(total))
        masks = [
            {"candidates": [{"text": w, "probability": round(float(np.exp(p)), 6)} for w, p in zip(row, given)]}
            for row, given in zip(words, log_p)
        ]
        return Text(tuple(texts.items()), details={"masks": masks})

    def probes(self, count: int) -> list[Prompt]:
        return [
            self.read(f"{text}{self.mask}{text[:3]}{self.mask * (number % 2)}")
            for number, text in enumerate(self._drawn(count))
        ]

    def _scored(self, rows: list[np.ndarray]) -> Iterator[tuple[float, ...]]:
        seen = [mask_to_measure(row, self.tokenizer, self._share) for row in rows]
        places = [np.flatnonzero(one.target >= 0) for one in seen]
        for one, place, scores in zip(seen, places, self._run([one.tokens for one in seen], places)):
            target = one.target[place]
            nats = (
                -np.take_along_axis(sampling.log_softmax(scores), target[:, None], axis=1).sum() if len(place) else 0.0
            )
            right = (scores.argmax(axis=1) == target).sum()
            yield float(nats), float(right), float(len(place)), float(self.tokenizer.characters[target].sum())


def predictor(about: dict, backend: Backend, assets: Assets) -> Model:
    """Of a run or an export; its tokenizer is among the assets."""
    tokenizer = from_files(assets.read, "the model")
    return {"causal": Causal, "masked": Masked}[about["objective"]](tokenizer, backend, about)
