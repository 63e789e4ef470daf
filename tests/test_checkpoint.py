"""Checkpoints are whole or absent, verified, and the right ones are kept."""

import json

import pytest
import torch

from bmtool.engine import checkpoint
from bmtool.engine.checkpoint import Checkpoints, name_of, require_space
from bmtool.engine.kept import AVERAGED, BEST, LAST
from bmtool.engine.run_dir import RunDir
from bmtool.errors import DataError, ResourceError

WEIGHTS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.int64)}


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    return Checkpoints(tmp_path, warnings.append)


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        weights, state = {k: v + step for k, v in WEIGHTS.items()}, {"step": step, "x": WEIGHTS["a"]}
        elapsed_s = {"training": float(step), "window": 0.0}
        checkpoints.save(name_of(step), weights, state, metrics={}, elapsed_s=elapsed_s)


def test_what_is_saved_comes_back(checkpoints):
    save(checkpoints, 5)
    name = checkpoints.newest()
    assert all(torch.equal(value, WEIGHTS[key] + 5) for key, value in checkpoints.weights(name).items())
    assert torch.equal(checkpoints.state(name)["x"], WEIGHTS["a"])
    assert checkpoints.state(name)["elapsed_s"] == {"training": 5.0, "window": 0.0}
    assert checkpoints.manifest(name)["step"] == 5


def test_equal_states_are_equal_bytes_whatever_objects_they_share(checkpoints):
    """As before and after a resume: what was one object is read as several."""
    shared, name = [0.9, 0.98], "".join(["na", "me"])
    states = (
        {"step": 1, "groups": [{"betas": shared, name: 1}, {"betas": shared, name: 2}]},
        {"step": 1, "groups": [{"betas": [0.9, 0.98], "na" + "me": 1}, {"betas": [0.9, 0.98], "".join("name"): 2}]},
    )
    for step, state in enumerate(states):
        checkpoints.save(name_of(step), WEIGHTS, state, metrics={}, elapsed_s={"training": float(step)})
    first, second = (checkpoints.manifest(name_of(step)) for step in (0, 1))
    assert first["sha256"] == second["sha256"] and first["elapsed_s"] != second["elapsed_s"]


def test_the_newest_is_that_of_the_greatest_step_and_other_directories_are_none(checkpoints):
    save(checkpoints, 99_999_999, 100_000_000)
    for foreign in ("step-old", "step-00000001-copy", "notes"):
        (checkpoints.directory / foreign).mkdir()
    assert checkpoints.names() == ["step-99999999", "step-100000000"] and checkpoints.newest() == "step-100000000"
    checkpoints.prune(["step-100000000"])
    assert {path.name for path in checkpoints.directory.iterdir()} == {
        "step-100000000",
        "step-old",
        "step-00000001-copy",
        "notes",
    }


@pytest.mark.parametrize("part", ["model.safetensors", "state.pt", "manifest.json"])
@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b[:-1] + b"\x07", lambda b: b""])
def test_a_damaged_one_is_passed_over_with_a_warning(part, damage, checkpoints, warnings):
    save(checkpoints, 1, 2)
    path = checkpoints.directory / "step-00000002" / part
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoints.newest() == "step-00000001"
    assert "step-00000002 cannot be used" in warnings[0]


def test_all_damaged_and_none_at_all_are_different(checkpoints):
    assert checkpoints.newest() is None
    with pytest.raises(DataError, match="no checkpoint yet"):
        checkpoints.best()
    save(checkpoints, 1)
    (checkpoints.directory / "step-00000001" / "state.pt").unlink()
    with pytest.raises(DataError, match="every checkpoint"):
        checkpoints.newest()


def test_best_follows_its_pointer_and_falls_back(checkpoints, warnings):
    save(checkpoints, 1, 2, 3)
    checkpoints.mark(BEST, "step-00000001")
    assert checkpoints.best() == "step-00000001"
    (checkpoints.directory / "step-00000001" / "model.safetensors").write_bytes(b"")
    assert checkpoints.best() == "step-00000003"
    assert warnings


def point_badly(path, how) -> None:
    path.mkdir() if how is None else path.write_bytes(how)


BAD_POINTERS = [
    b"",
    b"\n",
    b"\xff\xfe\x00",
    b"../../x",
    b"step-1",
    b"step-00000001/..",
    b"/etc",
    b"best",
    "step-0000000\u0661".encode(),
    b"x" * 10_000_000,
    None,
]


@pytest.mark.parametrize("pointer", [BEST, LAST])
@pytest.mark.parametrize("how", BAD_POINTERS, ids=lambda how: repr(how)[:24])
def test_a_pointer_that_is_no_name_is_said_and_never_followed(how, pointer, checkpoints, warnings):
    save(checkpoints, 1, 2)
    (checkpoints.directory.parent / "x").mkdir()
    point_badly(checkpoints.directory / pointer, how)
    assert checkpoints.best() == "step-00000002"
    assert len(warnings) == 1 and f"/{pointer} is damaged: it names no checkpoint" in warnings[0]


def test_a_pointer_to_none_is_said(checkpoints, warnings):
    save(checkpoints, 1)
    checkpoints.mark(BEST, AVERAGED)
    assert checkpoints.best() == "step-00000001"
    assert warnings == ["checkpoint averaged cannot be used: there is none; trying another"]
    checkpoints.mark(BEST, None)
    assert checkpoints.best() == "step-00000001" and len(warnings) == 1


def test_pruning_keeps_what_it_is_told_to(checkpoints):
    save(checkpoints, 1, 2, 3, 4)
    checkpoints.save(AVERAGED, WEIGHTS, {"step": 4}, metrics={}, elapsed_s={})
    checkpoints.prune({"step-00000001", "step-00000004", AVERAGED})
    assert sorted(p.name for p in checkpoints.directory.iterdir()) == [AVERAGED, "step-00000001", "step-00000004"]
    checkpoints.prune({"step-00000004"})
    assert [p.name for p in checkpoints.directory.iterdir()] == ["step-00000004"]


@pytest.mark.parametrize("where", ["save_file", "fsync", "write_json"])
def test_a_full_disk_leaves_the_one_before_and_nothing_else(where, checkpoints, monkeypatch):
    save(checkpoints, 1)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, where, full)
    with pytest.raises(ResourceError, match="No space left"):
        save(checkpoints, 2)
    assert [p.name for p in checkpoints.directory.iterdir()] == ["step-00000001"]
    assert checkpoints.newest() == "step-00000001"


def test_a_write_that_was_cut_off_is_ignored(checkpoints):
    save(checkpoints, 1)
    (checkpoints.directory / ".step-00000002.1.tmp").mkdir()
    assert checkpoints.names() == ["step-00000001"]
    save(checkpoints, 2)
    assert checkpoints.newest() == "step-00000002"


def test_space_is_required_beforehand(tmp_path):
    require_space(tmp_path, 1)
    with pytest.raises(ResourceError, match="free some space"):
        require_space(tmp_path, 1 << 60)


def test_a_torn_last_line_of_metrics_is_passed_over(tmp_path):
    run = RunDir(tmp_path)
    for step in (1, 2, 3):
        run.event(step=step)
    with run.metrics.open("a") as stream:
        stream.write('{"step": 4, "lo')
    assert [event["step"] for event in run.events()] == [1, 2, 3]
    run.forget_after(2, pytest.fail)
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2]


def test_a_run_of_another_format_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 99"):
        RunDir.open(tmp_path)


def test_one_is_never_half_deleted(checkpoints, monkeypatch):
    """A kill while files go: what is left stands under a name that nobody takes for a checkpoint."""
    save(checkpoints, 1, 2)

    def killed(path, ignore_errors=False):
        if path.exists():
            (path / "model.safetensors").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.prune(["step-00000002"])
    assert checkpoints.names() == ["step-00000002"] and checkpoints.newest() == "step-00000002"
