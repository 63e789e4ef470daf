"""Configuration: every problem, together, each where it is."""

import pytest
from conftest import CONFIGS

from bmtool.config import document as documents
from bmtool.config.load import dump, load, of_run, parse
from bmtool.config.resuming import changed
from bmtool.errors import ConfigError

GOOD = """\
task: pinyin2hanzi
run: runs/x
data:
  sources: [a]
  prepared: b
model:
  kind: tagger
optim:
  lr: 1e-4
"""


@pytest.fixture
def read(tmp_path):
    def run(text: str, *overrides: str):
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, list(overrides))

    return run


def problems(read, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, *overrides)
    return str(caught.value)


def test_one_e_minus_four_is_a_number_and_defaults_are_filled(read):
    config = read(GOOD)
    assert config.optim.lr == 1e-4
    assert config.train.accumulate == 1


def test_all_problems_are_reported_together_where_they_are(read):
    text = GOOD + "  wieght_decay: 0.1\ntrain:\n  steps: 20k\n  deterministic: 1\n"
    said = problems(read, text, "train.seeed=1", "model.layers=four")
    assert said.startswith("5 problems in the configuration")
    for line in (
        "x.yaml:10  optim.wieght_decay: unknown key; did you mean 'weight_decay'?",
        "x.yaml:12  train.steps: expected an integer, got '20k'",
        "x.yaml:13  train.deterministic: expected true or false, got 1",
        "--set      train.seeed: unknown key",
        "--set      model.layers: expected an integer, got 'four'",
    ):
        assert line in said


def test_a_key_of_another_kind_of_section_says_of_which(read):
    said = problems(read, "task: tabular-classification\ndata: {source: a.csv, prepared: p, target: y}\nrun: r\n"
                    "model: {kind: lightgbm, widths: [3]}\n")  # fmt: skip
    assert "model.widths: unknown key for kind lightgbm: it belongs to mlp" in said


@pytest.mark.parametrize("text, words", [
    ("", "task: missing key"),
    ("- a\n", "expected `key: value` lines"),
    ("task: pinyin2hanz\n", "did you mean 'pinyin2hanzi'?"),
    ("task: [\n", "not valid YAML"),
    (GOOD.replace("tagger", "taggr"), "x.yaml:7: model.kind: expected one of tagger, transformer, rnn, got 'taggr'; did you"),
    (GOOD.replace("  kind: tagger", "  width: 8"), "model.kind: missing key"),
    (GOOD.replace("  prepared: b\n", ""), "data.prepared: missing key"),
    (GOOD + "run: runs/y\n", "x.yaml:10: run: given twice, first at x.yaml:2"),
    (GOOD + "train: {average_best: 3}\n", "average_best (3) needs keep_best"),
    (GOOD.replace("kind: tagger", "{kind: tagger, width: 100, heads: 3}"), "model.width (100) must be a multiple"),
    (GOOD + "finetune: {last_blocks: 1}\n", "last_blocks goes with"),
    (GOOD + "train: {batch_tokens: 8}\n", "must hold data.max_length"),
    (GOOD.replace("lr: 1e-4", "lr: -1"), "optim.lr"),
    (GOOD.replace("lr: 1e-4", "lr: -1") + "  phases: {model: {l1: 0.1}}\n", "x.yaml:9: optim.lr: "),
    (GOOD + "  phases: {model: {beta: [0, 1]}}\n", "x.yaml:10: optim.phases.model.beta: unknown key; did you mean 'betas'?"),
    (GOOD + "  phases: {model: {l1: -1.0}}\n", "x.yaml:10: optim.phases.model.l1: "),
    (GOOD + "  phases: {model: 3}\n", "optim.phases.model: expected a section"),
])  # fmt: skip
def test_single_problems(text, words, read):
    said = problems(read, text)
    assert words in said and "\n" not in said


@pytest.mark.parametrize("override", ["nothing", "=3", "a.b=[1"])
def test_bad_overrides(override, read):
    assert "--set" in problems(read, GOOD, override)


@pytest.mark.parametrize("written, value", [
    ("010", 10), ("0x10", 16), ("0o17", 15), ("1e-3", 1e-3), (".5", 0.5), ("-.5e1", -5.0), ("true", True), ("~", None), ("", None),
    ("yes", "yes"), ("off", "off"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("0o8", "0o8"), ("'1'", "1"),
])  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(written, value, tmp_path):
    (tmp_path / "x.yaml").write_text(f"x: {written}\n", encoding="utf-8")
    assert documents.read(tmp_path / "x.yaml").data == {"x": value} == {"x": documents.value(written or "~", "--set x")}
    assert documents.value(documents.dump({"x": written}), "x") == {"x": written}


def test_paths_are_expanded_and_kept_as_they_came_out(read, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    config = read(
        GOOD.replace("runs/x", "~/x"),
        "data.prepared=$DATA/p",
        "data.sources=['${DATA}/*.txt', '-']",
        "data.protected=[~/t]",
    )
    assert (config.run, config.data.prepared, config.data.protected) == ("/home/me/x", "/data/p", ["/home/me/t"])
    assert [source.path for source in config.data.sources] == ["/data/*.txt", "-"]
    assert read(dump(config)) == config
    assert problems(read, GOOD.replace("runs/x", "$NOTHING/x")).startswith("x.yaml:2: run: $NOTHING is not set")
    assert "no such home directory" in problems(read, GOOD, "run=~nobody-here/x")
    assert "expected a path" in problems(read, GOOD, "run=''")


def test_keys_that_are_merged_may_be_changed(read):
    config = read(GOOD + "schedule: {<<: {final: 0.1, name: linear}, name: cosine}\n")
    assert (config.schedule.final, config.schedule.name) == (0.1, "cosine")


@pytest.mark.parametrize("schedule, words", [
    ("{warmup_steps: 100}", "schedule.warmup_steps (100) must be fewer than train.steps (100)"),
    ("{name: wsd, warmup_steps: 50, decay_steps: 51}", "are more than train.steps (100)"),
    ("{name: step, step_every: 100}", "schedule.step_every (100)"),
])  # fmt: skip
def test_a_schedule_ends_before_the_training_and_an_old_run_with_another_still_loads(schedule, words, read, tmp_path):
    text = GOOD + "train: {steps: 100}\nschedule: " + schedule + "\n"
    assert words in problems(read, text)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert of_run(tmp_path / "config.yaml").train.steps == 100


def test_a_block_that_is_never_unfrozen_is_refused(read):
    assert "finetune.unfreeze_every (8)" in problems(read, GOOD, "train.steps=8", "finetune.unfreeze_every=8")


def test_a_rule_about_several_keys_stands_where_one_of_them_does(read):
    said = problems(read, GOOD + "train: {steps: 100}\nschedule:\n  warmup_steps: 100\n")
    assert said.startswith("x.yaml:12: schedule.warmup_steps (100)")


def test_overrides_make_sections_and_take_yaml(read):
    config = read(GOOD, "train.steps=7", "finetune.lr_scale={head: 0.5}", "data.sources=[x, y]")
    assert (config.train.steps, config.finetune.lr_scale) == (7, {"head": 0.5})
    assert [source.path for source in config.data.sources] == ["x", "y"]


def test_a_phase_has_the_settings_of_all_but_those_it_gives(read):
    config = read(GOOD, "optim.phases={model: {betas: [0.5, 0.9]}}", "optim.clip_norm=0.5")
    own = config.optim.of("model")
    assert (own.lr, own.betas, own.clip_norm) == (1e-4, [0.5, 0.9], 0.5)
    assert config.optim.of("another") == config.optim
    assert parse(config.model_dump()) == config
    other = read(GOOD, "optim.phases={model: {betas: [0.5, 0.8]}}", "optim.clip_norm=0.5")
    assert changed(config, other).refused == ["optim.phases.model.betas: [0.5, 0.9] -> [0.5, 0.8]"]


def test_a_source_is_a_path_or_a_section(read):
    config = read(GOOD, "data.sources=[x, {path: y, weight: 2.0, domain: chat, cap: 10}]")
    first, second = config.data.sources
    assert (first.path, first.weight, first.cap) == ("x", 1.0, None)
    assert (second.path, second.weight, second.domain, second.cap) == ("y", 2.0, "chat", 10)
    said = problems(read, GOOD, "data.sources=[{path: y, wieght: 2.0}, {domain: z}]")
    assert "--set  data.sources.0.wieght: unknown key; did you mean 'weight'?" in said
    assert "data.sources.1.path: missing key" in said


@pytest.mark.parametrize("name, words", [("utf9", "no encoding 'utf9'"), ("utf-16", "convert the files")])
def test_an_encoding_that_cannot_be_read_line_by_line_is_refused(name, words, read):
    assert words in problems(read, GOOD, f"data.sources=[{{path: x, encoding: {name}}}]")


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "bad.yaml")


ALL = sorted(CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_commented_and_says_how_to_run_it(path):
    config = load(path)
    first, *lines = path.read_text("utf-8").splitlines()
    assert first.startswith(f"# bmtool {'finetune' if config.starts_from_others else 'pretrain'} ")
    assert str(path.relative_to(CONFIGS.parent)) in first
    assert sum("#" in line for line in lines) >= 5


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_what_is_saved_loads_as_it_is(path, read):
    config = load(path)
    assert read(dump(config)) == config == parse(config.model_dump())


def test_differences_name_what_makes_another_run(read):
    old = read(GOOD)
    assert changed(old, read(GOOD, "train.stop_after=3", "train.workers=2", "run=elsewhere")) == ([], [])
    assert changed(old, read(GOOD, "optim.lr=0.5", "model.width=128", "train.log_every=7")) == (
        ["model.width: 256 -> 128", "optim.lr: 0.0001 -> 0.5"], [f"train.log_every: {old.train.log_every} -> 7"],
    )  # fmt: skip
