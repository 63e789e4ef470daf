"""Templates of others, rendered in a process of its own: what takes too long or too much memory ends that process and nothing else.

The process reads a line of JSON and writes one, until its input ends. `python -m bmtool.text.chat.child` is it.
"""

import json
import os
import resource
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import NotRequired, TypedDict

import bmtool
from bmtool.base.files import parse_json
from bmtool.errors import BadInput, BmtoolError, DataError
from bmtool.text.chat.template import Ask, rendered

SECONDS = 2  # of processor time for what is rendered at once
MEMORY = 512_000_000  # bytes


class Answer(TypedDict):
    """What the process says: texts, or why there are none, to be raised as BadInput or as DataError."""

    texts: NotRequired[list[str]]
    refused: NotRequired[str]
    failed: NotRequired[str]


class Child:
    """The process, which is started when it is first needed and again after it was ended."""

    def __init__(self, template: str, names: Mapping[str, str], origin: str):
        self._asked = {"template": template, "names": dict(names), "origin": origin}
        self._origin, self._process = origin, None

    def rendered(self, asks: Sequence[Ask]) -> list[str]:
        """As `template.rendered`; DataError where it takes more than it may."""
        process = self._running()
        try:
            process.stdin.write(json.dumps(self._asked | {"asks": asks}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            self._end()
            self._process = None
            raise DataError(
                f"{self._origin}: the chat template takes more than {SECONDS} s of computing or {MEMORY / 1e6:.0f} MB, and was stopped"
            )
        said = parse_json(line, Answer, origin=self._origin, again="name another")
        if "refused" in said:
            raise BadInput(said["refused"])
        if "failed" in said:
            raise DataError(said["failed"])
        return said["texts"]

    def _running(self) -> Any:
        if self._process is None:
            place = str(Path(bmtool.__file__).parents[1])
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([place, os.environ.get("PYTHONPATH", "")])}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bmtool.text.chat.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment,
            )  # fmt: skip
            self._end = weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: Any) -> None:
    process.kill()
    process.communicate()


def _answer(line: bytes) -> Answer:
    asked: Any = parse_json(line, dict[str, Any], origin="what was asked", again="ask again")
    try:
        asks = [Ask(*ask) for ask in asked["asks"]]
        return {"texts": rendered(asked["template"], asked["names"], asks, asked["origin"])}
    except BadInput as error:
        return {"refused": str(error)}
    except BmtoolError as error:
        return {"failed": str(error)}


def _bound() -> None:
    """From here on this process has SECONDS of processor time and MEMORY, whichever it needs more of ends it."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    most = int(spent.ru_utime + spent.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin.buffer:
        _bound()
        sys.stdout.buffer.write(json.dumps(_answer(line)).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
