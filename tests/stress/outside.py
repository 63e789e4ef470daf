"""Text from outside: configurations, settings, arguments, the environment and the streams, as nobody should write them.

What is wrong must be refused in one line that starts with `bmtool: `, with an exit code that says whose fault it is; what is odd but right
must be taken. No traceback, nothing that hangs, nothing that is passed over.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stress import Attempt
from stress.forked import Told, told
from stress.hostile import (
    ARGUMENTS,
    BYTES,
    ENVIRONMENTS,
    FILES,
    FINE_ENVIRONMENTS,
    GOOD,
    ODD,
    REFUSED,
    SETTINGS,
    SHELLS,
    TAKEN,
    TAKEN_SETTINGS,
    TAKEN_TEXTS,
)  # fmt: skip

SECONDS = 20  # of processor time, that a command may take to refuse


@dataclass(frozen=True)
class _Try:
    """A command and what must come of it: "refused", "taken", or either."""

    name: str
    arguments: list[str]
    wants: str = "refused"
    # bytes of the configuration that `{config}` among the arguments stands for
    config: bytes = GOOD.encode()
    environment: dict[str, str] = field(default_factory=dict)
    # what a shell runs instead, where streams matter; "$BMTOOL" is the command line
    shell: str = ""


def _configs() -> Iterator[_Try]:
    command = ["pretrain", "{config}"]
    for name, text in REFUSED.items():
        yield _Try(f"yaml: {name}", command, config=text.encode("utf-8", "surrogatepass"))
    for name, contents in BYTES.items():
        yield _Try(f"yaml: {name}", command, config=contents)
    for name, text in TAKEN_TEXTS.items():
        yield _Try(f"yaml: {name}", command, "taken", config=text.encode())
    for name in FILES:
        yield _Try(f"file: {name[:20]!r}", ["pretrain", name])


def _settings() -> Iterator[_Try]:
    for key, values in SETTINGS.items():
        for value in values:
            yield _Try(f"set: {key[:20]}={value[:20]!r}", ["pretrain", "{config}", "--set", f"{key}={value}"])
    for setting in TAKEN_SETTINGS:
        yield _Try(f"set: {setting}", ["pretrain", "{config}", "--set", setting], "taken")
    for alone in ("", "=", "seed", "=3", "\udcff", "\0"):
        yield _Try(f"set: {alone!r}", ["pretrain", "{config}", "--set", alone])


def _drawn(count: int, seed: int) -> Iterator[_Try]:
    """Good configurations with bytes changed, left out, put in or doubled at random."""
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        text = bytearray(GOOD.encode())
        for _ in range(draw.randint(1, 4)):
            at, length = draw.randrange(len(text)), draw.randint(0, 12)
            text[at : at + draw.choice((0, length))] = draw.choice(ODD) if draw.random() < 0.7 else text[: at + length]
        yield _Try(f"drawn: {seed}/{number}", ["pretrain", "{config}"], "either", config=bytes(text))


def _commands() -> Iterator[_Try]:
    for arguments in ARGUMENTS:
        yield _Try(f"argv: {' '.join(arguments)[:50]!r}", arguments)
    for one in ENVIRONMENTS:
        shown = " ".join(f"{key}={value[:20]}" for key, value in one.items())
        yield _Try(f"env: {shown}", ["pretrain", "{config}"], environment=one)
    for one in FINE_ENVIRONMENTS:
        shown = " ".join(f"{key}={value}" for key, value in one.items())
        yield _Try(f"env: {shown}", ["pretrain", "{config}"], "taken", environment=one)
    for line, codes in SHELLS:
        yield _Try(f"streams: {line}", [], codes, shell=line)


# --- trying ---


def attempts(sample: int | None, seed: int) -> Iterator[Attempt]:
    """All, or `sample` of them drawn by `seed`."""
    every = [*_configs(), *_settings(), *_drawn(150, seed), *_commands()]
    for one in every if sample is None else random.Random(seed).sample(every, sample):
        yield Attempt(one.name, _problem(one))


def _problem(one: _Try) -> str:
    with tempfile.TemporaryDirectory(prefix="bmtool-outside-") as folder:
        ended = _run(one, Path(folder))
    if ended.code is None:
        return f"no end after {SECONDS} s"
    if "Traceback" in ended.err or "Exception ignored" in ended.err:
        return f"traceback: {ended.err.strip().splitlines()[-1][:200]}"
    if any(character in ended.err for character in "\x1b\x00\x01\x02"):
        return "a control character on stderr"
    if one.shell:
        return "" if str(ended.code) == one.wants else f"exit {ended.code}, not {one.wants}: {ended.err[:200]}"
    taken = TAKEN in ended.err
    if ended.code == 0 and one.wants != "either":
        return f"silence: {ended.out[:100]!r}"
    if one.wants == ("taken" if not taken else "refused"):
        return f"not {one.wants} (exit {ended.code}): {ended.err[:200]}"
    lines = ended.err.strip().splitlines()
    # A list of several problems has a head and a line for each.
    if not any(line.startswith("bmtool: ") for line in lines) or len(ended.err) > 5000 or ended.code not in (2, 4, 6):
        return f"exit {ended.code}, {len(lines)} lines: {ended.err[:200]!r}"
    return ""


def _run(one: _Try, folder: Path) -> Told:
    config, pipe = folder / "x.yaml", folder / "pipe"
    config.write_bytes(one.config)
    os.mkfifo(pipe)
    arguments = [argument.replace("{config}", str(config)).replace("{pipe}", str(pipe)) for argument in one.arguments]
    if one.shell or one.environment:
        return _started(one, arguments, folder)
    return told(arguments, folder, seconds=SECONDS, at=folder)


def _started(one: _Try, arguments: list[str], folder: Path) -> Told:
    """In a process of its own, whose environment and streams are as asked."""
    command = ["bash", "-o", "pipefail", "-c", one.shell] if one.shell else [sys.executable, "-m", "bmtool", *arguments]
    more = {"BMTOOL": f"{sys.executable} -m bmtool", "PYTHONPATH": os.pathsep.join(sys.path), "BMTOOL_MODEL": "default"}
    environment = os.environ | more | one.environment
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, env=environment, cwd=folder, timeout=6 * SECONDS, stdin=subprocess.DEVNULL
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Told(None, "", "")
    return Told(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
