"""A configuration as bmtool reads it, and the schema by which an editor completes and checks one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cases import CASES
from conftest import CONFIGS

from bmtool import registry
from bmtool.commands import config as commands
from bmtool.config import document as documents
from bmtool.config import json_schema, shipped
from bmtool.config.load import load
from bmtool.errors import ConfigError

SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
ALL = [*SHIPPED, *(case.path for case in CASES)]
TEXT = """\
x-small: &small
  name: linear
  final: 0.2
task: pinyin2hanzi
run: $HOME/x
data:
  sources:
  - a.txt
  - {path: b.txt, weight: 2}
  prepared: b
  clean: {min_hanzi: 3}
model:
  kind: tagger
optim:
  lr: 1e-4
schedule:
  <<: *small
  final: 0.1
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "x.yaml"


# --- show ---


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_shown_is_read_as_the_same_and_every_value_says_where_it_comes_from(path, tmp_path):
    shown = commands.show(path)
    (tmp_path / "again.yaml").write_text(shown, encoding="utf-8")
    assert load(tmp_path / "again.yaml") == load(path)
    for line in shown.splitlines():
        assert line.endswith(":") or "  # " in line


def test_values_come_from_lines_settings_defaults_and_from_other_keys(path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = commands.resolved(path, ["train.steps=7", "optim.phases={model: {l1: 0.1}}"])
    expected = {
        "task": "x.yaml:4", "run": "x.yaml:5", "seed": "default", "train.steps": "--set", "train.device": "auto",
        "data.sources.0.path": "x.yaml:8", "data.sources.0.weight": "default", "data.sources.1.weight": "x.yaml:9",
        "data.clean.min_letters": "derived", "schedule.name": "x.yaml:2", "schedule.final": "x.yaml:18", "optim.lr": "x.yaml:15",
        "optim.phases.model.lr": "derived", "optim.phases.model.l1": "--set",
    }  # fmt: skip
    assert {key: found["from"][key] for key in expected} == expected
    assert found["config"]["run"] == "/home/me/x" and found["config"]["train"]["steps"] == 7


def test_the_command_prints_yaml_or_json(path, invoke):
    shown = invoke("config", "show", path, "--set", "train.steps=7").stdout
    assert yaml.safe_load(shown)["train"]["steps"] == 7 and "  steps: 7  " in shown and "# --set" in shown
    as_json = json.loads(invoke("config", "show", path, "--set", "train.steps=7", "--json").stdout)
    assert as_json["from"]["train.steps"] == "--set" and as_json["config"]["train"]["steps"] == 7
    wrong = invoke("config", "show", path, "--set", "train.stepz=7")
    assert wrong.exit_code == 2 and "did you mean 'steps'" in wrong.stderr


# --- anchors ---


def test_sections_for_anchors_are_left_out_and_nothing_else_is(path):
    config = load(path)
    assert (config.schedule.name, config.schedule.final) == ("linear", 0.1)
    for wrong in ("y-small: {}\n", "x-: {}\n", "x_small: {}\n"):
        path.write_text(TEXT + wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match="unknown key"):
            load(path)
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(ConfigError, match="x-small: unknown key"):
        load(path, ["x-small.name=cosine"])


def test_a_wrong_key_that_is_merged_stands_where_it_is_written(path):
    path.write_text(TEXT.replace("  name: linear", "  nmae: linear"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x\.yaml:2: schedule\.nmae: unknown key; did you mean 'name'"):
        load(path)


# --- schema ---


def plain(path) -> Any:
    return documents.read(path).data


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    whole = json_schema.schema()
    jsonschema.Draft7Validator.check_schema(whole)
    return jsonschema.Draft7Validator(whole)


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_config_is_what_the_schema_says(path, validator):
    validator.validate(plain(path))
    jsonschema.Draft7Validator(json_schema.schema(plain(path)["task"])).validate(plain(path))


def test_anchors_are_what_the_schema_says(path, validator):
    validator.validate(yaml.safe_load(TEXT.replace("1e-4", "0.0001").replace("min_hanzi", "min_letters")))


@pytest.mark.parametrize("key, value", [
    ("task", "pinyin"), ("train", {"stepz": 3}), ("train", {"steps": 0}), ("train", {"steps": "many"}), ("optim", {"name": "adamm"}),
    ("model", {"kind": "tagger", "cell": "gru"}), ("model", {"width": 8}), ("data", {"sources": ["a"]}), ("unknown", 1), ("data", None),
    ("data", {"sources": [{"paht": "a"}], "prepared": "b"}), ("data", {"sources": [], "prepared": "b"}),
])  # fmt: skip
def test_what_bmtool_refuses_an_editor_marks(key, value, validator):
    config = plain(CONFIGS / "pinyin2hanzi" / "tiny.yaml")
    assert not validator.is_valid(config | {key: value})


def test_a_key_of_another_task_is_marked(validator):
    config = plain(CONFIGS / "gan" / "digits.yaml")
    assert validator.is_valid(config) and not validator.is_valid(config | {"code": 3})


def keys(schema: Any) -> list[tuple[str, dict]]:
    return [
        (f"{name}.{key}", held)
        for name, part in schema["$defs"].items()
        for key, held in part.get("properties", {}).items()
    ]


def test_every_key_has_the_sentence_that_stands_above_it():
    found = dict(keys(json_schema.schema()))
    assert not [name for name, held in found.items() if not held.get("description")]
    assert found["Schedule.decay_steps"]["description"] == (
        "wsd (warmup, stable, decay): the last steps, over which the rate falls linearly"
    )
    assert found["Schedule.final"]["maximum"] == 1 and "cosine" in found["Schedule.name"]["enum"]
    assert found["TextTrain.precision"]["description"].startswith("auto: bf16 on a GPU")


def test_the_schema_that_ships_is_that_of_the_sections(invoke):
    printed = invoke("config", "schema").stdout
    assert printed == (CONFIGS / shipped.SCHEMA).read_text("utf-8"), (
        "write it anew: bmtool config schema > configs/schema.json"
    )
    one = json.loads(invoke("config", "schema", "gan").stdout)
    assert one["properties"]["task"]["enum"] == ["gan"] and len(one["$defs"]) < len(json.loads(printed)["$defs"])
    assert invoke("config", "schema", "gans").exit_code == 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_first_line_is_the_command_and_the_second_names_the_schema(path):
    first, second, *_ = path.read_text("utf-8").splitlines()
    assert first.startswith("# bmtool ")
    assert second == "# yaml-language-server: $schema=../schema.json"
    assert (path.parent / "../schema.json").resolve() == (CONFIGS / shipped.SCHEMA).resolve()


def test_every_task_names_a_config_to_begin_with():
    for task, entry in registry.TASKS.items():
        assert shipped.of_task(task).name == entry.first


ODD = ("no", "on", "Yes", "off", "y", "2024-01-01", "12:30:45", "190:20:30", "=", "<<", "1_000", "0b11", "017", "0o17", "~", "null",
       "1e3", ".inf", "a: b", "# c", "a\nb", " a", "-", "é", "'")  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_text_is_text_to_readers_of_yaml_of_either_version(text):
    for held in ({"a": [text]}, {text: 1}):
        written = documents.dump(held)
        assert yaml.safe_load(written) == held
        assert documents.parsed(written, Path("a.yaml")).data == held
    assert yaml.safe_load(f"a: {documents.inline(text)}") == {"a": text}
