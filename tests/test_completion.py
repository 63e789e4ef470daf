"""Completion, by bash itself: what is installed is sourced, and its function asked as bash asks it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_cli import imported_by

from bmtool import cli
from bmtool.cli import completion
from bmtool.commands import init

ASK = """
source ~/.bash_completions/bmtool.sh
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_bmtool_completion bmtool
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home with completion installed, and `bmtool` on the path."""
    place = tmp_path_factory.mktemp("home")
    program = place / "bin" / "bmtool"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m bmtool "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    said = shell(place, place, "bmtool --install-completion; true")
    assert "bash completion installed" in said
    assert f"source '{place}/.bash_completions/bmtool.sh'" in (place / ".bashrc").read_text("utf-8")
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a config, a run that has an export, and what is neither."""
    place = tmp_path_factory.mktemp("folder")
    before = Path.cwd()
    os.chdir(place)
    try:
        init.init("pinyin2hanzi", "conf/my.yaml")
    finally:
        os.chdir(before)
    for name in (
        "runs/a/export/model.onnx",
        "runs/a/run.json",
        "runs/a/config.yaml",
        "runs/b/notes.txt",
        ".hidden/x.yaml",
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}", encoding="utf-8")
    return place


def shell(home: Path, folder: Path, script: str, *words: str) -> str:
    environment = {"HOME": str(home), "PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("words, answers", [
    (["init", "im"], ["image-classification"]),
    (["init", "pinyin2hanzi", "--name", "t"], ["tiny", "transformer"]),
    (["pretrain", ""], ["conf/my.yaml"]),
    (["evaluate", "ru"], ["runs/a", "runs/a/export/model.onnx"]),
    (["finetune", "conf/my.yaml", "--from", ""], ["runs/a"]),
    (["pretrain", "conf/my.yaml", "--set", "model.ngram."], ["model.ngram.order=", "model.ngram.entries="]),
    (["pretrain", "conf/my.yaml", "--set", "optim.na"], ["optim.name=", "optim.name=adamw"]),
    # Bash takes words apart at `=`.
    (["pretrain", "conf/my.yaml", "--set", "optim.lr", "=", "1", "--set", "optim.name", "=", "ad"], ["adamw", "adam", "adagrad"]),
    (["pretrain", "conf/my.yaml", "--set", "model.kind", "="], ["tagger", "transformer", "rnn"]),
    (["config", "s"], ["show", "schema"]),
])  # fmt: skip
def test_what_bash_completes(words, answers, home, folder):
    assert shell(home, folder, ASK, "bmtool", *words).split() == answers


@pytest.mark.parametrize("name, line, answers", [
    ("zsh", "pretrain conf/my.yaml --set optim.name=adam", ['"optim.name=adamw"', '"optim.name=adam"']),
    ("fish", "pretrain conf/my.yaml --set optim.name=adam", ["optim.name=adamw", "optim.name=adam"]),
    ("fish", "init gan --name ", ["digits\tDigits out of noise (DCGAN); the discriminator's backbone is that ..."]),
])  # fmt: skip
def test_zsh_and_fish_hand_over_the_line_as_it_stands(name, line, answers, monkeypatch, capsys, folder):
    monkeypatch.chdir(folder)
    values = {
        "_BMTOOL_COMPLETE": f"complete_{name}",
        "_TYPER_COMPLETE_ARGS": f"bmtool {line}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit):
        cli.app([], prog_name="bmtool")
    told = capsys.readouterr().out.strip().removeprefix("_arguments '*: :((").removesuffix("))'")
    assert told.splitlines() == answers


def test_completion_imports_nothing_heavy():
    code = (
        "import sys\nfrom bmtool.cli import completion\nfrom bmtool.config import keys, shipped\n"
        "keys.known('gan'), completion.configs('c'), completion.models(''), shipped.configs()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"torch", "numpy", "onnxruntime", "matplotlib"}


@pytest.mark.parametrize("arguments", [["init"], ["config", "show", "configs/gan/digits.yaml"], ["config", "schema"]])
def test_what_needs_no_torch_imports_none(arguments):
    assert not imported_by(*arguments) & {"torch", "onnxruntime", "matplotlib"}


def test_a_disk_is_looked_at_only_so_far(tmp_path, monkeypatch):
    for number in range(40):
        (tmp_path / f"{number}.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert len(completion.configs("")) == 40
    monkeypatch.setattr(completion, "LOOKED_AT", 10)
    assert len(completion.configs("")) == 10
