"""Bodies of requests: the inputs that a model takes beside its typed options, from JSON or from a form."""

import base64
import binascii
import json
from functools import cache
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.config import JsonDict

from bmtool.predict.contract import Options
from bmtool.registry import Entry
from bmtool.serve.problems import ProblemError
from bmtool.serve.settings import Settings

WORDS = {"text": "lines", "image": "images", "record": "rows", "number": "numbers"}
_KINDS = {
    "text": str | list[str], "image": str | list[str], "record": dict[str, Any] | list[dict[str, Any]], "number": int | list[int],
}  # fmt: skip
_HELP = {
    "text": "A line, or several.", "image": "Image files in base64.", "record": "A row as names and values, or several.",
    "number": "A number that chooses the noise, or several.",
}  # fmt: skip
_EXAMPLES: JsonDict = {
    "text": "jintian tianqi henhao", "image": "iVBORw0KGgo...", "number": 1,
}  # fmt: skip


class Asked(NamedTuple):
    inputs: list
    single: bool  # one input was sent, not a list
    options: Options


@cache
def body(entry: Entry) -> type[BaseModel]:
    """The schema of a request to this kind of model."""
    inputs = (_KINDS[entry.takes], Field(description=_HELP[entry.takes]))
    fields: Any = {entry.takes: inputs} | {name: (f.annotation, f) for name, f in shared(entry).items()}
    config = ConfigDict(extra="forbid", populate_by_name=True)
    return create_model("Request", __config__=config, **fields)


def example(entry: Entry, about: dict[str, Any]) -> dict[str, Any]:
    """A request to the model with this card: a row holds its columns, with the median or the commonest category of each."""
    if entry.takes != "record":
        return {entry.takes: _EXAMPLES[entry.takes]}
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
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data" and entry.takes == "image":
        return await _form(request, entry, settings)
    try:
        value = body(entry).model_validate_json(await request.body())
    except ValidationError as error:
        raise _invalid(entry, about, error) from error
    given = getattr(value, entry.takes)
    inputs = given if isinstance(given, list) else [given]
    _require_few(inputs, entry, settings)
    if entry.takes == "image":
        inputs = [_decoded(image, number) for number, image in enumerate(inputs, 1)]
    options = _options(entry, value.model_dump(include=set(shared(entry))), settings)
    return Asked(inputs, not isinstance(given, list), options)


def _invalid(entry: Entry, about: dict[str, Any], error: ValidationError) -> Exception:
    missing = [e for e in error.errors() if e["type"] == "missing" and e["loc"] == (entry.takes,)]
    if missing:
        shown = json.dumps(example(entry, about), ensure_ascii=False)
        return ProblemError(422, f"this is a model that takes {entry.takes}: send `{entry.takes}`, such as {shown}")
    return RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in error.errors()])


def _options(entry: Entry, given: dict[str, Any], settings: Settings) -> Options:
    for name, value in given.items():
        if name == "n_best" and value > settings.n_best:
            raise ProblemError(422, f"n_best: at most {settings.n_best}")
        if isinstance(value, str) and len(value) > settings.line_characters:
            raise ProblemError(422, f"{name} is longer than {settings.line_characters:,} characters")
    return entry.load("options")(**given)


def _require_few(inputs: list, entry: Entry, settings: Settings) -> None:
    most = settings.images if entry.takes == "image" else settings.lines
    if not 1 <= len(inputs) <= most:
        raise ProblemError(422, f"a request may hold 1 to {most} {WORDS[entry.takes]}")
    if entry.takes == "text":
        require_lines(inputs, settings)


def require_lines(lines: list[str], settings: Settings) -> None:
    """ProblemError for a line that is too long or no text."""
    for number, line in enumerate(lines, 1):
        if len(line) > settings.line_characters:
            raise ProblemError(422, f"line {number} is longer than {settings.line_characters:,} characters")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in line):
            raise ProblemError(422, f"line {number} holds half a surrogate pair")


def _decoded(text: str, number: int) -> bytes:
    """Bytes of base64, with or without a `data:` prefix."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProblemError(422, f"image {number} is not base64") from error


async def _form(request: Request, entry: Entry, settings: Settings) -> Asked:
    """Uploads stay in memory: a part may be as long as a body, so nothing is spooled to disk."""
    form = request.form(max_files=settings.images, max_fields=16, max_part_size=settings.body_bytes)
    async with form as held:
        uploads = [part for part in held.getlist("image") if hasattr(part, "read")]
        if not uploads:
            raise ProblemError(422, "send the image as the form field `image`")
        given = {name: str(value) for name, value in held.items() if name != "image"}
        try:
            options = entry.load("options").model_validate_strings(
                {k: v for k, v in given.items() if k in shared(entry)}
            )
        except ValidationError as error:
            raise RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in error.errors()]) from error
        if unknown := sorted(set(given) - set(shared(entry))):
            raise ProblemError(422, f"unknown form field {unknown[0]!r}")
        return Asked([await part.read() for part in uploads], len(uploads) == 1, options)


def schema(entry: Entry, about: dict[str, Any]) -> dict:
    """What OpenAPI says of the body of a request to the model with this card."""
    held = body(entry).model_json_schema() | {"examples": [example(entry, about)]}
    content: dict[str, Any] = {"application/json": {"schema": held}}
    if entry.takes == "image":
        options = {name: {"type": "string"} for name in shared(entry)}
        image = {"image": {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": image | options}}
    return {"requestBody": {"content": content}}
