"""Files that are not what they were: every file of prepared data, of a run and of an export is changed in many ways, and asked for.

A command must then refuse in one line with the right exit code, or answer as it did before (it does not read the file). Of a run whose
training left several checkpoints a damaged one may be passed over, and an export made without the figures of a damaged report: both are
said.
"""

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from cases import find
from typer.testing import CliRunner

from bmtool import cli
from bmtool.commands.loading import PRETRAINED
from stress import Attempt

# One task of each kit, and one that is fitted.
CASES = ("pinyin2hanzi", "image-classification", "tabular-classification-lightgbm")
REFUSED = (2, 4, 5, 6)  # exit codes that say what is wrong
ASKED = "jin tian tian qi hen hao"

# What nothing is read from again: the reason for which no promise is made.
FOR_PEOPLE = {
    "log.txt": "what was said, for people", "report.md": "a page for people", "*.png": "pictures for people",
    "*.md": "pages for people", "*.predictions.jsonl": "answers for people", "parity.json": "a report for people",
    ".lock": "empty", "events.out.tfevents.*": "for tensorboard",
}  # fmt: skip
# (kind of change, file) that cannot be told: figures of another training have the right shape.
UNTOLD = {
    ("another's", "metrics.jsonl"): "a log holds no checksum: it is drawn, and nothing is computed from it",
    ("a byte", "metrics.jsonl"): "as above",
}

TEXTS = {
    "empty": b"", "[]": b"[]", "null": b"null", "{}": b"{}", "a string": b'"x"', "a number": b"3", "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000, "no UTF-8": b'{"a": "\xff\xfe"}', "many digits": b'{"step": ' + b"9" * 5000 + b"}\n",
}  # fmt: skip
BINARY = (".npy", ".safetensors", ".pt", ".onnx")


@dataclass(frozen=True)
class Said:
    """What a command did: its answer is what it printed and what it wrote."""

    code: int
    answer: str
    errors: str


def bmtool(*arguments: object) -> Said:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    crashed = result.exception is not None and not isinstance(result.exception, SystemExit)
    return Said(1 if crashed else result.exit_code, result.stdout, repr(result.exception) if crashed else result.stderr)


class Subject:
    """Prepared data, two runs of different seeds with a report and an export each, in a folder of their own."""

    def __init__(self, name: str, folder: Path):
        self.name, self.case, self.folder = name, find(name), folder
        for run, seed in (("run", 1), ("other", 2)):
            self.require("pretrain", self.case.path, *self.settings(run, seed))
            self.require("evaluate", folder / run)
            self.require("export-onnx", folder / run)
        shutil.move(folder / "data", folder / "other-data")
        self.require("prepare-data", self.case.path, *self.settings("x", 1), "--set", "data.valid_share=0.15")
        shutil.move(folder / "data", folder / "swapped-data")
        shutil.move(folder / "other-data", folder / "data")
        shutil.rmtree(folder / ".data.cache", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "kept" / "run")
        shutil.copytree(folder / "data", folder / "kept" / "data")

    def settings(self, run: str, seed: int) -> list[str]:
        given = [f"run={self.folder / run}", f"data.prepared={self.folder / 'data'}", f"seed={seed}", "train.steps=4"]
        given += [] if not self.case.fitted else ["model.rounds=4"]
        given = [setting for setting in given if not (self.case.fitted and setting.startswith("train."))]
        return [part for setting in given for part in ("--set", setting)]

    def require(self, *arguments: object) -> None:
        said = bmtool(*arguments)
        assert said.code == 0, said.errors

    # -- what is asked, each time anew ----------------------------------------------------------------------------------

    def predict(self) -> Said:
        return bmtool("predict", self.folder / "run", *self.case.asked, "--json")

    def exported(self) -> Said:
        return bmtool("predict", self.folder / "run" / "export" / "model.onnx", *self.case.asked, "--json")

    def evaluate(self) -> Said:
        out = self.folder / "out"
        said = bmtool("evaluate", self.folder / "run", "--output", out)
        return self._with(said, lambda: json.dumps(json.loads((out / "test.json").read_text("utf-8"))["metrics"]))

    def export(self) -> Said:
        out = self.folder / "out" / "model.onnx"
        said = bmtool("export-onnx", self.folder / "run", "--output", out)
        return self._with(said, lambda: hashlib.sha256(out.read_bytes()).hexdigest())

    def again(self) -> Said:
        """The training that made the run, which has nothing left to do."""
        return self._trained("run", 1)

    def train(self) -> Said:
        """A new training on the prepared data."""
        return self._trained("fresh", 1)

    def prepare(self) -> Said:
        """What is damaged is made again."""
        said = bmtool("prepare-data", self.case.path, *self.settings("run", 1))
        names = sorted(path for path in (self.folder / "data").glob("*.*") if path.suffix in (".npy", ".tsv", ".jsonl"))
        return self._with(said, lambda: "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in names))

    def _trained(self, run: str, seed: int) -> Said:
        said = bmtool("pretrain", self.case.path, *self.settings(run, seed))
        checkpoints = self.folder / run / "checkpoints"
        return self._with(
            said,
            lambda: "".join(
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(checkpoints.glob("*/model.safetensors"))
            ),
        )

    def _with(self, said: Said, written: Callable[[], str]) -> Said:
        return Said(said.code, written(), said.errors) if said.code == 0 else said

    # -- what is changed ------------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """(folder, the same of another, what reads it)."""
        yield "data", "swapped-data", ("train", "evaluate", "prepare")
        yield "run", "other", ("predict", "evaluate", "again")

    def asks(self, folder: str, path: Path, ask: tuple[str, ...]) -> tuple[str, ...]:
        if path.parent.name == "export":
            return ("exported",)
        if path.parent.name == "eval":
            return ("export",)
        return ask

    def restore(self) -> None:
        for name in ("run", "data", "fresh", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("run", "data"):
            shutil.copytree(self.folder / "kept" / name, self.folder / name)

    @cached_property
    def expected(self) -> dict[str, Said]:
        found = {}
        for ask in ("predict", "exported", "evaluate", "export", "again", "train", "prepare"):
            self.restore()
            found[ask] = getattr(self, ask)()
            assert found[ask].code == 0, (ask, found[ask].errors)
        return found


class Box(Subject):
    """The model that comes with bmtool: files of format 1, with checksums beside them."""

    def __init__(self, folder: Path):
        self.name, self.folder = "the model in the box", folder
        for name in ("kept/run", "other"):
            shutil.copytree(PRETRAINED / "pinyin2hanzi", folder / name)

    def parts(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        yield "run", "other", ("translate",)

    def restore(self) -> None:
        """By links: the files are large, and each change replaces one."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "run").mkdir()
        for path in (self.folder / "kept" / "run").iterdir():
            (self.folder / "run" / path.name).hardlink_to(path)

    def translate(self) -> Said:
        return bmtool("translate", "--model", self.folder / "run" / "model.onnx", ASKED, "--json")

    @cached_property
    def expected(self) -> dict[str, Said]:
        self.restore()
        return {"translate": self.translate()}


@dataclass(frozen=True)
class Change:
    """A file of a subject that is written anew, and what is asked then."""

    subject: Subject
    folder: str
    path: Path  # in the folder
    kind: str
    contents: bytes
    ask: str

    @property
    def name(self) -> str:
        return f"{self.subject.name}: {self.folder}/{self.path}: {self.kind}: {self.ask}"

    def tried(self) -> Attempt:
        self.subject.restore()
        target = self.subject.folder / self.folder / self.path
        target.unlink()
        target.write_bytes(self.contents)
        said, expected = getattr(self.subject, self.ask)(), self.subject.expected[self.ask]
        return Attempt(self.name, self._problem(said, expected))

    def _problem(self, said: Said, expected: Said) -> str:
        if said.code in REFUSED:
            lines = [line for line in said.errors.splitlines() if line.startswith("bmtool: ")]
            return "" if len(lines) == 1 or said.code == 2 else f"refused in {len(lines)} lines: {said.errors[-300:]}"
        if said.code != 0:
            return f"exit {said.code}: {said.errors[-300:]}"
        if said.answer == expected.answer:
            return ""
        told = {"checkpoints": "warning: ", "eval": "no figures of a test: "}.get(self.path.parts[0])
        is_passed_over = told is not None and told in said.errors
        return "" if is_passed_over else "exit 0 and another answer"


def changes(subject: Subject, rng: random.Random) -> Iterator[Change]:
    """Every file, changed in every way, for everything that may read it."""
    for folder, other, ask in subject.parts():
        root = subject.folder / "kept" / folder
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            if any(path.match(pattern) for pattern in FOR_PEOPLE):
                continue
            swapped = subject.folder / other / path.relative_to(root)
            for kind, contents in _contents(path, swapped, rng):
                if (kind.partition(" at")[0], path.name) in UNTOLD:
                    continue
                for one in subject.asks(folder, path, ask):
                    yield Change(subject, folder, path.relative_to(root), kind, contents, one)


def _contents(path: Path, other: Path, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """(kind of change, what the file then holds)."""
    data = path.read_bytes()
    thirds = [(len(data) * part // 8, len(data) * (part + 1) // 8) for part in (0, 3, 7)]
    for low, high in thirds:
        if high > low:
            place = rng.randrange(low, high)
            yield f"a byte at {place}", data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    yield "cut short", data[: len(data) * 2 // 3]
    for kind, contents in TEXTS.items():
        if path.suffix not in BINARY or kind in ("empty", "[]"):
            yield kind, contents
    if other.is_file() and other.read_bytes() != data and path.suffix != ".onnx":
        yield "another's", other.read_bytes()


def attempts(sample: int | None, seed: int, cases: tuple[str, ...] = CASES) -> Iterator[Attempt]:
    """All changes of all subjects, or `sample` of each subject's, drawn by `seed`."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bmtool-tampering-") as place:
        for name in (*cases, ""):
            folder = Path(place) / (name or "box")
            subject = Subject(name, folder) if name else Box(folder)
            every = list(changes(subject, rng))
            rng.shuffle(every)
            yield from (change.tried() for change in islice(every, sample))
            shutil.rmtree(folder)
