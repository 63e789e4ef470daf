"""Runs listed, shown, compared, drawn and watched: every state, old formats, moved runs, hostile names, and the pages in a real browser."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest
from conftest import ROOT, config_path, gone
from PIL import Image
from test_cli import fails, imported_by
from test_serve import CHROMIUM, browser, free_port, open_page  # noqa: F401  a fixture

from bmtool.base.console import Console
from bmtool.base.files import is_locked, lock, write_json
from bmtool.base.units import age
from bmtool.commands import runs
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.config import load as configs
from bmtool.config.settings import settings as settings_of
from bmtool.engine.record import Record
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError, DataError, Interrupted, ResourceError
from bmtool.runs import answers, contents, finding, page, summary
from bmtool.runs.comparison import compared

OLD = ROOT / "tests" / "data" / "old_run"
CNN, MLP = "image-classification", "image-classification-mlp"


def nothing(message: str) -> None:
    raise AssertionError(message)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def classifiers(moved, prepared, home):
    """Two runs on the same data, evaluated; elsewhere than where they were trained."""
    prepared(CNN)
    found = []
    for case in (CNN, MLP):
        run = shutil.copytree(moved(case), home / "both" / case)
        shutil.rmtree(run / "export", ignore_errors=True)
        shutil.rmtree(run / "eval", ignore_errors=True)
        evaluate([run])
        found.append(run)
    return found


@pytest.fixture
def copied(classifiers, tmp_path):
    """A copy of the first that may be broken."""
    return shutil.copytree(classifiers[0], tmp_path / "copied")


def state(run: Path) -> tuple[str, str]:
    held = summary.summed_up(run)
    return held.state, held.why


# --- without torch ---


LIGHT = """
import sys
from bmtool.commands import runs
one, other, out = sys.argv[1:]
runs.list_runs([one, other])
runs.compare([one, other])
assert "matplotlib" not in sys.modules
runs.show(one)
runs.show(one, html=True)
runs.plot([one, other], output=out)
print([name for name in ("torch", "onnxruntime", "fastapi") if name in sys.modules])
"""


def test_no_command_about_runs_imports_torch(classifiers, tmp_path):
    command = [sys.executable, "-c", LIGHT, *map(str, classifiers), str(tmp_path / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "torch" not in imported_by("runs", "list", str(classifiers[0].parent))


def test_two_hundred_runs(classifiers, tmp_path, monkeypatch):
    """What takes time is read once a run, and weights, which may be as large as they like, not at all: there are none here."""
    for number in range(200):
        run = tmp_path / "runs" / f"group-{number % 5}" / f"run-{number}"
        keep = shutil.ignore_patterns("*.safetensors", "*.pt", "*.png", "tensorboard", "assets", "predictions*")
        shutil.copytree(classifiers[0], run, ignore=keep, copy_function=os.link)
    read, real = [], configs.of_run
    monkeypatch.setattr(configs, "of_run", lambda path: read.append(path) or real(path))
    held = runs.list_runs([tmp_path / "runs"], as_json=True)
    assert len({one.name for one in held}) == len(read) == 200 and {one.state for one in held} == {"finished"}


# --- list ---


def test_a_list_of_runs(classifiers, invoke):
    said = invoke("runs", "list", classifiers[0].parent)
    assert said.exit_code == 0
    figure = contents.contents(classifiers[0], nothing)["figures"]["accuracy"]
    assert f"{figure['value']:.4f} ({figure['low']:.4f} - {figure['high']:.4f})" in said.stdout
    for words in (*map(str, [CNN, MLP]), "accuracy, test", "8/8", "finished", "tiny-digits"):
        assert words in said.stdout
    held = [json.loads(line) for line in invoke("runs", "list", classifiers[0].parent, "--json").stdout.splitlines()]
    assert {one["name"] for one in held} == {CNN, MLP} and all(one["of"] == "test" for one in held)
    assert all(one["steps"] == one["step"] == 8 and one["key"] == "accuracy" for one in held)


def test_runs_alone_lists_what_is_here(classifiers, invoke, monkeypatch):
    monkeypatch.chdir(classifiers[0].parent.parent)
    os.symlink("both", "runs")
    assert invoke("runs").stdout == invoke("runs", "list", "runs").stdout
    assert invoke("runs", "--json").stdout == invoke("runs", "list", "--json").stdout
    assert "compare" in invoke("runs", "--help").stdout
    fails(invoke("runs", "lst"), 2, "No such command")


def test_sorted_and_of_one_task(classifiers, invoke):
    place = classifiers[0].parent
    by = [one.figures["loss"]["value"] for one in runs.list_runs([place], sort="loss")]
    assert by == sorted(by)
    by = [one.figures["accuracy"]["value"] for one in runs.list_runs([place], sort="accuracy")]
    assert by == sorted(by, reverse=True)
    newest = [one.started for one in runs.list_runs([place])]
    assert newest == sorted(newest, reverse=True)
    assert len(runs.list_runs([place], task="image-classification")) == 2
    fails(invoke("runs", "list", place, "--sort", "acuracy"), 2, "--sort", "accuracy")
    fails(invoke("runs", "list", place, "--task", "gan"), 4, "no run of gan among 2")
    fails(invoke("runs", "list", place, "--task", "gna"), 2, "unknown task")


def test_nothing_found_says_what_to_run(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(invoke("runs"), 4, "no such folder: runs", "bmtool pretrain CONFIG")
    (tmp_path / "runs" / "x").mkdir(parents=True)
    fails(invoke("runs"), 4, "no runs in runs", "bmtool pretrain CONFIG")
    fails(invoke("runs", "show", "runs/x"), 4, "not a run directory")


def test_looking_is_bounded(classifiers, tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    shutil.copytree(classifiers[0], deep)
    shutil.copytree(classifiers[0], tmp_path / ".hidden" / "run")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    assert finding.found([tmp_path, deep]) == [deep]
    shutil.move(deep, tmp_path / "a" / "b" / "c" / "d" / "x" / "y")
    with pytest.raises(DataError, match="no runs"):
        finding.found([tmp_path])
    monkeypatch.setattr(finding, "MOST", 3)
    with pytest.raises(DataError, match="more than 3 folders"):
        finding.found([tmp_path])


def test_names_are_text(classifiers, tmp_path, invoke):
    """Brackets mean something to what draws tables."""
    run = shutil.copytree(classifiers[0], tmp_path / "[red]x")
    for arguments in (["list", tmp_path], ["show", run], ["compare", run, classifiers[1]]):
        assert "[red]x" in invoke("runs", *arguments).stdout
    runs.plot([run, classifiers[1]], output=tmp_path / "x.png")


def test_age():
    assert [age(s) for s in (-5, 59, 60, 7199, 86_399, 86_400 * 12.5)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "23 h",
        "12 d",
    ]


# --- states ---


def test_a_run_that_is_trained_now(copied):
    assert state(copied) == ("finished", "")
    with RunDir(copied).lock():
        assert state(copied)[0] == "running"
        # Looking does not let go of it.
        assert is_locked(copied)
        held = subprocess.run([sys.executable, "-c", HELD, str(copied)], capture_output=True, text=True, check=True)
        assert held.stdout.strip() == "True"
    assert not is_locked(copied) and state(copied)[0] == "finished"


HELD = (
    "import sys; from pathlib import Path; from bmtool.base.files import is_locked; print(is_locked(Path(sys.argv[1])))"
)


def test_a_lock_of_another_process_is_seen(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bmtool.base.files import lock\n"
        "with lock(Path(sys.argv[1]), 'busy'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n" and is_locked(tmp_path)
        process.stdin.close()
        process.wait(20)
    assert not is_locked(tmp_path)
    with lock(tmp_path, "busy"):
        pass


def test_a_start_without_a_zone_is_of_utc(copied):
    RunDir(copied).note(started="2026-01-01T00:00:00")
    assert runs.list_runs([copied])[0].started == datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_run_that_was_interrupted_says_how_it_goes_on(copied):
    info = json.loads((copied / "run.json").read_text())
    del info["seal"]
    write_json(copied / "run.json", info | {"ended": None})
    assert state(copied) == ("interrupted", f"`bmtool pretrain {copied}/config.yaml` goes on")
    write_json(copied / "run.json", info | {"ended": None, "parent": "runs/mother"})
    assert state(copied)[1] == f"`bmtool finetune {copied}/config.yaml --from runs/mother` goes on"


def test_a_run_stopped_between_two_lines_of_its_log_is_where_its_checkpoint_is(copied):
    (copied / "metrics.jsonl").write_text(json.dumps({"step": 3, "train/loss": 1.0}) + "\n")
    assert summary.summed_up(copied).step == 8
    (copied / "metrics.jsonl").unlink()
    assert (summary.summed_up(copied).step, state(copied)) == (8, ("finished", ""))
    shutil.move(copied / "checkpoints", copied / "away")
    assert (summary.summed_up(copied).step, state(copied)) == (8, ("finished", summary.GONE))
    shutil.move(copied / "away", copied / "checkpoints")
    (copied / "metrics.jsonl").write_text(json.dumps({"step": 3, "train/loss": 1.0}) + "\n")
    RunDir(copied).note(resume_from="step-00000008", changes=[{"step": 8, "changed": ["train.steps: 8 -> 12"]}])
    assert summary.summed_up(copied).step == 3, "what comes after it is done anew"


def test_what_was_changed_when_a_run_went_on_is_shown(copied, invoke):
    RunDir(copied).note(changes=[{"step": 8, "changed": ["train.steps: 8 -> 12"]}])
    assert re.search(r"changed +train.steps: 8 -> 12 \(from step 8 on\)", invoke("runs", "show", copied).stdout)


def test_a_finetuning_from_the_weights_of_its_network_goes_on_as_one(tmp_path):
    config = configs.load(config_path(CNN), ["finetune.train=head", f"run={tmp_path}"])
    facts = {"data_hash": "0", "vocabulary": "0", "parent": None, "prepared": "data", "best": {"metric": "loss"}}
    RunDir(tmp_path).begin(config, facts, dict)
    assert state(tmp_path) == ("interrupted", f"`bmtool finetune {tmp_path}/config.yaml` goes on")


@pytest.mark.parametrize("error, found", [
    (ResourceError("loss is not finite\nand more"), ("failed", "loss is not finite")),
    (MemoryError(), ("failed", "MemoryError")),
    (Interrupted("stopped"), ("interrupted", "")),
    (ConfigError("another run is here"), ("interrupted", "")),
])  # fmt: skip
def test_a_run_that_failed_says_why(error, found, copied):
    RunDir(copied).note(ended=None)
    with pytest.raises(type(error)), RunDir(copied).lock():
        raise error
    assert state(copied)[0] == found[0] and found[1] in state(copied)[1]
    # It goes on: what ended the sitting before is no longer what is said last.
    Console(copied / "log.txt", speaks=True).say("resuming")
    assert state(copied)[0] == "interrupted"


def test_a_run_that_failed_before_it_began(tmp_path):
    with pytest.raises(ResourceError), RunDir(tmp_path / "a").lock():
        raise ResourceError("no room")
    assert finding.found([tmp_path]) == [tmp_path / "a"] and state(tmp_path / "a") == ("failed", "no room")
    with RunDir(tmp_path / "b").lock():
        (tmp_path / "b" / "log.txt").write_text("")
        assert state(tmp_path / "b") == ("running", "it is about to begin")
    assert state(tmp_path / "b")[0] == "interrupted"


def test_what_may_not_be_read_is_a_row_among_the_others(copied, classifiers, invoke, monkeypatch, tmp_path):
    """As somebody without the right sees it: whoever runs tests may have all rights."""
    shutil.copytree(copied, tmp_path / "locked")
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "locked" or (path.parent.name == "copied" and path.name == "log.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    result = invoke("runs", "list", tmp_path, classifiers[0], "--json")
    assert result.exit_code == 0, result.stderr
    held = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert {name: held[name]["state"] for name in ("locked", "copied")} == {"locked": "damaged", "copied": "damaged"}
    assert held["locked"]["why"].endswith("Permission denied") and held[classifiers[0].name]["state"] == "finished"


@pytest.mark.parametrize(
    "line", ['{"step": 2, "elapsed_s": "a"}', '{"step": 2, "x_per_s": null}', '{"step": 2, "a": [1]}']
)
def test_a_line_of_figures_that_are_no_numbers_is_passed_over_and_said(line, copied, invoke):
    with (copied / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    for how in ([], ["--json"], ["--html"]):
        result = invoke("runs", "show", copied, *how)
        assert result.exit_code == 0 and "passed over" in result.stderr, result.stderr


def test_a_picture_is_a_png(copied, invoke, tmp_path):
    fails(invoke("runs", "plot", copied, "--output", tmp_path / "x.jpg"), 2, "--output", "x.jpg", ".png")


def test_a_page_holds_json_whatever_was_answered(copied):
    path = copied / "eval" / "test.predictions.jsonl"
    answer = {"input": "a", "prediction": "1", "reference": "2", "probability": 1.0}
    path.write_text(json.dumps(answer).replace("1.0", "1e999") + "\n", "utf-8")
    assert "Infinity" not in page.html(page.shown(copied, print))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("part, damage", [
    ("run.json", flipped), ("config.yaml", flipped), ("run.json", Path.unlink), ("eval/test.json", flipped),
    ("run.json", lambda path: path.write_text("[]")),
    ("run.json", lambda path: RunDir(path.parent).note(started="soon")),
    ("run.json", lambda path: path.write_text('{"format": 99}')),
    ("checkpoints/step-00000008/manifest.json", lambda path: path.write_bytes(b"\xff")),
])  # fmt: skip
def test_a_damaged_run_is_a_row_that_says_so(part, damage, copied, classifiers, invoke):
    damage(copied / part)
    if part.endswith("manifest.json"):
        (copied / "checkpoints" / "best").write_text("step-00000008\n")
    held = {one.path: one for one in runs.list_runs([copied.parent, classifiers[1]])}
    assert held[copied].state == "damaged" and held[copied].why and held[classifiers[1]].state == "finished"
    said = invoke("runs", "list", copied.parent)
    assert said.exit_code == 0 and "damaged" in said.stdout and str(copied) in said.stderr
    for arguments in (["show", copied], ["compare", classifiers[1], copied]):
        done = invoke("runs", *arguments)
        assert done.exit_code == 4 and "Traceback" not in done.stderr


def test_figures_of_other_weights_are_not_the_runs_own(copied):
    """A report that was made before the training went on is not what the run is worth; its page says so."""
    report = json.loads((copied / "eval" / "test.json").read_text())
    del report["seal"]
    report["models"][0]["weights"] = "0" * 64
    write_json(copied / "eval" / "test.json", report)
    held = summary.summed_up(copied)
    assert held.of == "validation" and set(held.figures["accuracy"]) == {"value"}
    assert [one["is_current"] for one in contents.contents(copied, nothing)["evaluations"]] == [False]


def test_runs_of_earlier_versions(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    held = {one.name: one for one in runs.list_runs([tmp_path])}
    assert held["tagger"].state == "interrupted" and held["tagger"].key == "network_accuracy"
    assert (held["tagger"].step, held["tagger"].steps) == (4, 6)
    for name in ("tagger", "classes"):
        page.write(tmp_path / "old" / name, nothing)
    found = contents.contents(tmp_path / "old" / "tagger", nothing)
    assert found["time"]["whole_s"] > 0 and found["best"]["metrics"].keys() == {"network_accuracy", "loss"}


def test_a_fitted_run_plans_no_steps(trained):
    held = summary.summed_up(trained("tabular-classification-lightgbm"))
    assert held.state == "finished" and held.steps is None and held.step > 0


# --- show ---


def test_everything_of_a_run(classifiers, invoke):
    said = invoke("runs", "show", classifiers[0])
    for words in ("finished", "model.channels", "[8, 16]", "accuracy", "step-00000008", "of which validation about"):
        assert words in said.stdout
    assert "train.ema" not in said.stdout  # as it is by default
    found = json.loads(invoke("runs", "show", classifiers[0], "--json").stdout)
    assert found == contents.contents(classifiers[0], nothing)
    fails(invoke("runs", "show", classifiers[0], "--json", "--html"), 2, "leave one of them out")
    own = configs.load(classifiers[0] / "config.yaml")
    assert len(found["settings"]) == len({one["key"] for one in found["settings"]}) == len(list(settings_of(own)))
    steps = next(one for one in found["settings"] if one["key"] == "train.steps")
    assert steps == {"key": "train.steps", "value": 8, "default": 1000, "is_default": False, "is_required": False}


def test_time_is_told_apart():
    """Ten steps of two seconds each; a validation takes five, whether or not it falls on a line of the log."""
    aligned = [
        {"step": 1, "elapsed_s": 2.0, "train/loss": 1.0, "train/images_per_s": 10.0},
        {"step": 5, "elapsed_s": 10.0, "train/loss": 1.0, "train/images_per_s": 30.0},
        {"step": 5, "elapsed_s": 15.0, "valid/loss": 1.0},
        {"step": 8, "elapsed_s": 26.0, "valid/loss": 1.0},
    ]
    assert contents.time_spent(aligned) == {"whole_s": 26.0, "validating_s": 10.0, "per_second": {"images_per_s": 20.0}}
    assert contents.time_spent([]) == {"whole_s": 0.0, "validating_s": 0.0, "per_second": {}}


def test_the_page_is_written_and_named_where_there_is_no_browser(copied, invoke, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runs.webbrowser, "open", lambda url: nothing("there is no screen"))
    said = invoke("runs", "show", copied, "--open")
    assert said.exit_code == 0 and said.stdout.strip() == str(copied / "report.html") and "open" in said.stderr
    monkeypatch.setenv("DISPLAY", ":0")
    opened: list[str] = []
    monkeypatch.setattr(runs.webbrowser, "open", lambda url: opened.append(url) or True)
    said = invoke("runs", "show", copied, "--open")
    assert opened == [(copied / "report.html").resolve().as_uri()] and said.stderr == ""
    assert invoke("runs", "show", copied, "--html").stdout.strip() == str(copied / "report.html") and len(opened) == 1


HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def test_nothing_from_outside_is_obeyed(copied):
    """Names of classes and inputs are data of strangers."""
    lines = [
        {"input": HOSTILE, "reference": HOSTILE, "prediction": "b", "probability": 0.9, "probability_of_reference": 0.1}
    ]
    lines += [{"nothing": 1}, [], lines[0] | {"probability": "0.9"}, lines[0] | {"reference": []}]
    (copied / "eval" / "test.predictions.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"torn'
    )
    said: list[str] = []
    text = page.write(copied, said.append).read_text("utf-8")
    assert (
        text.count("<script") == 2
        and "onerror=alert(1)>" in text
        and "<img" not in text.split('id="data">')[1].split("</script>")[0]
    )
    assert "default-src 'none'" in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert len(said) == 1 and "5 lines are no answers" in said[0]


def test_the_worst_answers(tmp_path):
    def found(gives: str, *lines: dict) -> answers.Answers:
        (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return answers.answers(tmp_path / "x.jsonl", gives, nothing)

    sure, unsure, right = (
        {"input": name, "reference": "a", "prediction": said, "probability": p}
        for name, said, p in (("1", "b", 0.9), ("2", "b", 0.5), ("3", "a", 1.0))
    )
    assert found("labels", right, unsure, sure) == ([sure, unsure], ["a", "b"], [[1, 2], [0, 0]])
    numbers = [{"input": str(n), "reference": 0.0, "prediction": float(n)} for n in (1, -30, *range(2, 30))]
    assert [one["prediction"] for one in found("number", *numbers).worst] == [-30.0, *range(29, 6, -1)]
    text = [{"reference": "你好", "prediction": said} for said in ("你好", "泥好", "泥号")]
    assert found("text", *text).worst == [text[2], text[1]]
    assert found("vector", {"mse": 0.1}, {"mse": 0.2}).worst == [{"mse": 0.2}, {"mse": 0.1}]
    assert found("image", {"seed": 1}) == answers.answers(tmp_path / "none", "labels", nothing) == ([], [], [])


def test_pictures_of_mistakes_are_there_as_long_as_the_data_are(classifiers, prepared):
    worst = page.shown(classifiers[1], nothing)["evaluations"][0]["worst"]
    assert worst and all(one["picture"].startswith("data:image/png;base64,") for one in worst)
    with gone(prepared(CNN)):
        found = page.shown(classifiers[1], nothing)["evaluations"][0]
    assert found["worst"] and not any(one["picture"] for one in found["worst"])
    assert "mistakes" in [one["name"] for one in found["pictures"]]


def test_a_page_has_room_for_so_much(classifiers, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(page, "ALL_BYTES", 30_000)
    monkeypatch.setattr(page, "POINTS", 2)
    found = page.shown(classifiers[0], said.append)
    assert said and all("is not in the page" in line for line in said)
    assert all(len(points) <= 2 and points[-1][0] == 8 for points in found["series"]["loss"].values())


# --- compare ---


def test_differences_are_those_that_evaluate_finds(classifiers, tmp_path):
    """In pairs, from what each evaluation kept, without loading a model."""
    one, other = classifiers
    evaluate([other], baseline=one, output=str(tmp_path))
    told = json.loads((tmp_path / "test.json").read_text())["baseline"]["differences"]
    found = compared([one, other], nothing)["evaluations"][0]
    assert found["name"] == "test" and found["not_compared"][1] == ""
    for figure in found["figures"]:
        mine = figure["differences"][1]
        assert mine["by"] == "paired" and {key: mine[key] for key in told[figure["name"]]} == told[figure["name"]]


def test_settings_that_differ_and_figures_side_by_side(classifiers, invoke):
    said = invoke("runs", "compare", *classifiers)
    for words in ("model.kind", "cnn", "mlp", "accuracy", ", p "):
        assert words in said.stdout
    assert "model.kind" in [
        one["key"] for one in json.loads(invoke("runs", "compare", *classifiers, "--json").stdout)["settings"]
    ]
    fails(invoke("runs", "compare", classifiers[0]), 2, "two runs or more")


def figure(found: dict, name: str) -> dict:
    return next(one for one in found["figures"] if one["name"] == name)


def test_where_there_are_no_pairs_intervals_are_said_to_overlap_or_not(classifiers, copied):
    report = json.loads((copied / "eval" / "test.json").read_text())
    del report["resamples"], report["seal"]
    report["metrics"]["accuracy"] = {"value": 0.001, "low": 0.0, "high": 0.002}
    write_json(copied / "eval" / "test.json", report)
    found = compared([classifiers[0], copied], nothing)["evaluations"][0]
    accuracy, loss = (figure(found, name)["differences"][1] for name in ("accuracy", "loss"))
    assert (accuracy["by"], accuracy["significant"]) == ("intervals", True)
    assert (loss["by"], loss["significant"], loss["value"]) == ("intervals", None, 0.0)


def test_what_cannot_be_compared_says_why(classifiers, copied, invoke, trained):
    report = json.loads((copied / "eval" / "test.json").read_text())
    del report["seal"]
    write_json(copied / "eval" / "test.json", report | {"data_hash": "0" * 64})
    found = compared([classifiers[0], copied], nothing)["evaluations"][0]
    assert found["not_compared"][1] == "other data" and figure(found, "accuracy")["differences"][1] is None
    assert "other data" in invoke("runs", "compare", classifiers[0], copied).stderr
    RunDir(copied).note(vocabulary="0" * 64)
    write_json(copied / "eval" / "test.json", report)
    said = compared([classifiers[0], copied], nothing)["evaluations"][0]["not_compared"][1]
    assert said.startswith("other classes") and f"--baseline {classifiers[0]}" in said
    (copied / "eval" / "test.json").unlink()
    assert "has no such report" in compared([classifiers[0], copied], nothing)["evaluations"][0]["not_compared"][1]
    fails(invoke("runs", "compare", classifiers[0], trained("autoencoder")), 4, "different tasks")


def test_resamples_of_another_report_are_refused(classifiers, copied, invoke):
    flipped(copied / "eval" / "test.resamples.safetensors")
    fails(invoke("runs", "compare", classifiers[0], copied), 4, "resamples", "bmtool evaluate")


# --- plot ---


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_curves_of_several_runs_in_one_picture(classifiers, invoke, tmp_path):
    said = invoke("runs", "plot", *classifiers, "--figure", "loss", "--output", tmp_path / "new" / "x.png")
    assert said.stdout.strip() == str(tmp_path / "new" / "x.png")
    small = size(tmp_path / "new" / "x.png")
    invoke("runs", "plot", *classifiers, "--output", tmp_path / "all.png")
    assert size(tmp_path / "all.png") > small
    fails(invoke("runs", "plot", *classifiers, "--figure", "los"), 2, "--figure", "loss")


def test_a_picture_bears_the_name_of_its_run_and_its_best_step(tmp_path, monkeypatch, drawn):
    from bmtool.engine import plots

    canvases: list[plots.plt.Figure] = []
    monkeypatch.setattr(
        plots, "save", lambda canvas, path, dpi: canvases.append(canvas) or plots.plt.close(canvas) or path
    )
    points = {"train": [(1, 2.0), (2, 1.0)], "valid": [(2, 1.5), (4, 1.2)]}
    plots.curves(plots.Drawn("我的 $run", {"loss": points, "rate": {"train": points["train"]}}, 4), tmp_path)
    loss, rate = (canvas.axes[0] for canvas in canvases)
    assert loss.get_title() == rate.get_title() == "我的 $run"
    assert "best: step 4" in [line.get_label() for line in loss.get_lines()] and len(rate.get_lines()) == 1
    plots.overlaid(
        [plots.Drawn("a", {"loss": points}, 4), plots.Drawn("b", {"loss": points}, None)], ["loss"], tmp_path / "x"
    )
    assert {"a", "b"} <= {text.get_text() for text in canvases[-1].legends[0].get_texts()}
    assert [line.get_xdata() for line in canvases[-1].axes[0].get_lines() if line.get_marker() == "*"] == [[4]]


def test_a_run_with_a_name_that_the_font_lacks_is_drawn(tmp_path, drawn):
    from bmtool.engine import plots

    run = plots.Drawn("拼音", {"loss": {"valid": [(1, 1.0), (2, 0.5)]}}, 2)
    for picture in (plots.overlaid([run], ["loss"], tmp_path / "x.png"), *plots.curves(run, tmp_path)):
        assert picture.read_bytes()[:4] == b"\x89PNG"


# --- watch ---


@contextlib.contextmanager
def watching(run: Path):
    """A watching process: (its address, itself)."""
    port = free_port()
    command = [sys.executable, "-m", "bmtool", "runs", "watch", str(run), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            base = f"http://127.0.0.1:{port}"
            assert f"{base}/" in line, line + process.stderr.read()
            for _ in range(100):
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(base)
                    break
                time.sleep(0.1)
            yield base, process
        finally:
            process.kill()


def test_a_run_is_watched_until_a_signal(copied):
    with watching(copied) as (base, process):
        front = httpx.get(base)
        assert "unsafe" not in front.headers["content-security-policy"] and front.headers["x-frame-options"] == "DENY"
        whole = httpx.get(f"{base}/v1/run").json()
        assert whole["run"]["state"] == "finished" and whole["events"] > 2 and whole["run"]["series"]["loss"]["valid"]
        assert httpx.get(f"{base}/v1/run", headers={"host": "evil.example"}).status_code == 421
        assert httpx.get(f"{base}/v1/nothing").status_code == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_only_what_is_new_is_sent(copied):
    from bmtool.serve.watching import Watched

    watched = Watched(copied, nothing)
    first = watched.since(0, -1)
    assert watched.since(first["events"], first["generation"])["events"] == 0
    RunDir(copied).event(step=9, **{"valid/loss": 0.5})
    with (copied / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 10, "torn')
    new = watched.since(first["events"], first["generation"])
    assert new["events"] == 1 and new["run"]["series"] == {"loss": {"valid": [(9, 0.5)]}}
    # A training that goes on forgets what it will do again, and writes the file anew.
    RunDir(copied).forget_after(4, lambda message: None)
    anew = watched.since(first["events"] + 1, first["generation"])
    assert anew["generation"] != first["generation"] and anew["events"] == len(Record(copied).events())


def test_watching_needs_a_run_and_a_port(invoke, copied, tmp_path):
    fails(invoke("runs", "watch", tmp_path), 4, "not a run directory")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fails(invoke("runs", "watch", copied, "--port", taken.getsockname()[1]), 6, "--port")


# --- in a browser ---


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_a_page_in_a_browser(browser, copied):  # noqa: F811
    export_onnx(copied)
    place = page.write(copied, nothing)
    found = contents.contents(copied, nothing)
    shown = open_page(browser, place.as_uri(), color_scheme="dark", viewport={"width": 1100, "height": 900})
    value = found["figures"]["accuracy"]["value"]
    assert shown.inner_text(".tile.key b") == f"{value:.4f}" and shown.inner_text("#state") == "finished"
    text = shown.inner_text("main")
    for words in (
        "Evaluation: test",
        "Confusion",
        "The worst answers",
        "model.channels",
        "step-00000008 (best)",
        "model.onnx",
    ):
        assert words in text
    assert shown.locator(".chart").count() == len(page.shown(copied, nothing)["series"])
    counts = [int(cell) for cell in shown.locator(".confusion td").all_inner_texts() if cell]
    assert sum(counts) == found["evaluations"][0]["examples"]
    assert all(shown.locator("img").evaluate_all("all => all.map((one) => one.complete && one.naturalWidth > 0)"))
    dark = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    shown.emulate_media(color_scheme="light")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    shown.locator(".chart svg").first.hover()
    assert "step" in shown.locator(".chart h3 .soft").first.inner_text()
    shown.click("#language")
    for words in ("混淆矩阵", "最差的回答", "准确率", "已完成"):
        assert words in shown.inner_text("main")
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.set_viewport_size({"width": 390, "height": 800})
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.errors == []
    shown.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_hostile_names_in_a_browser(browser, copied):  # noqa: F811
    line = {
        "input": HOSTILE,
        "reference": HOSTILE,
        "prediction": "<b>b</b>",
        "probability": 0.9,
        "probability_of_reference": 0.1,
    }
    (copied / "eval" / "test.predictions.jsonl").write_text(json.dumps(line) + "\n")
    shown = open_page(browser, page.write(copied, nothing).as_uri())
    assert "<img src=x onerror=alert(1)>" in shown.inner_text(".confusion") and "<b>b</b>" in shown.inner_text("main")
    assert shown.locator("img[src=x]").count() == 0 and shown.errors == []
    shown.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_watching_in_a_browser(browser, copied):  # noqa: F811
    from playwright import sync_api

    RunDir(copied).note(ended=None)
    with watching(copied) as (base, process):
        with RunDir(copied).lock():
            shown = open_page(browser, base)
            shown.wait_for_selector(".state.running")
            RunDir(copied).event(step=9, elapsed_s=99.0, **{"valid/loss": 0.125})
            sync_api.expect(shown.locator("main")).to_contain_text("0.125")
        RunDir(copied).end({"step": 8})
        shown.wait_for_selector(".state.finished")
        assert shown.errors == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        shown.wait_for_selector("#problem:not([hidden])")
        shown.close()
