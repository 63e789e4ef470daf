"""What bmtool and all that it imports write, and whom they ask: seen from the kernel's side, in every process (docs/reliability.md)."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cases import CASES, ROOT
from test_serve import free_port

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

# Beside the directory of a run, of prepared data and of what is asked for by name: what docs/reliability.md names.
CACHES = (".cache/matplotlib", ".config/matplotlib")
DEVICES = ("/dev/null", "/dev/shm", "/dev/tty", "/dev/pts", "/proc/self")
CALLS = "network,openat,creat,mkdir,mkdirat"
WRITES = re.compile(
    r"(?:openat|creat)\(.*\b(?:O_WRONLY|O_RDWR|O_CREAT)\b.*\) = \d+<(.+)>$|mkdir(?:at)?\(.*?\"(.+)\".*\) = 0$"
)
ASKS = re.compile(r"\"(/etc/(?:resolv\.conf|hosts))\"|sin6?_addr=.*?\"(?!127\.|::1\")([0-9a-f.:]+)\"")
SEVERAL = """
import json, sys
from typer.testing import CliRunner
from bmtool import cli
for command in json.loads(sys.argv[1]):
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, (command, done.stderr)
"""


class Watched:
    """Commands that run in a directory of their own, with a home directory of their own, under strace."""

    def __init__(self, folder: Path):
        self.home, self.work, self.trace = folder / "home", folder / "work", folder / "trace"
        for place in (self.home, self.work / "tmp"):
            place.mkdir(parents=True)
        own = {"HOME": str(self.home), "TMPDIR": str(self.work / "tmp"), "PYTHONPATH": str(ROOT)}
        mine = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "MPL", "ORT_"))}
        self.environment = mine | own | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}

    def start(self, *command: str) -> subprocess.Popen:
        traced = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "300", "-e", f"trace={CALLS}", "-o", str(self.trace)]
        return subprocess.Popen(
            [*traced, sys.executable, *command], cwd=self.work, env=self.environment, stderr=subprocess.PIPE, text=True
        )

    def run(self, *command: str) -> None:
        with self.start(*command) as process:
            said = process.stderr.read()
        assert process.returncode == 0, said

    def found(self) -> list[str]:
        """What was written elsewhere than was asked for, and who was asked."""
        lines = self.trace.read_text("utf-8", "replace").splitlines()
        written = {str(self.work / (hit[1] or hit[2])) for line in lines if (hit := WRITES.search(line))}
        asked = {hit[1] or hit[2] for line in lines if (hit := ASKS.search(line))}
        return sorted([*(path for path in written if not self._may_write(path)), *asked])

    def _may_write(self, path: str) -> bool:
        caches = [self.home / cache for cache in CACHES]
        ways = {str(way) for cache in caches for way in cache.parents}  # directories that lead there
        return path in ways or path.startswith((str(self.work), *map(str, caches), *DEVICES))


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def _chain(name: str) -> list[list[str]]:
    """A model of a task from its data to an answer, with processes beside the first wherever a command starts any."""
    case = next(case for case in CASES if case.name == name)
    config = str(case.path)
    asked = case.asked or ["--help"]
    more = ["--set", "data.workers=2"] if case.entry.kit == "text" else []
    return [
        ["prepare-data", config, *more],
        ["pretrain", config, "--set", "train.workers=1", *more],
        ["evaluate", case.config.run],
        ["export-onnx", case.config.run],
        ["predict", case.config.run, *asked],
        ["predict", f"{case.config.run}/export/model.onnx", *asked],
        ["tune", config, "--vary", "optim.lr=1e-3..1e-2", "--trials", "1", *more],
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name",
    [
        "image-classification",
        pytest.param("tabular-classification", marks=pytest.mark.slow),
        pytest.param("pinyin2hanzi", marks=pytest.mark.slow),
    ],
)
def test_a_model_is_made_without_a_word_to_anyone(name, watched):
    for folder in ("images", "pinyin2hanzi", "tabular"):
        shutil.copytree(ROOT / "data" / folder, watched.work / "data" / folder)
    (watched.work / "bmtool").symlink_to(ROOT / "bmtool")
    watched.run("-c", SEVERAL, json.dumps(_chain(name)))
    assert watched.found() == []


def test_a_server_answers_without_a_word_to_anyone(watched):
    port = free_port()
    with watched.start("-m", "bmtool", "serve", "--port", str(port)) as process:
        answer = _ask(f"http://127.0.0.1:{port}/v1/translate", process)
        os.kill(_child(process), signal.SIGTERM)
        said = process.stderr.read()
    assert answer == "你好"
    assert process.returncode == 0, said
    assert watched.found() == []


def _ask(address: str, process: subprocess.Popen) -> str:
    """What a server answers, as soon as it does."""
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(address, json={"text": "ni hao"}, timeout=60)
            if answer.status_code == 200:
                return answer.json()["text"]
        time.sleep(0.2)
    raise AssertionError(process.stderr.read())


def _child(process: subprocess.Popen) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def test_the_packages_that_we_run_have_not_begun_to(watched):
    packages = "numpy torch torchvision.models onnx onnxruntime onnxscript matplotlib.pyplot sklearn lightgbm PIL pypinyin optuna"
    watched.run("-c", f"from bmtool import torchvision\nimport {', '.join(packages.split())}")
    assert watched.found() == []


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("open(os.path.expanduser('~/.device'), 'w')", "/home/.device"),
        ("os.makedirs(os.path.expanduser('~/.telemetry'))", "/home/.telemetry"),
        ("socket.getaddrinfo('collector.example', 443)", "/etc/resolv.conf"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))", "192.0.2.1"),
    ],
)
def test_who_writes_or_asks_is_seen(what, seen, watched):
    watched.run("-c", f"import contextlib, os, socket\nwith contextlib.suppress(OSError): {what}")
    assert any(line.endswith(seen) for line in watched.found())
