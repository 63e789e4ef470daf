"""Every field of every schema at, inside and outside its bounds; some of what is taken trains a step (`stress.schema` does all)."""

import os
import re
import subprocess
import sys

from conftest import ROOT


def test_what_is_outside_is_refused_and_what_is_inside_trains():
    """In a process of its own: trainings are forks of it, which cannot compute in threads where it has."""
    done = subprocess.run(
        [sys.executable, "-m", "stress", "schema", "--sample", "3", "--seed", "1"], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"schema.*?([\d,]+) *│ *0 *│", done.stdout)
    assert tried and int(tried[1].replace(",", "")) > 5000, done.stdout
