"""bmtool from Python: train, look, ask, measure, export."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import DIGITS, ROOT, events, inside

import bmtool
from bmtool.api import Model, Run
from bmtool.base.console import Terminal
from bmtool.commands.selfcheck import differences
from bmtool.commands.train import pretrain
from bmtool.config import given, shipped
from bmtool.config.load import load
from bmtool.engine.session import Session
from bmtool.errors import BmtoolError, ConfigError, DataError, GateMissed

PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(scope="module")
def settings(classifier):
    """The same as `classifier`, as a program says it."""
    return dict(setting.split("=", 1) for setting in classifier) | {
        "model": {"kind": "mlp", "widths": [8]}, "train.threads": 1, "train.steps": 8, "train.batch_size": 64, "train.validate_every": 2,
        "train.save_every": 4, "train.log_every": 3, "train.ema": 0.0, "schedule.warmup_steps": 0, "augment": {"crop": 0, "rotation": 0.0},
        "augment.crop": 0, "augment.rotation": 0.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory) -> Run:
    return bmtool.train(DIGITS, **settings, run=tmp_path_factory.mktemp("api") / "run")


def fresh(code: str, *arguments: object, **more) -> subprocess.CompletedProcess:
    """Of a program of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, **more)


# --- the page ---


def ran(page: Path, folder: Path) -> list[str]:
    """What the program of a page says in an empty folder, as to one who has no repository."""
    program = "".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_program_of_the_readme_runs(name, tmp_path):
    first, figure, label = ran(ROOT / name, tmp_path)
    assert first == "你好世界" and float(figure.split()[0]) > 0.5 and label in ("in time", "late")


def test_the_page_is_a_program_that_runs(tmp_path):
    said = ran(PAGE, tmp_path)
    assert said[0] == "finished 400" and {"32", "600", "你好世界", "['再見', '謝謝']"} <= set(said)
    assert said[-1] == "override: train.stepz: unknown key; did you mean 'steps'?"


# --- imports ---


def test_importing_bmtool_is_light():
    done = fresh("import sys, bmtool\nprint(*{name.partition('.')[0] for name in sys.modules})")
    assert not set(done.stdout.split()) & {
        "torch",
        "numpy",
        "onnxruntime",
        "pydantic",
        "typer",
        "rich",
        "matplotlib",
        "yaml",
    }


def test_an_export_answers_without_torch():
    code = "import sys, bmtool\nprint(bmtool.load().predict('ni hao').text)\nprint('torch' in sys.modules, 'matplotlib' in sys.modules)"
    assert fresh(code, env={**os.environ, "PYTHONIOENCODING": "utf-8"}).stdout.split() == ["你好", "False", "False"]


def test_all_that_is_promised_is_there_with_types():
    assert all(callable(getattr(bmtool, name)) and getattr(bmtool, name).__doc__ for name in bmtool.__all__)
    assert (ROOT / "bmtool" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        bmtool.fit  # noqa: B018


# --- training ---


def test_python_trains_what_the_shell_trains(run, classifier, tmp_path):
    assert differences(pretrain(DIGITS, [*classifier, f"run={tmp_path / 'run'}"]), run.path) == []


def test_a_run_tells_what_it_is(run):
    assert run.config.train.batch_size == 64 and run.summary.state == "finished" and repr(run) == f"Run('{run.path}')"
    rows = run.metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 6, 8]
    assert rows[-1].keys() >= {"train/loss", "valid/accuracy", "elapsed_s"} and "valid/accuracy" not in rows[0]
    assert {(e["step"], k, v) for e in events(run.path) for k, v in e.items() if k != "elapsed_s"} == {
        (row["step"], k, v) for row in rows for k, v in row.items() if k != "elapsed_s"
    }
    best = (run.path / "checkpoints" / "best").read_text().strip()
    kept = json.loads((run.path / "checkpoints" / best / "manifest.json").read_text())["metrics"]
    assert bmtool.Run(str(run.path)).figures.keys() == kept.keys()


def test_metrics_become_a_table_of_pandas(run):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(run.metrics()).set_index("step")
    assert table["valid/accuracy"].dropna().index.tolist() == [2, 4, 6, 8]


def test_a_run_is_measured_exported_and_asked(run, settings, capsys, tmp_path):
    found = run.evaluate()
    assert capsys.readouterr().out == ""
    accuracy = found.figures["accuracy"]
    assert accuracy.low <= accuracy.value <= accuracy.high and found.differences == {}
    assert run.figures["accuracy"] == accuracy.value
    compared = run.evaluate("valid", baseline=run)
    assert compared.differences["accuracy"].value == 0
    assert re.fullmatch(
        r"Evaluated\(.* examples: accuracy 0\.\d{4} \(0\.\d{4} - [01]\.\d{4}\), .*\)", repr(run.evaluate())
    )
    with pytest.raises(GateMissed):
        run.evaluate(require=["accuracy>=1.01"])
    with pytest.raises(GateMissed):
        run.evaluate(require="accuracy>=1.01")
    path = run.export(tmp_path / "model.onnx")
    picture = ROOT / "data" / "images" / "digits" / "3.png"
    ours, theirs = run.model().predict(picture, top=2), bmtool.load(path).predict(picture, top=2)
    assert ours.distance(theirs) < 1e-3 and len(ours.classes) == 2
    assert bmtool.load(run).predict(picture).label == bmtool.load(str(run.path)).predict([picture])[0].label
    assert repr(bmtool.load(path)) == f"Model('{path}'): image-classification, takes image, gives labels"
    assert bmtool.load(path).options == ("top",) and isinstance(bmtool.load(path), Model)
    tuned = bmtool.finetune(DIGITS, run, **settings, run=str(tmp_path / "tuned"))
    assert json.loads((tuned.path / "run.json").read_text())["parent"] == str(run.path)


def test_a_folder_with_a_model_in_it_is_no_run_and_says_which_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(DataError, match=r"is no run directory: name the model in it, .*model\.onnx"):
        bmtool.load(tmp_path)


def test_the_same_call_goes_on(settings, tmp_path):
    constant = settings | {"schedule.name": "constant", "run": tmp_path / "run"}
    bmtool.train(DIGITS, **constant)
    longer = bmtool.train(DIGITS, **constant | {"train.steps": 12})
    assert longer.metrics()[-1]["step"] == 12


def test_errors_are_exceptions(settings, tmp_path):
    for wrong, error, words in [
        ({"train.stepz": 3}, ConfigError, "override: train.stepz: unknown key; did you mean 'steps'"),
        ({"train": {"steps": "many"}}, ConfigError, "override: train.steps: expected an integer, got 'many'"),
    ]:
        with pytest.raises(error, match=words):
            bmtool.train(DIGITS, **settings | wrong, run=tmp_path / "run")
    for call in (lambda: bmtool.Run(tmp_path), lambda: bmtool.load(tmp_path / "none")):
        with pytest.raises(DataError):
            call()
    assert issubclass(DataError, BmtoolError) and not (tmp_path / "run").exists()


# --- interruptions, threads, notebooks ---


def test_ctrl_c_saves_and_raises(settings, tmp_path, monkeypatch):
    after = Session._after

    def interrupted(self, stepped, until):
        after(self, stepped, until)
        if stepped.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_after", interrupted)
        with pytest.raises(KeyboardInterrupt, match="after step 5, state saved"):
            bmtool.train(DIGITS, **settings, run=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "step-00000005").is_dir() and signal.getsignal(signal.SIGINT) is before
    assert bmtool.train(DIGITS, **settings, run=tmp_path / "run").metrics()[-1]["step"] == 8


def test_a_thread_may_train(settings, run, tmp_path):
    made = []
    thread = threading.Thread(target=lambda: made.append(bmtool.train(DIGITS, **settings, run=tmp_path / "run")))
    thread.start()
    thread.join()
    assert differences(run.path, made[0].path) == []


def test_a_notebook_gets_lines(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not Terminal(stderr=True).is_jupyter


def test_where_pictures_open_is_left_as_it_was(settings, tmp_path):
    code = (
        "import sys, json, matplotlib, bmtool\nmatplotlib.use('svg')\n"
        "bmtool.train(sys.argv[1], **json.loads(sys.argv[2]))\nprint(matplotlib.get_backend())"
    )
    given = settings | {"run": str(tmp_path / "run"), "train.steps": 2}
    assert fresh(code, DIGITS, json.dumps(given)).stdout.strip() == "svg"


# --- configurations ---


def test_a_config_is_a_file_a_name_or_a_dict(tmp_path):
    said: list[str] = []
    file = load(DIGITS, ["train.steps=70", "run=x"])
    overrides = {"train": {"steps": 70}, "run": Path("x")}
    assert given.config(DIGITS, overrides, said.append) == file
    assert given.config("image-classification/digits", overrides, said.append) == file
    assert given.config(file.model_dump(), {}, said.append) == file
    assert given.config("photos", {}, said.append).run == "runs/photos"
    assert said == []


def test_a_section_of_a_kind_stands_in_the_place_of_another():
    config = given.config(DIGITS, {"model": {"kind": "mlp", "widths": (4, 5)}}, print)
    assert config.model.widths == [4, 5]
    assert given.config(DIGITS, {"optim": {"lr": 0.5}}, print).optim == load(DIGITS, ["optim.lr=0.5"]).optim


def test_sample_data_are_found_wherever_one_is(tmp_path):
    said: list[str] = []
    with inside(tmp_path):
        config = given.config("pinyin2hanzi", {}, said.append)
    assert Path(config.data.sources[0].path).is_dir() and Path(config.data.sources[0].path).is_absolute()
    assert said == [
        f"data/pinyin2hanzi/sentences is not here: the sample that comes with bmtool is used, {config.data.sources[0].path}"
    ]


@pytest.mark.parametrize("name, words", [
    ("digits", "several configs called 'digits': image-classification/digits, autoencoder/digits, gan/digits"),
    ("image-classification/digit", "did you mean 'image-classification/digits'"),
    ("none.yaml", "cannot read none.yaml"),
])  # fmt: skip
def test_a_name_that_means_none_or_several_is_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        bmtool.train(name)


def test_every_config_that_ships_has_a_name():
    assert all(shipped.called(f"{one.task}/{one.name}") == one for one in shipped.configs())


def test_a_run_is_the_same_wherever_the_program_goes(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.path.parent)
    near = bmtool.Run(run.path.name)
    monkeypatch.chdir(tmp_path)
    assert near.figures == run.figures and near.metrics() == run.metrics() != [] and near.summary.state == "finished"


def test_no_name_is_not_the_model_in_the_box():
    with pytest.raises(BmtoolError, match="no model is named"):
        bmtool.load("")
