"""What a language model says of text: how it goes on, what stands under a mask, how likely it is. Numpy only, on any back end."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import NotRequired

from bmtool.errors import BadInput, ConfigError, TooLong
from bmtool.nn import sampling
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.batches import batches
from bmtool.predict.values import Continuation, Labels, Text
from bmtool.tasks.language_model.config import CAUSAL_ONLY, Options
from bmtool.text import filling, generation, passages
from bmtool.text.chat import turns
from bmtool.text.chat.chat import Chat, Ending
from bmtool.text.generation import ROWS, How, Steps, Written
from bmtool.text.masking import mask_to_measure
from bmtool.text.passages import Passage, Window
from bmtool.text.tokenizer import Tokenizer, from_files

PROBE_LENGTHS = (1, 5, 12, 40)
MOST, MOST_SAID = 64, 512  # tokens that are written, and said in a dialogue, unless somebody asks for others


class About(exported.About):
    objective: str
    context: int
    # of a decoder's cache: layers, heads of keys and values, width of a head
    cache: list[int]
    # of a masked model: the share of the tokens that is hidden to measure it
    mask_share: float
    # whether it was trained on dialogues: a text is what a user says then
    chat: NotRequired[bool]


class Prompt(NamedTuple):
    """A text with its tokens, as a model takes them; of a dialogue that the assistant is to answer also what ends its turn."""

    text: str
    tokens: np.ndarray
    ending: Ending | None = None


class Model:
    """What both objectives share: reading text, and windows of it."""

    objective: str
    weighs = False
    chats = False
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
            raise TooLong(f"{len(raw):,} characters are too many: the model reads {self.context:,} tokens")
        return raw

    def _require_room(self, tokens: int, most: int) -> None:
        if tokens > most:
            raise TooLong(f"{tokens:,} tokens are too many: the model reads {self.context:,}; shorten the text")

    def read_passage(self, passage: Passage) -> list[Window]:
        """The windows that a passage is measured in."""
        return passages.windows(passage, self.tokenizer, passages.cut(self.objective, self.context))

    def score(self, read: Sequence[Sequence[Window]]) -> np.ndarray:
        """(nats, how many were the likeliest, tokens, characters) of each passage, float64 [passages, 4]."""
        return passages.scored(read, self._scored)

    def _scored(self, rows: list[Window]) -> Iterator[tuple[float, ...]]:
        raise NotImplementedError

    def embed(self, texts: Sequence[Prompt]) -> np.ndarray:
        """The mean of the last hidden states at the tokens of each text, float64 [texts, width]."""
        out: dict[int, np.ndarray] = {}
        for numbers in batches([len(text.tokens) for text in texts]):
            out |= dict(zip(numbers, self._means([texts[n].tokens for n in numbers])))
        return np.stack([out[number] for number in range(len(texts))])

    def read_to_embed(self, raw: Any) -> Prompt:
        """A text as it stands, with what begins it, and for a masked model what ends it."""
        tokens = self.tokenizer.encode([self._text(raw)])[0]
        ends = [self.tokenizer.end] if self.objective == "masked" else []
        self._require_room(len(tokens) + 1 + len(ends), self.context)
        return Prompt(raw, np.concatenate([[self.tokenizer.begin], tokens, ends]).astype(np.int64))

    def _means(self, rows: Sequence[np.ndarray]) -> np.ndarray:
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


class Causal(Model):
    """Goes on from where a text stops, or answers in a dialogue."""

    objective = "causal"

    def __init__(self, tokenizer: Tokenizer, backend: Backend, about: dict):
        super().__init__(tokenizer, backend, about)
        self._cache, self.chats = about["cache"], about.get("chat", False)

    @property
    def steps(self) -> Steps:
        return Steps(self.backend, self._cache, self.tokenizer.size)

    @cached_property
    def chat(self) -> Chat:
        """ConfigError for a model that has no chat template."""
        return Chat(self.tokenizer)

    def read(self, raw: Any) -> Prompt:
        """A text to go on from, which a model of dialogues takes for what a user says; or the turns of a dialogue."""
        if isinstance(raw, list):
            return self.read_dialogue(raw)
        return self.read_dialogue([turns.turn(turns.USER, self._text(raw))]) if self.chats else self.read_text(raw)

    def read_text(self, raw: Any) -> Prompt:
        """A text to go on from, whatever the model was trained on."""
        tokens = self.tokenizer.encode([self._text(raw)])[0]
        self._require_room(len(tokens) + 1, self.context - 1)
        return Prompt(raw, np.concatenate([[self.tokenizer.begin], tokens]))

    def read_dialogue(self, raw: Any) -> Prompt:
        """Turns that the assistant is to answer. BadInput for others, and for more than the model reads."""
        given = turns.to_answer(raw)
        self._text("".join(one["content"] for one in given))
        tokens = self.chat.prompt(given)
        self._require_room(len(tokens), self.context - 1)
        return Prompt(given[-1]["content"], tokens, self.chat.ending)

    def read_passage(self, passage: Passage) -> list[Window]:
        if passage.turns and passage.tokens is None:
            found = self.chat.dialogue(passage.turns)
            passage = Passage(passage.text, found.tokens, self.tokenizer.sha256, found.answers)
        return super().read_passage(passage)

    def predict(self, inputs: Sequence[Prompt], options: Options = Options()) -> list[Text]:
        if options.beams:
            return [self._beams(prompt, options) for prompt in inputs]
        order = sorted(range(len(inputs)), key=lambda n: (repr(inputs[n].ending), len(inputs[n].tokens)))
        out: dict[int, Text] = {}
        for _, alike in groupby(order, key=lambda n: inputs[n].ending):
            numbers = [*alike]
            for start in range(0, len(numbers), ROWS):
                some = numbers[start : start + ROWS]
                (rows,) = deque(self._written([inputs[n] for n in some], options), maxlen=1)
                out |= {number: self._value(row) for number, row in zip(some, rows)}
        return [out[number] for number in range(len(inputs))]

    def begin(self, prompt: Prompt, options: Options) -> Iterator[Written]:
        """What is written, after every token, as one row that grows."""
        return (row for (row,) in self._written([prompt], options))

    def stream(self, prompt: Prompt, options: Options) -> Iterator[str]:
        """What is written as it comes, in pieces that never change again."""
        if options.beams:
            yield self.predict([prompt], options)[0].text
            return
        told = 0
        for row in self.begin(prompt, options):
            yield row.ready[told:]
            told = len(row.ready)

    def _written(self, prompts: Sequence[Prompt], options: Options) -> Iterator[list[Written]]:
        how = self._how(options, prompts[0].ending)
        return generation.write(self.steps, self.tokenizer, [prompt.tokens for prompt in prompts], how)

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Labels]:
        """How likely each of some texts is to follow, among them."""
        tokens = [self.tokenizer.encode([choice])[0] for choice in choices]
        out = []
        for prompt in prompts:
            self._require_room(len(prompt.tokens) + max(map(len, tokens)), self.context)
            p = np.exp(sampling.log_softmax(generation.follow(self.steps, prompt.tokens, tokens)))
            order = np.argsort(-p, kind="stable")
            out.append(Labels(tuple((choices[n], float(p[n])) for n in order)))
        return out

    def probes(self, count: int) -> list[Prompt]:
        return [self.read(text) for text in self._drawn(count)]

    def _how(self, options: Options, ending: Ending | None) -> How:
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
        most = options.max_tokens or (MOST if ending is None else MOST_SAID)
        end, stop = ending or Ending(self.tokenizer.end)
        return How(draw, options.seed, most, self.context, (*options.stop, *stop), end)

    def _means(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return self.steps.means(rows)

    def _value(self, row: Written) -> Continuation:
        log_p = tuple(row.log_probabilities)
        pieces = [*self.tokenizer.pieces(row.tokens, int(row.prompt[-1]))]
        shown = [
            {"text": piece.decode("utf-8", "replace"), "log_probability": round(p, 5)}
            for piece, p in zip(pieces, log_p)
        ]
        details = {"tokens": shown, "log_probability": round(sum(log_p), 5), "ended": row.ended}
        return Continuation(((row.text, float(np.exp(sum(log_p)))),), details=details, log_probabilities=log_p)

    def _beams(self, prompt: Prompt, options: Options) -> Continuation:
        how = self._how(options, prompt.ending)
        found = generation.likeliest(self.steps, self.tokenizer, prompt.tokens, how, options.beams)
        ways = tuple((row.text, float(np.exp(log_p))) for row, log_p in found)
        details = {"log_probability": round(found[0][1], 5), "ended": found[0][0].ended}
        return Continuation(ways, details=details, log_probabilities=(found[0][1],))

    def _scored(self, rows: list[Window]) -> Iterator[tuple[float, ...]]:
        for row, (nats, right) in zip(rows, generation.score(self.steps, [row.tokens for row in rows])):
            asked = slice(None) if row.asked is None else row.asked[1:]
            characters = self.tokenizer.characters[row.tokens[1:][asked]].sum()
            yield float(nats[asked].sum()), float(right[asked].sum()), float(len(nats[asked])), float(characters)


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
        out: dict[int, Text] = {}
        for batch in batches([len(prompt.tokens) for prompt in inputs]):
            rows = [inputs[n].tokens for n in batch]
            places = [np.flatnonzero(row == self.tokenizer.special.mask) for row in rows]
            for number, scores in zip(batch, self._run(rows, places)):
                out[number] = self._value(inputs[number], scores, options.top)
        return [out[number] for number in range(len(inputs))]

    def _run(self, rows: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        return filling.scores(self.backend, self.tokenizer, rows, places)

    def _means(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return filling.means(self.backend, self.tokenizer, rows)

    def _value(self, prompt: Prompt, scores_MV: np.ndarray, top: int) -> Text:
        found = filling.filled(prompt.text, self.mask, scores_MV, self.tokenizer, top)
        masks = [{"candidates": [{"text": w, "probability": round(p, 6)} for w, p in row]} for row in found.words]
        return Text(tuple(found.texts.items()), details={"masks": masks})

    def probes(self, count: int) -> list[Prompt]:
        return [
            self.read(f"{text}{self.mask}{text[:3]}{self.mask * (number % 2)}")
            for number, text in enumerate(self._drawn(count))
        ]

    def _scored(self, rows: list[Window]) -> Iterator[tuple[float, ...]]:
        seen = [mask_to_measure(row.tokens, self.tokenizer, self._share) for row in rows]
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
