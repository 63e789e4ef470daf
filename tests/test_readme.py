"""README.md and README.zh-CN.md stay true: every command in them is run, in their order, in a fresh copy of what they use."""

import lzma
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

READMES = ("README.md", "README.zh-CN.md")
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands(name: str) -> list[str]:
    """Every `$ ...` line of the console blocks, continuation lines joined."""
    text = "\n".join(_BLOCK.findall((ROOT / name).read_text("utf-8")))
    return [line[2:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def test_both_languages_show_the_same_commands():
    assert commands(READMES[0]) == commands(READMES[1])


@pytest.mark.parametrize("name", READMES)
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text("utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_make_targets_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands(READMES[0]):
        if command.startswith("make "):
            assert command.split()[1] in targets


@pytest.mark.slow
def test_every_command_works(tmp_path):
    """`make demo` and `make test` are run by CI itself; set-up is what made this environment."""
    for part in ("configs", "data/pinyin2hanzi", "data/images", "data/tabular"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "my/text").mkdir(parents=True)
    sample = b"".join(path.read_bytes() for path in sorted((ROOT / "data/pinyin2hanzi/sentences").glob("*.txt")))
    (tmp_path / "my/text/sample.txt.xz").write_bytes(lzma.compress(sample))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for shown in commands(READMES[0]):
        if shown.startswith("make "):
            continue
        is_long = "pretrain configs/pinyin2hanzi/base.yaml" in shown  # half an hour at its full length
        command = f"{shown} --set train.steps=3" if is_long else shown
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if "|| echo" in command:  # shown for the code it fails with
            assert done.stdout.splitlines()[-1] in ("exit 2", "exit 3"), command
