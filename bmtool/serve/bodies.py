"""Bodies of requests: the inputs that a model takes beside its typed options, from JSON or from a form."""

import asyncio
import base64
import binascii
import json
from functools import cache, partial
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.config import JsonDict
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bmtool.predict.contract import Options
from bmtool.registry import Entry
from bmtool.serve.costs import priced
from bmtool.serve.jsontext import parse
from bmtool.serve.problems import ProblemError
from bmtool.serve.settings import Settings

WORDS = {"text": "lines", "image": "images", "record": "rows", "number": "numbers", "question and context": "questions"}
# The fields of inputs that have several: of the first there may be many, of the others one for all, or one for each.
_FIELDS: dict[str, tuple[str, ...]] = {"question and context": ("question", "context")}
_KINDS = {
    "text": str | list[str], "image": str | list[str], "record": dict[str, Any] | list[dict[str, Any]], "number": int | list[int],
    "question": str | list[str], "context": str | list[str],
}  # fmt: skip
_HELP = {
    "text": "A line, or several.", "image": "Image files in base64.", "record": "A row as names and values, or several.",
    "number": "A number that chooses the noise, or several.", "question": "A question, or several.",
    "context": "The text that holds the answer; one for all questions, or one for each.",
}  # fmt: skip
_OR_DOCUMENTS = _HELP["context"] + " Without it the answer is looked for in the documents of the server."
_EXAMPLES: JsonDict = {
    "text": "jintian tianqi henhao", "image": "iVBORw0KGgo...", "number": 1, "question": "保修多久？", "context": "整机保修两年。",
}  # fmt: skip

FIELDS = 64  # of a request or a form, and values of an option
SHORT = 65_536  # bytes that are read at once, without a thread
DOCUMENTS = "documents"  # of a card: what questions are asked of
PARSED = 6  # bytes that a byte of JSON becomes at most: its text, what was parsed and what is made of it


class Asked(NamedTuple):
    inputs: list
    single: bool  # one input was sent, not a list
    options: Options | str  # a word for another kind of work: see `writing`
    costs: list[int]


def fields_of(entry: Entry) -> tuple[str, ...]:
    """The fields of a request that hold its inputs."""
    return _FIELDS.get(entry.takes, (entry.takes,))


@cache
def body(entry: Entry, has_documents: bool = False) -> type[BaseModel]:
    """The schema of a request to this kind of model; where it has documents, these stand for a context."""
    inputs: Any = {name: (_KINDS[name], Field(description=_HELP[name])) for name in fields_of(entry)}
    if has_documents:
        inputs["context"] = (_KINDS["context"] | None, Field(None, description=_OR_DOCUMENTS))
    fields: Any = inputs | {name: (f.annotation, f) for name, f in shared(entry).items()}
    config = ConfigDict(extra="forbid", populate_by_name=True)
    return create_model("Request", __config__=config, **fields)


def example(entry: Entry, about: dict[str, Any]) -> dict[str, Any]:
    """A request to the model with this card: what it gives as its example, or a row with the median or the commonest category of each
    column."""
    if entry.takes != "record":
        fields = body(entry, DOCUMENTS in about).model_fields
        return {name: _EXAMPLES[name] for name in fields_of(entry) if fields[name].is_required()}
    if "example" in about:
        return {"record": about["example"]}
    return {"record": {column["name"]: _typical(column) for column in about["columns"]}}


def _typical(column: dict[str, Any]) -> Any:
    return column["example"] if "example" in column else next(iter(column["categories"]), None)


@cache
def shared(entry: Entry) -> dict[str, Any]:
    """The options that a request may set: all but those that name files of the server's."""
    fields = entry.load("options").model_fields
    return {name: f for name, f in fields.items() if not (f.json_schema_extra or {}).get("local")}


async def read(request: Request, entry: Entry, *, about: dict[str, Any], settings: Settings) -> Asked:
    """A request to the model of the card `about`, by its content type. ProblemError or RequestValidationError for what does not fit."""
    kind = content_type(request)
    if kind == "multipart/form-data" and entry.takes == "image":
        inputs, single, options = await _form(request, entry, settings)
        return Asked(inputs, single, options, await asyncio.to_thread(priced, entry, inputs, options, settings))
    raw = await _raw_json(request)
    work = partial(_from_json, raw, entry, about, settings)
    return await asyncio.to_thread(work) if len(raw) > SHORT or entry.takes == "image" else work()


async def json_of(request: Request) -> Any:
    """What a request holds, parsed."""
    raw = await _raw_json(request)
    return await asyncio.to_thread(parse, raw) if len(raw) > SHORT else parse(raw)


async def _raw_json(request: Request) -> bytes:
    """ProblemError for another content type."""
    kind = content_type(request)
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise ProblemError(415, f"send JSON as `Content-Type: application/json`, not {kind[:80]}")
    raw = await request.body()
    request.state.held.more(PARSED * len(raw))
    return raw


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _from_json(raw: bytes, entry: Entry, about: dict[str, Any], settings: Settings) -> Asked:
    sent = parse(raw)
    _require_bounds(sent, entry, settings)
    try:
        value = body(entry, DOCUMENTS in about).model_validate(sent)
    except ValidationError as error:
        raise _invalid(entry, about, error) from error
    given = getattr(value, fields_of(entry)[0])
    inputs = given if isinstance(given, list) else [given]
    if len(fields_of(entry)) > 1:
        inputs = _together(value, fields_of(entry), len(inputs))
    if entry.takes == "text":
        require_lines(inputs, settings)
    if entry.takes == "image":
        inputs = [_decoded(image, number) for number, image in enumerate(inputs, 1)]
    options = _options(entry, value.model_dump(include=set(shared(entry))), settings)
    return Asked(inputs, not isinstance(given, list), options, priced(entry, inputs, options, settings))


def _require_bounds(sent: Any, entry: Entry, settings: Settings) -> None:
    """Few of everything, before each is looked at: a list of a million wrong things is one problem."""
    if not isinstance(sent, dict):
        raise ProblemError(422, f"the body is no JSON object: send {{{json.dumps(fields_of(entry)[0])}: ...}}")
    if len(sent) > FIELDS:
        raise ProblemError(422, f"a request may hold {FIELDS} fields, this one has {len(sent):,}")
    for name, value in sent.items():
        if name in fields_of(entry) and isinstance(value, list):
            _require_few(value, entry, settings)
        elif name not in fields_of(entry) and isinstance(value, list | dict) and len(value) > FIELDS:
            raise ProblemError(422, f"{name[:40]}: at most {FIELDS} values, this one has {len(value):,}")


def _invalid(entry: Entry, about: dict[str, Any], error: ValidationError) -> Exception:
    names = [
        name for e in error.errors() for name in fields_of(entry) if e["type"] == "missing" and e["loc"] == (name,)
    ]
    if names:
        shown = json.dumps(example(entry, about), ensure_ascii=False)
        return ProblemError(
            422, f"what this model is asked comes under its own name: send `{names[0]}`, such as {shown}"
        )
    return RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in error.errors()])


def _options(entry: Entry, given: dict[str, Any], settings: Settings) -> Options:
    for name, value in given.items():
        if name == "n_best" and value > settings.n_best:
            raise ProblemError(422, f"n_best: at most {settings.n_best}")
        if isinstance(value, str) and len(value) > settings.line_characters:
            raise ProblemError(422, f"{name} is longer than {settings.line_characters:,} characters")
    return entry.load("options")(**given)


def _together(value: BaseModel, names: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """Inputs of several fields, of which a text stands for as many as there are."""
    held = {name: getattr(value, name) for name in names}
    rows = {name: given if isinstance(given, list) else [given] * count for name, given in held.items()}
    for name, given in rows.items():
        if len(given) != count:
            raise ProblemError(422, f"{name}: one for all {count:,}, or one for each, this request has {len(given):,}")
    return [dict(zip(rows, each)) for each in zip(*rows.values())]


def _require_few(inputs: list, entry: Entry, settings: Settings) -> None:
    most = settings.images if entry.takes == "image" else settings.lines
    if not 1 <= len(inputs) <= most:
        raise ProblemError(422, f"a request may hold 1 to {most} {WORDS[entry.takes]}, this one has {len(inputs):,}")


def require_lines(lines: list[str], settings: Settings, first: int = 1) -> None:
    """ProblemError for a line that is too long."""
    for number, line in enumerate(lines, first):
        if len(line) > settings.line_characters:
            raise ProblemError(422, f"line {number} is longer than {settings.line_characters:,} characters")


def _decoded(text: str, number: int) -> bytes:
    """Bytes of base64, with or without a `data:` prefix."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProblemError(422, f"image {number} is not base64") from error


async def _form(request: Request, entry: Entry, settings: Settings) -> tuple[list, bool, Options]:
    """Uploads stay in memory: a part may be as long as a body, so nothing is spooled to disk."""
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=settings.images,
        max_fields=FIELDS,
        max_part_size=settings.line_characters,
    )
    parser.spool_max_size = 2 * settings.body_bytes
    try:
        held = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, f"the form cannot be read: {error.message}") from error
    try:
        return await _uploads(held, entry)
    finally:
        await held.close()


async def _uploads(held: FormData, entry: Entry) -> tuple[list, bool, Options]:
    uploads = [part for part in held.getlist("image") if isinstance(part, UploadFile)]
    if not uploads:
        raise ProblemError(422, "send the image as the form field `image`")
    given = {name: str(value) for name, value in held.items() if name != "image"}
    if unknown := sorted(set(given) - set(shared(entry))):
        raise ProblemError(422, f"unknown form field {unknown[0][:40]!r}")
    try:
        options = entry.load("options").model_validate_strings(given)
    except ValidationError as error:
        raise RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in error.errors()]) from error
    return [await part.read() for part in uploads], len(uploads) == 1, options


def schema(entry: Entry, about: dict[str, Any]) -> dict:
    """What OpenAPI says of the body of a request to the model with this card."""
    held = body(entry, DOCUMENTS in about).model_json_schema() | {"examples": [example(entry, about)]}
    content: dict[str, Any] = {"application/json": {"schema": held}}
    if entry.takes == "image":
        options = {name: {"type": "string"} for name in shared(entry)}
        image = {"image": {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": image | options}}
    return {"requestBody": {"content": content}}
