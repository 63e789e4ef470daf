"""Requests and answers in the shapes that clients of OpenAI's interface expect: what is asked, and what is said of what was written."""

import array
import base64
import json
import time
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bmtool.predict.contract import Options
from bmtool.serve.problems import ProblemError
from bmtool.serve.writing import Bit

MOST_CHOICES, MOST_STOPS, MOST_TURNS = 16, 16, 1_000
REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}
# Fields that clients send though nothing is asked with them, and what they may hold then.
IDLE: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,), "frequency_penalty": (0,), "logit_bias": ({},), "echo": (False,), "suffix": ("",), "best_of": (1,),
    "top_logprobs": (0,), "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],), "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False), "response_format": ({"type": "text"},), "modalities": (["text"],), "store": (False,),
    "metadata": ({},), "service_tier": ("auto", "default"),
}  # fmt: skip


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False


class Writing(BaseModel):
    """What both ways to ask for text share."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, description="What this server's model is called; GET /v1/models says it.")
    max_tokens: int | None = Field(None, ge=1, le=1 << 20)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=1 << 20, description="Not of OpenAI's; 0: all.")
    min_p: float = Field(0.0, ge=0, le=1, description="Not of OpenAI's.")
    repetition_penalty: float = Field(1.0, gt=0, le=100, description="Not of OpenAI's.")
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=0, lt=2**63, description="Without it, another text every time.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Not looked at.")


class Completion(Writing):
    prompt: str | list[str] = Field("", description="A text to go on from, or several.")
    logprobs: int | None = Field(None, ge=0, le=0, description="0: the log-probability of every token that is written.")


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: str
    text: str = ""


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: str
    content: str | list[Part]

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, sent: Any) -> Any:
        """What was answered before comes back with fields that hold nothing."""
        return {name: value for name, value in sent.items() if value is not None} if isinstance(sent, dict) else sent


class ChatCompletion(Writing):
    messages: list[Message] = Field(min_length=1, max_length=MOST_TURNS)
    max_completion_tokens: int | None = Field(None, ge=1, le=1 << 20)
    logprobs: bool = False


class Embeddings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    input: str | list[str] = Field(description="A text, or several.")
    encoding_format: str = Field("float", pattern="^(float|base64)$")
    dimensions: int | None = None
    user: str | None = Field(None, description="Not looked at.")


def validated(kind: type[BaseModel], sent: Any) -> Any:
    """A request. ProblemError 422 that names the first field which does not fit."""
    if not isinstance(sent, dict):
        raise ProblemError(422, "the body is no JSON object")
    try:
        return kind.model_validate(_without_idle(kind, sent))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "function-")))[:80]
        what = "this server does not know it" if first["type"] == "extra_forbidden" else first["msg"]
        raise ProblemError(422, f"{field}: {what}"[:300], param=field) from error


def _without_idle(kind: type[BaseModel], sent: dict[str, Any]) -> dict[str, Any]:
    """Without fields that ask for nothing. ProblemError for one that asks for what this server cannot do."""
    for name in sent.keys() & IDLE.keys() - kind.model_fields.keys():
        if sent[name] is not None and sent[name] not in IDLE[name]:
            may = " or ".join(json.dumps(value) for value in IDLE[name])
            raise ProblemError(422, f"{name}: this server can only take {may}", param=name)
    # null is what a field holds that was left out
    return {
        name: value
        for name, value in sent.items()
        if value is not None and (name not in IDLE or name in kind.model_fields)
    }


def stops(asked: Writing) -> tuple[str, ...]:
    given = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    if len(given) > MOST_STOPS or "" in given:
        raise ProblemError(422, f"stop: at most {MOST_STOPS} texts, none of them empty", param="stop")
    return tuple(given)


def options(asked: Writing, kind: type[Options], most: int, seed: int) -> Options:
    """Those of the command line."""
    return kind(
        max_tokens=most, temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k, min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty, stop=stops(asked), seed=seed,
    )  # type: ignore[call-arg]  # fmt: skip


def turns(asked: ChatCompletion) -> list[dict[str, str]]:
    """ProblemError for a turn that is not of text."""
    out = []
    for number, message in enumerate(asked.messages):
        role = {"developer": "system"}.get(message.role, message.role)
        if role not in ("system", "user", "assistant"):
            raise ProblemError(
                422, f"messages.{number}.role: system, user or assistant, not {role[:40]!r}", param="messages"
            )
        parts = [Part(type="text", text=message.content)] if isinstance(message.content, str) else message.content
        if other := [part.type for part in parts if part.type != "text"]:
            raise ProblemError(
                422, f"messages.{number}.content: text alone can be read, not {other[0][:40]!r}", param="messages"
            )
        out.append({"role": role, "content": "".join(part.text for part in parts)})
    return out


class Choice:
    """One text that is being written, as both shapes tell it: `index` among all, for the prompt of this number."""

    def __init__(self, index: int, prompt: int):
        self.index, self.prompt, self.text, self.ended = index, prompt, "", ""
        self.read = self.wrote = 0  # tokens
        self.tokens: list[bytes] = []
        self.log_probabilities: list[float] = []

    def add(self, bit: Bit) -> None:
        self.text += bit["text"]
        self.ended = bit["ended"]
        self.read = bit.get("prompt", self.read)
        self.wrote += len(bit["log_probabilities"])
        self.tokens += map(bytes, bit["tokens"])
        self.log_probabilities += bit["log_probabilities"]

    @property
    def reason(self) -> str | None:
        return REASONS[self.ended] if self.ended else None


class Shape(NamedTuple):
    """How an answer is told: as a completion, or as one of a dialogue."""

    chat: bool
    model: str
    logprobs: bool
    id: str
    created: int

    @classmethod
    def of(cls, chat: bool, model: str, logprobs: bool) -> "Shape":
        name = "chatcmpl" if chat else "cmpl"
        return cls(chat, model, logprobs, f"{name}-{uuid4().hex}", int(time.time()))

    def whole(self, choices: list[Choice]) -> dict[str, Any]:
        told = [self._whole(choice) | {"logprobs": self._logprobs(choice, 0)} for choice in choices]
        return self._around("chat.completion" if self.chat else "text_completion", told) | {"usage": usage(choices)}

    def begins(self, choice: Choice) -> dict[str, Any] | None:
        """The first piece of a stream, where there is one before the text."""
        return self._piece(choice.index, {"role": "assistant", "content": ""}, None, None) if self.chat else None

    def piece(self, choice: Choice, bit: Bit) -> dict[str, Any]:
        delta = {"content": bit["text"]} if self.chat else bit["text"]
        logprobs = self._logprobs(choice, len(choice.tokens) - len(bit["tokens"]))
        return self._piece(choice.index, delta, logprobs, choice.reason)

    def usage(self, choices: list[Choice]) -> dict[str, Any]:
        """The last piece of a stream that was asked for it."""
        return self._around("chat.completion.chunk" if self.chat else "text_completion", []) | {"usage": usage(choices)}

    def _piece(self, index: int, delta: Any, logprobs: Any, reason: str | None) -> dict[str, Any]:
        said = {"delta": delta} if self.chat else {"text": delta}
        told = {"index": index, **said, "logprobs": logprobs, "finish_reason": reason}
        return self._around("chat.completion.chunk" if self.chat else "text_completion", [told])

    def _whole(self, choice: Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        said = {"message": message} if self.chat else {"text": choice.text}
        return {"index": choice.index, **said, "finish_reason": choice.reason}

    def _logprobs(self, choice: Choice, first: int) -> dict[str, Any] | None:
        """Of the tokens of a text from the first on; what ended it has none."""
        if not self.logprobs:
            return None
        shown = [token.decode("utf-8", "replace") for token in choice.tokens]
        given = [round(p, 5) for p in choice.log_probabilities[: len(shown)]][first:]
        if self.chat:
            every = zip(shown[first:], choice.tokens[first:], given)
            told = [{"token": text, "bytes": [*token], "logprob": p, "top_logprobs": []} for text, token, p in every]
            return {"content": told, "refusal": None}
        places = [0, *accumulate(map(len, shown))][first:-1]
        return {"tokens": shown[first:], "token_logprobs": given, "top_logprobs": None, "text_offset": places}

    def _around(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def usage(choices: list[Choice]) -> dict[str, int]:
    """Tokens: of each prompt once, and all that were written, what ended them included."""
    read = sum({choice.prompt: choice.read for choice in choices}.values())
    wrote = sum(choice.wrote for choice in choices)
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def embeddings(found: list[dict[str, Any]], model: str, encoding: str) -> dict[str, Any]:
    told = []
    for index, one in enumerate(found):
        numbers = one["embedding"]
        shown: Any = base64.b64encode(array.array("f", numbers).tobytes()).decode() if encoding == "base64" else numbers
        told.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = sum(one["tokens"] for one in found)
    return {"object": "list", "data": told, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
