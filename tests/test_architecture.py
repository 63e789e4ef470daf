"""Imports point down: see docs/architecture.md."""

import ast
from functools import cache

import pytest
from conftest import ROOT

# A part may import those named here and `errors`. `engine.task` is the contract that tasks keep: it is open to kits, the rest of the
# engine is not.
LAYERS = {
    "errors": set(),
    "ends": {"base"},
    "base": set(),
    "sources": {"base"},
    "config": {"base", "registry", "sources"},
    "registry": {"base"},
    "data": {"base", "config"},
    "chinese": {"base"},
    "nn": set(),
    "ngram": {"base"},
    "torchvision": set(),
    "measure": {"base"},
    "predict": {"base", "sources", "config", "measure", "nn"},
    "engine.task": {"base", "config", "measure", "nn", "predict"},
    "tracking": {"base"},
    "engine": {"base", "config", "nn", "measure", "data", "predict", "tracking", "engine.task"},
    "text": {"base", "sources", "config", "registry", "data", "nn", "chinese", "measure", "predict", "engine.task"},
    "images": {"base", "sources", "config", "data", "nn", "measure", "torchvision", "predict", "engine.task"},
    "tables": {"base", "sources", "config", "registry", "data", "nn", "measure", "predict", "engine.task"},
    "tasks": {
        "base", "sources", "config", "data", "nn", "ngram", "chinese", "measure", "predict", "engine.task", "text", "images", "tables",
    },
    "tuning": {"base", "config"},
    "runs": {"base", "config", "registry", "data", "measure", "predict", "engine"},
    "flags": {"base", "registry"},
    # They start each other (`bmtool serve`), and know the models by the same loading.
    "serve": {"base", "registry", "predict", "engine", "runs", "commands"},
    "commands": {
        "base", "sources", "config", "registry", "data", "measure", "predict", "engine", "engine.task", "text", "images", "tables",
        "chinese", "tasks", "runs", "serve", "torchvision", "tracking", "tuning",
    },
    "api": {"base", "config", "predict", "engine", "runs", "commands"},
}  # fmt: skip
ABOVE = {"commands", "cli", "serve", "api", "flags", "ends"}  # what nothing below reaches, indirectly either
TOP = {"serve", "commands", "api"}


def imported(path) -> set[str]:
    """Parts of bmtool that a file names in an import, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {_part(name) for name in names if name.startswith("bmtool.") and name != "bmtool.__version__"}


def _part(name: str) -> str:
    return "engine.task" if f"{name}.".startswith("bmtool.engine.task.") else name.split(".")[1]


@cache
def parts_of(part: str) -> set[str]:
    """What the files of a part import of bmtool, by their parts."""
    path = ROOT.joinpath("bmtool", *part.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert files
    return set().union(*map(imported, files)) - {part}


def reached(part: str) -> set[str]:
    """What a part imports, and what that imports, and so on."""
    found, left = set(), {part}
    while left:
        one = left.pop()
        found.add(one)
        left |= parts_of(one) - found
    return found - {part}


def test_the_table_names_every_part():
    parts = {
        path.stem for path in (ROOT / "bmtool").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert parts - {"__init__", "__main__", "cli"} <= LAYERS.keys()


@pytest.mark.parametrize("part", LAYERS)
def test_imports_point_down(part):
    assert parts_of(part) <= LAYERS[part] | {"errors"}
    assert part in TOP or not reached(part) & ABOVE


def test_tasks_never_import_each_other():
    tasks = ROOT / "bmtool" / "tasks"
    for folder in (path for path in tasks.iterdir() if path.is_dir() and path.name != "__pycache__"):
        for path in folder.rglob("*.py"):
            text = path.read_text("utf-8")
            others = [other.name for other in tasks.iterdir() if other.is_dir() and other != folder]
            assert not [name for name in others if f"bmtool.tasks.{name}" in text], path


def test_torchvision_is_imported_in_one_place_and_before_what_imports_it_itself():
    """Beside another build of torch it fails to import, unless `bmtool.torchvision` comes first."""
    for folder in ("bmtool", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = [
                n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Import | ast.ImportFrom)
            ]
            named = {
                n.lineno: [n.module] if isinstance(n, ast.ImportFrom) else [a.name for a in n.names] for n in nodes
            }
            tops = {line: {str(name).split(".")[0] for name in names} for line, names in named.items()}
            if path != ROOT / "bmtool" / "torchvision.py":
                assert not [line for line, names in tops.items() if "torchvision" in names], path
            others = [line for line, names in tops.items() if "transformers" in names]
            ours = [n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and _is_shim(n)]
            assert not others or (ours and min(ours) < min(others)), path


def _is_shim(node: ast.ImportFrom) -> bool:
    return node.module == "bmtool.torchvision" or (
        node.module == "bmtool" and any(alias.name == "torchvision" for alias in node.names)
    )
