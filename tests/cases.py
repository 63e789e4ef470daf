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
from pathlib import Path
from typing import Any

import pytest

from bmtool import registry
from bmtool.config.load import load

ROOT = Path(__file__).parent.parent
EXCEPTIONS = {"loss-falls", "accumulate", "processes"}
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


def _case(task: str, path: Path) -> Case:
    held: dict[str, list[tuple[str, str]]] = {kind: [] for kind in ("deterministic", "ask", "except", "validation")}
    for line in path.read_text("utf-8").splitlines():
        if found := _LINE.fullmatch(line):
            held[found[1]].append((found[2] or "", found[3]))
    return Case(task, path, held)


def _folder(entry: registry.Entry) -> Path:
    return Path(find_spec(entry.package).origin).parent


CASES = [
    _case(task, path)
    for task, entry in registry.TASKS.items()
    for path in sorted(_folder(entry).glob("tiny*.yaml"), key=lambda p: p.stem)
]
_FIRST_OF_A_KIT = {case.entry.kit: case for case in reversed(CASES)}.values()
_FIRST_OF_A_TASK = {case.task: case for case in reversed(CASES)}.values()


def find(name: str | Case) -> Case:
    """A case by its name, or by the kind of its model where only one has it."""
    if isinstance(name, Case):
        return name
    (case,) = [case for case in CASES if case.name == name] or [
        case for case in CASES if case.config.model.kind == name
    ]
    return case


def _parameters(cases: list, fast: list) -> Any:
    values = [pytest.param(case, id=case.name, marks=() if case in fast else pytest.mark.slow) for case in cases]
    return pytest.mark.parametrize("case", values)


every_case = _parameters(CASES, CASES)
one_a_task = _parameters(list(_FIRST_OF_A_TASK)[::-1], list(_FIRST_OF_A_TASK))
one_a_kit = _parameters(list(_FIRST_OF_A_KIT)[::-1], list(_FIRST_OF_A_KIT))
one_a_kit_fast = _parameters(CASES, list(_FIRST_OF_A_KIT))  # the others are slow
first_fast = _parameters(list(_FIRST_OF_A_TASK)[::-1], CASES[:1])


def without(cases: Any, contract: str) -> Any:
    """These parameters; those whose config says that they cannot keep the contract are skipped, with its reason."""
    out = []
    for parameter in cases.args[1]:
        (case,) = parameter.values
        reason = case.excepted(contract)
        marks = [*parameter.marks, *([pytest.mark.skip(reason=reason)] if reason else [])]
        out.append(pytest.param(case, id=parameter.id, marks=marks))
    return pytest.mark.parametrize("case", out)
