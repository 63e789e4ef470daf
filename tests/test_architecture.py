"""Imports point down: see docs/architecture.md."""

import ast

import pytest
from conftest import ROOT

MAY_NOT_IMPORT = {
    "engine": {"tasks", "commands", "cli", "registry"},
    "nn": {"engine", "tasks", "commands", "cli", "registry", "data", "measure", "config"},
    "data": {"engine", "tasks", "commands", "cli", "registry", "nn", "measure"},  # its settings are sections of config
    "measure": {"engine", "tasks", "commands", "cli", "nn", "ngram", "data", "config"},
    "ngram": {"engine", "tasks", "commands", "cli", "registry", "nn", "data", "measure", "config"},
    "config": {"engine", "tasks", "commands", "cli", "nn", "data", "measure"},
    "tasks": {"commands", "cli", "registry"},
}


def imported(path) -> set[str]:
    """Parts of bmtool that a file names in an import, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("bmtool.")}


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_imports_point_down(part):
    files = sorted((ROOT / "bmtool" / part).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & MAY_NOT_IMPORT[part], path
