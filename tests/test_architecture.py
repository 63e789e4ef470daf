"""Imports point down: see docs/architecture.md."""

import ast
from functools import cache

import pytest
from conftest import ROOT

# A part may import those to its right, and what they may import; `engine.task`, the contract, is open to kits.
LAYERS = {
    "errors": set(),
    "base": {"errors"},
    "config": {"base", "registry"},
    "registry": {"base"},
    "data": {"base", "config"},
    "chinese": {"base"},
    "nn": set(),
    "ngram": {"base"},
    "measure": {"base"},
    "engine": {"base", "config", "nn", "measure", "data"},
    "text": {"base", "config", "data", "nn", "chinese", "measure"},
    "images": {"base", "config", "data", "nn", "measure", "torchvision"},
    "tables": {"base", "config", "registry", "data", "measure", "predict"},
    "tasks": {
        "base",
        "config",
        "data",
        "nn",
        "ngram",
        "chinese",
        "measure",
        "engine",
        "text",
        "images",
        "tables",
        "predict",
    },
}
NEVER = {"commands", "cli", "serve", "api"}


def imported(path) -> set[str]:
    """Parts of bmtool that a file names in an import, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("bmtool.")}


@cache
def parts_of(part: str) -> set[str]:
    """What the files of a part import of bmtool, by their parts; of `engine` its contract, `engine.task`, is no part."""
    path = ROOT / "bmtool" / part
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


@pytest.mark.parametrize("part", LAYERS)
def test_imports_point_down(part):
    assert parts_of(part) <= LAYERS[part] | {"errors"}
    assert not reached(part) & NEVER


def test_tasks_never_import_each_other():
    tasks = ROOT / "bmtool" / "tasks"
    for folder in (path for path in tasks.iterdir() if path.is_dir() and path.name != "__pycache__"):
        for path in folder.rglob("*.py"):
            text = path.read_text("utf-8")
            others = [other.name for other in tasks.iterdir() if other.is_dir() and other != folder]
            assert not [name for name in others if f"bmtool.tasks.{name}" in text], path
