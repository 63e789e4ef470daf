"""The command line in forks of a process that has imported what takes time: a few hundredths of a second each."""

import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from cases import ROOT

# Of each kit and of what it writes.
WARM = (
    "torch.utils.tensorboard",
    "bmtool.images.task",
    "bmtool.tables.prepare",
    "bmtool.text.prepare",
    "bmtool.tasks.pinyin2hanzi.task",
    "lightgbm",
)


# What is not done after so many times its processor time waits for something.
WAITS = 20


@dataclass(frozen=True)
class Told:
    """How a command ended; `code` is None when it did not."""

    code: int | None
    out: str
    err: str


def told(arguments: list[str], folder: Path, *, seconds: int, memory: int = 0, at: Path = ROOT) -> Told:
    """`bmtool ARGUMENTS` in the directory `at`, with its output in files of `folder`.

    It is ended after so many seconds of processor time, and has so many bytes beyond those of this process.
    """
    _warm()
    out, err = folder / "out", folder / "err"
    child = os.fork()
    if not child:
        _limit(seconds, memory)
        _become(arguments, (Path(os.devnull), out, err), at)
    _, status = os.waitpid(child, 0)
    code = None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
    return Told(code, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))


@cache
def _warm() -> None:
    """Import what each command would."""
    for name in ("bmtool.commands.train", "bmtool.engine.plots", "sklearn.datasets", *WARM):
        with suppress(ImportError):
            import_module(name)


def _become(arguments: list[str], streams: tuple[Path, ...], at: Path) -> None:
    """The command line; never returns."""
    code = 1
    try:
        os.chdir(at)
        _open(streams)
        from bmtool import cli

        sys.argv = ["bmtool", *arguments]
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _limit(seconds: int, memory: int) -> None:
    """SIGXCPU ends what works on and on, on a busy machine no sooner; SIGALRM what waits."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WAITS * seconds)
    if memory:
        own = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))


def _open(streams: tuple[Path, ...]) -> None:
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False) for number in range(3)
    )
