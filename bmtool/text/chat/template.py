"""Chat templates: Jinja, which makes one text of the turns of a dialogue, as transformers renders it.

A template comes with a checkpoint, from anybody. It is run in Jinja's sandbox, which lets it reach no attribute that begins with an
underscore, no method that changes what it was given, and no module; and, unless it is our own, in a process of its own, whose processor
time and memory are bounded: a loop or a text without end ends that process (`child`).
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from bmtool.base.needs import needs
from bmtool.errors import BadInput, DataError
from bmtool.text.chat.turns import Turn

KEY = "chat_template"  # of tokenizer_config.json
NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)  # that templates know
MOST = 4_000_000  # letters of a text
# What expressions of a template raise, whatever they are about.
FAILURES = (RecursionError, MemoryError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
# Of runs that have none: every turn is its role, a line end and what is said, up to the token that ends a text. Nobody can say that token,
# so nobody can speak as another.
PLAIN = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + '\\n' + message['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
)


class Ask(NamedTuple):
    """Turns, and whether what the assistant says next is to follow."""

    turns: Sequence[Turn]
    answers: bool = False


def of(config: Mapping[str, Any], origin: str) -> str | None:
    """The template that tokenizer_config.json names; of several the one called default. DataError for what is none."""
    given = config.get(KEY)
    if isinstance(given, list):
        named = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
        given = named.get("default")
    if given is not None and not isinstance(given, str):
        raise DataError(f"{origin}: {KEY} is no text of Jinja")
    return given


def rendered(template: str, names: Mapping[str, str], asks: Sequence[Ask], origin: str) -> list[str]:
    """The text of each ask; `names` are those of the special tokens. BadInput for turns that the template refuses; DataError for a template
    that cannot be run."""
    with needs("jinja2", "chat templates take Jinja"):
        import jinja2
    compiled = _compiled(template, origin)
    out = []
    for turns, answers in asks:
        given = {"messages": list(turns), "add_generation_prompt": answers, "tools": None, "documents": None}
        try:
            out.append(compiled.render(given | dict(names)))
        except BadInput:
            raise
        except jinja2.exceptions.SecurityError as error:
            raise DataError(f"{origin}: the chat template does what none may do: {_short(error)}") from error
        except (jinja2.TemplateError, *FAILURES) as error:
            raise DataError(f"{origin}: the chat template fails: {_short(error)}") from error
        if len(out[-1]) > MOST:
            raise DataError(f"{origin}: the chat template writes more than {MOST:,} letters")
    return out


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


@lru_cache(maxsize=8)
def _compiled(template: str, origin: str) -> Any:
    import jinja2

    try:
        return _environment().from_string(template)
    except (jinja2.TemplateSyntaxError, RecursionError, MemoryError, OverflowError) as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise DataError(f"{origin}: the chat template cannot be read{where}: {_short(error)}") from error


@lru_cache(maxsize=1)
def _environment() -> Any:
    """As transformers sets it up, but without the time of day: the same turns are the same text on any day."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks what the assistant says: what is marked is written as it is."""

        tags = {"generation"}  # noqa: RUF012  as Jinja has it

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = _json
    made.globals["raise_exception"] = _refuse
    return made


def _json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)


def _refuse(message: Any) -> str:
    raise BadInput(f"the chat template refuses it: {str(message)[:160]}")
