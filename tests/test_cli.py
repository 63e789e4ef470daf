"""The command line as people meet it: fast start, results on stdout, one clear line on stderr, the right exit code."""

import bz2
import errno
import gzip
import json
import lzma
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import zstandard
from conftest import ROOT, bmtool, config_path, gone, sets
from onnx import TensorProto, helper
from rich.table import Table

from bmtool.base.console import Console, answer, visible, warn
from bmtool.engine import checkpoint, export
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Allowed, Loss
from bmtool.predict.assets import Packed
from bmtool.tasks.pinyin2hanzi.task import Task


def imported_by(*arguments: str, stdin: str = "") -> set[str]:
    """Top-level modules that a command has loaded when it ends."""
    code = (
        "import sys\nfrom bmtool import cli\n"
        "try:\n    cli.app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('MODULES', ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, input=stdin, cwd=ROOT
    )
    return set(done.stdout.rsplit("MODULES ", 1)[1].split())


def test_help_imports_nothing_heavy():
    assert not imported_by("--help") & {
        "torch",
        "numpy",
        "onnx",
        "onnxruntime",
        "yaml",
        "pydantic",
        "pypinyin",
        "matplotlib",
    }


def test_translating_with_an_exported_model_imports_no_torch(exported):
    loaded = imported_by("translate", "--model", str(exported("tagger")), "ni hao")
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "pypinyin", "matplotlib", "yaml"}


def fails(result, code: int, *words: str) -> None:
    """The exit code, and a message on stderr that starts with `bmtool:` and holds every word."""
    assert result.exit_code == code, result.stderr
    assert "bmtool: " in result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("setting, words", [
    ("train.stepz=3", ["--set", "did you mean 'steps'"]),
    ("train.steps=many", ["train.steps", "expected an integer, got 'many'"]),
    ("model.kind=taggr", ["did you mean 'tagger'"]),
    ("nothing", ["key.sub=value"]),
])  # fmt: skip
def test_wrong_settings(setting, words, invoke):
    fails(invoke("pretrain", config_path("tagger"), "--set", setting), 2, *words)


@pytest.mark.parametrize("arguments, code, word", [
    (["pretrain", "no.yaml"], 2, "cannot read no.yaml"),
    (["evaluate", "nowhere"], 4, "no such run or model"),
    (["evaluate", "configs"], 4, "not a run directory"),
    (["translate", "--model", "no.onnx", "ni hao"], 4, "no such file"),
    (["export-onnx", "nowhere"], 4, "not a run directory"),
])  # fmt: skip
def test_missing_things(arguments, code, word, invoke):
    fails(invoke(*arguments), code, word)


def test_usage_errors_exit_2(exported, invoke):
    fails(invoke("translate", "--n-best", "0", "--model", exported("tagger"), "ni"), 2, "--n-best")
    assert invoke("translate", "--n-best", "many", "ni").exit_code == 2
    assert invoke("no-such-command").exit_code == 2


def test_a_flag_that_a_model_lacks_is_named_with_those_it_has(exported, invoke):
    image = ROOT / "data" / "images" / "digits" / "3.png"
    classifier = exported("image-classification")
    fails(invoke("predict", classifier, image, "--context", "x"), 2, "--context", "image-classification", "--top")
    fails(invoke("predict", classifier, image, "--n-best", "2"), 2, "--n-best")
    fails(invoke("predict", exported("autoencoder"), image, "--top", "2"), 2, "--top", "no options")
    fails(invoke("predict", classifier, image, "--top", "0"), 2, "--top")


def test_what_comes_from_data_is_shown_and_never_obeyed(monkeypatch, capsys):
    odd = "a\x1b[2Jb\x9b\u202e\udcff\tc"
    assert visible(odd) == "a\\x1b[2Jb\\x9b\\u202e\\udcff\tc" and visible("汉字 é\n") == "汉字 é\n"
    table = Table(title=odd)
    table.add_column(odd)
    table.add_row(odd)
    console = Console()
    console.say(odd)
    console.table(table)
    warn(odd)
    assert capsys.readouterr().err.count("\\x1b[2J") == 5
    answer("a\x1b[2J")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    answer("a\x1b[2J")
    assert capsys.readouterr().out == "a\x1b[2J\na\\x1b[2J\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_file_whose_name_is_not_utf_8_is_answered(form, exported, invoke, tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff.png")
    shutil.copy(ROOT / "data" / "images" / "digits" / "3.png", odd)
    result = invoke("predict", exported("image-classification"), odd, *form)
    assert result.exit_code == 0, result.stderr
    assert "\\udcff.png" in result.stdout
    fails(invoke("predict", exported("image-classification"), tmp_path, *form), 4, "not UTF-8")


def test_paths_of_the_command_line_are_expanded(exported, invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("MODELS", str(exported("tagger").parent))
    monkeypatch.setenv("HOME", str(exported("tagger").parent))
    name = exported("tagger").name
    for written in (f"$MODELS/{name}", f"${{MODELS}}/{name}", f"~/{name}"):
        assert invoke("translate", "--model", written, "ni hao").exit_code == 0
    fails(invoke("translate", "--model", "$NO_SUCH/x.onnx", "ni"), 2, "NO_SUCH is not set")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "$NO_SUCH.txt").write_text("ni hao\n", encoding="utf-8")
    assert invoke("translate", "--model", exported("tagger"), "--input", "$NO_SUCH.txt").exit_code == 0


def test_top_is_another_name_of_n_best(exported, invoke):
    asked = ["predict", exported("tagger"), "ni hao", "--json"]
    ours, theirs = (json.loads(invoke(*asked, flag, "3").stdout) for flag in ("--top", "--n-best"))
    assert ours == theirs and len(ours["n_best"]) == 3


def test_predict_reads_lines_of_a_file_and_of_standard_input(exported, invoke, tmp_path):
    (tmp_path / "lines.txt").write_text("ni hao\n\nxie xie\n", encoding="utf-8")
    asked = ["predict", exported("tagger")]
    said = invoke(*asked, "ni hao", "", "xie xie")
    assert said.exit_code == 0 and said.stdout.count("\n") == 3
    assert invoke(*asked, tmp_path / "lines.txt").stdout == said.stdout
    assert invoke(*asked, "-", stdin="ni hao\n\nxie xie\n").stdout == said.stdout
    (tmp_path / "latin.txt").write_bytes("ni hao\n\u00e9".encode("latin-1"))
    fails(invoke(*asked, tmp_path / "latin.txt"), 4, "latin.txt:2 is not UTF-8")


@pytest.mark.parametrize("command", ["translate", "annotate"])
def test_a_file_that_is_named_as_text_is_text_and_said(command, invoke, tmp_path):
    (tmp_path / "zh.txt").write_text("ni hao\n", encoding="utf-8")
    result = invoke(command, tmp_path / "zh.txt")
    assert result.exit_code == 0 and result.stdout.strip().endswith("zh.txt")
    assert "is taken as text" in result.stderr and "--input" in result.stderr


def test_what_would_show_nowhere_is_refused(exported, invoke):
    tagger = exported("tagger")
    fails(invoke("translate", "--model", tagger, "--explain", "--json", "ni"), 2, "--explain", "--json")
    fails(invoke("translate", "--model", tagger, "--explain", "-i"), 2, "--explain", "--interactive")
    fails(invoke("translate", "--model", tagger, "--alternatives", "ni"), 2, "--alternatives", "--json")
    fails(invoke("predict", tagger, "--alternatives", "ni"), 2, "--alternatives", "--json")


# -- prepare-data ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def prepare(invoke, settings, tmp_path):
    """`prepare(bytes, name)`: prepare-data on a file of these bytes; returns (result, manifest or None)."""

    def run(content: bytes, name: str = "text.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        target = tmp_path / "prepared"
        result = invoke(
            "prepare-data",
            config_path("tagger"),
            *sets([*settings("tagger"), f"data.sources=[{path}]", f"data.prepared={target}"]),
        )
        manifest = target / "manifest.json"
        return result, json.loads(manifest.read_text("utf-8")) if manifest.is_file() else None

    return run


GOOD = "\n".join(
    f"这是第{n}个句子,我们今天学习{w}。" for n in "一二三四五六七八九十" for w in ("中文", "英文", "数学", "历史")
).encode()


def dropped(manifest: dict) -> dict:
    (source,) = manifest["sources"].values()
    return source["dropped"]


@pytest.mark.parametrize("bad, reason", [
    (b"\xff\xfe\xfa\xc4\xe3\n", "not UTF-8"),
    ("你好\0世界\n".encode(), "NUL byte"),
    ("长".encode() * 4_000_000 + b"\n", "line longer than 1 MiB"),
    (b"\n", "empty line"),
    (b"no hanzi here\n", "fewer than 2 hanzi"),
    ("你好你好。\n你好你好。\n".encode(), "duplicate"),
])  # fmt: skip
def test_bad_lines_are_counted_and_the_rest_is_kept(bad, reason, prepare):
    result, manifest = prepare(bad + GOOD)
    assert result.exit_code == 0, result.stderr
    assert dropped(manifest)[reason] == 1
    assert reason in result.stderr
    assert sum(split["examples"] for split in manifest["splits"].values()) >= 40
    assert reason != "not UTF-8" or "encoding: gb18030" in result.stderr


def test_an_empty_corpus_is_a_data_error(prepare):
    result, manifest = prepare(b"")
    fails(result, 4, "nothing to train on")
    assert manifest is None


def test_a_directory_of_something_else_is_never_replaced(invoke, settings, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    fails(
        invoke("prepare-data", config_path("tagger"), *sets([*settings("tagger"), f"data.prepared={tmp_path}"])),
        4,
        "something else",
    )
    assert (tmp_path / "thesis.tex").exists()


def test_a_missing_source_is_a_data_error(invoke, settings, tmp_path):
    values = [*settings("tagger"), "data.sources=[nowhere/*.txt]", f"data.prepared={tmp_path / 'p'}"]
    fails(invoke("prepare-data", config_path("tagger"), *sets(values)), 4, "nowhere/*.txt")


@pytest.mark.parametrize("line, reason", [
    ("xq hao\t你好", "pinyin is no syllable"),
    ("ni\t你好", "pinyin and hanzi differ in length"),
    ("ni ,\t你好", "pinyin and hanzi do not line up"),
    ("ni hao", "not 2 columns (pinyin, hanzi)"),
])  # fmt: skip
def test_bad_pairs_are_counted(line, reason, prepare):
    good = [
        f"ni3 hǎo {s}\t你好{h}"
        for s, h in zip(["yi", "er", "san", "si", "wu", "liu", "qi", "ba", "jiu", "shi"], "一二三四五六七八九十")
    ]
    result, manifest = prepare("\n".join([line, *good * 1]).encode(), "pairs.tsv")
    assert result.exit_code == 0, result.stderr
    assert dropped(manifest) == {reason: 1}


def test_json_pairs(prepare):
    lines = [
        json.dumps({"pinyin": f"ni hao {s}", "hanzi": f"你好{h}"})
        for s, h in zip(["yi", "er", "san", "si", "wu"], "一二三四五")
    ]
    _, manifest = prepare("\n".join([*lines, '{"pinyin": 3}', "{"]).encode(), "pairs.jsonl")
    assert dropped(manifest) == {"no column pinyin, hanzi or text": 1, "not JSON": 1}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.compress])
def test_standard_input_plain_and_compressed(pack, settings, tmp_path):
    values = [*settings("tagger"), "data.sources=[-]", f"data.prepared={tmp_path / 'stdin'}"]
    command = [sys.executable, "-m", "bmtool", "prepare-data", config_path("tagger"), *sets(values)]
    done = subprocess.run(command, input=pack(GOOD), capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "stdin" / "manifest.json").read_text("utf-8"))
    assert manifest["sources"]["<stdin>"]["read"] == 40 and not dropped(manifest)


@pytest.fixture
def data(prepared):
    """What the settings of a tagger name is there."""
    return prepared("tagger")


# -- training -------------------------------------------------------------------------------------------------------------


def test_data_is_prepared_before_training_or_named_as_missing(invoke, settings, tmp_path):
    prepared = tmp_path / "none"
    values = [*settings("tagger", tmp_path / "run"), f"data.prepared={prepared}"]
    missing = sets([*values, f"data.sources=[{tmp_path / 'nothing'}]"])
    fails(invoke("pretrain", config_path("tagger"), *missing), 4, "nothing")
    result = invoke("pretrain", config_path("tagger"), *sets(values))
    assert result.exit_code == 0 and f"prepared {prepared}" in result.stderr, result.stderr
    shutil.rmtree(prepared)
    fails(invoke("evaluate", tmp_path / "run"), 4, "bmtool prepare-data")


def test_another_configuration_is_refused_with_the_keys_that_differ(trained, invoke, settings):
    run = trained("tagger")
    values = [*settings("tagger", run), "optim.lr=0.5", "model.width=64"]
    fails(
        invoke("pretrain", config_path("tagger"), *sets(values)), 2, "optim.lr", "0.5", "model.width", "--set run=DIR"
    )


def test_a_finished_run_says_so(trained, invoke, settings):
    result = invoke("pretrain", config_path("tagger"), *sets(settings("tagger", trained("tagger"))))
    assert result.exit_code == 0
    *_, said, following = result.stderr.splitlines()
    assert said.endswith("steps are done"), "keys that are not set are not told"
    assert following.startswith("next: bmtool evaluate ")


def test_a_run_of_another_task_is_refused(trained, invoke, settings, tmp_path):
    run = shutil.copytree(trained("tagger"), tmp_path / "run")
    info = json.loads((run / "run.json").read_text("utf-8"))
    (run / "run.json").write_text(json.dumps(info | {"task": "image-classification"}), encoding="utf-8")
    fails(invoke("pretrain", config_path("tagger"), *sets(settings("tagger", run))), 2, "image-classification")


def test_a_file_in_the_way_is_no_traceback(data, invoke, settings, tmp_path):
    (tmp_path / "taken").write_text("")
    fails(invoke("pretrain", config_path("tagger"), *sets(settings("tagger", tmp_path / "taken"))), 6, "taken")
    values = [*settings("tagger"), f"data.prepared={tmp_path / 'taken' / 'deeper'}"]
    fails(invoke("prepare-data", config_path("tagger"), *sets(values)), 6, "taken")


def test_a_disk_that_fills_while_preparing_leaves_nothing_half_done(invoke, settings, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    values = [*settings("tagger"), f"data.prepared={tmp_path / 'data'}"]
    fails(invoke("prepare-data", config_path("tagger"), *sets(values)), 6, "No space left")
    assert not (tmp_path / "data").exists()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]


def test_a_second_process_in_the_same_run_is_refused(data, invoke, settings, tmp_path):
    with RunDir(tmp_path / "run").lock():
        result = invoke("pretrain", config_path("tagger"), *sets(settings("tagger", tmp_path / "run")))
    fails(result, 6, "in use by another training")


def test_a_tampered_checkpoint_falls_back_to_the_one_before(trained, invoke, settings, tmp_path):
    run = shutil.copytree(trained("tagger"), tmp_path / "run")
    newest = run / "checkpoints" / "step-00000008" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x01")
    (run / "checkpoints" / "best").write_text("step-00000008\n")
    result = invoke("translate", "--model", run, "ni hao")
    assert result.exit_code == 0
    assert "step-00000008 cannot be used: model.safetensors differs from its sha256" in result.stderr


def test_all_checkpoints_damaged_is_said(trained, invoke, tmp_path):
    run = shutil.copytree(trained("tagger"), tmp_path / "run")
    for path in run.glob("checkpoints/*/model.safetensors"):
        path.write_bytes(b"torn")
    fails(invoke("evaluate", run), 4, "damaged")


def test_a_full_disk_is_said_and_nothing_is_lost(data, invoke, settings, tmp_path, monkeypatch):
    values = sets(settings("tagger", tmp_path / "run"))
    invoke("pretrain", config_path("tagger"), *values, "--set", "train.stop_after=4")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    fails(
        invoke("pretrain", config_path("tagger"), *values), 6, "No space left on device", "run the same command again"
    )
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.is_dir()] == ["step-00000004"]
    assert invoke("pretrain", config_path("tagger"), *values).exit_code == 0


def test_too_little_space_is_said_before_training(data, invoke, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    fails(invoke("pretrain", config_path("tagger"), *sets(settings("tagger", tmp_path / "run"))), 6, "free some space")


def test_a_loss_that_is_no_number_stops_with_advice(data, invoke, settings, tmp_path, monkeypatch):
    def loss(task, phase, batch):
        return Loss(math.nan * sum(weight.sum() for weight in task.modules["head"].parameters()), 1)

    monkeypatch.setattr(Task, "loss", loss)
    result = invoke("pretrain", config_path("tagger"), *sets(settings("tagger", tmp_path / "run")))
    fails(result, 6, "lower optim.lr")


def test_sigterm_saves_and_exits_130(data, settings, tmp_path):
    run = tmp_path / "run"
    values = sets(
        settings(
            "tagger",
            run,
            "train.steps=100000",
            "train.save_every=100000",
            "train.validate_every=100000",
            "train.log_every=1",
        )
    )
    command = [sys.executable, "-m", "bmtool", "pretrain", config_path("tagger"), *values]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stderr:
            if line.startswith("step 3/"):
                process.terminate()
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "state saved" in rest
    assert len(list((run / "checkpoints").glob("step-*"))) == 1


# -- finetune -------------------------------------------------------------------------------------------------------------


def test_finetune_freezes_scales_and_reports(trained, invoke, settings, tmp_path):
    parent = trained("tagger")
    values = sets(
        settings(
            "tagger", tmp_path / "run", "finetune.train=head", "finetune.last_blocks=1", "finetune.lr_scale={head: 0.1}"
        )
    )
    result = invoke("finetune", config_path("tagger"), "--from", parent, *values)
    assert result.exit_code == 0, result.stderr
    assert "tensors loaded" in result.stderr and "fixed" in result.stderr
    from bmtool.engine.checkpoint import Checkpoints

    old, new = (
        Checkpoints(run, print).weights(name)
        for run, name in ((parent, Checkpoints(parent, print).best()), (tmp_path / "run", "step-00000008"))
    )
    moved = {name for name in old if not np.array_equal(old[name].numpy(), new[name].numpy())}
    assert moved and all(name.startswith(("head.", "backbone.encoder.blocks.0.")) for name in moved)


def test_a_finetuning_goes_on_however_its_parent_is_written(trained, invoke, settings, tmp_path, monkeypatch):
    parent = trained("tagger")
    monkeypatch.chdir(parent.parent)
    command = ["finetune", config_path("tagger"), *sets(settings("tagger", tmp_path / "run"))]
    assert invoke(*command, "--from", parent.name, "--set", "train.stop_after=2").exit_code == 0
    result = invoke(*command, "--from", parent)
    assert result.exit_code == 0 and "resuming from step-00000002" in result.stderr, result.stderr
    other = shutil.copytree(parent, tmp_path / "other")
    fails(invoke(*command, "--from", other), 2, "parent: ", "other")


def test_finetune_keeps_the_n_grams_of_its_parent(trained, invoke, settings, tmp_path):
    values = sets(settings("tagger", tmp_path / "run", "model.ngram.entries=10"))
    result = invoke("finetune", config_path("tagger"), "--from", trained("tagger"), *values)
    assert result.exit_code == 0, result.stderr
    for table in (trained("tagger") / "assets").glob("*.safetensors"):
        assert (tmp_path / "run" / "assets" / table.name).read_bytes() == table.read_bytes()


def test_finetune_with_another_vocabulary_names_the_way_out(trained, data, invoke, settings, tmp_path):
    other = tmp_path / "other.txt"
    other.write_bytes(GOOD)
    values = [*settings("tagger", tmp_path / "run"), f"data.sources=[{other}]", f"data.prepared={tmp_path / 'data'}"]
    assert invoke("prepare-data", config_path("tagger"), *sets(values)).exit_code == 0
    fails(
        invoke("finetune", config_path("tagger"), "--from", trained("tagger"), *sets(values)),
        2,
        "vocabulary",
        "--set data.vocabulary=",
    )
    values.append(f"data.vocabulary={trained('tagger')}")
    assert invoke("prepare-data", config_path("tagger"), *sets(values)).exit_code == 0
    result = invoke("finetune", config_path("tagger"), "--from", trained("tagger"), *sets(values))
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("setting", ["finetune.train=[hed]", "finetune.lr_scale={encodr: 0.1}", "finetune.train=head"])
def test_finetune_with_wrong_names(setting, trained, invoke, settings, tmp_path):
    values = [
        *settings("tagger", tmp_path / "run"),
        setting,
        *(["finetune.last_blocks=9"] if setting.endswith("head") else []),
    ]
    fails(invoke("finetune", config_path("tagger"), "--from", trained("tagger"), *sets(values)), 2, "finetune.")


# -- evaluate -------------------------------------------------------------------------------------------------------------


def test_evaluate_writes_a_report_and_holds_the_gate(trained, exported, invoke, tmp_path):
    run = trained("tagger")
    result = invoke("evaluate", run, "--require", "cer<=1.0", "--baseline", exported("tagger"))
    assert result.exit_code == 0, result.stderr
    assert "character_accuracy" in result.stdout
    report = json.loads((run / "eval" / "test.json").read_text("utf-8"))
    for metric in (
        "character_accuracy",
        "cer",
        "sentence_accuracy",
        "p@1",
        "p@5",
        "p@10",
        "mrr",
        "macro_f1",
        "loss",
        "perplexity",
    ):
        assert report["metrics"][metric]["low"] <= report["metrics"][metric]["high"]
    assert report["metrics"]["p@1"]["value"] <= report["metrics"]["p@10"]["value"]
    assert set(report["slices"]) == {"hanzi in the sentence", "candidates of the syllable"}
    assert not any(d["significant"] for d in report["baseline"]["differences"].values())
    predictions = (run / "eval" / "test.predictions.jsonl").read_text("utf-8").splitlines()
    assert len(predictions) == report["examples"]
    assert "| cer |" in (run / "eval" / "test.md").read_text("utf-8")
    said = json.loads(invoke("evaluate", run, "--json", "--baseline", exported("tagger")).stdout)
    assert said["title"] == f"{run} on test" and said["metrics"] == report["metrics"]
    fails(invoke("evaluate", run, "--require", "cer<=0.0001"), 3, "cer is", "required <= 0.0001")
    fails(invoke("evaluate", run, "--require", "ser<=0.1"), 2, "did you mean 'cer'")
    fails(invoke("evaluate", run, "--require", "cer=0.1"), 2, "METRIC<=NUMBER")


@pytest.mark.parametrize("unit", ["sentence", "run"])
def test_evaluate_on_a_file_gives_the_same_for_run_and_export(unit, trained, exported, invoke, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("今天天气很好,我们去公园吧!\n明天呢?\n他在2024年去了北京。\n", encoding="utf-8")
    figures = []
    for model in (trained("tagger"), exported("tagger")):
        result = invoke("evaluate", model, "--data", text, "--unit", unit, "--output", tmp_path / model.name)
        assert result.exit_code == 0, result.stderr
        (report,) = (tmp_path / model.name).glob("text-*.json")
        figures.append(json.loads(report.read_text("utf-8")))
    assert figures[0]["examples"] == (3 if unit == "sentence" else 5)
    for name, figure in figures[0]["metrics"].items():
        assert figure["value"] == pytest.approx(figures[1]["metrics"][name]["value"], rel=1e-3), name
    fails(invoke("evaluate", exported("tagger")), 2, "--data PATH")
    fails(invoke("evaluate", trained("tagger"), "--data", tmp_path / "none.txt"), 4, "no such file")
    fails(invoke("evaluate", trained("tagger"), "--data", tmp_path), 4, "is a folder: name a file in it")
    fails(invoke("evaluate", trained("tagger"), "--split", "tset"), 2, "--split")


# -- translate ------------------------------------------------------------------------------------------------------------


def test_a_line_in_a_line_out(exported, invoke, tmp_path):
    lines = ["ni hao", "", "xq wo", "wo men"]
    path = tmp_path / "in.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    from_file = invoke("translate", "--model", exported("tagger"), "--input", path)
    from_stdin = invoke("translate", "--model", exported("tagger"), stdin="\n".join(lines) + "\n")
    from_arguments = invoke("translate", "--model", exported("tagger"), *lines)
    assert from_file.stdout == from_stdin.stdout == from_arguments.stdout
    assert len(from_file.stdout.splitlines()) == 4
    assert from_file.stdout.splitlines()[1] == ""
    assert f"{path}:3: no pinyin, kept as it is: xq" in from_file.stderr
    assert from_file.exit_code == 0


def test_json_and_n_best(exported, invoke):
    result = invoke("translate", "--model", exported("tagger"), "--json", "--n-best", "3", "ni hao ma", "x1")
    first, second = map(json.loads, result.stdout.splitlines())
    assert len(first["n_best"]) == 3 and first["text"] == first["n_best"][0]["text"]
    probabilities = [entry["probability"] for entry in first["n_best"]]
    assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1
    assert second["text"] == "x1"


def test_bad_bytes_and_endless_lines_keep_a_line_a_line(exported, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"ni hao\n\xff\xfe ni\nni\0hao\n" + b"s" * 10_000_000 + b"\nwo men\n")
    done = bmtool("translate", "--model", exported("tagger"), "--input", path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert "2: not UTF-8" in done.stderr and "4: line longer than 1 MiB" in done.stderr


def test_a_reader_that_goes_away_is_no_error(exported, tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("ni hao\n" * 20_000)
    line = f"{sys.executable} -m bmtool translate --model {exported('tagger')} --input {path} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_translate_streams(exported):
    command = [sys.executable, "-m", "bmtool", "translate", "--model", str(exported("tagger"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=ROOT) as process:
        for line in ("ni hao", "wo men"):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert len(process.stdout.readline().strip()) == 2  # before the next line is written
    assert process.returncode == 0


# -- export ---------------------------------------------------------------------------------------------------------------


def test_a_file_of_something_else_is_refused(invoke, tmp_path):
    junk, other = tmp_path / "junk.onnx", tmp_path / "other.onnx"
    junk.write_bytes(b"not a model")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), other)
    fails(invoke("translate", "--model", junk, "ni hao"), 4, "not an ONNX model")
    fails(invoke("translate", "--model", other, "ni hao"), 4, "not exported by bmtool")


@pytest.mark.parametrize(
    "kind",
    [
        "tagger",
        pytest.param("pinyin2hanzi-rnn", marks=pytest.mark.slow),
        pytest.param("transformer", marks=pytest.mark.slow),
    ],
)
def test_a_mismatch_is_not_written(kind, trained, invoke, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    path = tmp_path / "model.onnx"
    result = invoke("export-onnx", trained(kind), "--output", path)
    fails(result, 5, "nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_a_byte_that_changed_in_the_tables_of_an_export_is_found(exported, invoke, tmp_path):
    whole = Path(exported("tagger")).read_bytes()
    at = Packed(Path(exported("tagger"))).start + 2000
    (tmp_path / "model.onnx").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    fails(invoke("translate", "--model", tmp_path / "model.onnx", "ni hao"), 4, "damaged", "export it again")


def test_int8_is_smaller_and_its_loss_is_bounded(trained, exported, invoke, monkeypatch):
    run = trained("tagger")
    assert invoke("export-onnx", run, "--int8").exit_code == 0
    small = run / "export" / "model-int8.onnx"
    assert len(Packed(small).model()) < 0.7 * len(Packed(exported("tagger")).model())
    report = json.loads((run / "export" / "parity-int8.json").read_text("utf-8"))
    assert report["character_accuracy_float32"] - report["character_accuracy_int8"] == pytest.approx(report["loss"])
    assert report["loss"] <= report["allowed"] == 0.01
    small.unlink()
    monkeypatch.setattr(Task, "int8", Allowed("character_accuracy", -1.0))
    fails(invoke("export-onnx", run, "--int8"), 5, "int8 costs")
    assert not small.exists()


def test_the_file_carries_what_it_needs(exported):
    metadata = {p.key: p.value for p in onnx.load(exported("tagger")).metadata_props}
    about = json.loads(metadata["bmtool"])
    assert about["task"] == "pinyin2hanzi" and about["data_hash"] and about["vocabulary"]["candidates"]["ni"]
    assert {"decode", "max_length", "metrics", "validation", "checkpoint"} <= about.keys()


def test_run_directory_is_self_contained(trained, data, invoke, tmp_path):
    run = shutil.copytree(trained("tagger"), tmp_path / "moved")
    with gone(data):
        assert invoke("translate", "--model", run, "ni hao").exit_code == 0
    assert {"run.json", "config.yaml", "assets", "metrics.jsonl", "log.txt", "checkpoints", "plots"} <= {
        p.name for p in run.iterdir()
    }


def test_what_the_system_refuses_is_named_as_it_was_asked_for(invoke):
    result = invoke("init", "tabular-classification", "/proc/x.yaml")
    assert result.exit_code == 6 and "/proc/x.yaml: " in result.stderr and ".tmp" not in result.stderr, result.stderr
