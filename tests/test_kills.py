"""A sample of the kills that `make stress` does all of, and that the harness finds what it looks for."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from stress.killing import Moment, Subject, Trials
from stress.kills import attempts

from bmtool.base.files import filling, write_text

SAMPLE = 12


@pytest.mark.timeout(600)
def test_what_was_killed_ends_as_what_was_not(capsys):
    tried = list(attempts(SAMPLE, seed=28))
    failed = [f"{attempt.name}: {attempt.problem}" for attempt in tried if attempt.problem]
    assert not failed, "\n".join(failed)
    assert sum(", call " in attempt.name for attempt in tried) == SAMPLE


# --- the harness itself ---


def one_file(place: Path) -> None:
    write_text(place / "a.txt", "all of it\n")


def several(place: Path) -> None:
    """`a.txt` names the others, so it comes last."""
    with filling(place, "a.txt", last=lambda path: path.name == "a.txt") as folder:
        for name in "abc":
            write_text(folder / f"{name}.txt", f"all of {name}\n")


def torn(place: Path) -> None:
    """Writes in place, and takes what is there for whole."""
    if not (place / "a.txt").exists():
        (place / "a.txt").write_text("all of it\n", "utf-8")


def appended(place: Path) -> None:
    with (place / "a.txt").open("a", encoding="utf-8") as stream:
        stream.write("a line\n")
    write_text(place / "b.txt", "all of it\n")


def two_renames(place: Path) -> None:
    """Between the two there is neither the old one nor the new one, and a new start does not look for them."""
    write_text(place / "new.txt", "new\n")
    if (place / "a.txt").exists():
        (place / "a.txt").rename(place / "old.txt")
        (place / "new.txt").rename(place / "a.txt")


def untidy(place: Path) -> None:
    (place / f"{os.getpid()}.tmp").write_text("all of it", "utf-8")
    (place / f"{os.getpid()}.tmp").rename(place / "a.txt")


def saved(place: Path) -> None:
    """By a library that opens its file itself."""
    if not (place / "a.pt").exists():
        torch.save({"a": 1}, place / "a.pt")


@pytest.fixture
def trials(tmp_path):
    """`trials(writer)`: every kill of a function that writes below a directory, by what is wrong afterwards."""

    def make(writer) -> dict[str, str]:
        start, place = tmp_path / "start", tmp_path / "place"
        start.mkdir()
        (start / "a.txt").write_text("old\n", "utf-8") if writer is two_renames else None
        tried = Trials(Subject(writer.__name__, partial(writer, place), start, place))
        return {tried.name(at): tried.problem_at(at) for at in tried.moments()}

    return make


@pytest.mark.parametrize("writer, at, problem", [
    (torn, "open a.txt, empty", "differs: a.txt"),
    (torn, "open a.txt, half", "differs: a.txt"),
    (appended, "open a.txt, half", "differs: a.txt"),
    (two_renames, "os.rename a.txt", "missing: a.txt"),
    (untidy, "os.rename a.txt", "left over"),
    (saved, "open a.pt, half", "differs: a.pt"),
])  # fmt: skip
def test_a_writer_that_a_kill_harms_is_found(trials, writer, at, problem):
    found = {name.rpartition(": ")[2]: wrong for name, wrong in trials(writer).items()}
    assert problem in found[at]


@pytest.mark.parametrize("writer", [one_file, several])
def test_a_writer_that_no_kill_harms_passes(trials, writer):
    found = trials(writer)
    assert len(found) >= 4 and not any(found.values()), found


def test_a_folder_that_cannot_be_filled_is_as_before(tmp_path):
    (tmp_path / "a.txt").write_text("old\n", "utf-8")
    with pytest.raises(OSError, match="No space"), filling(tmp_path, "a.txt", last=lambda _: True) as folder:
        (folder / "a.txt").write_text("new\n", "utf-8")
        raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text("utf-8") == "old\n"


def test_a_call_that_does_not_come_is_no_success(tmp_path):
    (tmp_path / "start").mkdir()
    tried = Trials(Subject("one file", partial(one_file, tmp_path / "place"), tmp_path / "start", tmp_path / "place"))
    assert "was not killed: exit 0" in tried.problem_at(Moment(100))
