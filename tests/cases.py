"""The tiny configs that come with every task: what the contract tests run on.

A header of comments says what a test has to know of a case:

    # deterministic: KEY=VALUE ...          settings under which a batch is the sum of its examples, and nothing is drawn at random
    # ask: ARGUMENT                         what `bmtool predict` is asked, one line each
    # except CONTRACT: reason               a contract that the model cannot keep
    # validation FIGURE: reason             a figure of the validation that an evaluation does not give, or gives otherwise
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from bmtool import registry
from bmtool.config.load import load

ROOT = Path(__file__).parent.parent
EXCEPTIONS = {"loss-falls", "accumulate", "processes"}
# What cases may have in common; the networks of two kits differ although their names do not.
TASK, KIT, KIND = ("task",), ("entry.kit",), ("entry.kit", "config.model.kind")
_NAMED = re.compile(r"^task: (\S+)", re.MULTILINE)
_LINE = re.compile(r"# (deterministic|ask|except|validation)(?: ([\w@-]+))?: (.+)")


@dataclass(frozen=True)
class Case:
    task: str
    path: Path
    held: dict[str, list[tuple[str, str]]] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.task + self.path.stem.removeprefix("tiny")

    @property
    def entry(self) -> registry.Entry:
        return registry.TASKS[self.task]

    @cached_property
    def config(self) -> Any:
        return load(self.path)

    @cached_property
    def fitted(self) -> bool:
        """Whether its model is fitted: then there is no gradient step to test."""
        return self.entry.load("task").of(self.config).fitted

    @property
    def deterministic(self) -> list[str]:
        return [setting for _, line in self.held["deterministic"] for setting in line.split()]

    @property
    def asked(self) -> list[str]:
        """Arguments of `predict`; files of the repository by their whole path."""
        return [str(ROOT / line) if (ROOT / line).is_file() else line for _, line in self.held["ask"]]

    def excepted(self, contract: str) -> str | None:
        return dict(self.held["except"]).get(contract)

    @property
    def unlike(self) -> dict[str, str]:
        """Figures of the validation that are not those of an evaluation, with the reason."""
        return dict(self.held["validation"])


def _case(path: Path) -> Case:
    held: dict[str, list[tuple[str, str]]] = {kind: [] for kind in ("deterministic", "ask", "except", "validation")}
    text = path.read_text("utf-8")
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            held[found[1]].append((found[2] or "", found[3]))
    return Case(_NAMED.search(text)[1], path, held)


def _paths() -> list[Path]:
    """In the order of the registry, of each folder `tiny.yaml` first; several tasks may share a folder."""
    packages = dict.fromkeys(entry.package for entry in registry.TASKS.values())
    folders = [Path(find_spec(package).origin).parent for package in packages]
    return [path for folder in folders for path in sorted(folder.glob("tiny*.yaml"), key=lambda path: path.stem)]


CASES = [_case(path) for path in _paths()]
TRAINED = [case for case in CASES if not case.fitted]
FITTED = [case for case in CASES if case.fitted]


def find(name: str | Case) -> Case:
    """A case by its name, or by the kind of its model where only one has it."""
    if isinstance(name, Case):
        return name
    (case,) = [case for case in CASES if case.name == name] or [
        case for case in CASES if case.config.model.kind == name
    ]
    return case


def firsts(of: tuple[str, ...], cases: list[Case]) -> list[Case]:
    """The first case of each TASK, KIT or KIND."""
    return list({attrgetter(*of)(case): case for case in reversed(cases)}.values())[::-1]


def keeping(contract: str) -> list[Case]:
    """Those that are trained, without those whose config says that they cannot keep the contract."""
    return [case for case in TRAINED if not case.excepted(contract)]


def each_of(cases: list[Case], slow: list[Case] | None = None) -> Any:
    """A test of each of the cases, some of them marked as slow."""
    marks = {case.name: [pytest.mark.slow] for case in slow or []}
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case.name, marks=marks.get(case.name, [])) for case in cases]
    )


every_case = each_of(CASES)
one_a_task = each_of(firsts(TASK, CASES))
one_a_kit = each_of(firsts(KIT, CASES))
