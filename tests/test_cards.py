"""Model cards: what a run is, written by `evaluate`, carried by an export, shown by the server, read by the hub's own library."""

import json
import re
import shutil

import pytest
from cases import one_a_task
from conftest import config_path
from PIL import Image

from bmtool.commands import cards
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.train import pretrain
from bmtool.config.schema import Card
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError
from bmtool.predict.exported import open_model
from bmtool.serve.model import Served

CLASSES = "image-classification"


@pytest.fixture
def run(trained, tmp_path):
    """A run of classes that may be changed, not evaluated yet."""
    made = shutil.copytree(trained(CLASSES), tmp_path / "run")
    shutil.rmtree(made / "eval", ignore_errors=True)
    (made / "card.md").unlink(missing_ok=True)
    return made


def written(run) -> str:
    evaluate([run])
    return (run / "card.md").read_text("utf-8")


@one_a_task
def test_what_a_card_says_to_type_in_python_works(case, exported, trained, tmp_path, monkeypatch):
    shutil.copy(exported(case), tmp_path / "model.onnx")
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    run = shutil.copytree(trained(case), tmp_path / "run")
    evaluate([run])
    python = re.search(r"```python\n(.*?)```", (run / "card.md").read_text("utf-8"), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    held: dict = {}
    exec(python.replace("bmtool.load(", "answer = bmtool.load("), held)
    assert held["answer"].record()


def test_what_a_card_is_of_is_spelled_as_the_list_of_tasks_spells_it(trained, tmp_path):
    run = shutil.copytree(trained("tagger"), tmp_path / "run")
    evaluate([run])
    assert "\nPinyin syllables to Chinese characters: a model of" in (run / "card.md").read_text("utf-8")


def test_a_run_is_served_with_the_figures_that_its_export_carries(run):
    about = Served.load(str(run), print).about()
    assert about["metrics"] == {} and about["validation"]
    evaluate([run])
    exported, held = open_model(export_onnx(run)).about, Served.load(str(run), print).about()
    assert held["metrics"] == exported["metrics"] != {} and held["validation"] == exported["validation"]


@one_a_task
def test_a_card_of_every_task_is_one_for_the_hub(case, trained, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    run = shutil.copytree(trained(case), tmp_path / "model")
    evaluate([run])
    card = hub.ModelCard.load(run / "card.md")
    report = json.loads((run / "eval" / "test.json").read_text("utf-8"))
    results = {result.metric_type: result for result in card.data.eval_results}
    assert (
        card.data.model_name == "model" and card.data.get("library_name") == "bmtool" and card.data.license == "unknown"
    )
    assert case.task in card.data.tags and card.data.pipeline_tag
    finite = {name: found for name, found in report["metrics"].items() if found["value"] == found["value"]}
    assert results.keys() == finite.keys()
    for name, found in finite.items():
        assert isinstance(results[name], hub.EvalResult) and results[name].dataset_revision == report["data_hash"]
        assert results[name].metric_value == pytest.approx(found["value"], abs=1e-6)
    assert str(tmp_path) not in card.content and "Not stated." in card.text
    for name, count in report["splits"].items():
        assert f"| {name} | {count:,} |" in card.text


def test_what_its_maker_says_stands_in_it(prepared, settings, tmp_path):
    prepared(CLASSES)
    said = "card={licence: CC-BY-4.0, language: [zh, en], description: Reads digits., limits: [Not for cheques.]}"
    more = [said, "train.steps=2", "train.validate_every=2", "schedule.warmup_steps=0", f"run={tmp_path / 'run'}"]
    run = pretrain(config_path(CLASSES), settings(CLASSES, "card", *more))
    text = written(run)
    assert "license: cc-by-4.0\n" in text and "language:\n- zh\n- en\n" in text
    assert "\nReads digits.\n" in text and "- Not for cheques." in text and text.rstrip().count("CC-BY-4.0") == 1
    # Only the card is about it: a finished run takes other words, and trains nothing.
    weights = RunDir(run).checkpoints(print).digest("step-00000002")
    pretrain(config_path(CLASSES), settings(CLASSES, "card", *more, "card.licence=My own terms"))
    assert "license: other\nlicense_name: My own terms\n" in written(run)
    assert RunDir(run).checkpoints(print).digest("step-00000002") == weights


@pytest.mark.parametrize("stated, head", [
    (None, {"license": "unknown"}), ("Apache-2.0", {"license": "apache-2.0"}), ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
    ("Ours", {"license": "other", "license_name": "Ours"}),
])  # fmt: skip
def test_licences_are_spelled_as_the_hub_does(stated, head):
    assert cards._licence(stated) == head


def test_languages_are_codes(settings):
    with pytest.raises(ConfigError, match=r"card\.language"):
        pretrain(config_path(CLASSES), settings(CLASSES, "card", "card.language=[Chinese]"))
    assert Card(language=["zh", "zh-Hans", "yue"])


def test_a_card_says_the_same_each_time_and_what_it_was_compared_with(run, trained):
    text = written(run)
    assert written(run) == text and "Compared with no baseline" in text
    evaluate([run], baseline=trained(CLASSES))
    text = (run / "card.md").read_text("utf-8")
    assert f"Compared with {trained(CLASSES).name} on the same examples" in text and "+0.0000" in text


def test_a_measurement_elsewhere_leaves_the_card_and_a_card_has_figures_of_its_test_split_only(run, tmp_path):
    evaluate([run], output=str(tmp_path / "elsewhere"))
    assert not (run / "card.md").exists()
    evaluate([run], split="valid")
    text = (run / "card.md").read_text("utf-8")
    assert "Not measured on its test split yet" in text and "model-index" not in text


def test_its_maker_s_section_is_kept_and_carried(run, capsys):
    text = written(run).replace(f"{cards.OPEN}\n", f"{cards.OPEN}\n\n## Thanks\n\nTo all.\n")
    (run / "card.md").write_text(text, "utf-8")
    assert written(run) == text and "card.md" in capsys.readouterr().err
    exported = open_model(export_onnx(run)).about["card"]
    assert exported == text == Served.load(str(run), print).about()["card"]
    assert Served.load(str(run / "export" / "model.onnx"), print).about()["card"] == text


def test_the_card_of_an_int8_export_says_that_it_was_rounded_afterwards(run, prepared):
    prepared(CLASSES)
    exported = open_model(export_onnx(run, int8=True)).about["card"]
    assert "rounded to 8 bits" in exported and "rounded" not in written(run)


@pytest.mark.parametrize("change", [
    lambda text: text.replace("## Limits", "## No limits").encode(), lambda text: b"Mine.\n", lambda text: b"\xff", lambda text: b"",
    lambda text: text.encode() + b"more", lambda text: text.encode() + b" " * cards.LARGEST,
])  # fmt: skip
def test_what_was_changed_elsewhere_in_it_is_neither_lost_nor_believed(change, run, capsys):
    text = written(run)
    assert "; card " in capsys.readouterr().err
    (run / "card.md").write_bytes(change(text))
    evaluate([run])
    said = capsys.readouterr().err
    assert "is left as it is" in said and "; card " not in said
    assert (run / "card.md").read_bytes() == change(text)
    assert "No limits" not in Served.load(str(run), print).about()["card"]
    assert "only that section is taken" in capsys.readouterr().err


def test_lines_may_end_as_an_editor_ends_them(run):
    text = written(run)
    (run / "card.md").write_bytes(text.replace("\n", "\r\n").encode())
    assert written(run) == text


def test_the_card_in_the_box_is_one_for_the_hub():
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(Served.load("default", print).about()["card"])
    assert (
        card.data.license == "other"
        and card.data.language == ["zh"]
        and card.text.lstrip().startswith("# pinyin2hanzi")
    )
