"""What messages, pages and docs tell people to install: nothing from the package index under a name that is not ours there."""

import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from bmtool.commands import serve
from bmtool.errors import ConfigError

# An extra of ours, or our name itself, handed to pip; the clone is `.` or `.[extra]`.
NAME = "bmtool"
STRANGER = re.compile(r"bmtool\[|pip3? install[^\n]*[\s'\"=]bmtool\b")


def _shipped() -> list[Path]:
    """Every text that comes with the project, but pyproject.toml, whose extras name each other, and the tests."""
    folders = [path for name in ("bmtool", "docs", "configs", "benchmarks") for path in (ROOT / name).rglob("*")]
    kinds = {".py", ".md", ".yaml", ".html", ".txt", ".cpp"}
    found = [path for path in [*folders, *ROOT.glob("*.md"), ROOT / "compose.yaml"] if path.suffix in kinds]
    return [*found, ROOT / "data" / "README.md", ROOT / "Makefile", ROOT / "Dockerfile"]


def test_nobody_is_sent_to_the_package_index_for_bmtool():
    said = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _shipped()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if STRANGER.search(line)
    ]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("line", [f"pip install '{NAME}[serve]'", f"pip install {NAME}", f'pip install -U "{NAME}"'])
def test_the_words_that_are_looked_for(line):
    assert STRANGER.search(line)
    assert not STRANGER.search("pip install -c constraints.txt -e '.[serve,test]'")


def test_a_server_s_packages_are_those_of_its_extra(monkeypatch):
    extra = re.search(r"^serve = \[(.*)\]$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r'"([\w-]+)', extra[1])) == set(serve.PACKAGES.split())
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=f"which are missing: pip install {serve.PACKAGES}$"):
        serve.serve()
