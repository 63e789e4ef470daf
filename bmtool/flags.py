"""Flags of the commands that ask a model: made from the typed options of the tasks, so that there is one list of them.

Nothing is imported until such a command is parsed or asked for its help.
"""

import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.main import get_command

from bmtool.base.paths import expand
from bmtool.errors import ConfigError

OPTIONS = "bmtool.options"  # where the flags that were given are put in the context's `meta`
PICTURES = "bmtool.pictures"


def path(given: str) -> str:
    """A path of the command line, with `~` and variables put in that a shell has left; what there is by that very name is meant as it is.

    ConfigError for a user or a variable that is not there.
    """
    try:
        return given if os.path.lexists(given) else expand(given)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def command(wanted: Callable[[Any], bool]) -> type[TyperCommand]:
    """A command with the flags of all tasks whose registry entry is `wanted`."""

    class ModelCommand(TyperCommand):
        def get_params(self, ctx: typer.Context) -> list[Any]:
            # What the command has itself, it passes on to the models that have it too.
            own = {parameter.name for parameter in self.params}
            flags = [flag for flag in _flags(wanted) if flag.name not in own]
            return [*super().get_params(ctx)[:-1], *flags, *super().get_params(ctx)[-1:]]

        def invoke(self, ctx: typer.Context) -> Any:
            """Takes the models' flags out of what the command itself is called with."""
            own = {parameter.name for parameter in self.params}
            given = {name: ctx.params.pop(name) for name in list(ctx.params) if name not in own and name != "help"}
            pictures = {name for _, kind in _kinds(wanted) for name in kind.pictures}
            said = {name: value for name, value in given.items() if value not in (None, (), [])}
            ctx.meta[OPTIONS] = {name: value for name, value in said.items() if name not in pictures}
            ctx.meta[PICTURES] = {name: value for name, value in said.items() if name in pictures}
            return super().invoke(ctx)

    return ModelCommand


def _kinds(wanted: Callable[[Any], bool]) -> list[tuple[str, Any]]:
    """(task, its options) of the tasks that are wanted."""
    from bmtool.registry import TASKS

    return [(name, entry.load("options")) for name, entry in TASKS.items() if wanted(entry)]


def _flags(wanted: Callable[[Any], bool]) -> list[Any]:
    """One flag for each option, whichever tasks have it; its help names them."""
    kinds = _kinds(wanted)
    tasks: dict[str, list[str]] = {}
    for task, kind in kinds:
        for name in (*kind.model_fields, *kind.pictures):
            tasks.setdefault(name, []).append(task)
    suffix = {name: "" if len(kinds) == 1 else f" ({', '.join(held)})" for name, held in tasks.items()}
    made: dict[str, Any] = {}
    for _, kind in kinds:
        for name, field in kind.model_fields.items():
            made.setdefault(name, _field(name, field, suffix[name], taken=set(tasks)))
        for name, text in kind.pictures.items():
            made.setdefault(
                name, _annotated(str, [f"--{name}"], f"{text}{suffix[name]}", metavar="FILE.png", parser=path)
            )
    return _parameters(made)


def _field(name: str, field: Any, suffix: str, taken: set[str]) -> Any:
    """The flag of an option. Another task's own name goes before an alias."""
    aliases = [alias for alias in getattr(field.validation_alias, "choices", []) if alias == name or alias not in taken]
    flags = [f"--{each.replace('_', '-')}" for each in dict.fromkeys((name, *aliases))]
    kind = next((t for t in (bool, int, float) if field.annotation is t or t in get_args(field.annotation)), str)
    several = get_origin(field.annotation) is tuple
    return _annotated(list[str] if several else kind, flags, f"{field.description or ''}{suffix}")


def _annotated(kind: Any, flags: list[str], text: str, **more: Any) -> Any:
    """Without a default: what is not given is the model's to choose."""
    return Annotated[kind | None, typer.Option(*flags, help=text, show_default=False, **more)]


def _parameters(annotations: dict[str, Any]) -> list[Any]:
    """What Typer makes of a function with these arguments."""

    def carrier() -> None: ...

    carrier.__annotations__ = annotations
    carrier.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a)
            for name, a in annotations.items()
        ]
    )
    app = typer.Typer(add_completion=False)
    app.command()(carrier)
    return get_command(app).params
