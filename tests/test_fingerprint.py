"""Prepared data are those that the configuration asks for: made again when they are not, refused when they cannot be, never in silence."""

import json
import shutil

import numpy as np
import pytest
from conftest import SAMPLE, config_path
from PIL import Image

from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.errors import ConfigError, DataError
from bmtool.images.fingerprint import setting_changes

CONFIG = """\
task: image-classification
run: run
data: {source: pictures, prepared: prepared, size: 8, channels: 1, valid_share: 0.2, test_share: 0.2}
model: {kind: mlp, widths: [8]}
train: {steps: 2, batch_size: 8, threads: 1}
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A directory with a config, and two classes of small images beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    draw(tmp_path, 0)
    return tmp_path


def draw(folder, seed: int) -> None:
    random = np.random.default_rng(seed)
    for label, (low, high) in {"dark": (0, 120), "light": (110, 255)}.items():
        (folder / "pictures" / label).mkdir(parents=True, exist_ok=True)
        for number in range(20):
            pixels = random.integers(low, high, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / label / f"{seed}-{number}.png")


@pytest.fixture
def text(tmp_path, settings):
    """`make(run, ...)`: settings for a small tagger on a text of its own, prepared in tmp_path."""
    shutil.copy(SAMPLE / "sentences" / "daily.txt", tmp_path / "text.txt")

    def make(run: str, *more: str) -> list[str]:
        own = [
            f"data.sources=[{tmp_path / 'text.txt'}]",
            f"data.prepared={tmp_path / 'data'}",
            "train.steps=1",
            "data.workers=1",
        ]
        return [*settings("tagger", tmp_path / run), *own, *more]

    return make


def prepared_hash(folder) -> str:
    return json.loads((folder / "manifest.json").read_text("utf-8"))["data_hash"]


def test_images_of_other_settings_are_prepared_again_with_a_line(images, capsys):
    pretrain("config.yaml")
    pretrain("config.yaml", ["run=other", "data.size=12"])
    assert "data.size: 8 -> 12: preparing again" in capsys.readouterr().err
    info = json.loads((images / "other" / "run.json").read_text())
    assert info["data_hash"] == prepared_hash(images / "prepared")
    assert info["prepared"] == str((images / "prepared").resolve())
    assert info["fingerprint"] != json.loads((images / "run" / "run.json").read_text())["fingerprint"]


def test_other_images_are_prepared_again_with_a_line(images, capsys):
    pretrain("config.yaml")
    before = prepared_hash(images / "prepared")
    draw(images, 1)
    pretrain("config.yaml", ["run=other"])
    said = capsys.readouterr().err
    assert "data.source" in said and "preparing again" in said
    assert prepared_hash(images / "prepared") != before


def test_a_run_goes_on_with_the_data_it_began_with(images, capsys):
    pretrain("config.yaml", ["train.stop_after=1"])
    before = prepared_hash(images / "prepared")
    draw(images, 1)
    pretrain("config.yaml")
    assert "goes on with the data that it began with" in capsys.readouterr().err
    assert prepared_hash(images / "prepared") == before
    assert (images / "run" / "checkpoints" / "step-00000002").is_dir()


def test_another_configuration_is_refused_before_data_are_touched(images):
    pretrain("config.yaml")
    before = prepared_hash(images / "prepared")
    with pytest.raises(ConfigError, match=r"data\.size: 8 -> 12"):
        pretrain("config.yaml", ["data.size=12"])
    assert prepared_hash(images / "prepared") == before


def test_sources_that_are_gone(images, capsys):
    """What was prepared is used, and that is said; with other settings it cannot be, and is left as it is."""
    prepare_data("config.yaml")
    shutil.rmtree(images / "pictures")
    pretrain("config.yaml")
    assert "which was prepared with the same settings, is used" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"data\.size: 8 -> 12.*cannot be prepared again"):
        pretrain("config.yaml", ["run=other", "data.size=12"])
    assert (images / "prepared" / "manifest.json").is_file()


def test_of_several_processes_none_prepares(images, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DataError, match="not prepared yet: run `bmtool prepare-data CONFIG` first"):
        pretrain("config.yaml")
    monkeypatch.delenv("WORLD_SIZE")
    prepare_data("config.yaml")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DataError, match=r"data\.size: 8 -> 12.*bmtool prepare-data CONFIG"):
        pretrain("config.yaml", ["data.size=12"])


def test_images_prepared_with_what_is_refused_today_are_prepared_again(images):
    """A version that took other values wrote the manifest."""
    manifest, data = prepare_data("config.yaml"), load("config.yaml").data
    found = setting_changes(manifest | {"settings": manifest["settings"] | {"size": -3}}, data)
    assert found == ["data.size: prepared with a setting that this version does not take"]


def test_text_of_other_settings_or_files_is_prepared_again(text, tmp_path, capsys):
    config = config_path("tagger")
    pretrain(config, text("first"))
    pretrain(config, text("second", "data.max_length=32"))
    assert "data.max_length: 64 -> 32: preparing again" in capsys.readouterr().err
    with (tmp_path / "text.txt").open("a", encoding="utf-8") as stream:
        stream.write("\n今天的天气比昨天好多了，我们一起去公园吧。\n")
    pretrain(config, text("third", "data.max_length=32"))
    assert f"data.sources: {tmp_path / 'text.txt'} has changed: preparing again" in capsys.readouterr().err


def test_text_that_is_gone(text, tmp_path, capsys):
    config = config_path("tagger")
    prepare_data(config, text("run"))
    (tmp_path / "text.txt").unlink()
    pretrain(config, text("run"))
    assert "is used" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"data\.sources: .*other\.txt added.*cannot be prepared again"):
        pretrain(config, text("other", f"data.sources=[{tmp_path / 'other.txt'}]"))


def test_a_moved_run_finds_its_data_from_any_directory(images, tmp_path_factory, monkeypatch):
    run = pretrain("config.yaml").rename(images / "moved")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    moved = images / run.name
    assert evaluate([moved]).examples > 0
    assert export_onnx(moved).is_file()
    assert export_onnx(moved, int8=True).is_file()
