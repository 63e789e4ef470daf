"""How a command ends: an exit code that says whose fault it was, and at most one line on stderr. Nothing heavy is imported here."""

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import typer
from typer.core import TyperGroup

from bmtool.base import environment, streams
from bmtool.errors import BmtoolError, ConfigError, DataError, ResourceError

_WORKING = re.compile(r"\.([^/]+)\.\d+\.tmp$")
# Typer does not export the error that all its usage errors are.
ClickException: Any = typer.BadParameter.__mro__[2]


class Root(TyperGroup):
    """The command line as a whole."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)

        def run() -> Any:
            environment.require_threads()
            _require_text(given)
            # Pictures are files: no window is opened, whatever backend somebody has set.
            os.environ["MPLBACKEND"] = "Agg"
            return super(Root, self).main(given, *more, **options | {"standalone_mode": False})

        streams.prepare()
        # What a command sets for all that it calls is set for this command only.
        sys.exit(copy_context().run(_ended, run))


def _require_text(arguments: list[str]) -> None:
    """ConfigError for an argument that is not UTF-8, unless it is the name of a file, which is not ours to choose."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            if not os.path.lexists(argument):
                raise ConfigError(f"argument {number} is not UTF-8: {argument[:40]}") from error


def _ended(run: Callable[[], Any]) -> int:
    """The exit code of a command, once everything it wrote has been taken."""
    try:
        code = _run(run)
        streams.flush()
    except BrokenPipeError:
        code = _without_a_reader()
    except OSError as error:
        code = _fails(ResourceError(_of_system(error)))
        with streams.tolerated():
            streams.flush()
    return code


def _run(run: Callable[[], Any]) -> int:
    try:
        code = run()
    except SystemExit as end:  # what Typer makes of a pipe that nobody reads
        return _without_a_reader() if isinstance(end.__context__, BrokenPipeError) else int(end.code or 0)
    except BmtoolError as error:
        return _fails(error)
    except ClickException as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except UnicodeError as error:
        return _fails(DataError(_no_text(error)))
    except ModuleNotFoundError as error:
        if f"{error.name}.".startswith("bmtool."):
            raise
        return _fails(ConfigError(_left_out(error)))
    except (MemoryError, RuntimeError) as error:
        from bmtool.base import memory

        if not memory.is_short(error):
            raise
        return _fails(ResourceError("out of memory: make the model or its batches smaller"))
    return code if isinstance(code, int) else 0


def _fails(error: BmtoolError) -> int:
    from bmtool.base.console import warn

    with streams.tolerated():
        warn(error)
    return error.exit_code


def _misused(error: Any) -> int:
    """A usage error in one line, with the help to read; without any arguments the help itself."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return error.exit_code
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "bmtool"
    return _fails(ConfigError(f"{error.format_message().rstrip('.')} (see `{path} --help`)"))


def _left_out(error: ModuleNotFoundError) -> str:
    """A package is not there that all of bmtool comes with: an installation that only answers, or a broken one."""
    return (
        f"this takes {error.name}, which is not installed: where bmtool was installed to answer only, translate, predict and serve work on "
        "exported models; `pip install .` in its clone installs all of it, and `bmtool doctor` says what is missing"
    )


def _without_a_reader() -> int:
    """The reader of our output has gone: `bmtool translate ... | head`."""
    streams.let_go(sys.stdout)
    return 0


def _of_system(error: OSError) -> str:
    """A full disk, a file in the way, no permission: not a bug, so no traceback."""
    if error.errno == errno.EBADF and error.filename is None:
        return "standard output is closed: results have nowhere to go"
    if error.errno == errno.ENOSPC and error.filename is None:
        return f"{error.strerror}: standard output, or a file that was being written"
    if error.filename is None or error.strerror is None:
        return str(error)
    # Files are written under another name, which nobody has asked for.
    named = (
        _WORKING.sub(r"\g<1>", os.fsdecode(error.filename))
        if isinstance(error.filename, (str, bytes))
        else error.filename
    )
    return f"{named}: {error.strerror}"


def _no_text(error: UnicodeError) -> str:
    """A name of a file that is not UTF-8 gets as far as where it must be written down."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[max(0, error.start - 40) : error.end + 20]!r} is not UTF-8: rename it"
    with suppress(AttributeError):
        return f"text that is not {error.encoding} ({error.reason} at byte {error.start}): convert it"  # type: ignore[attr-defined]
    return str(error)
