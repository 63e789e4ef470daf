"""Killing a command at one of its calls that change a file, and telling whether the next one makes good what was left.

A warm process forks; the fork runs the plain function of a command under an audit hook that counts the calls (open for writing, rename,
remove, mkdir, rmdir, truncate, link, symlink) below one directory, and sends itself SIGKILL at one of them. A file that is being written is
three moments: before it is opened, when it is empty, and when half of it is there. Then the command runs again, and the directory must hold
what it holds after a run that nobody killed, but for times.
"""

import json
import os
import re
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from bmtool.errors import BmtoolError

PATIENCE_S = 120  # for one command; the longest takes a few seconds
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TIMED = re.compile(
    r"started|elapsed_s|seconds|.*_per_s|state\.pt"
)  # keys; the last is the hash of a file that holds times
SHOWN = 3  # files that a problem names


@dataclass(frozen=True)
class Moment:
    """The `number`th call that changes something, counted from 0; of an opened file also when it is "empty" or "half" written."""

    number: int
    state: str = "before"


class Shim:
    """An audit hook: keeps the calls below `root` by name, and kills this process at a moment."""

    def __init__(self, root: Path, at: Moment | None):
        self.root, self.at, self.names = str(root), at, list[str]()
        self._process, self._inside = os.getpid(), False
        self._torn: tuple[str, int] | None = None  # a file that is half written at the next call, and its size before

    def __call__(self, event: str, arguments: tuple) -> None:
        if self._inside or not (event == "open" or event in CHANGES) or os.getpid() != self._process:
            return
        self._inside = True
        try:
            path = _path_of(event, arguments)
            if path is not None and path.startswith(self.root) and not _is_idle(event, path):
                self._count(event, path, arguments)
        finally:
            self._inside = False

    def _count(self, event: str, path: str, arguments: tuple) -> None:
        self.end()
        number, state = (self.at.number, self.at.state) if self.at else (-1, "")
        if len(self.names) == number:
            if state == "before":
                _die()
            self._torn = path, _size(path) if arguments[2] & os.O_APPEND else 0
            if state == "empty":
                os.close(os.open(path, arguments[2] | os.O_CREAT, 0o666))
                _die()
        self.names.append(f"{event} {os.path.relpath(path, self.root)}")

    def end(self) -> None:
        """Where there is no further call: a file that should be half written is."""
        if self._torn is not None:
            path, before = self._torn
            if _size(path) > before:
                os.truncate(path, (before + _size(path)) // 2)
            _die()


def _is_idle(event: str, path: str) -> bool:
    """A call that finds nothing to do, such as those behind `exist_ok` and `missing_ok`."""
    there = os.path.lexists(path)
    return there if event == "os.mkdir" else not there and event in ("os.remove", "os.rmdir")


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _path_of(event: str, arguments: tuple) -> str | None:
    """The whole path that a call changes; None where it changes nothing."""
    path, *rest = arguments[1:] if event in ("os.rename", "os.link", "os.symlink") else arguments
    if event == "open" and not (isinstance(rest[1], int) and rest[1] & WRITES):
        return None
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}") if event == "os.truncate" else None
    folder = next((value for value in rest[-1:] if isinstance(value, int) and value >= 0), None)
    above = f"/proc/self/fd/{folder}" if event in ("os.remove", "os.rmdir", "os.mkdir") and folder is not None else "."
    return os.path.join(os.path.realpath(above), os.fsdecode(path))


def _announce_libraries() -> None:
    """Files that libraries in C++ and Rust open are opened without an audit event: raise it for them."""
    for module, name, position in ((torch, "save", 1), (safetensors.torch, "serialize_file", 1)):
        setattr(module, name, _announced(getattr(module, name), position))


def _announced(function: Callable, position: int) -> Callable:
    def call(*arguments: Any, **named: Any) -> Any:
        if isinstance(arguments[position], (str, os.PathLike)):
            sys.audit("open", os.fspath(arguments[position]), "wb", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        return function(*arguments, **named)

    return call


# --- one command in a fork ---


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (-9: killed), what it said, the calls that it made and the modules that it had loaded."""

    code: int
    said: str
    calls: list[str]
    modules: list[str]


def run(call: Callable[[], object], place: Path, at: Moment | None = None) -> Ended:
    """Run `call` in a fork, killed `at` a moment of what it changes below `place`."""
    log, report = place.with_name("log"), place.with_name("report")
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _child(call, Shim(place, at), log, report)
    code = _wait(child)
    calls, modules = json.loads(report.read_text("utf-8")) if report.exists() else ([], [])
    return Ended(code, log.read_text("utf-8", "replace"), calls, modules)


def _child(call: Callable[[], object], shim: Shim, log: Path, report: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        stream = log.open("wb")
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        _announce_libraries()
        sys.addaudithook(shim)
        code = _code(call)
        shim.end()
        report.write_text(json.dumps([shim.names, sorted(sys.modules)]), "utf-8")
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code(call: Callable[[], object]) -> int:
    try:
        call()
    except BmtoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _wait(child: int) -> int:
    handle = os.pidfd_open(child)
    try:
        if not select.select([handle], [], [], PATIENCE_S)[0]:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)


# --- what a directory holds ---


def contents(place: Path) -> dict[str, object]:
    """Path below `place` -> what the file holds but for times; "/" for a directory."""
    found = {}
    for path in sorted(place.rglob("*")):
        found[str(path.relative_to(place))] = "/" if path.is_dir() else _held(path)
    return found


def _held(path: Path) -> object:
    if path.name == "log.txt" or path.name.endswith("_per_s.png"):
        return "times"
    raw = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        values = [json.loads(line) for line in ([raw] if path.suffix == ".json" else raw.splitlines())]
        return json.dumps(_untimed(values))
    return re.sub(rb"in \d+ s|\d+\.\d \|$", b"", raw, flags=re.MULTILINE) if path.suffix == ".md" else raw


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untimed(held) for key, held in value.items() if not TIMED.fullmatch(key)}
    return [_untimed(held) for held in value] if isinstance(value, list) else value


def differences(expected: dict[str, object], found: dict[str, object]) -> str:
    """The files that are missing, too many, or other ones; "" when there is none."""
    kinds = {
        "missing": expected.keys() - found.keys(),
        "left over": found.keys() - expected.keys(),
        "differs": {name for name in expected.keys() & found.keys() if expected[name] != found[name]},
    }
    return "; ".join(
        f"{kind}: {', '.join(sorted(names)[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
        for kind, names in kinds.items() if names
    )  # fmt: skip


# --- a trial ---


@dataclass(frozen=True)
class Subject:
    """A command that is killed: what it is called, its function, and what `place` holds before it."""

    name: str
    call: Callable[[], object]
    start: Path
    place: Path

    def reset(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place)


class Trials:
    """All trials of one subject; the first run, which nobody kills, says what calls there are and what must be there at the end."""

    def __init__(self, subject: Subject):
        self.subject = subject
        subject.reset()
        self.problem = self._problem_of(whole := run(subject.call, subject.place))
        self.calls, self.modules, self.expected = whole.calls, whole.modules, contents(subject.place)

    def moments(self) -> Iterator[Moment]:
        for number, name in enumerate(self.calls):
            opened = name.startswith("open ")
            yield from (Moment(number, state) for state in (("before", "empty", "half") if opened else ("before",)))

    def name(self, *moments: Moment) -> str:
        told = (f"call {at.number + 1} of {len(self.calls)}: {self._named(at)}" for at in moments)
        return f"{self.subject.name}, {', then '.join(told)}"

    def _named(self, at: Moment) -> str:
        return self.calls[at.number] + ("" if at.state == "before" else f", {at.state}")

    def problem_at(self, *moments: Moment) -> str:
        """Kill at a moment, the next run at the next, and run once more: what is wrong then."""
        self.subject.reset()
        for count, at in enumerate(moments):
            killed = run(self.subject.call, self.subject.place, at)
            if killed.code != -signal.SIGKILL and count == 0:
                return f"was not killed: exit {killed.code}{_last(killed.said)}"
        again = run(self.subject.call, self.subject.place)
        return self._problem_of(again) or self._unlike()

    def compared(self, other: "Trials") -> str:
        """What another run that nobody killed has that is not the same."""
        return differences(self.expected, other.expected)

    def _problem_of(self, ended: Ended) -> str:
        return "" if ended.code == 0 else f"exit {ended.code}{_last(ended.said)}"

    def _unlike(self) -> str:
        with suppress(ValueError):
            return differences(self.expected, contents(self.subject.place))
        return "a file that cannot be read"


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return f" ({lines[-1].strip()})" if lines else ""
