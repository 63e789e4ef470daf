"""Fixtures: a small prepared data set and small trained runs, made once a session. Sockets open to loopback only."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bmtool import cli
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
SAMPLE = ROOT / "data" / "pinyin2hanzi"
KINDS = {"tagger": "tiny.yaml", "rnn": "rnn.yaml", "transformer": "transformer.yaml"}
SMALL = {
    "tagger": [
        "model.width=32",
        "model.feedforward=64",
        "model.layers=1",
        "model.ngram_rows=500",
        "model.ngram_width=8",
    ],
    "rnn": ["model.width=32"],
    "transformer": ["model.width=32", "model.feedforward=64", "model.layers=1"],
}


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    """Configs name their data relative to the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Anything but loopback is refused."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bmtool")


@pytest.fixture(scope="session")
def text_file(folder) -> Path:
    """240 sentences of the embedded sample."""
    lines = [
        line
        for name in ("daily", "news")
        for line in (SAMPLE / "sentences" / f"{name}.txt").read_text("utf-8").splitlines()[:120]
    ]
    path = folder / "sample.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def config_path(kind: str) -> str:
    return str(CONFIGS / "pinyin2hanzi" / KINDS[kind])


@pytest.fixture(scope="session")
def overrides(folder, text_file):
    """`overrides(kind, run)`: a shipped config made small, on the small data set, without dropout."""

    def make(kind: str, run: str | Path = "run", *more: str) -> list[str]:
        return [
            f"data.sources=[{text_file}]", f"data.prepared={folder / 'prepared'}", f"run={folder / str(run)}",
            "data.valid_share=0.1", "data.test_share=0.1", "model.dropout=0.0", "label_smoothing=0.0",
            "train.steps=8", "train.batch_tokens=256", "train.validate_every=4", "train.save_every=4", "train.log_every=4",
            "train.threads=1", "train.keep_last=2", *SMALL[kind], *more,
        ]  # fmt: skip

    return make


@pytest.fixture(scope="session")
def prepared(folder, overrides) -> Path:
    prepare_data(config_path("tagger"), overrides("tagger"))
    return folder / "prepared"


@pytest.fixture(scope="session")
def trained(prepared, overrides):
    """`trained(kind)`: a run of a few steps, made once."""
    runs: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in runs:
            runs[kind] = pretrain(config_path(kind), overrides(kind, f"trained-{kind}"))
        return runs[kind]

    return make


@pytest.fixture(scope="session")
def exported(trained):
    """`exported(kind)`: that run's float32 ONNX file."""
    files: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in files:
            files[kind] = export_onnx(trained(kind))
        return files[kind]

    return make


@pytest.fixture
def invoke():
    """`invoke(arguments...)` runs the command line in this process: exit_code, stdout, stderr."""

    def run(*arguments: object, stdin: str | bytes | None = None):
        result = CliRunner().invoke(cli.app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def bmtool(*arguments: object, **options) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "bmtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)
