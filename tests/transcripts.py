"""The transcripts in the READMEs and docs: `make transcripts` runs every command of the console blocks and writes back what comes.

A block is ```console with `$ COMMAND` lines, each with the output shown below it, if any; a line `...` stands for any others. The
pages share one folder, and a command that several show is run once. `COMMAND &` serves until the last command has ended; its output is what
it says up to its address. What depends on the machine (times, rates, threads, hashes, p-values, which step was best) is masked; other
numbers agree within ABSOLUTE + RELATIVE of what is shown, words exactly. Lines that agree are left as they are.
"""

import contextlib
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
# In the order in which they are run; what a page shows may rest on what those before it have made.
TASKS = tuple(
    f"docs/tasks/{name}.md"
    for name in (
        "pinyin2hanzi",
        "language-model",
        "image-classification",
        "autoencoder",
        "gan",
        "tabular",
        "click-prediction",
        "text-classification",
        "token-classification",
        "question-answering",
        "recommendation",
        "rating-prediction",
    )
)
PAGES = (*READMES, *TASKS, "docs/tune.md")
ABSOLUTE, RELATIVE = 0.05, 0.15
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
ELLIPSIS = "..."
_MASKS = (
    (re.compile(r"\b\d+:\d\d(?::\d\d)?\b"), "TIME"),
    (re.compile(r"\b[\d,.]+ (\w+/s)\b"), r"RATE \1"),
    (re.compile(r"\b[\d.]+ (?:s|min)\b"), "TIME"),
    (re.compile(r"\b\d+ threads?\b(?: of \d+ cores \(OMP_NUM_THREADS\))?"), "THREADS"),
    (re.compile(r"\b(?=\w*[a-f])(?=\w*\d)[0-9a-f]{8,64}\b"), "HASH"),
    (re.compile(r"\bstep-\d{8}\b"), "CHECKPOINT"),
    (re.compile(r"step \d+ or later"), "STEP"),
    (re.compile(r"  \(best so far\)"), ""),
    (re.compile(r"\([^()]*, \.\.\.\)"), "(NAMES)"),  # a few of many, the first that came
    (re.compile(r"│ +\d\.\d{3}(?: \*)? *$"), "│ P"),
    (re.compile(r"[━─]+"), "━"),
    (re.compile(r"\s+"), " "),
)
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


@dataclass
class Shown:
    """A command of a page, and the lines shown of what it prints."""

    command: str
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ran:
    """What a command has done: its output, stderr among it, as it came."""

    command: str
    code: int
    output: str


def transcripts(page: str) -> list[Shown]:
    """Of the text of a page, in their order; continuation lines are joined."""
    found: list[Shown] = []
    for line in "\n".join(BLOCK.findall(page)).replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append(Shown(line[2:]))
        elif line.strip():
            found[-1].lines.append(line)
    return found


def is_run(command: str) -> bool:
    """`make` targets are run by CI itself; set-up is what made this environment."""
    return not command.startswith(("make ", "pip install "))


def is_whole(command: str) -> bool:
    """Whether a command is run at its full length."""
    return "pretrain configs/pinyin2hanzi/base.yaml" not in command  # half an hour


def run(commands: Iterable[str], folder: Path) -> Iterator[Ran]:
    """Run each of the commands once, in their order, in a fresh copy of what they use."""
    furnish(folder)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with contextlib.ExitStack() as servers:
        for shown in dict.fromkeys(filter(is_run, commands)):
            command = shown if is_whole(shown) else f"{shown} --set train.stop_after=3"
            started = subprocess.Popen(
                command.removesuffix("&"), shell=True, cwd=folder, env=environment, start_new_session=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            )  # fmt: skip
            servers.enter_context(started)
            servers.callback(_end, started)
            yield _served(shown, started) if shown.endswith("&") else _done(shown, started)


def furnish(folder: Path) -> None:
    """Put into a folder what a clone has of configurations and data, but for the data that `init` brings, and text of one's own."""
    for part in (
        "configs",
        "data/images",
        "data/tabular",
        "data/text-classification",
        "data/token-classification",
        "data/question-answering",
        "data/click-prediction",
        "data/recommendation",
    ):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("parcels.csv"))
    (folder / "my/text").mkdir(parents=True)
    sample = b"".join(path.read_bytes() for path in sorted((ROOT / "data/pinyin2hanzi/sentences").glob("*.txt")))
    (folder / "my/text/sample.txt.xz").write_bytes(lzma.compress(sample))


def _done(command: str, started: subprocess.Popen) -> Ran:
    output, _ = started.communicate()
    return Ran(command, started.returncode, output)


def _served(command: str, started: subprocess.Popen) -> Ran:
    """What a server says up to its address, which it says when it takes requests."""
    assert started.stdout
    lines: list[str] = []
    while not any("http://" in line for line in lines[-1:]):
        line = started.stdout.readline()
        if not line:
            return Ran(command, started.wait() or 1, "".join(lines))
        lines.append(line)
    return Ran(command, 0, "".join(lines))


def _end(started: subprocess.Popen) -> None:
    """Stop a server, and whatever it has started; one that has ended is left alone."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGTERM)


def agree(shown: str, came: str) -> bool:
    """Whether two lines are the same, but for what is masked and the tolerance of numbers."""
    for pattern, name in _MASKS:
        shown, came = pattern.sub(name, shown.rstrip()), pattern.sub(name, came.rstrip())
    if _NUMBER.sub("N", shown) != _NUMBER.sub("N", came):
        return False
    pairs = zip(map(_value, _NUMBER.findall(shown)), map(_value, _NUMBER.findall(came)))
    return all(abs(a - b) <= ABSOLUTE + RELATIVE * abs(a) for a, b in pairs)


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def renewed(shown: list[str], came: list[str]) -> list[str]:
    """The lines to show of what came: those that agree as they are shown, `...` for what is left out, as before."""
    if ELLIPSIS not in shown:
        return [_kept(line, shown[n : n + 1]) for n, line in enumerate(came)]
    first, last = shown.index(ELLIPSIS), len(shown) - 1 - shown[::-1].index(ELLIPSIS)
    head, tail = shown[:first], shown[last + 1 :]
    begin = [_kept(line, [old]) for line, old in zip(came, head)]
    end = [_kept(line, [old]) for line, old in zip(came[len(came) - len(tail) :], tail)]
    middle = [line for line in shown[first + 1 : last] if line == ELLIPSIS or any(agree(line, one) for one in came)]
    return [*begin, ELLIPSIS, *middle, *([ELLIPSIS] if last > first else []), *end]


def _kept(came: str, shown: list[str]) -> str:
    return shown[0] if shown and agree(shown[0], came) else came


def differences(page: str, ran: Mapping[str, Ran]) -> Iterator[str]:
    """What is shown and what came, for each transcript of a page that is no longer what comes."""
    for shown, new in zip(transcripts(page), _renewed(page, ran)):
        if new != shown.lines:
            parts = (f"$ {shown.command}", "--- shown", *shown.lines, "--- came", *new)
            yield "\n".join(parts)


def rewritten(page: str, ran: Mapping[str, Ran]) -> str:
    """A page with the transcripts that come now."""
    outputs = iter(_renewed(page, ran))

    def block(match: re.Match) -> str:
        out, is_command = [], False
        for line in match[0].splitlines():
            if line.startswith("$ ") or is_command:
                out.append(line)
                is_command = line.endswith("\\")
                out += [] if is_command else next(outputs)
        return "".join(f"{line}\n" for line in out)

    return BLOCK.sub(block, page)


def _renewed(page: str, ran: Mapping[str, Ran]) -> Iterator[list[str]]:
    """The lines to show of every command of a page: those of one that shows none, or is not run as it is shown, stay."""
    for one in transcripts(page):
        if one.lines and is_run(one.command) and is_whole(one.command):
            yield renewed(one.lines, _lines(ran[one.command]))
        else:
            yield one.lines


def _lines(done: Ran) -> list[str]:
    return [line for line in done.output.splitlines() if line.strip()]


def commands(pages: Sequence[str]) -> list[str]:
    """Every command of pages, named by their paths, in the order of the pages."""
    return [shown.command for name in pages for shown in transcripts((ROOT / name).read_text("utf-8"))]


def main(say: Callable[[str], object] = print) -> None:
    """Run the commands of all pages, and rewrite the pages."""
    ran = {}
    with tempfile.TemporaryDirectory() as folder:
        for done in run(commands(PAGES), Path(folder)):
            say(f"{done.code} {done.command}")
            ran[done.command] = done
    for name in PAGES:
        text = (ROOT / name).read_text("utf-8")
        (ROOT / name).write_text(rewritten(text, ran), encoding="utf-8")


if __name__ == "__main__":
    main()
