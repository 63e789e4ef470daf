"""A newcomer's way in an empty folder, by benchmarks/first_success.py: each command names the next one, down to a server that answers."""

import importlib.util
import sys

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def first_success():
    spec = importlib.util.spec_from_file_location("first_success", ROOT / "benchmarks/first_success.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name, trains", [("text", "pretrain"), ("photos", "finetune")])
def test_no_command_is_a_dead_end(name, trains, tmp_path, first_success):
    steps = list(first_success.walk(first_success.KINDS[name], tmp_path, steps=60))
    commands = [step.command.split()[1] for step in steps]
    assert commands == ["init", "prepare-data", trains, "evaluate", "export-onnx", "predict", "serve"]
    assert all(step.seconds > 0 for step in steps)


def test_own_data_are_as_many_as_is_said(tmp_path, first_success):
    first_success.sentences(tmp_path)
    lines = (tmp_path / "mine.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 200
    first_success.photos(tmp_path)
    pictures = {path.read_bytes() for path in (tmp_path / "photos").glob("*/*.jpg")}
    assert len(pictures) == 90


@pytest.mark.parametrize("line, following, asked", [
    ("next: bmtool prepare-data my.yaml", "bmtool prepare-data my.yaml", None),
    ("put your data at data/photos, as x.yaml:8 says; next: bmtool prepare-data x.yaml", "bmtool prepare-data x.yaml", None),
    ("next: bmtool serve m.onnx (a server with a page), or bmtool predict m.onnx INPUT...", "bmtool serve m.onnx", "bmtool predict m.onnx"),
])  # fmt: skip
def test_the_command_that_a_line_names(line, following, asked, first_success):
    found = first_success.NEXT.search(line)
    assert (found["next"], found["ask"]) == (following, asked)
    assert not first_success.NEXT.search("report runs/x/eval/test.md")
