"""What one process holds, and what a killed one leaves: locks and temporaries."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from bmtool.base.files import lock, sweep, temporary, write_bytes, write_text
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ResourceError

NOBODY = 2**31 - 1  # no process has this number

# Holds a directory while a forked child lives on; prints the child's number and waits to be killed.
HOLDS = """
import multiprocessing, sys, time
from pathlib import Path
from bmtool.base.files import lock
with lock(Path(sys.argv[1]), "busy"):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_one_process_holds_a_directory(tmp_path):
    with lock(tmp_path / "new", "busy"), pytest.raises(ResourceError, match="busy"), lock(tmp_path / "new", "busy"):
        pass
    with lock(tmp_path / "new", "busy"):
        pass


def test_a_directory_stays_held_while_children_come_and_go(tmp_path):
    with lock(tmp_path, "busy"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
        child.start()
        child.join()
        with pytest.raises(ResourceError, match="busy"), lock(tmp_path, "busy"):
            pass


def test_what_a_killed_process_held_is_free_although_its_child_lives(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        with pytest.raises(ResourceError, match="busy"), lock(tmp_path, "busy"):
            pass
        process.kill()
        process.wait()
        os.kill(child, 0)
        with lock(tmp_path, "busy"):
            pass
    finally:
        process.stdout.close()
        os.kill(child, 9)


def test_temporaries_go_but_for_those_of_another_process_that_lives(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stays = {f".a.json.{other.pid}.tmp", "a.json", ".hidden", "b.tmp", ".lock"}
    goes = {f".a.json.{NOBODY}.tmp", f".a.json.{os.getpid()}.tmp", ".old.tmp", f".a.json.{10**30}.tmp"}
    for name in stays | goes:
        (tmp_path / name).write_bytes(b"x")
    for name in (f".step-1.{NOBODY}.tmp", f".step-1.old.{NOBODY}.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"x")
    try:
        sweep(tmp_path)
    finally:
        other.communicate()
    assert {path.name for path in tmp_path.iterdir()} == stays
    sweep(tmp_path / "none")


def test_what_is_written_halfway_is_a_temporary(tmp_path, monkeypatch):
    """Cut off anywhere, a write leaves the file as it was, and nothing that `sweep` does not know."""
    write_text(tmp_path / "a.json", "before")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.extend(path.name for path in tmp_path.iterdir()))
    write_bytes(tmp_path / "a.json", b"after")
    assert sorted(seen) == sorted([temporary(tmp_path / "a.json").name, "a.json"])


def test_the_one_that_holds_a_run_sweeps_every_directory_of_it(tmp_path):
    run = RunDir(tmp_path)
    folders = [tmp_path, tmp_path / "checkpoints", run.assets, run.plots, run.evaluations, run.exports]
    left = [folder / f".x.{NOBODY}.tmp" for folder in folders]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with run.lock():
        assert not any(path.exists() for path in left)
        left[0].write_bytes(b"x")
        with pytest.raises(ResourceError, match="in use"), run.lock():
            pass
        assert left[0].exists()
